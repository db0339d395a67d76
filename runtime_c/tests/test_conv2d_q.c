/* ew_conv2d_q and ew_depthwise_conv2d_q against the definition, bit for bit. */
#include "ew_conv2d_q.h"
#include "ew_depthwise_conv2d_q.h"
#include "ew_test_q.h"

typedef void kernel(const void *x, const void *w, const int32_t *bias, const float *scale, void *scratch, void *y,
                    const ew_conv2d_q_params *p);

static void run_conv(const void *x, const void *w, const int32_t *bias, const float *scale, void *scratch, void *y,
                     const ew_conv2d_q_params *p)
{
    ew_conv2d_q(x, w, bias, scale, scratch, y, p);
}

static void run_depthwise(const void *x, const void *w, const int32_t *bias, const float *scale, void *scratch, void *y,
                          const ew_conv2d_q_params *p)
{
    (void)scratch;
    ew_depthwise_conv2d_q(x, w, bias, scale, y, p);
}

#define WEIGHTS_MAX 13000
static int32_t weights[WEIGHTS_MAX]; /* [out_c][kernel_h][kernel_w][in_c/groups] */

/* The sum of the definition: padding contributes nothing. */
static int64_t reference(const void *x, const int32_t *bias, const ew_conv2d_q_params *p, int32_t n, int32_t oy,
                         int32_t ox, int32_t o)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t first = o / (p->out_c / p->groups) * group_in;
    int64_t sum = bias[o];
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t iy = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) {
                continue;
            }
            for (int32_t i = 0; i < group_in; ++i) {
                const int32_t at = ((n * p->in_h + iy) * p->in_w + ix) * p->in_c + first + i;
                const int32_t w = weights[((o * p->kernel_h + ky) * p->kernel_w + kx) * group_in + i];
                sum += (int64_t)(test_q_get(p->x_type, x, at) - p->x_zero) * w;
            }
        }
    }
    return sum;
}

/* Appends a weight to a stream. Units of `at`: elements. */
static void put(uint8_t *stream, int32_t type, int32_t at, int32_t value)
{
    if (type != EW_QS4) {
        test_q_set(type, stream, at, value);
    } else {
        const int32_t half = (value & 15) << at % 2 * 4;
        stream[at / 2] = (uint8_t)(at % 2 ? stream[at / 2] | half : half);
    }
}

/* The stream of ew_rows_q.h, group by group. Returns its bytes. */
static int32_t pack(uint8_t *stream, const ew_conv2d_q_params *p)
{
    const int32_t count = p->kernel_h * p->kernel_w * (p->in_c / p->groups), group_out = p->out_c / p->groups;
    const int32_t block = p->batch * p->out_h * p->out_w == 1 && !p->wide ? 8 : 4;
    int32_t at = 0;
    for (int32_t g = 0; g < p->groups; ++g) {
        for (int32_t o = 0; o < group_out / block * block; o += block) {
            for (int32_t i = 0; i < count * block; ++i) {
                put(stream, p->w_type, at++, weights[(g * group_out + o + i % block) * count + i / block]);
            }
        }
        for (int32_t o = group_out / block * block; o < group_out; ++o) {
            for (int32_t i = 0; i < count; ++i) {
                put(stream, p->w_type, at++, weights[(g * group_out + o) * count + i]);
            }
            at += p->w_type == EW_QS4 ? at % 2 : 0;
        }
    }
    return p->w_type == EW_QS16 ? 2 * at : p->w_type == EW_QS4 ? at / 2 : at;
}

