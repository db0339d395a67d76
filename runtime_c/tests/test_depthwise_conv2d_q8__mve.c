/* The MVE depthwise convolutions against the definition, bit for bit: sums in plain loops. */
#include "ew_depthwise_3x3_q8__mve.h"
#include "ew_depthwise_5wide_q8__mve.h"
#include "ew_depthwise_conv2d_q8__mve.h"
#include "ew_test_mve.h"

#if defined(__ARM_FEATURE_MVE)

static int64_t reference(const void *x, const ew_depthwise_3x3_q8__mve_params *p, int32_t n, int32_t oy, int32_t ox,
                         int32_t c)
{
    int64_t sum = test_bias[c];
    for (int32_t tap = 0; tap < 9; ++tap) {
        const int32_t iy = oy * p->stride - p->pad_top + tap / 3, ix = ox * p->stride - p->pad_left + tap % 3;
        if (iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w) {
            sum += (test_q_get(EW_QS8, x, ((n * p->in_h + iy) * p->in_w + ix) * p->in_c + c) - p->x_zero) *
                   test_weights[c * 9 + tap];
        }
    }
    return sum;
}

static TEST_OPAQUE void run(int five, const void *x, void *scratch, void *y, const ew_depthwise_3x3_q8__mve_params *p)
{
    if (five) {
        const ew_depthwise_5wide_q8__mve_params wide = {p->batch, p->in_h, p->in_c, p->x_zero, p->out};
        ew_depthwise_5wide_q8__mve(x, test_stream, scratch, y, &wide);
    } else {
        ew_depthwise_3x3_q8__mve(x, test_stream, scratch, y, p);
    }
}

typedef void layer(const void *x, void *scratch, void *y);

static void check(int five, const ew_depthwise_3x3_q8__mve_params *p, layer *literal)
{
    const int32_t count = p->batch * p->out_h * p->out_w * p->in_c;
    const int32_t bytes = five ? EW_PLANES_CHANNELS__MVE * EW_DEPTHWISE_5WIDE_PLANE__MVE(p->in_h) + 1
                               : EW_DEPTHWISE_3X3_SCRATCH__MVE(p->band, p->strips, p->stride);
    test_pack_depthwise(p->in_c, 9, 1, p->x_zero, !five);
    test_q_reset();
    const int32_t in_count = p->batch * p->in_h * p->in_w * p->in_c;
    const void *x = test_island(test_q_tensor(EW_QS8, in_count), in_count);
    void *y = test_q_output(EW_QS8, count);
    void *scratch = test_scratch(bytes);
    if (literal) {
        literal(x, scratch, y);
    } else {
        run(five, x, scratch, y, p);
    }
    test_scratch_guard(bytes);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p->in_c, ox = i / p->in_c % p->out_w, row = i / p->in_c / p->out_w;
        const int64_t sum = reference(x, p, row / p->out_h, row % p->out_h, ox, c);
        bad += test_q_get(EW_QS8, y, i) != test_mve_want(sum, c, &p->out);
    }
    TEST_CHECK(bad == 0,
               "%d of %ld; five %d way %ld in %ldx%ldx%ld out %ldx%ld stride %ld pad %ld,%ld band %ld strips %ld", bad,
               (long)count, five, (long)p->out.way, (long)p->in_h, (long)p->in_w, (long)p->in_c, (long)p->out_h,
               (long)p->out_w, (long)p->stride, (long)p->pad_top, (long)p->pad_left, (long)p->band, (long)p->strips);
}

static ew_depthwise_3x3_q8__mve_params random_params(int five)
{
    ew_depthwise_3x3_q8__mve_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 14);
    p.in_w = five ? 5 : test_int(1, 14);
    p.in_c = test_int(0, 1) ? test_int(1, 50) : 16 * test_int(1, 3);
    p.stride = five ? 1 : test_int(1, 2);
    p.pad_top = five ? 1 : test_int(-1, 3);
    p.pad_left = five ? 1 : test_int(-1, 3);
    p.out_h = five ? p.in_h : test_int(2, 12);
    p.out_w = five ? 5 : test_int(2, 12);
    p.x_zero = test_q_zero(EW_QS8);
    p.band = five ? 0 : test_int(2, p.out_h);
    p.strips = five ? 0 : test_int(1, p.out_w / 2);
    p.out = test_mve_layer(p.in_c, 9, p.x_zero);
    return p;
}

