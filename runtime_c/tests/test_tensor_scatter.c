/* ew_tensor_scatter: places inside, outside and around the end. */
#include "ew_tensor_scatter.h"
#include "ew_test.h"

static void check(int32_t circular)
{
    const ew_tensor_scatter_params p = {2 * 3 * 5 * 8, 2, 3, 5, 3, 8, EW_ELEMENT_S64, circular};
    const int64_t first[2] = {test_int(-3, 7), test_int(0, 4)};
    test_reset();
    float *x = test_random_buffer(60), *updates = test_random_buffer(36), *y = test_buffer(60);
    ew_tensor_scatter(x, updates, first, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t line = 0; line < 6; ++line) {
        for (int32_t place = 0; place < 5; ++place) {
            const float *want = x + (line * 5 + place) * 2;
            for (int32_t i = 0; i < 3; ++i) {
                const int64_t at = first[line / 3] + i;
                want = (circular ? (at + 10) % 5 : at) == place ? updates + (line * 3 + i) * 2 : want;
            }
            bad += memcmp(y + (line * 5 + place) * 2, want, 8) != 0;
        }
    }
    TEST_CHECK(bad == 0, "%d of 30; circular %ld, from %ld", bad, (long)circular, (long)first[0]);
    ew_tensor_scatter(x, updates, first, x, &p);
    TEST_CHECK(memcmp(x, y, 240) == 0, "in place differs");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 40; ++i) {
        check(i % 2);
    }
    return test_end();
}
