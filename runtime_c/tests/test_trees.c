/* ew_trees_f32 on two small trees, and ew_lookup on a table. */
#include "ew_lookup.h"
#include "ew_test.h"
#include "ew_trees.h"

/* x[0] <= 0.5 ? (x[1] > 1 ? 1 : 2) : votes 4 for target 0 and 8 for target 1; NaN counts as true in the first. */
static const float values[8] = {0.5f, 1.0f, 1.0f, 2.0f, 4.0f, 8.0f, -3.0f, 0.0f};
static const uint16_t features[8] = {0x8000u, 0x3001u, 0u, 0u, 0x8000u, 1u, 0x4000u, 0u};
static const uint16_t jumps[8] = {4, 2, 0, 0, 0, 0, 0, 0};
static const int32_t roots[2] = {0, 7}; /* the second tree is a leaf */

static void check_trees(void)
{
    static const float x[8] = {0.5f, 2.0f, 0.5f, 1.0f, 0.75f, 9.0f, NAN, NAN};
    static const float wanted[8] = {1.0f, 0.0f, 2.0f, 0.0f, 4.0f, 8.0f, 2.0f, 0.0f};
    static const ew_trees_params p = {4, 2, 2, 2, EW_TREES_MIXED, 1, EW_TREES_SUM};
    test_reset();
    float *y = test_buffer(8);
    ew_trees_f32(x, values, features, jumps, roots, y, &p);
    TEST_CHECK(memcmp(y, wanted, sizeof wanted) == 0, "votes");
    test_guards();
}

static void check_aggregates(void)
{
    static const double x[3] = {-1.0, 0.0, (double)NAN}, split[6] = {0.0, 5.0, 7.0, 0.0, 6.0, 1.0};
    static const uint16_t kinds[6] = {0}, far[6] = {2, 0, 0, 2, 0, 0};
    static const int32_t both[2] = {0, 3};
    static const double least[3] = {5.0, 1.0, 1.0}, largest[3] = {6.0, 7.0, 7.0};
    ew_trees_params p = {3, 1, 2, 1, EW_TREES_LT, 0, EW_TREES_MIN};
    double y[3];
    ew_trees_f64(x, split, kinds, far, both, y, &p);
    TEST_CHECK(memcmp(y, least, sizeof y) == 0, "least");
    p.aggregate = EW_TREES_MAX;
    ew_trees_f64(x, split, kinds, far, both, y, &p);
    TEST_CHECK(memcmp(y, largest, sizeof y) == 0, "largest");
}

static void check_lookup(void)
{
    static const float keys[3] = {-1.0f, 0.5f, 2.0f}, x[6] = {0.5f, 2.0f, -1.0f, 3.0f, NAN, -2.0f};
    static const int64_t found[4] = {10, 11, 12, -1}, wanted[6] = {11, 12, 10, -1, -1, -1};
    static const ew_lookup_params p = {6, 3, 8};
    int64_t y[6];
    ew_lookup_f32(x, keys, found, y, &p);
    TEST_CHECK(memcmp(y, wanted, sizeof y) == 0, "values");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    check_trees();
    check_aggregates();
    check_lookup();
    return test_end();
}
