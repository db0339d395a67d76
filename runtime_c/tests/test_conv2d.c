/* ew_conv2d_f32 and ew_depthwise_conv2d_f32 against the definition in double precision. */
#include "ew_conv2d_f32.h"
#include "ew_depthwise_conv2d_f32.h"
#include "ew_test.h"

typedef void kernel(const float *x, const float *weights, const float *bias, float *y, const ew_conv2d_f32_params *p);

static void run_conv(const float *x, const float *w, const float *bias, float *y, const ew_conv2d_f32_params *p)
{
    ew_conv2d_f32(x, w, bias, y, p);
}

static void run_depthwise(const float *x, const float *w, const float *bias, float *y, const ew_conv2d_f32_params *p)
{
    ew_depthwise_conv2d_f32(x, w, bias, y, p);
}

/* Weight (o, ky, kx, i) is at w[o * out + (ky * kernel_w + kx) * tap + i]: the two layouts differ in these steps only.
 */
static test_sum reference(const float *x, const float *w, const float *bias, const ew_conv2d_f32_params *p, int32_t n,
                          int32_t oy, int32_t ox, int32_t o, int32_t out, int32_t tap)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t first = o / (p->out_c / p->groups) * group_in;
    test_sum sum = {0};
    test_add(&sum, bias ? (double)bias[o] : 0.0);
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t iy = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) {
                continue;
            }
            for (int32_t i = 0; i < group_in; ++i) {
                test_add(&sum, (double)x[((n * p->in_h + iy) * p->in_w + ix) * p->in_c + first + i] *
                                   (double)w[o * out + (ky * p->kernel_w + kx) * tap + i]);
            }
        }
    }
    return sum;
}

static void check(const ew_conv2d_f32_params *p, kernel *run, int depthwise)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t count = p->batch * p->out_h * p->out_w * p->out_c;
    test_reset();
    float *x = test_random_buffer(p->batch * p->in_h * p->in_w * p->in_c);
    float *w = test_random_buffer(p->out_c * taps * group_in);
    float *bias = test_int(0, 3) ? test_random_buffer(p->out_c) : NULL;
    float *y = test_buffer(count);
    test_maybe_nan(x, p->batch * p->in_h * p->in_w * p->in_c);
    run(x, w, bias, y, p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t o = i % p->out_c, ox = i / p->out_c % p->out_w, row = i / p->out_c / p->out_w;
        const test_sum sum = reference(x, w, bias, p, row / p->out_h, row % p->out_h, ox, o,
                                       depthwise ? 1 : taps * group_in, depthwise ? p->out_c : group_in);
        bad += !test_close(y[i], test_clamp(sum.value, p->act_min, p->act_max), test_sum_error(&sum));
    }
    TEST_CHECK(bad == 0,
               "%d of %ld outputs; in %ldx%ldx%ld out %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld,%ld pad "
               "%ld,%ld groups %ld%s",
               bad, (long)count, (long)p->in_h, (long)p->in_w, (long)p->in_c, (long)p->out_h, (long)p->out_w,
               (long)p->out_c, (long)p->kernel_h, (long)p->kernel_w, (long)p->stride_h, (long)p->stride_w,
               (long)p->dilation_h, (long)p->dilation_w, (long)p->pad_top, (long)p->pad_left, (long)p->groups,
               depthwise ? " depthwise" : "");
}

static ew_conv2d_f32_params random_params(int depthwise)
{
    ew_conv2d_f32_params p;
    p.batch = test_int(1, 2);
    p.groups = depthwise ? test_int(1, 11) : test_int(0, 1) ? 1 : test_int(2, 3);
    p.in_c = p.groups * (depthwise ? 1 : test_int(1, 6));
    p.out_c = p.groups * (depthwise ? 1 : test_int(1, 10));
    p.kernel_h = test_int(1, 4);
    p.kernel_w = test_int(1, 4);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_h = test_int(1, 3);
    p.dilation_w = test_int(1, 3);
    if (test_int(0, 1)) { /* what layers mostly are, and the faster paths take */
        p.kernel_w = depthwise ? 3 : test_int(0, 1) ? 1 : 3;
        p.kernel_h = p.kernel_w;
        p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
    }
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 12);
    /* Pads beyond the kernel and outputs beyond the input too: windows without any tap give the bias. */
    p.out_h = test_int(1, 6);
    p.out_w = test_int(1, 13);
    p.pad_top = test_int(-1, 5);
    p.pad_left = test_int(-1, 5);
    if (p.kernel_h == 1 && p.kernel_w == 1 && test_int(0, 3)) {
        p.pad_top = p.pad_left = 0;
        p.out_h = test_int(0, 2) ? p.in_h : p.out_h;
        p.out_w = p.in_w;
    }
    test_activation(&p.act_min, &p.act_max);
    return p;
}

