/* The MVE convolutions of one group against the definition, bit for bit: sums in plain loops. */
#include "ew_conv2d_1x1_q8__mve.h"
#include "ew_conv2d_3x3_q8__mve.h"
#include "ew_conv2d_q8__mve.h"
#include "ew_test_mve.h"

#if defined(__ARM_FEATURE_MVE)

enum kind { ANY, ONE, THREE };

static int32_t value(const void *x, int32_t i, const ew_conv2d_q8__mve_params *p)
{
    return p->x_flip ? test_q_get(EW_QU8, x, i) - 128 : test_q_get(EW_QS8, x, i);
}

static int64_t reference(const void *x, const ew_conv2d_q8__mve_params *p, int32_t n, int32_t oy, int32_t ox, int32_t o)
{
    int64_t sum = test_bias[o];
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t iy = oy * p->stride_h - p->pad_top + ky;
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            for (int32_t i = 0; i < p->in_c && iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w; ++i) {
                const int32_t at = ((n * p->in_h + iy) * p->in_w + ix) * p->in_c + i;
                sum += (value(x, at, p) - p->x_zero) *
                       test_weights[((o * p->kernel_h + ky) * p->kernel_w + kx) * p->in_c + i];
            }
        }
    }
    return sum;
}

static TEST_OPAQUE void run(enum kind kind, const void *x, void *scratch, void *y, const ew_conv2d_q8__mve_params *p)
{
    if (kind == ONE) {
        const ew_conv2d_1x1_q8__mve_params one = {p->batch, p->in_h,  p->in_w,     p->in_c,     p->out_h,
                                                  p->out_w, p->out_c, p->stride_h, p->stride_w, p->out};
        ew_conv2d_1x1_q8__mve(x, test_stream, y, &one);
    } else if (kind == THREE) {
        const ew_conv2d_3x3_q8__mve_params three = {p->batch, p->in_h,     p->in_w,    p->in_c,     p->out_h,  p->out_w,
                                                    p->out_c, p->stride_h, p->pad_top, p->pad_left, p->x_zero, p->out};
        ew_conv2d_3x3_q8__mve(x, test_stream, scratch, y, &three);
    } else {
        ew_conv2d_q8__mve(x, test_stream, scratch, y, p);
    }
}

typedef void layer(const void *x, void *scratch, void *y);

static int32_t scratch_bytes(enum kind kind, const ew_conv2d_q8__mve_params *p)
{
    return kind == ONE     ? 0
           : kind == THREE ? EW_CONV2D_3X3_SCRATCH__MVE(p->out_w, p->stride_h, p->in_c)
                           : EW_CONV2D_SCRATCH__MVE(p->band, p->stride_h, p->kernel_h, p->kernel_w, p->in_c);
}

/* `literal`: the same layer, compiled for its parameters, but for the weights. */
static void check(enum kind kind, const ew_conv2d_q8__mve_params *p, layer *literal)
{
    const int32_t taps = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t count = p->batch * p->out_h * p->out_w * p->out_c;
    const int32_t y_type = p->out.flip ? EW_QU8 : EW_QS8;
    if (kind == THREE) {
        test_pack_3x3(p->out_c, p->in_c, p->x_zero, p->stride_h);
    } else {
        test_pack_rows(p->out_c, taps, p->x_zero, 4);
    }
    test_q_reset();
    const int32_t in_count = p->batch * p->in_h * p->in_w * p->in_c;
    const void *x = test_island(test_q_tensor(p->x_flip ? EW_QU8 : EW_QS8, in_count), in_count);
    void *y = test_q_output(y_type, count);
    void *scratch = test_scratch(scratch_bytes(kind, p));
    if (literal) {
        literal(x, scratch, y);
    } else {
        run(kind, x, scratch, y, p);
    }
    test_scratch_guard(scratch_bytes(kind, p));
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t o = i % p->out_c, ox = i / p->out_c % p->out_w, row = i / p->out_c / p->out_w;
        const int64_t sum = reference(x, p, row / p->out_h, row % p->out_h, ox, o);
        bad += test_q_get(y_type, y, i) != test_mve_want(sum, o, &p->out);
    }
    TEST_CHECK(bad == 0,
               "%d of %ld; kind %d way %ld flips %ld %ld in %ldx%ldx%ld out %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld "
               "dilation %ld pad %ld,%ld band %ld",
               bad, (long)count, (int)kind, (long)p->out.way, (long)p->x_flip, (long)p->out.flip, (long)p->in_h,
               (long)p->in_w, (long)p->in_c, (long)p->out_h, (long)p->out_w, (long)p->out_c, (long)p->kernel_h,
               (long)p->kernel_w, (long)p->stride_h, (long)p->stride_w, (long)p->dilation_w, (long)p->pad_top,
               (long)p->pad_left, (long)p->band);
}

