/* The MVE kernels of sums, tables and pools against the definition, bit for bit. */
#include "ew_add_q8__mve.h"
#include "ew_average_pool2d_q8__mve.h"
#include "ew_max_pool2d_q8__mve.h"
#include "ew_table_q8__mve.h"
#include "ew_test_mve.h"

#if defined(__ARM_FEATURE_MVE)

static TEST_OPAQUE void run_add(const void *a, const void *b, void *y, const ew_add_q8__mve_params *p)
{
    ew_add_q8__mve(a, b, y, p);
}

static int32_t want_sum(int32_t a, int32_t b, const ew_add_q8__mve_params *p)
{
    if (p->shift > 0) {
        const double sum = (double)a * p->a_factor + (double)b * p->b_factor + p->offset;
        return test_q_clamp(floor(ldexp(sum, -(int)p->shift)), p->out.act_min, p->out.act_max);
    }
    const volatile float left = (float)(a - p->a_zero) * p->a_scale, right = (float)(b - p->b_zero) * p->b_scale;
    const volatile float sum = left + right;
    const volatile float steps = sum * p->inverse;
    return test_q_round(steps, p->out.y_zero, p->out.act_min, p->out.act_max);
}

/* in_place: 1, y is a; 2, y is b. */
static void check_add(int32_t count, int32_t in_place)
{
    ew_add_q8__mve_params p = {0};
    p.count = count;
    p.out = test_mve_layer(1, 1, 0);
    p.a_zero = test_q_zero(EW_QS8);
    p.b_zero = test_q_zero(EW_QS8);
    p.a_scale = 0.01f + fabsf(test_float());
    p.b_scale = test_float();
    p.inverse = p.out.way == EW_MVE_ANY && test_int(0, 1) ? 1e20f : 1.0f + fabsf(test_float());
    if (test_int(0, 1)) {
        p.shift = test_int(10, 22);
        p.a_factor = test_int(-(1 << p.shift), 1 << p.shift) / 2;
        p.b_factor = test_int(-(1 << p.shift), 1 << p.shift) / 2;
        p.offset = test_int(-(256 << p.shift), 256 << p.shift) / 2; /* within int16 before the clamp */
    }
    test_q_reset();
    void *a = test_q_tensor(EW_QS8, count), *b = test_q_tensor(EW_QS8, count), *y = test_q_output(EW_QS8, count);
    static int8_t before[2][400];
    memcpy(before[0], a, (size_t)count);
    memcpy(before[1], b, (size_t)count);
    y = in_place == 1 ? a : in_place == 2 ? b : y;
    run_add(in_place == 1 ? a : test_island(a, count), b, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        bad += test_q_get(EW_QS8, y, i) != want_sum(before[0][i], before[1][i], &p);
    }
    TEST_CHECK(bad == 0, "%d of %ld; shift %ld way %ld", bad, (long)count, (long)p.shift, (long)p.out.way);
}

static TEST_OPAQUE void run_table(const void *x, const void *table, void *y, const ew_table_q8__mve_params *p)
{
    ew_table_q8__mve(x, table, y, p);
}

static void check_table(int32_t count)
{
    const ew_table_q8__mve_params p = {count};
    test_q_reset();
    const uint8_t *x = test_q_tensor(EW_QU8, count), *table = test_q_tensor(EW_QU8, 256);
    uint8_t *y = test_q_output(EW_QU8, count);
    run_table(test_island(x, count), table, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        bad += y[i] != table[x[i]];
    }
    TEST_CHECK(bad == 0, "%d of %ld", bad, (long)count);
}

static TEST_OPAQUE void run_pools(const void *x, const float *scales, void *average, void *largest,
                                  const ew_pool2d_q8__mve_params *p)
{
    ew_average_pool2d_q8__mve(x, scales, average, p);
    ew_max_pool2d_q8__mve(x, largest, p);
}

