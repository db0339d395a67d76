/* Along one dimension: argmax and argmin, running sums and products, logarithm of softmax, hardmax. */
#include "ew_along.h"
#include "ew_softmax.h"
#include "ew_test.h"

static void check_places(void)
{
    static const ew_arg_params first = {1, 6, 1, 0}, last = {1, 6, 1, 1};
    static const float x[6] = {1.0f, 5.0f, -2.0f, 5.0f, -2.0f, 0.0f}, odd[6] = {1.0f, NAN, 9.0f, NAN, 2.0f, 0.0f};
    static const int64_t wanted[6] = {1, 3, 2, 4, 1, 3};
    int64_t y[6];
    ew_argmax_f32(x, y, &first);
    ew_argmax_f32(x, y + 1, &last);
    ew_argmin_f32(x, y + 2, &first);
    ew_argmin_f32(x, y + 3, &last);
    ew_argmax_f32(odd, y + 4, &first);
    ew_argmin_f32(odd, y + 5, &last);
    TEST_CHECK(memcmp(y, wanted, sizeof y) == 0, "%d %d %d %d %d %d", (int)y[0], (int)y[1], (int)y[2], (int)y[3],
               (int)y[4], (int)y[5]);
}

static void check_totals(void)
{
    static const ew_cumulate_params plain = {2, 3, 2, 0, 0}, backwards = {2, 3, 2, 1, 1};
    static const int32_t sums[12] = {1, 2, 4, 6, 9, 12, 7, 8, 16, 18, 27, 30};
    static const int32_t products[12] = {15, 24, 5, 6, 1, 1, 99, 120, 11, 12, 1, 1};
    int32_t x[12], y[12];
    for (int32_t i = 0; i < 12; ++i) {
        x[i] = i + 1;
    }
    ew_cumprod_s32(x, y, &backwards);
    TEST_CHECK(memcmp(y, products, sizeof y) == 0, "products");
    ew_cumsum_s32(x, x, &plain);
    TEST_CHECK(memcmp(x, sums, sizeof x) == 0, "sums in place");
}

static void check_softmax(void)
{
    static const ew_softmax_params p = {2, 5, 3};
    test_reset();
    float *x = test_random_buffer(30), *y = test_buffer(30), *hard = test_buffer(30);
    for (int i = 0; i < 30; ++i) {
        x[i] *= 100.0f;
    }
    x[9] = x[12]; /* of two largest, the first */
    ew_hardmax_f32(x, hard, &p);
    ew_log_softmax_f32(x, y, &p);
    int bad = 0;
    for (int line = 0; line < 6; ++line) {
        const int start = line / 3 * 15 + line % 3;
        double largest = -DBL_MAX, sum = 0.0;
        for (int i = 0; i < 5; ++i) {
            largest = fmax(largest, (double)x[start + 3 * i]);
        }
        for (int i = 0; i < 5; ++i) {
            sum += exp((double)x[start + 3 * i] - largest);
        }
        int found = 0;
        for (int i = 0; i < 5; ++i) {
            const double value = (double)x[start + 3 * i];
            const int is_first = !found && value == largest;
            bad += !test_close(y[start + 3 * i], value - largest - log(sum), 1e-4);
            bad += hard[start + 3 * i] != (float)is_first;
            found |= is_first;
        }
    }
    TEST_CHECK(bad == 0, "%d of 60", bad);
    ew_log_softmax_f32(x, x, &p);
    TEST_CHECK(memcmp(x, y, 30 * sizeof *x) == 0, "in place differs");
    test_guards();
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    check_places();
    check_totals();
    check_softmax();
    return test_end();
}
