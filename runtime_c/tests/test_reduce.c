/* Reductions against the definition in double precision and in 64 bits: any split of the dimensions into kept and
 * reduced for the mean, one line for the others. */
#include "ew_reduce_float.h"
#include "ew_reduce_integer.h"
#include "ew_test.h"

static void check(void)
{
    int32_t dims[5], strides[5], kept[5];
    const int32_t rank = test_int(1, 5);
    int32_t count = 1, results = 1;
    ew_reduce_params p = {0};
    for (int32_t axis = rank - 1; axis >= 0; --axis) {
        dims[axis] = test_int(1, 6);
        strides[axis] = count;
        count *= dims[axis];
        kept[axis] = axis != 0 && test_int(0, 1); /* at least the first is reduced */
    }
    for (int32_t axis = 0; axis < rank; ++axis) {
        if (kept[axis]) {
            p.outer_dims[p.outer_rank] = dims[axis];
            p.outer_strides[p.outer_rank++] = strides[axis];
            results *= dims[axis];
        } else {
            p.reduce_dims[p.reduce_rank] = dims[axis];
            p.reduce_strides[p.reduce_rank++] = strides[axis];
        }
    }
    test_reset();
    float *x = test_random_buffer(count);
    float *y = test_buffer(results);
    test_maybe_nan(x, count);
    ew_reduce_mean_f32(x, y, &p);
    test_guards();

    static test_sum sums[7776];
    memset(sums, 0, sizeof sums);
    for (int32_t i = 0; i < count; ++i) {
        int32_t result = 0;
        for (int32_t axis = 0; axis < rank; ++axis) {
            result = kept[axis] ? result * dims[axis] + i / strides[axis] % dims[axis] : result;
        }
        test_add(&sums[result], (double)x[i]);
    }
    int bad = 0;
    for (int32_t r = 0; r < results; ++r) {
        const int n = sums[r].terms;
        bad += !test_close(y[r], sums[r].value / n, test_sum_error(&sums[r]) / n + 0x1p-24 * fabs(sums[r].value / n));
    }
    TEST_CHECK(bad == 0, "%d of %ld results, rank %ld, kept %ld", bad, (long)results, (long)rank, (long)p.outer_rank);
}

static void check_integers(void)
{
    static const ew_reduce_params p = {.reduce_rank = 1, .reduce_dims = {4}, .reduce_strides = {1}};
    static const int32_t x[4] = {INT32_MIN, -1, 7, INT32_MIN};
    static const uint32_t u[4] = {UINT32_MAX, 2, UINT32_MAX, 3};
    static const int8_t s[4] = {-128, 5, 127, 0};
    static const uint8_t b[4] = {0, 2, 0, 1};
    int32_t y;
    uint32_t v;
    int8_t t;
    uint8_t c;
    ew_reduce_sum_s32(x, &y, &p);
    TEST_CHECK(y == 6, "sum %ld", (long)y);
    ew_reduce_mean_s32(x, &y, &p);
    TEST_CHECK(y == -1073741822, "mean %ld", (long)y);
    ew_reduce_min_s32(x, &y, &p);
    TEST_CHECK(y == INT32_MIN, "min %ld", (long)y);
    ew_reduce_l1_s32(x, &y, &p);
    TEST_CHECK(y == 8, "l1 %ld", (long)y);
    ew_reduce_prod_u32(u, &v, &p);
    TEST_CHECK(v == 6u, "prod %lu", (unsigned long)v);
    ew_reduce_mean_u32(u, &v, &p);
    TEST_CHECK(v == 2147483648u, "mean %lu", (unsigned long)v);
    ew_reduce_max_s8(s, &t, &p);
    TEST_CHECK(t == 127, "max %d", t);
    ew_reduce_max_b8(b, &c, &p);
    TEST_CHECK(c == 1, "any %d", c);
    ew_reduce_min_b8(b, &c, &p);
    TEST_CHECK(c == 0, "all %d", c);
    for (int i = 0; i < 1000; ++i) {
        const uint64_t root = test_random(), square = root * root;
        TEST_CHECK(ew_integer_root(square) == root, "root of %lu squared", (unsigned long)root);
        TEST_CHECK(root == 0 || ew_integer_root(square - 1) == root - 1, "root below %lu", (unsigned long)root);
    }
}

static void check_floats(void)
{
    static const ew_reduce_params p = {.reduce_rank = 1, .reduce_dims = {3}, .reduce_strides = {1}};
    static const float x[3] = {-3.0f, 100.0f, 4.0f}, none[3] = {-INFINITY, -INFINITY, -INFINITY};
    static const float odd[3] = {2.0f, NAN, 1.0f};
    float y;
    ew_reduce_l2_f32(x, &y, &p);
    TEST_CHECK(test_close(y, sqrt(10025.0), 1e-5), "l2 %g", (double)y);
    ew_reduce_prod_f32(x, &y, &p);
    TEST_CHECK(test_close(y, -1200.0, 0.0), "prod %g", (double)y);
    ew_reduce_log_sum_exp_f32(x, &y, &p);
    TEST_CHECK(test_close(y, 100.0, 1e-5), "log_sum_exp %g", (double)y);
    ew_reduce_log_sum_exp_f32(none, &y, &p);
    TEST_CHECK(test_close(y, -(double)INFINITY, 0.0), "log_sum_exp of nothing %g", (double)y);
    ew_reduce_max_f32(odd, &y, &p);
    TEST_CHECK(isnan(y), "max %g", (double)y);
    ew_reduce_min_f32(odd, &y, &p);
    TEST_CHECK(isnan(y), "min %g", (double)y);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        check();
    }
    check_integers();
    check_floats();
    return test_end();
}
