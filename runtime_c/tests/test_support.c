/* ew_support_f32 against the definition in double precision. */
#include "ew_support_f32.h"
#include "ew_test.h"

static void check(int32_t kind)
{
    const ew_support_f32_params p = {3, 5, 7, kind, 0.25f, 0.5f, 3.0f};
    test_reset();
    const float *x = test_random_buffer(21), *vectors = test_random_buffer(35);
    float *y = test_buffer(15);
    ew_support_f32(x, vectors, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t at = 0; at < 15; ++at) {
        const float *a = x + at / 5 * 7, *b = vectors + at % 5 * 7;
        double dot = 0.0, square = 0.0;
        for (int32_t i = 0; i < 7; ++i) {
            dot += (double)a[i] * (double)b[i];
            square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        }
        const double inner = 0.25 * dot + 0.5;
        const double want = kind == EW_SUPPORT_RBF ? exp(-0.25 * square)
                            : kind == EW_SUPPORT_POLY ? inner * inner * inner
                                                      : tanh(inner);
        bad += !test_close(y[at], want, 1e-5);
    }
    TEST_CHECK(bad == 0, "%d of 15; kind %ld", bad, (long)kind);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    check(EW_SUPPORT_POLY);
    check(EW_SUPPORT_RBF);
    check(EW_SUPPORT_SIGMOID);
    return test_end();
}