static ew_conv2d_q8__mve_params random_params(enum kind kind)
{
    ew_conv2d_q8__mve_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 11);
    p.in_c = kind == ANY ? test_int(1, 20) : test_int(0, 2) ? test_int(1, 150) : 16 * test_int(1, 5);
    p.out_c = test_int(1, 14);
    p.kernel_h = kind == ONE ? 1 : kind == THREE ? 3 : test_int(1, 5);
    p.kernel_w = kind == ONE ? 1 : kind == THREE ? 3 : test_int(1, 5);
    p.stride_h = test_int(1, kind == ANY ? 3 : 2);
    p.stride_w = kind == THREE ? p.stride_h : test_int(1, 3);
    p.dilation_w = kind == ANY && test_int(0, 1) ? test_int(1, 3) : 1;
    p.x_zero = test_q_zero(EW_QS8);
    if (kind == ONE) {
        p.out_h = (p.in_h - 1) / p.stride_h + 1;
        p.out_w = (p.in_w - 1) / p.stride_w + 1;
    } else { /* windows without any tap inside x, too */
        p.pad_top = test_int(kind == THREE ? 0 : -1, 4);
        p.pad_left = test_int(kind == THREE ? 0 : -1, 4);
        p.out_h = test_int(1, 6);
        p.out_w = test_int(kind == THREE ? 4 : 1, 13);
    }
    p.out_c = kind == THREE ? 2 * ((p.out_c + 1) / 2) : p.out_c;
    p.x_flip = kind == ANY ? test_int(0, 1) : 0;
    p.band = test_int(1, p.out_h);
    p.out = test_mve_layer(p.out_c, p.kernel_h * p.kernel_w * p.in_c, p.x_zero);
    p.out.flip = test_int(0, 3) == 0;
    return p;
}

/* Layers as in a generated model: every parameter a literal. */
#define OUT {EW_MVE_FAST, -128, -128, 127, 0}
#define LITERAL(name, kind, function, type, general, ...)           \
    static const ew_conv2d_q8__mve_params name##_general = general; \
    static const type name##_p = {__VA_ARGS__};                     \
    static void name(const void *x, void *scratch, void *y)         \
    {                                                               \
        (void)scratch;                                              \
        function;                                                   \
    }
#define GENERAL(...) {__VA_ARGS__}

/* clang-format off */
LITERAL(first_10x4, ANY, ew_conv2d_q8__mve(x, test_stream, scratch, y, &first_10x4_p), ew_conv2d_q8__mve_params,
        GENERAL(1, 49, 10, 1, 25, 5, 8, 10, 4, 2, 2, 1, 4, 1, 0, 83, 25, OUT),
        1, 49, 10, 1, 25, 5, 8, 10, 4, 2, 2, 1, 4, 1, 0, 83, 25, OUT)
LITERAL(first_3x3, ANY, ew_conv2d_q8__mve(x, test_stream, scratch, y, &first_3x3_p), ew_conv2d_q8__mve_params,
        GENERAL(1, 12, 12, 3, 12, 12, 16, 3, 3, 1, 1, 1, 1, 1, 1, -128, 7, OUT),
        1, 12, 12, 3, 12, 12, 16, 3, 3, 1, 1, 1, 1, 1, 1, -128, 7, OUT)
LITERAL(one_64, ONE, ew_conv2d_1x1_q8__mve(x, test_stream, y, &one_64_p), ew_conv2d_1x1_q8__mve_params,
        GENERAL(1, 5, 5, 64, 5, 5, 16, 1, 1, 1, 1, 1, 0, 0, 0, -128, 1, OUT), 1, 5, 5, 64, 5, 5, 16, 1, 1, OUT)
LITERAL(one_stride2, ONE, ew_conv2d_1x1_q8__mve(x, test_stream, y, &one_stride2_p), ew_conv2d_1x1_q8__mve_params,
        GENERAL(1, 8, 8, 16, 4, 4, 32, 1, 1, 2, 2, 1, 0, 0, 0, -128, 1, OUT), 1, 8, 8, 16, 4, 4, 32, 2, 2, OUT)
LITERAL(three_16, THREE, ew_conv2d_3x3_q8__mve(x, test_stream, scratch, y, &three_16_p), ew_conv2d_3x3_q8__mve_params,
        GENERAL(1, 9, 12, 16, 9, 12, 16, 3, 3, 1, 1, 1, 1, 1, 0, -128, 1, OUT),
        1, 9, 12, 16, 9, 12, 16, 1, 1, 1, -128, OUT)
LITERAL(three_32_stride2, THREE, ew_conv2d_3x3_q8__mve(x, test_stream, scratch, y, &three_32_stride2_p),
        ew_conv2d_3x3_q8__mve_params, GENERAL(1, 8, 8, 32, 4, 4, 64, 3, 3, 2, 2, 1, 0, 0, 0, -128, 1, OUT),
        1, 8, 8, 32, 4, 4, 64, 2, 0, 0, -128, OUT)
/* clang-format on */

static void check_literal(enum kind kind, const ew_conv2d_q8__mve_params *p, layer *literal)
{
    ew_mve_output out;
    do { /* until scales fit the layer's output */
        out = test_mve_layer(p->out_c, p->kernel_h * p->kernel_w * p->in_c, p->x_zero);
    } while (out.way != EW_MVE_FAST || out.y_zero != p->out.y_zero);
    check(kind, p, literal);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 120; ++i) {
        for (int kind = ANY; kind <= THREE; ++kind) {
            const ew_conv2d_q8__mve_params p = random_params((enum kind)kind);
            check((enum kind)kind, &p, NULL);
        }
    }
    check_literal(ANY, &first_10x4_general, first_10x4);
    check_literal(ANY, &first_3x3_general, first_3x3);
    check_literal(ONE, &one_64_general, one_64);
    check_literal(ONE, &one_stride2_general, one_stride2);
    check_literal(THREE, &three_16_general, three_16);
    check_literal(THREE, &three_32_stride2_general, three_32_stride2);
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no MVE\n");
    return 0;
}

#endif
