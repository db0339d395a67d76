/* The Arm DSP convolutions against the definition: sums in plain loops. */
#include "ew_conv2d_few_q8__dsp.h"
#include "ew_conv2d_q8__dsp.h"
#include "ew_test_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define X_MAX 4000
#define Y_MAX 4000
#define STREAM_MAX 40000
#define SCRATCH_MAX 60000
#define OUT_MAX 19

enum kind { SHARED, WIDE, FEW };

static uint8_t x_pool[X_MAX + 2 * GUARD_BYTES + 4], y_pool[Y_MAX + 2 * GUARD_BYTES + 4];
static uint32_t stream[STREAM_MAX];
static EW_ALIGN(16) uint8_t scratch_pool[SCRATCH_MAX + 2 * GUARD_BYTES];
static int16_t weights[STREAM_MAX], windows[STREAM_MAX];

static int32_t window_taps(enum kind kind, const ew_conv2d_q8_dsp_params *p)
{
    const int32_t row = p->kernel_w * p->in_c;
    if (kind == FEW) {
        return p->kernel_h * (row / 4 * 4) + (p->kernel_h * (row % 4) + 3) / 4 * 4;
    }
    return p->kernel_w * ((p->kernel_h * p->in_c + 1) / 2 * 2);
}

static int32_t scratch_bytes(enum kind kind, const ew_conv2d_q8_dsp_params *p)
{
    const int32_t taps = window_taps(kind, p), spare = p->out_c % 4 ? 2 * p->run * ((p->out_c + 3) / 4 * 4) : 0;
    if (kind == FEW) {
        const int32_t pitch = ((p->out_w - 1) * p->stride_w + p->kernel_w) * p->in_c;
        return p->run * taps * 4 + ((p->kernel_h + p->pair_h * p->stride_h) * pitch + 3) / 4 * 4 + spare;
    }
    const int32_t columns = (p->run - 1) * (p->kernel_w == 1 ? 1 : p->stride_w) + p->kernel_w;
    return columns * (taps / p->kernel_w) * 4 + spare;
}

/* Where weight (ky, kx, i) is in a window. */
static int32_t tap_of(enum kind kind, int32_t ky, int32_t kx, int32_t i, const ew_conv2d_q8_dsp_params *p)
{
    const int32_t row = p->kernel_w * p->in_c, whole = row / 4 * 4, k = kx * p->in_c + i;
    if (kind == FEW) {
        return in_fours(k < whole ? ky * whole + k : p->kernel_h * whole + ky * (row - whole) + k - whole);
    }
    const int32_t at = kx * ((p->kernel_h * p->in_c + 1) / 2 * 2) + ky * p->in_c + i;
    return p->in_c % 4 ? at : in_fours(at);
}

static TEST_OPAQUE void run(enum kind kind, const uint8_t *x, void *scratch, uint8_t *y,
                            const ew_conv2d_q8_dsp_params *p)
{
    if (kind == SHARED) {
        ew_conv2d_q8__dsp(x, stream, scratch, y, p);
    } else if (kind == WIDE) {
        ew_conv2d_q8_wide__dsp(x, stream, scratch, y, p);
    } else {
        ew_conv2d_few_q8__dsp(x, stream, scratch, y, p);
    }
}

/* The sum of one output by the definition; no tap is looked at outside x. */
static int32_t sum_of(const uint8_t *x, int32_t n, int32_t oy, int32_t ox, int32_t o, const test_layer *layer,
                      const ew_conv2d_q8_dsp_params *p)
{
    int32_t sum = layer->channels[o].bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t iy = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
            for (int32_t i = 0; i < p->in_c; ++i) {
                const int32_t at = ((n * p->in_h + iy) * p->in_w + ix) * p->in_c + i;
                const int32_t v = !inside ? p->x_zero : p->x_signed ? (int8_t)x[at] : x[at];
                sum += v * weights[((o * p->kernel_h + ky) * p->kernel_w + kx) * p->in_c + i];
            }
        }
    }
    return sum;
}

