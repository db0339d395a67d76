/* ew_softmax_f32 against the definition in double precision. */
#include "ew_softmax_f32.h"
#include "ew_test.h"

static void check(const ew_softmax_f32_params *p, float scale)
{
    const int32_t count = p->outer * p->axis * p->inner;
    test_reset();
    float *x = test_random_buffer(count);
    float *y = test_buffer(count);
    for (int32_t i = 0; i < count; ++i) {
        x[i] = x[i] * scale + scale; /* exp without the maximum subtracted would overflow */
    }
    test_maybe_nan(x, count);
    ew_softmax_f32(x, y, p);
    test_guards();
    int bad = 0;
    for (int32_t row = 0; row < p->outer * p->inner; ++row) {
        const int32_t start = row / p->inner * p->axis * p->inner + row % p->inner;
        double largest = -(double)INFINITY, sum = 0.0;
        for (int32_t i = 0; i < p->axis; ++i) {
            largest = (double)x[start + i * p->inner] > largest ? (double)x[start + i * p->inner] : largest;
        }
        for (int32_t i = 0; i < p->axis; ++i) {
            sum += exp((double)x[start + i * p->inner] - largest);
        }
        for (int32_t i = 0; i < p->axis; ++i) {
            const double want = exp((double)x[start + i * p->inner] - largest) / sum;
            /* The float difference is off by up to half a unit of its size, which exp turns into a relative error. */
            const double error = want * (8.0 + p->axis + (double)scale) * 0x1p-23 + 0x1p-126;
            bad += !test_close(y[start + i * p->inner], want, error);
        }
    }
    TEST_CHECK(bad == 0, "%d of %ld; %ldx%ldx%ld, scale %g", bad, (long)count, (long)p->outer, (long)p->axis,
               (long)p->inner, (double)scale);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        const ew_softmax_f32_params p = {test_int(1, 4), test_int(1, 20), test_int(1, 4)};
        check(&p, i % 2 ? 1.0f : 60.0f);
    }
    static const float infinite[] = {-INFINITY, -INFINITY, 1.0f};
    static const ew_softmax_f32_params p = {1, 3, 1};
    float y[3];
    ew_softmax_f32(infinite, y, &p);
    TEST_CHECK(y[0] == 0.0f && y[1] == 0.0f && y[2] == 1.0f, "masked elements: %g %g %g", (double)y[0], (double)y[1],
               (double)y[2]);
    return test_end();
}