/* A layer with literal parameters, as the generated code has them: the compiler folds them into the kernel. */
#define LITERAL(function, name, ...)                                                                             \
    static const ew_conv2d_f32_params name##_p = {__VA_ARGS__};                                                  \
    static void name(const float *x, const float *w, const float *bias, float *y, const ew_conv2d_f32_params *p) \
    {                                                                                                            \
        (void)p;                                                                                                 \
        function(x, w, bias, y, &name##_p);                                                                      \
    }

/* clang-format off */
/*                                        batch  in          out         kernel stride dil.  pad   groups */
LITERAL(ew_conv2d_f32, conv_3x3,          1, 8, 8, 16,  8, 8, 16,   3, 3,  1, 1,  1, 1,  1, 1,  1, 0.0f, INFINITY)
LITERAL(ew_conv2d_f32, conv_3x3_stride2,  2, 9, 9, 3,   4, 4, 10,   3, 3,  2, 2,  1, 1,  0, 0,  1, 0.0f, 6.0f)
LITERAL(ew_conv2d_f32, conv_1x1,          1, 5, 5, 12,  5, 5, 18,   1, 1,  1, 1,  1, 1,  0, 0,  1, -INFINITY, INFINITY)
LITERAL(ew_conv2d_f32, conv_1x1_stride2,  1, 8, 9, 8,   4, 5, 8,    1, 1,  2, 2,  1, 1,  0, 0,  1, -INFINITY, INFINITY)
LITERAL(ew_conv2d_f32, conv_10x4,         1, 20, 10, 1, 10, 5, 8,   10, 4, 2, 2,  1, 1,  4, 1,  1, 0.0f, INFINITY)
LITERAL(ew_conv2d_f32, conv_grouped,      1, 6, 7, 6,   6, 7, 15,   3, 2,  1, 1,  1, 2,  1, 1,  3, -1.0f, 1.0f)
LITERAL(ew_depthwise_conv2d_f32, dw_3x3,  1, 9, 5, 16,  9, 5, 16,   3, 3,  1, 1,  1, 1,  1, 1,  16, 0.0f, INFINITY)
LITERAL(ew_depthwise_conv2d_f32, dw_wide, 1, 5, 17, 5,  5, 17, 5,   3, 3,  1, 1,  1, 1,  1, 1,  5, 0.0f, INFINITY)
LITERAL(ew_depthwise_conv2d_f32, dw_s2,   1, 9, 12, 8,  5, 6, 8,    3, 3,  2, 2,  1, 1,  1, 1,  8, 0.0f, 6.0f)
LITERAL(ew_depthwise_conv2d_f32, dw_5x5,  2, 7, 9, 7,   7, 9, 7,    5, 5,  1, 1,  1, 1,  2, 2,  7, -INFINITY, INFINITY)
/* clang-format on */

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        const ew_conv2d_f32_params p = random_params(0);
        check(&p, run_conv, 0);
        const ew_conv2d_f32_params d = random_params(1);
        check(&d, run_depthwise, 1);
    }
    for (int i = 0; i < 4; ++i) { /* with and without bias, NaN */
        check(&conv_3x3_p, conv_3x3, 0);
        check(&conv_3x3_stride2_p, conv_3x3_stride2, 0);
        check(&conv_1x1_p, conv_1x1, 0);
        check(&conv_1x1_stride2_p, conv_1x1_stride2, 0);
        check(&conv_10x4_p, conv_10x4, 0);
        check(&conv_grouped_p, conv_grouped, 0);
        check(&dw_3x3_p, dw_3x3, 1);
        check(&dw_wide_p, dw_wide, 1);
        check(&dw_s2_p, dw_s2, 1);
        check(&dw_5x5_p, dw_5x5, 1);
    }
    return test_end();
}