static void check(ew_conv2d_q_params *p, kernel *run, int depthwise)
{
    static uint8_t stream[2 * WEIGHTS_MAX];
    const int32_t taps = p->kernel_h * p->kernel_w * (p->in_c / p->groups);
    const int32_t count = p->batch * p->out_h * p->out_w * p->out_c;
    const int32_t x_reach = p->x_type == EW_QS16 ? 32768 : p->x_type == EW_QU8 ? 255 : 128;
    test_q_reset();
    const void *x = test_q_tensor(p->x_type, p->batch * p->in_h * p->in_w * p->in_c);
    int32_t *bias = (int32_t *)test_q_bytes(4 * p->out_c, 4), *folded = (int32_t *)test_q_bytes(4 * p->out_c, 4);
    float *scale = (float *)test_q_bytes(4 * p->out_c, 4);
    for (int32_t o = 0; o < p->out_c; ++o) {
        int64_t sum = 0, magnitude = 0;
        for (int32_t i = 0; i < taps; ++i) {
            int32_t *w = &weights[o * taps + i];
            *w = test_q_value(p->w_type);
            sum += *w;
            magnitude += *w < 0 ? -*w : *w;
        }
        bias[o] = test_int(-20000, 20000);
        const int64_t start = bias[o] - p->x_zero * sum;
        p->wide = p->wide || magnitude * x_reach + (start < 0 ? -start : start) > INT32_MAX;
        folded[o] = (int32_t)start;
        scale[o] = test_q_scale(p->y_type, (double)x_reach * (double)magnitude * 0.3);
        scale[o] = p->wide && test_int(0, 3) == 0 ? scale[o] * 0x1p-20f : scale[o];
        p->wide = p->wide || scale[o] < 0x1p-24f || scale[o] >= 32.0f;
    }
    int32_t bytes = p->out_c * taps * (p->w_type == EW_QS16 ? 2 : 1);
    if (depthwise) {
        for (int32_t i = 0; i < p->out_c * taps; ++i) {
            test_q_set(p->w_type, stream, i, weights[i]);
        }
    } else {
        bytes = pack(stream, p);
    }
    void *w = test_q_bytes(bytes, 4);
    memcpy(w, stream, (size_t)bytes);
    void *scratch = test_q_bytes(2 * taps * (p->x_type == EW_QS16 ? 2 : 1), 8);
    void *y = test_q_output(p->y_type, count);
    run(x, w, p->wide ? bias : folded, scale, scratch, y, p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t o = i % p->out_c, ox = i / p->out_c % p->out_w, row = i / p->out_c / p->out_w;
        const int64_t sum = reference(x, bias, p, row / p->out_h, row % p->out_h, ox, o);
        bad += test_q_get(p->y_type, y, i) != test_q_requantize(sum, scale[o], p->y_zero, p->act_min, p->act_max);
    }
    TEST_CHECK(bad == 0,
               "%d of %ld outputs; in %ldx%ldx%ld out %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld,%ld pad "
               "%ld,%ld groups %ld types %ld %ld %ld zero %ld wide %ld%s",
               bad, (long)count, (long)p->in_h, (long)p->in_w, (long)p->in_c, (long)p->out_h, (long)p->out_w,
               (long)p->out_c, (long)p->kernel_h, (long)p->kernel_w, (long)p->stride_h, (long)p->stride_w,
               (long)p->dilation_h, (long)p->dilation_w, (long)p->pad_top, (long)p->pad_left, (long)p->groups,
               (long)p->x_type, (long)p->w_type, (long)p->y_type, (long)p->x_zero, (long)p->wide,
               depthwise ? " depthwise" : "");
}

static void random_types(ew_conv2d_q_params *p, int depthwise)
{
    p->x_type = test_q_type();
    p->y_type = test_q_type();
    p->w_type = depthwise ? (test_int(0, 3) ? EW_QS8 : EW_QS16) : test_int(0, 3) / 2 * EW_QS16 + test_int(0, 1);
    p->w_type = p->w_type == EW_QU8 ? EW_QS8 : p->w_type;
    p->wide = test_int(0, 5) == 0;
    p->x_zero = test_q_zero(p->x_type);
    p->y_zero = test_q_zero(p->y_type);
    test_q_activation(p->y_type, &p->act_min, &p->act_max);
}

static ew_conv2d_q_params random_params(int depthwise)
{
    ew_conv2d_q_params p;
    random_types(&p, depthwise);
    p.batch = test_int(1, 2);
    p.groups = depthwise ? test_int(1, 11) : test_int(0, 2) ? 1 : test_int(2, 3);
    p.in_c = p.groups * (depthwise ? 1 : test_int(1, 9));
    p.out_c = p.groups * (depthwise ? 1 : test_int(1, 11));
    p.kernel_h = test_int(1, 4);
    p.kernel_w = test_int(1, 6);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_h = test_int(1, 3);
    p.dilation_w = test_int(1, 3);
    if (test_int(0, 1)) { /* what layers mostly are, and the faster paths take */
        p.kernel_w = p.kernel_h = depthwise ? 3 : test_int(0, 1) ? 1 : 3;
        p.stride_h = p.stride_w = test_int(0, 2) ? 1 : 2;
        p.dilation_h = p.dilation_w = 1;
    }
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 14);
    /* Pads beyond the kernel and outputs beyond the input too: windows without any tap give the bias. */
    p.out_h = test_int(1, 6);
    p.out_w = test_int(1, 13);
    p.pad_top = test_int(-1, 5);
    p.pad_left = test_int(-1, 5);
    if (p.kernel_h == 1 && p.kernel_w == 1 && test_int(0, 3)) {
        p.pad_top = p.pad_left = 0;
        p.out_h = (p.in_h + p.stride_h - 1) / p.stride_h;
        p.out_w = (p.in_w + p.stride_w - 1) / p.stride_w;
    }
    if (test_int(0, 5) == 0) { /* one pixel: weights in blocks of eight */
        p.batch = p.out_h = p.out_w = 1;
        p.out_c = depthwise ? p.out_c : p.groups * test_int(1, 20);
    }
    return p;
}

