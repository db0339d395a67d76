/* Convolutions and pools of volumes, Col2Im and MaxUnpool, by their definitions in double precision. */
#include "ew_col2im_f32.h"
#include "ew_conv3d_f32.h"
#include "ew_max_unpool.h"
#include "ew_pool3d.h"
#include "ew_test.h"

static int64_t indices[4096];

static int32_t product(const int32_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

/* Splits a number into places along three axes. */
static void split(int32_t number, const int32_t *sizes, int32_t *at)
{
    at[2] = number % sizes[2];
    at[1] = number / sizes[2] % sizes[1];
    at[0] = number / (sizes[2] * sizes[1]);
}

static int32_t join(const int32_t *at, const int32_t *sizes)
{
    return (at[0] * sizes[1] + at[1]) * sizes[2] + at[2];
}

/* Random windows that each hold an element; fills sizes, steps and pads. */
static void random_window(int32_t *in, int32_t *out, int32_t *kernel, int32_t *stride, int32_t *dilation, int32_t *pad,
                          int32_t *pad_end)
{
    for (int i = 0; i < 3; ++i) {
        kernel[i] = test_int(1, 3);
        stride[i] = test_int(1, 3);
        dilation[i] = kernel[i] > 1 ? test_int(1, 2) : 1;
        pad[i] = dilation[i] > 1 ? 0 : test_int(0, kernel[i] - 1);
        pad_end[i] = pad[i];
        in[i] = (kernel[i] - 1) * dilation[i] + 1 + test_int(0, 3);
        out[i] = (in[i] + pad[i] + pad_end[i] - (kernel[i] - 1) * dilation[i] - 1) / stride[i] + 1;
    }
}

/* The element that a tap of an output's window meets, or -1. */
static int32_t met(const int32_t *to, int32_t tap, const int32_t *in, const int32_t *kernel, const int32_t *stride,
                   const int32_t *dilation, const int32_t *pad, int32_t *at)
{
    int32_t k[3];
    split(tap, kernel, k);
    for (int i = 0; i < 3; ++i) {
        at[i] = to[i] * stride[i] + k[i] * dilation[i] - pad[i];
        if (at[i] < 0 || at[i] >= in[i]) {
            return -1;
        }
    }
    return join(at, in);
}

static void check_convolution(void)
{
    ew_conv3d_f32_params p = {0};
    int32_t pad_end[3];
    p.batch = test_int(1, 2);
    p.groups = test_int(1, 2);
    p.in_c = p.groups * test_int(1, 2);
    p.out_c = p.groups * test_int(1, 2);
    random_window(p.in, p.out, p.kernel, p.stride, p.dilation, p.pad, pad_end);
    test_activation(&p.act_min, &p.act_max);
    const int32_t taps = product(p.kernel), size = product(p.in), results = product(p.out);
    const int32_t group_in = p.in_c / p.groups, group_out = p.out_c / p.groups;
    test_reset();
    float *x = test_random_buffer(p.batch * p.in_c * size), *w = test_random_buffer(p.out_c * group_in * taps);
    float *bias = test_int(0, 1) ? test_random_buffer(p.out_c) : NULL;
    float *y = test_buffer(p.batch * p.out_c * results);
    ew_conv3d_f32(x, w, bias, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < p.batch * p.out_c * results; ++i) {
        const int32_t o = i / results % p.out_c, n = i / (results * p.out_c);
        int32_t to[3], at[3];
        split(i % results, p.out, to);
        test_sum sum = {0};
        test_add(&sum, bias ? (double)bias[o] : 0.0);
        for (int32_t t = 0; t < group_in * taps; ++t) {
            const int32_t from = met(to, t % taps, p.in, p.kernel, p.stride, p.dilation, p.pad, at);
            const int32_t channel = n * p.in_c + o / group_out * group_in + t / taps;
            test_add(&sum, from < 0 ? 0.0 : (double)x[channel * size + from] * (double)w[o * group_in * taps + t]);
        }
        bad += !test_close(y[i], test_clamp(sum.value, p.act_min, p.act_max), test_sum_error(&sum));
    }
    TEST_CHECK(bad == 0, "%d results", bad);
}

/* The other way round: each element of x is added where the window of y would meet it. */
static void check_transposed(void)
{
    static test_sum sums[4096];
    ew_conv3d_f32_params p = {0};
    int32_t pad_end[3];
    p.batch = 1;
    p.groups = test_int(1, 2);
    p.in_c = p.groups * test_int(1, 2);
    p.out_c = p.groups * test_int(1, 2);
    random_window(p.out, p.in, p.kernel, p.stride, p.dilation, p.pad, pad_end);
    test_activation(&p.act_min, &p.act_max);
    const int32_t taps = product(p.kernel), size = product(p.in), results = product(p.out);
    const int32_t group_in = p.in_c / p.groups, group_out = p.out_c / p.groups;
    test_reset();
    float *x = test_random_buffer(p.in_c * size), *w = test_random_buffer(p.in_c * group_out * taps);
    float *bias = test_random_buffer(p.out_c), *y = test_buffer(p.out_c * results);
    ew_conv_transpose3d_f32(x, w, bias, y, &p);
    test_guards();
    for (int32_t i = 0; i < p.out_c * results; ++i) {
        sums[i] = (test_sum){0};
        test_add(&sums[i], (double)bias[i / results]);
    }
    for (int32_t i = 0; i < p.in_c * size; ++i) {
        const int32_t channel = i / size;
        int32_t from[3], at[3];
        split(i % size, p.in, from);
        for (int32_t t = 0; t < group_out * taps; ++t) {
            const int32_t to = met(from, t % taps, p.out, p.kernel, p.stride, p.dilation, p.pad, at);
            const int32_t o = channel / group_in * group_out + t / taps;
            if (to >= 0) {
                test_add(&sums[o * results + to], (double)x[i] * (double)w[channel * group_out * taps + t]);
            }
        }
    }
    int bad = 0;
    for (int32_t i = 0; i < p.out_c * results; ++i) {
        sums[i].terms += taps * group_in;
        bad += !test_close(y[i], test_clamp(sums[i].value, p.act_min, p.act_max), test_sum_error(&sums[i]));
    }
    TEST_CHECK(bad == 0, "%d results", bad);

    const ew_col2im_f32_params c = {
        2, {p.out[0], p.out[1], p.out[2]}, {p.in[0], p.in[1], p.in[2]}, {p.kernel[0], p.kernel[1], p.kernel[2]},
        {p.stride[0], p.stride[1], p.stride[2]}, {p.dilation[0], p.dilation[1], p.dilation[2]},
        {p.pad[0], p.pad[1], p.pad[2]},
    };
    test_reset();
    float *blocks = test_random_buffer(2 * taps * size), *image = test_buffer(2 * results);
    ew_col2im_f32(blocks, image, &c);
    test_guards();
    memset(sums, 0, sizeof sums);
    for (int32_t i = 0; i < 2 * taps * size; ++i) {
        int32_t from[3], at[3];
        split(i % size, p.in, from);
        const int32_t to = met(from, i / size % taps, p.out, p.kernel, p.stride, p.dilation, p.pad, at);
        if (to >= 0) {
            test_add(&sums[i / (size * taps) * results + to], (double)blocks[i]);
        }
    }
    for (int32_t i = bad = 0; i < 2 * results; ++i) {
        bad += !test_close(image[i], sums[i].value, test_sum_error(&sums[i]));
    }
    TEST_CHECK(bad == 0, "%d sums of blocks", bad);
}

static void check_pools(void)
{
    ew_pool3d_params p = {0};
    p.planes = test_int(1, 3);
    random_window(p.in, p.out, p.kernel, p.stride, p.dilation, p.pad, p.pad_end);
    const int by_columns = (int)test_int(0, 1);
    const int32_t rows[3] = {p.in[1] * p.in[2], p.in[2], 1}, columns[3] = {1, p.in[0], p.in[0] * p.in[1]};
    memcpy(p.index_step, by_columns ? columns : rows, sizeof rows);
    p.count_include_pad = test_int(0, 1);
    p.p = test_int(1, 3);
    const int32_t size = product(p.in), results = product(p.out), taps = product(p.kernel), given = test_int(1, 3);
    test_reset();
    float *x = test_random_buffer(p.planes * size), *largest = test_buffer(p.planes * results);
    float *mean = test_buffer(p.planes * results), *norm = test_buffer(p.planes * results);
    ew_max_pool3d_f32(x, given & 1 ? largest : NULL, given & 2 ? indices : NULL, &p);
    ew_average_pool3d_f32(x, mean, &p);
    ew_lp_pool3d_f32(x, norm, &p);
    test_guards();
    int bad[3] = {0};
    for (int32_t i = 0; i < p.planes * results; ++i) {
        const float *plane = x + i / results * size;
        int32_t to[3], at[3], best[3] = {0}, place = -1, inside = 0;
        split(i % results, p.out, to);
        test_sum sum = {0};
        double power = 0.0;
        for (int32_t t = 0; t < taps; ++t) {
            const int32_t from = met(to, t, p.in, p.kernel, p.stride, p.dilation, p.pad, at);
            if (from >= 0) {
                test_add(&sum, (double)plane[from]);
                power += pow(fabs((double)plane[from]), (double)p.p);
                ++inside;
                if (place < 0 || plane[from] > plane[place]) {
                    place = from;
                    memcpy(best, at, sizeof best);
                }
            }
        }
        const int32_t column = (best[2] * p.in[1] + best[1]) * p.in[0] + best[0];
        bad[0] += (given & 1) && largest[i] != plane[place];
        bad[0] += (given & 2) && indices[i] != i / results * size + (by_columns ? column : place);
        const int32_t count = p.count_include_pad ? taps : inside; /* pads end where the last window does, or later */
        bad[1] += !test_close(mean[i], sum.value / count, test_sum_error(&sum));
        bad[2] += !test_close(norm[i], pow(power, 1.0 / (double)p.p), 1e-5);
    }
    TEST_CHECK(bad[0] + bad[1] + bad[2] == 0, "%d largest, %d means, %d norms", bad[0], bad[1], bad[2]);
}

static void check_unpooling(void)
{
    const ew_max_unpool_params p = {4, 9, 4};
    static const int64_t places[4] = {8, 3, INT64_MAX, -1};
    test_reset();
    float *x = test_random_buffer(4), *y = test_buffer(9);
    ew_max_unpool(x, places, y, &p);
    test_guards();
    for (int i = 0; i < 9; ++i) {
        const float want = i == 8 ? x[0] : i == 3 ? x[1] : 0.0f;
        TEST_CHECK(y[i] == want, "element %d", i);
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 60; ++i) {
        check_convolution();
        check_transposed();
        check_pools();
    }
    check_unpooling();
    return test_end();
}
