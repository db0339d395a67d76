/* Sums, products and pools for Arm DSP cores, bit for bit. Factors and lines are random here: what is compared is their
 * formula; tests of the generator prove that it is the definition. */
#include "ew_add_q8__dsp.h"
#include "ew_average_pool2d_q8__dsp.h"
#include "ew_max_pool2d_q8__dsp.h"
#include "ew_mul_q8__dsp.h"
#include "ew_test_dsp.h"
#include "ew_test_q.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define TAPS_MAX 49
#define COUNT_MAX 70

/* Calls keep out of the compiler's sight: see TEST_OPAQUE. */
static TEST_OPAQUE void run_add(const void *a, const void *b, void *y, const ew_add_q8__dsp_params *p)
{
    ew_add_q8__dsp(a, b, y, p);
}

static TEST_OPAQUE void run_mul(const void *a, const void *b, void *y, const ew_mul_q8__dsp_params *p)
{
    ew_mul_q8__dsp(a, b, y, p);
}

static TEST_OPAQUE void run_average(const void *x, const float *scales, void *y, const ew_pool2d_q_params *p)
{
    ew_average_pool2d_q8__dsp(x, scales, y, p);
}

static TEST_OPAQUE void run_max(const void *x, void *y, const ew_pool2d_q_params *p)
{
    ew_max_pool2d_q8__dsp(x, y, p);
}

static int32_t type_of_8_bits(void)
{
    return test_int(0, 1) ? EW_QU8 : EW_QS8;
}

static void check_binary(int32_t is_product)
{
    const int32_t count = test_int(1, COUNT_MAX), mixed = test_int(0, 1), in_place = test_int(0, 2);
    const int32_t a_type = mixed ? type_of_8_bits() : EW_QU8, b_type = mixed ? type_of_8_bits() : EW_QU8;
    const int32_t y_type = mixed ? type_of_8_bits() : EW_QU8;
    int32_t lo = 0, hi = 255;
    if (test_int(0, 1)) {
        test_q_activation(EW_QU8, &lo, &hi);
    }
    const ew_add_q8__dsp_params sum = {
        count, test_int(-(1 << 27), 1 << 27), test_int(-(1 << 27), 1 << 27), test_int(-(1 << 24), 1 << 24),
        a_type, b_type, y_type, lo, hi,
    };
    const ew_mul_q8__dsp_params product = {
        count, test_int(0, 255), test_int(0, 255), test_int(1, 1 << 26), test_int(-(1 << 24), 1 << 24),
        a_type, b_type, y_type, lo, hi,
    };
    test_q_reset();
    uint8_t *a = test_q_tensor(EW_QU8, count), *b = test_q_tensor(EW_QU8, count);
    uint8_t *y = in_place == 1 ? a : in_place == 2 ? b : test_q_output(EW_QU8, count);
    static uint8_t before_a[COUNT_MAX], before_b[COUNT_MAX];
    memcpy(before_a, a, (size_t)count);
    memcpy(before_b, b, (size_t)count);
    if (is_product) {
        run_mul(a, b, y, &product);
    } else {
        run_add(a, b, y, &sum);
    }
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int64_t u = before_a[i] ^ (a_type == EW_QS8 ? 128 : 0), v = before_b[i] ^ (b_type == EW_QS8 ? 128 : 0);
        const int64_t wide = (u - product.a_zero) * (v - product.b_zero) * 16384;
        const int64_t line = is_product
                                 ? product.offset + (wide * product.multiplier >> 32)
                                 : sum.offset + (u * 128 * sum.a_factor >> 16) + (v * 128 * sum.b_factor >> 16);
        const int32_t value = test_q_clamp((double)(line >> 16), 0, 255);
        bad += y[i] != (test_q_clamp((double)value, lo, hi) ^ (y_type == EW_QS8 ? 128 : 0));
    }
    TEST_CHECK(bad == 0, "%d of %ld, product %ld, types %ld %ld %ld, in place %ld", bad, (long)count, (long)is_product,
               (long)a_type, (long)b_type, (long)y_type, (long)in_place);
}

