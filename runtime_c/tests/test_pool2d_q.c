/* ew_max_pool2d_q and ew_average_pool2d_q against the definition, bit for bit. */
#include "ew_average_pool2d_q.h"
#include "ew_max_pool2d_q.h"
#include "ew_test_q.h"

/* Does every window have a tap inside the input? Written out, not computed. */
static int has_tap(int32_t out, int32_t in, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad)
{
    for (int32_t o = 0; o < out; ++o) {
        int taps = 0;
        for (int32_t k = 0; k < kernel; ++k) {
            const int32_t i = o * stride - pad + k * dilation;
            taps += i >= 0 && i < in;
        }
        if (taps == 0) {
            return 0;
        }
    }
    return 1;
}

typedef struct {
    int64_t sum;
    int32_t largest;
    int32_t counted;
} window;

static window reference(const void *x, const ew_pool2d_q_params *p, int32_t n, int32_t oy, int32_t ox, int32_t c)
{
    window w = {0, INT32_MIN, 0};
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t iy = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            const int padded =
                iy >= -p->pad_top && iy < p->in_h + p->pad_bottom && ix >= -p->pad_left && ix < p->in_w + p->pad_right;
            const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
            w.counted += p->count_include_pad ? padded : inside;
            if (inside) {
                const int32_t v = test_q_get(p->x_type, x, ((n * p->in_h + iy) * p->in_w + ix) * p->channels + c);
                w.sum += v - p->x_zero;
                w.largest = v > w.largest ? v : w.largest;
            }
        }
    }
    return w;
}

static void check(const ew_pool2d_q_params *given)
{
    static float scales[1024];
    ew_pool2d_q_params p = *given;
    const int32_t count = p.batch * p.out_h * p.out_w * p.channels;
    const float coarser = p.x_type == EW_QS16 && p.y_type != EW_QS16 ? 200.0f : 1.0f;
    const float x_scale = 0.01f + fabsf(test_float());
    const float y_scale = (0.01f + fabsf(test_float())) * coarser;
    for (int32_t n = p.count_min; n <= p.kernel_h * p.kernel_w; ++n) {
        const volatile float steps = y_scale * (float)n;
        scales[n - p.count_min] = x_scale / steps;
    }
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, p.batch * p.in_h * p.in_w * p.channels);
    void *average = test_q_output(p.y_type, count), *largest = test_q_output(p.x_type, count);
    ew_average_pool2d_q(x, scales, average, &p);
    ew_pool2d_q_params m = p; /* a maximum has x's type */
    m.y_type = p.x_type;
    test_q_activation(m.y_type, &m.act_min, &m.act_max);
    ew_max_pool2d_q(x, largest, &m);
    test_q_guards();
    int bad_max = 0, bad_average = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p.channels, ox = i / p.channels % p.out_w, row = i / p.channels / p.out_w;
        const window w = reference(x, &p, row / p.out_h, row % p.out_h, ox, c);
        const int32_t want =
            test_q_requantize(w.sum, scales[w.counted - p.count_min], p.y_zero, p.act_min, p.act_max);
        bad_average += test_q_get(p.y_type, average, i) != want;
        bad_max += test_q_get(m.y_type, largest, i) != test_q_clamp((double)w.largest, m.act_min, m.act_max);
    }
    TEST_CHECK(bad_max == 0 && bad_average == 0,
               "%d max, %d average of %ld; in %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld,%ld pad "
               "%ld,%ld,%ld,%ld include %ld types %ld %ld wide %ld",
               bad_max, bad_average, (long)count, (long)p.in_h, (long)p.in_w, (long)p.channels, (long)p.kernel_h,
               (long)p.kernel_w, (long)p.stride_h, (long)p.stride_w, (long)p.dilation_h, (long)p.dilation_w,
               (long)p.pad_top, (long)p.pad_left, (long)p.pad_bottom, (long)p.pad_right, (long)p.count_include_pad,
               (long)p.x_type, (long)p.y_type, (long)p.wide);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int cases = 0; cases < 300;) {
        ew_pool2d_q_params p;
        p.batch = test_int(1, 2);
        p.channels = test_int(1, 10);
        p.in_h = test_int(1, 9);
        p.in_w = test_int(1, 9);
        p.out_h = test_int(1, 6);
        p.out_w = test_int(1, 6);
        p.kernel_h = test_int(1, 5);
        p.kernel_w = test_int(1, 5);
        p.stride_h = test_int(1, 3);
        p.stride_w = test_int(1, 3);
        p.dilation_h = test_int(1, 2);
        p.dilation_w = test_int(1, 2);
        p.pad_top = test_int(0, 3);
        p.pad_left = test_int(0, 3);
        p.pad_bottom = test_int(0, 3);
        p.pad_right = test_int(0, 3);
        p.count_include_pad = test_int(0, 1);
        p.count_min = test_int(0, 1);
        p.x_type = test_q_type();
        p.y_type = test_q_type();
        p.wide = test_int(0, 3) == 0;
        p.x_zero = test_q_zero(p.x_type);
        p.y_zero = test_q_zero(p.y_type);
        test_q_activation(p.y_type, &p.act_min, &p.act_max);
        if (has_tap(p.out_h, p.in_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top) &&
            has_tap(p.out_w, p.in_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left)) {
            check(&p);
            ++cases;
        }
    }
    static const ew_pool2d_q_params global = {1, 25, 5, 64, 1,      1,      25, 5,    1,    1,    1,   1, 0,
                                              0, 0,  0, 0,  25 * 5, EW_QS8, EW_QS8, 0, -128, -128, -128, 127};
    check(&global);
    return test_end();
}