/* A layer with literal parameters, as the generated code has them: the compiler folds them into the kernel. */
#define LITERAL(function, name, ...)                                                                               \
    static const ew_conv2d_q_params name##_p = {__VA_ARGS__};                                                      \
    static void name(const void *x, const void *w, const int32_t *bias, const float *scale, void *scratch, void *y, \
                     const ew_conv2d_q_params *p)                                                                  \
    {                                                                                                              \
        (void)p;                                                                                                   \
        function(x, w, bias, scale, scratch, y, &name##_p);                                                        \
    }
#define DEPTHWISE(x, w, bias, scale, scratch, y, p) ((void)(scratch), ew_depthwise_conv2d_q(x, w, bias, scale, y, p))
#define S8 EW_QS8, EW_QS8, EW_QS8
#define U8 EW_QU8, EW_QS8, EW_QU8
#define S8_4BIT EW_QS8, EW_QS4, EW_QS8
#define S16 EW_QS16, EW_QS8, EW_QS16

/* clang-format off */
/*                                   n  in        out       kernel stride dil.  pad  group types wide zeros     clamp */
LITERAL(ew_conv2d_q, conv_3x3,      1, 8, 8, 16,  8, 8, 16,  3, 3,  1, 1, 1, 1, 1, 1, 1, S8, 0, -128, -128, -128, 127)
LITERAL(ew_conv2d_q, conv_3x3_s2,   2, 9, 9, 3,   4, 4, 10,  3, 3,  2, 2, 1, 1, 0, 0, 1, S8, 0, 4, -7, -7, 127)
LITERAL(ew_conv2d_q, conv_1x1,      1, 5, 5, 12,  5, 5, 18,  1, 1,  1, 1, 1, 1, 0, 0, 1, U8, 0, 0, 0, 0, 255)
LITERAL(ew_conv2d_q, conv_1x1_s2,   1, 8, 9, 8,   4, 5, 8,   1, 1,  2, 2, 1, 1, 0, 0, 1, S8, 0, -128, 3, -128, 127)
LITERAL(ew_conv2d_q, conv_10x4,     1, 20, 10, 1, 10, 5, 8,  10, 4, 2, 2, 1, 1, 4, 1, 1, S8, 0, 83, -128, -128, 127)
LITERAL(ew_conv2d_q, conv_grouped,  1, 6, 7, 6,   6, 7, 15,  3, 2,  1, 1, 1, 2, 1, 1, 3, U8, 0, 128, 100, 3, 200)
LITERAL(ew_conv2d_q, conv_4bit,     1, 6, 7, 6,   6, 7, 15,  3, 3,  1, 1, 1, 1, 1, 1, 1, S8_4BIT, 0, 7, 0, -128, 127)
LITERAL(ew_conv2d_q, conv_16bit,    1, 6, 7, 6,   6, 7, 15,  3, 3,  1, 1, 1, 1, 1, 1, 1, S16, 1, 0, 0, -32768, 32767)
LITERAL(DEPTHWISE, dw_3x3,          1, 9, 5, 16,  9, 5, 16,  3, 3,  1, 1, 1, 1, 1, 1, 16, S8, 0, -128, -128, -128, 127)
LITERAL(DEPTHWISE, dw_wide,         1, 5, 17, 5,  5, 17, 5,  3, 3,  1, 1, 1, 1, 1, 1, 5, U8, 0, 0, 0, 0, 255)
LITERAL(DEPTHWISE, dw_s2,           1, 9, 12, 8,  5, 6, 8,   3, 3,  2, 2, 1, 1, 1, 1, 8, S8, 0, 4, 5, -128, 100)
LITERAL(DEPTHWISE, dw_5x5,          2, 7, 9, 7,   7, 9, 7,   5, 5,  1, 1, 1, 1, 2, 2, 7, S8, 0, -128, 3, -128, 127)
LITERAL(DEPTHWISE, dw_7x7,          1, 7, 9, 7,   7, 9, 7,   7, 7,  1, 1, 1, 1, 3, 3, 7, U8, 0, 9, 3, 0, 255)
/* clang-format on */

static void check_literal(const ew_conv2d_q_params *literal, kernel *run, int depthwise)
{
    ew_conv2d_q_params p = *literal;
    check(&p, run, depthwise);
    TEST_CHECK(p.wide == literal->wide, "a literal layer must have sums that fit");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        ew_conv2d_q_params p = random_params(0);
        check(&p, run_conv, 0);
        ew_conv2d_q_params d = random_params(1);
        check(&d, run_depthwise, 1);
    }
    for (int i = 0; i < 3; ++i) {
        check_literal(&conv_3x3_p, conv_3x3, 0);
        check_literal(&conv_3x3_s2_p, conv_3x3_s2, 0);
        check_literal(&conv_1x1_p, conv_1x1, 0);
        check_literal(&conv_1x1_s2_p, conv_1x1_s2, 0);
        check_literal(&conv_10x4_p, conv_10x4, 0);
        check_literal(&conv_grouped_p, conv_grouped, 0);
        check_literal(&conv_4bit_p, conv_4bit, 0);
        check_literal(&conv_16bit_p, conv_16bit, 0);
        check_literal(&dw_3x3_p, dw_3x3, 1);
        check_literal(&dw_wide_p, dw_wide, 1);
        check_literal(&dw_s2_p, dw_s2, 1);
        check_literal(&dw_5x5_p, dw_5x5, 1);
        check_literal(&dw_7x7_p, dw_7x7, 1);
    }
    return test_end();
}