static void check(enum kind kind, ew_conv2d_q8_dsp_params *p)
{
    static test_channel channels[OUT_MAX];
    const int32_t count = p->batch * p->in_h * p->in_w * p->in_c, taps = window_taps(kind, p);
    const int32_t outputs = p->batch * p->out_h * p->out_w * p->out_c, of_window = p->kernel_h * p->kernel_w * p->in_c;
    const test_layer layer = {p->out_c, taps, kind == WIDE, EW_DSP_LINE_SHIFT, 0, windows, channels};
    const int32_t bytes = scratch_bytes(kind, p);
    if (count > X_MAX || outputs > Y_MAX || bytes > SCRATCH_MAX || (p->out_c + 3) * (taps + 20) > STREAM_MAX) {
        return;
    }
    uint8_t *x = guarded(x_pool, count), *y = guarded(y_pool, outputs);
    memset(scratch_pool, GUARD, sizeof scratch_pool);
    for (int32_t i = 0; i < count; ++i) {
        x[i] = random_byte();
    }
    random_channels(channels, p->out_c, 200 * of_window, 0);
    memset(windows, 0, sizeof windows);
    for (int32_t k = 0; k < p->out_c * of_window; ++k) {
        /* -128 only where no channel shares a halfword with it */
        weights[k] = (int16_t)(kind == WIDE ? test_int(-255, 255) : test_int(0, 7) ? test_int(-127, 127) : 127);
        const int32_t i = k % p->in_c, kx = k / p->in_c % p->kernel_w, ky = k % of_window / p->in_c / p->kernel_w;
        windows[k / of_window * taps + tap_of(kind, ky, kx, i, p)] = weights[k];
    }
    p->stream_bytes = (int32_t)(write_stream(&layer, stream) - stream) * 4;
    run(kind, x, scratch_pool, y, p);
    int bad = 0;
    for (int32_t i = 0; i < outputs; ++i) {
        const int32_t o = i % p->out_c, ox = i / p->out_c % p->out_w, row = i / p->out_c / p->out_w;
        bad += y[i] != test_result(sum_of(x, row / p->out_h, row % p->out_h, ox, o, &layer, p), o, &layer);
    }
    TEST_CHECK(bad == 0,
               "%d of %ld outputs; kind %d in %ldx%ldx%ld out %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation "
               "%ld,%ld pad %ld,%ld pair_h %ld run %ld",
               bad, (long)outputs, (int)kind, (long)p->in_h, (long)p->in_w, (long)p->in_c, (long)p->out_h,
               (long)p->out_w, (long)p->out_c, (long)p->kernel_h, (long)p->kernel_w, (long)p->stride_h,
               (long)p->stride_w, (long)p->dilation_h, (long)p->dilation_w, (long)p->pad_top, (long)p->pad_left,
               (long)p->pair_h, (long)p->run);
    check_guards(x_pool, x, count, "x");
    check_guards(y_pool, y, outputs, "y");
    check_guards(scratch_pool, scratch_pool, bytes, "scratch");
}

static ew_conv2d_q8_dsp_params random_params(enum kind kind)
{
    ew_conv2d_q8_dsp_params p = {0};
    p.batch = test_int(1, 2);
    p.in_c = kind == FEW ? test_int(1, 8) : test_int(0, 1) ? 4 * test_int(1, 9) : test_int(1, 35);
    p.out_c = test_int(1, OUT_MAX);
    p.kernel_h = test_int(1, 5);
    p.kernel_w = test_int(1, 5);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_h = p.dilation_w = 1;
    if (test_int(0, 2) == 0) { /* what layers mostly are */
        p.kernel_h = p.kernel_w = test_int(0, 1) ? 1 : 3;
        p.stride_h = p.stride_w = test_int(1, 2);
    } else if (kind != FEW && test_int(0, 1)) {
        p.dilation_h = test_int(1, 3);
        p.dilation_w = test_int(1, 3);
    }
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 11);
    p.out_h = test_int(1, 6); /* pads beyond the kernel and outputs beyond the input too */
    p.out_w = test_int(1, 11);
    p.pad_top = test_int(kind == FEW ? 0 : -1, 5);
    p.pad_left = test_int(kind == FEW ? 0 : -1, 5);
    p.x_signed = test_int(0, 1);
    p.x_zero = p.x_signed ? test_int(-128, 127) : test_int(0, 255);
    p.pair_h = test_int(0, 1);
    const int32_t pixels = p.pair_h ? p.out_w : (p.out_w + 1) / 2;
    p.run = p.dilation_w > 1 && p.kernel_w > 1 ? 1 : test_int(1, pixels);
    return p;
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 150; ++i) {
        for (int kind = SHARED; kind <= FEW; ++kind) {
            ew_conv2d_q8_dsp_params p = random_params((enum kind)kind);
            check((enum kind)kind, &p);
        }
    }
    /* Windows of one step, of a whole turn of the loop and of more. */
    for (int32_t in_c = 1; in_c <= 140; in_c += in_c < 4 ? 1 : 2) {
        ew_conv2d_q8_dsp_params p = {1, 1, 3, in_c, 1, 3, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 2, 0};
        check(SHARED, &p);
        check(WIDE, &p);
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