/* Layers as in a generated model: every parameter a literal. */
#define OUT {EW_MVE_FAST, -128, -128, 127, 0}
static const ew_depthwise_3x3_q8__mve_params s1_p = {1, 12, 12, 32, 12, 12, 1, 1, 1, -128, 12, 4, OUT};
static const ew_depthwise_3x3_q8__mve_params s2_p = {1, 12, 12, 20, 6, 6, 2, 0, 0, -128, 3, 2, OUT};
static const ew_depthwise_3x3_q8__mve_params five_general = {1, 25, 5, 64, 25, 5, 1, 1, 1, -128, 0, 0, OUT};
static const ew_depthwise_5wide_q8__mve_params five_p = {1, 25, 64, -128, OUT};

static void s1(const void *x, void *scratch, void *y)
{
    ew_depthwise_3x3_q8__mve(x, test_stream, scratch, y, &s1_p);
}

static void s2(const void *x, void *scratch, void *y)
{
    ew_depthwise_3x3_q8__mve(x, test_stream, scratch, y, &s2_p);
}

static void five(const void *x, void *scratch, void *y)
{
    ew_depthwise_5wide_q8__mve(x, test_stream, scratch, y, &five_p);
}

static void check_literal(int is_five, const ew_depthwise_3x3_q8__mve_params *p, layer *literal)
{
    ew_mve_output out;
    do { /* until scales fit the layer's output */
        out = test_mve_layer(p->in_c, 9, p->x_zero);
    } while (out.way != EW_MVE_FAST || out.y_zero != p->out.y_zero);
    check(is_five, p, literal);
}

static TEST_OPAQUE void run_any(const void *x, void *scratch, void *y, const ew_depthwise_conv2d_q8__mve_params *p)
{
    ew_depthwise_conv2d_q8__mve(x, test_stream, scratch, y, p);
}

/* Any kernel. */
static void check_any(void)
{
    ew_depthwise_conv2d_q8__mve_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 12);
    p.in_w = test_int(1, 12);
    p.in_c = test_int(0, 1) ? test_int(1, 40) : 16;
    p.kernel_h = test_int(1, 8);
    p.kernel_w = test_int(1, 8);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_w = test_int(1, 3);
    p.pad_top = test_int(-1, 5);
    p.pad_left = test_int(-1, 5);
    p.out_h = test_int(1, 9);
    p.out_w = test_int(1, 5);
    p.x_zero = test_q_zero(EW_QS8);
    p.band = test_int(1, p.out_h);
    const int32_t taps = p.kernel_h * p.kernel_w;
    p.out = test_mve_layer(p.in_c, taps, p.x_zero);
    test_pack_depthwise(p.in_c, taps, 0, p.x_zero, 1);
    test_q_reset();
    const int32_t in_count = p.batch * p.in_h * p.in_w * p.in_c, count = p.batch * p.out_h * p.out_w * p.in_c;
    const int32_t bytes = EW_DEPTHWISE_SCRATCH__MVE(p.band, p.stride_h, p.kernel_h, p.kernel_w);
    const void *x = test_island(test_q_tensor(EW_QS8, in_count), in_count);
    void *y = test_q_output(EW_QS8, count);
    run_any(x, test_scratch(bytes), y, &p);
    test_scratch_guard(bytes);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p.in_c, ox = i / p.in_c % p.out_w, row = i / p.in_c / p.out_w;
        int64_t sum = test_bias[c];
        for (int32_t tap = 0; tap < taps; ++tap) {
            const int32_t iy = row % p.out_h * p.stride_h - p.pad_top + tap / p.kernel_w;
            const int32_t ix = ox * p.stride_w - p.pad_left + tap % p.kernel_w * p.dilation_w;
            if (iy >= 0 && iy < p.in_h && ix >= 0 && ix < p.in_w) {
                const int32_t at = ((row / p.out_h * p.in_h + iy) * p.in_w + ix) * p.in_c + c;
                sum += (test_q_get(EW_QS8, x, at) - p.x_zero) * test_weights[c * taps + tap];
            }
        }
        bad += test_q_get(EW_QS8, y, i) != test_mve_want(sum, c, &p.out);
    }
    TEST_CHECK(
        bad == 0, "%d of %ld; way %ld in %ldx%ldx%ld out %ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld band %ld",
        bad, (long)count, (long)p.out.way, (long)p.in_h, (long)p.in_w, (long)p.in_c, (long)p.out_h, (long)p.out_w,
        (long)p.kernel_h, (long)p.kernel_w, (long)p.stride_h, (long)p.stride_w, (long)p.dilation_w, (long)p.band);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        const ew_depthwise_3x3_q8__mve_params p = random_params(0);
        check(0, &p, NULL);
        const ew_depthwise_3x3_q8__mve_params wide = random_params(1);
        check(1, &wide, NULL);
        check_any();
    }
    check_literal(0, &s1_p, s1);
    check_literal(0, &s2_p, s2);
    check_literal(1, &five_general, five);
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no MVE\n");
    return 0;
}

#endif