static void check_pools(const ew_pool2d_q8__mve_params *p)
{
    static float scales[256];
    const int32_t count = p->batch * p->out_h * p->out_w * p->channels;
    for (int32_t n = 1; n < 256; ++n) {
        scales[n - 1] = 1.7f / (float)n;
    }
    test_q_reset();
    const void *x = test_q_tensor(EW_QS8, p->batch * p->in_h * p->in_w * p->channels);
    void *average = test_q_output(EW_QS8, count), *largest = test_q_output(EW_QS8, count);
    run_pools(test_island(x, p->batch * p->in_h * p->in_w * p->channels), scales, average, largest, p);
    test_q_guards();
    int bad_average = 0, bad_largest = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p->channels, ox = i / p->channels % p->out_w, row = i / p->channels / p->out_w;
        int32_t sum = 0, most = -128, counted = 0;
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
                const int32_t iy = row % p->out_h * p->stride_h - p->pad_top + ky * p->dilation_h;
                const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
                const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
                counted += inside || (p->count_include_pad && iy >= -p->pad_top && iy < p->in_h + p->pad_bottom &&
                                      ix >= -p->pad_left && ix < p->in_w + p->pad_right);
                if (inside) {
                    const int32_t at = ((row / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels + c;
                    const int32_t v = test_q_get(EW_QS8, x, at);
                    sum += v - p->x_zero;
                    most = v > most ? v : most;
                }
            }
        }
        const int32_t want =
            test_q_requantize(sum, scales[counted - p->count_min], p->out.y_zero, p->out.act_min, p->out.act_max);
        bad_average += test_q_get(EW_QS8, average, i) != want;
        bad_largest += test_q_get(EW_QS8, largest, i) != test_q_clamp((double)most, p->out.act_min, p->out.act_max);
    }
    TEST_CHECK(bad_average == 0 && bad_largest == 0,
               "%d average, %d max of %ld; way %ld in %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld,%ld pad "
               "%ld,%ld",
               bad_average, bad_largest, (long)count, (long)p->out.way, (long)p->in_h, (long)p->in_w, (long)p->channels,
               (long)p->kernel_h, (long)p->kernel_w, (long)p->stride_h, (long)p->stride_w, (long)p->dilation_h,
               (long)p->dilation_w, (long)p->pad_top, (long)p->pad_left);
}

static void check_random_pools(int whole)
{
    ew_pool2d_q8__mve_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 9);
    p.in_w = test_int(1, 9);
    p.channels = test_int(1, 40);
    p.kernel_h = whole ? p.in_h : test_int(1, 3);
    p.kernel_w = whole ? p.in_w : test_int(1, 3);
    p.stride_h = test_int(1, 3);
    p.stride_w = test_int(1, 3);
    p.dilation_h = whole ? 1 : test_int(1, 2);
    p.dilation_w = whole ? 1 : test_int(1, 2);
    /* Less than the kernel's extent of padding: every window has a tap inside. */
    const int32_t extent_h = (p.kernel_h - 1) * p.dilation_h + 1, extent_w = (p.kernel_w - 1) * p.dilation_w + 1;
    p.pad_top = p.pad_bottom = whole || p.dilation_h > 1 ? 0 : test_int(0, p.kernel_h - 1);
    p.pad_left = p.pad_right = whole || p.dilation_w > 1 ? 0 : test_int(0, p.kernel_w - 1);
    if (p.in_h + 2 * p.pad_top < extent_h || p.in_w + 2 * p.pad_left < extent_w) {
        return;
    }
    p.out_h = (p.in_h + 2 * p.pad_top - extent_h) / p.stride_h + 1;
    p.out_w = (p.in_w + 2 * p.pad_left - extent_w) / p.stride_w + 1;
    p.count_include_pad = test_int(0, 1);
    p.count_min = 1;
    p.x_zero = test_q_zero(EW_QS8);
    p.out = test_mve_layer(1, 1, 0);
    check_pools(&p);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int32_t count = 0; count < 100; ++count) {
        check_add(count, count % 3);
        check_add(3 * count, 0);
        check_table(count);
    }
    for (int i = 0; i < 600; ++i) {
        check_random_pools(i % 4 == 0);
    }
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no MVE\n");
    return 0;
}

#endif
