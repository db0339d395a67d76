/* Requantization: float and integer arithmetic against the definition, bit for bit. */
#include "ew_requantize.h"
#include "ew_test_q.h"

static int bad;

static void compare(int32_t sum, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    const int32_t want = test_q_requantize(sum, scale, zero, lo, hi);
    const int32_t by_floats = ew_requantize_float(sum, scale, zero, lo, hi);
    const int32_t by_integers = ew_requantize_integer(sum, ew_scale_by_integers(scale), zero, lo, hi);
    const int32_t chosen = ew_requantize(sum, scale, zero, lo, hi);
    const int32_t wide = ew_requantize_wide(sum, scale, zero, lo, hi);
    const int32_t exact = ew_clamp_q(ew_requantize_slow(sum, scale), lo - zero, hi - zero) + zero;
    const int32_t usual =
        scale >= 0x1p-24f && scale < 32.0f ? ew_requantize_by(sum, ew_usual_scale_of(scale), zero, lo, hi) : want;
    if (by_floats != want || by_integers != want || chosen != want || wide != want || exact != want || usual != want) {
        if (bad++ < 5) {
            printf("%ld * %a + %ld: %ld, by floats %ld, by integers %ld, exactly %ld\n", (long)sum, (double)scale,
                   (long)zero, (long)want, (long)by_floats, (long)by_integers, (long)exact);
        }
    }
}

static float power(int32_t exponent)
{
    return ldexpf(1.0f, exponent);
}

/* A positive float of any size: random bits, and few bits, which make ties. */
static float any_scale(void)
{
    const int32_t exponent = test_int(0, 3) ? test_int(-28, 6) : test_int(-149, 127);
    const int32_t kind = test_int(0, 3);
    const float fraction = kind == 0 ? 0.0f : kind == 1 ? (float)test_int(0, 7) / 8.0f : fabsf(test_float());
    const float scale = (1.0f + fraction) * power(exponent);
    return isfinite(scale) ? scale : FLT_MAX;
}

/* Sums whose products lie next to halves: where float32 rounds twice. */
static void halves(void)
{
    for (int32_t exponent = -31; exponent <= 8; ++exponent) {
        for (int32_t ulps = -2; ulps <= 2; ++ulps) {
            const float scale = power(exponent) * (1.0f + (float)ulps * 0x1p-23f);
            for (int32_t step = 0; step < 60; ++step) {
                const double half = (double)(step < 30 ? step - 15 : test_int(-40000, 40000)) + 0.5;
                const double sum = floor(half / (double)scale);
                for (int32_t near = -1; near <= 1; ++near) {
                    const double at = sum + (double)near;
                    if (at > -2147483648.0 && at < 2147483647.0) {
                        compare((int32_t)at, scale, 0, -32768, 32767);
                    }
                }
            }
        }
    }
}

static void wide_sums(void)
{
    for (int i = 0; i < 20000; ++i) {
        const uint64_t bits = (uint64_t)test_random() << 32 | test_random();
        const int64_t sum = (int64_t)bits / ((int64_t)1 << test_int(0, 62));
        const float scale = any_scale();
        const int32_t want = test_q_requantize(sum, scale, 3, -32768, 32767);
        const int32_t got = ew_requantize_wide(sum, scale, 3, -32768, 32767);
        if (got != want && bad++ < 5) {
            printf("%lld * %a: %ld, got %ld\n", (long long)sum, (double)scale, (long)want, (long)got);
        }
    }
}

static void rounding(void)
{
    static const float ends[] = {0.0f,      -0.0f,     0.5f,    -0.5f,    1.5f,     2.5f,     -1.5f,    -2.5f,
                                 127.5f,    128.5f,    -128.5f, 3e9f,     -3e9f,    FLT_MAX,  -FLT_MAX, INFINITY,
                                 -INFINITY, 32767.5f,  65535.5f, -65535.5f, 4194304.5f, 8388609.0f, 1e-40f, -1e-40f};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
        for (int32_t zero = -128; zero <= 255; zero += 1 + 126 * (zero > -127)) {
            const float finite = ends[i] > 1e9f ? 1e9f : ends[i] < -1e9f ? -1e9f : ends[i];
            const int32_t want = test_q_round(finite, zero, -128, 127);
            const int32_t got = ew_round_q(ends[i], zero, -128, 127);
            TEST_CHECK(got == want, "rint(%g) + %ld: got %ld, want %ld", (double)ends[i], (long)zero, (long)got,
                       (long)want);
        }
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 60000; ++i) {
        const int32_t type = test_q_type();
        const int32_t zero = test_q_zero(type);
        const int32_t sum = (int32_t)test_random() / (int32_t)(1u << test_int(0, 30));
        int32_t lo, hi;
        test_q_activation(type, &lo, &hi);
        compare(sum, any_scale(), zero, lo, hi);
    }
    static const int32_t ends[] = {0, 1, -1, 8388607, 8388608, -8388608, -8388609, 16777216, 16777217, 16777219,
                                   -16777217, 2147483647, 2147483583, 2147483584, -2147483647, INT32_MIN};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
        for (int32_t exponent = -149; exponent < 128; ++exponent) {
            compare(ends[i], power(exponent), 7, -128, 127);
            compare(ends[i], power(exponent) * 1.5f, 0, -32768, 32767);
        }
        compare(ends[i], 0.0f, 7, -128, 127);
        compare(ends[i], FLT_MAX, 7, -128, 127);
    }
    halves();
    wide_sums();
    TEST_CHECK(bad == 0, "%d differ", bad);
    rounding();
    return test_end();
}