/* One axis: how many taps of output o lie in [low, in + high). */
static int32_t taps(int32_t o, int32_t in, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad, int32_t low,
                    int32_t high)
{
    int32_t count = 0;
    for (int32_t k = 0; k < kernel; ++k) {
        const int32_t i = o * stride - pad + k * dilation;
        count += i >= low && i < in + high;
    }
    return count;
}

static void check_pools(void)
{
    ew_pool2d_q_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 9);
    p.channels = test_int(4, 13);
    p.out_h = test_int(1, 5);
    p.out_w = test_int(1, 5);
    p.kernel_h = test_int(1, 7);
    p.kernel_w = test_int(1, 7);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_h = test_int(1, 2);
    p.dilation_w = test_int(1, 2);
    p.pad_top = test_int(0, 2);
    p.pad_left = test_int(0, 2);
    p.pad_bottom = test_int(0, 2);
    p.pad_right = test_int(0, 2);
    p.count_include_pad = test_int(0, 1);
    p.x_type = type_of_8_bits();
    p.y_type = type_of_8_bits();
    p.x_zero = test_q_zero(p.x_type);
    p.y_zero = test_q_zero(p.y_type);
    for (int32_t o = 0; o < p.out_h; ++o) {
        if (taps(o, p.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top, 0, 0) == 0) {
            return;
        }
    }
    for (int32_t o = 0; o < p.out_w; ++o) {
        if (taps(o, p.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left, 0, 0) == 0) {
            return;
        }
    }
    static float scales[TAPS_MAX + 1];
    for (int32_t n = 1; n <= TAPS_MAX; ++n) {
        scales[n] = (float)test_int(1, 3000) / 1000.0f / (float)n;
    }
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    ew_pool2d_q_params m = p; /* a maximum has x's type */
    m.y_type = p.x_type;
    test_q_activation(m.y_type, &m.act_min, &m.act_max);
    const int32_t count = p.batch * p.out_h * p.out_w * p.channels;
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, p.batch * p.in_h * p.in_w * p.channels);
    void *average = test_q_output(p.y_type, count), *most = test_q_output(m.y_type, count);
    run_average(x, scales, average, &p);
    run_max(x, most, &m);
    test_q_guards();
    int bad_average = 0, bad_max = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p.channels, ox = i / p.channels % p.out_w, row = i / p.channels / p.out_w;
        const int32_t oy = row % p.out_h, n = row / p.out_h;
        int32_t sum = 0, largest = -1000;
        for (int32_t ky = 0; ky < p.kernel_h; ++ky) {
            for (int32_t kx = 0; kx < p.kernel_w; ++kx) {
                const int32_t iy = oy * p.stride_h - p.pad_top + ky * p.dilation_h;
                const int32_t ix = ox * p.stride_w - p.pad_left + kx * p.dilation_w;
                if (iy >= 0 && iy < p.in_h && ix >= 0 && ix < p.in_w) {
                    const int32_t v =
                        test_q_get(p.x_type, x, ((n * p.in_h + iy) * p.in_w + ix) * p.channels + c);
                    sum += v - p.x_zero;
                    largest = v > largest ? v : largest;
                }
            }
        }
        const int32_t extra = p.count_include_pad;
        const int32_t counted = taps(oy, p.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top, -p.pad_top * extra,
                                     p.pad_bottom * extra) *
                                taps(ox, p.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left, -p.pad_left * extra,
                                     p.pad_right * extra);
        const int32_t want = test_q_requantize(sum, scales[counted], p.y_zero, p.act_min, p.act_max);
        bad_average += test_q_get(p.y_type, average, i) != want;
        bad_max += test_q_get(m.y_type, most, i) != test_q_clamp((double)largest, m.act_min, m.act_max);
    }
    TEST_CHECK(bad_average == 0 && bad_max == 0, "%d averages, %d maxima of %ld; in %ldx%ldx%ld kernel %ldx%ld", bad_average,
               bad_max, (long)count, (long)p.in_h, (long)p.in_w, (long)p.channels, (long)p.kernel_h, (long)p.kernel_w);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        check_binary(0);
        check_binary(1);
        check_pools();
    }
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no DSP extension with an FPU\n");
    return 0;
}

#endif
