/* ew_normalize_f32, ew_lrn_f32 and ew_lp_pool2d_f32, against double precision; normalization in place, too. */
#include "ew_lp_pool2d_f32.h"
#include "ew_lrn_f32.h"
#include "ew_normalize_f32.h"
#include "ew_test.h"

/* x is [a][b][c]; the middle axis, the last one, or both are normalized. Scale and bias vary along b or c. */
static void check_normalize(int32_t longest)
{
    const int32_t dims[3] = {test_int(1, 3), test_int(1, 4), test_int(1, longest)};
    const int32_t strides[3] = {dims[1] * dims[2], dims[2], 1};
    const int32_t first = test_int(1, 2), last = test_int(first, 2); /* axes first..last */
    const int32_t by = test_int(1, 2);                               /* the axis of scale and bias */
    ew_normalize_f32_params p = {0};
    p.kind = test_int(EW_NORMALIZE_VARIANCE, EW_NORMALIZE_L2);
    p.epsilon = 1e-3f;
    for (int32_t axis = 0; axis < 3; ++axis) {
        const int inner = axis >= first && axis <= last;
        const int32_t at = inner ? p.inner_rank++ : p.outer_rank++;
        (inner ? p.inner_dims : p.outer_dims)[at] = dims[axis];
        (inner ? p.inner_strides : p.outer_strides)[at] = strides[axis];
        (inner ? p.inner_scale_strides : p.outer_scale_strides)[at] = axis == by;
        (inner ? p.inner_bias_strides : p.outer_bias_strides)[at] = axis == by;
    }
    const int32_t count = dims[0] * strides[0], affine = test_int(0, 2);
    test_reset();
    float *x = test_random_buffer(count), *scale = test_random_buffer(dims[by]), *bias = test_random_buffer(dims[by]);
    float *y = test_buffer(count), *means = test_buffer(count), *factors = test_buffer(count);
    for (int32_t i = 0; i < count; ++i) {
        x[i] += 2.0f;
    }
    ew_normalize_f32(x, affine > 0 ? scale : NULL, affine > 1 ? bias : NULL, y, means, factors, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t place[3] = {i / strides[0], i / strides[1] % dims[1], i % dims[2]};
        double sum = 0, squares = 0, absolute = 0, mean = 0, norm;
        int32_t elements = 0, group = 0;
        for (int pass = 0; pass < 2; ++pass) {
            elements = 0;
            for (int32_t j = 0; j < count; ++j) {
                const int32_t other[3] = {j / strides[0], j / strides[1] % dims[1], j % dims[2]};
                int same = 1;
                for (int32_t axis = 0; axis < 3; ++axis) {
                    same = same && ((axis >= first && axis <= last) || other[axis] == place[axis]);
                }
                if (same) {
                    ++elements;
                    sum += pass == 0 ? (double)x[j] : 0.0;
                    absolute += pass == 0 ? fabs((double)x[j]) : 0.0;
                    squares += pass == 1 ? ((double)x[j] - mean) * ((double)x[j] - mean) : 0.0;
                }
            }
            mean = p.kind <= EW_NORMALIZE_DEVIATION ? sum / elements : 0.0;
        }
        norm = p.kind == EW_NORMALIZE_L1        ? absolute
               : p.kind == EW_NORMALIZE_L2      ? sqrt(squares)
               : p.kind == EW_NORMALIZE_DEVIATION ? sqrt(squares / elements) + (double)p.epsilon
                                                : sqrt(squares / elements + (double)p.epsilon);
        for (int32_t axis = 0; axis < 3; ++axis) {
            group = axis >= first && axis <= last ? group : group * dims[axis] + place[axis];
        }
        const double factor = 1.0 / norm, at = place[by];
        double want = ((double)x[i] - mean) * factor;
        want = (affine > 0 ? want * (double)scale[(int)at] : want) + (affine > 1 ? (double)bias[(int)at] : 0.0);
        const double error = 1e-5 * (1.0 + fabs(factor)) * 4.0;
        bad += !test_close(y[i], want, error) || !test_close(means[group], mean, 1e-5) ||
               !test_close(factors[group], factor, 1e-4 * factor);
    }
    TEST_CHECK(bad == 0, "%d of %ld, kind %ld", bad, (long)count, (long)p.kind);
    ew_normalize_f32(x, affine > 0 ? scale : NULL, affine > 1 ? bias : NULL, x, NULL, NULL, &p);
    TEST_CHECK(memcmp(x, y, (size_t)count * sizeof *x) == 0, "in place differs");
}

static void check_zeros(void)
{
    static const ew_normalize_f32_params l2 = {
        .inner_rank = 1, .inner_dims = {5}, .inner_strides = {1}, .kind = EW_NORMALIZE_L2};
    const float x[5] = {0};
    float y[5];
    ew_normalize_f32(x, NULL, NULL, y, NULL, NULL, &l2);
    TEST_CHECK(memcmp(x, y, sizeof x) == 0, "zeros do not stay");
}

static void check_lrn(void)
{
    static const float betas[] = {0.75f, 0.5f, 1.0f};
    const ew_lrn_f32_params p = {test_int(1, 3), test_int(1, 9), test_int(1, 4), test_int(0, 3), test_int(0, 3),
                                 0.3f, betas[test_int(0, 2)], 1.5f};
    const int32_t count = p.outer * p.channels * p.inner;
    test_reset();
    const float *x = test_random_buffer(count);
    float *y = test_buffer(count);
    ew_lrn_f32(x, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i / p.inner % p.channels;
        double sum = 0;
        for (int32_t d = c - p.before; d <= c + p.after; ++d) {
            const double value = d >= 0 && d < p.channels ? (double)x[i + (d - c) * p.inner] : 0.0;
            sum += value * value;
        }
        const double want = (double)x[i] / pow((double)p.bias + (double)p.alpha * sum, (double)p.beta);
        bad += !test_close(y[i], want, 1e-6);
    }
    TEST_CHECK(bad == 0, "%d of %ld", bad, (long)count);
}

static void check_lp_pool(void)
{
    ew_lp_pool2d_f32_params p = {0};
    p.batch = test_int(1, 2);
    p.in_h = test_int(1, 7);
    p.in_w = test_int(1, 7);
    p.channels = test_int(1, 3);
    p.kernel_h = test_int(1, 3);
    p.kernel_w = test_int(1, 3);
    p.stride_h = test_int(1, 2);
    p.stride_w = test_int(1, 2);
    p.dilation_h = test_int(1, 2);
    p.dilation_w = test_int(1, 2);
    p.pad_top = test_int(0, 2);
    p.pad_left = test_int(0, 2);
    p.p = test_int(1, 3);
    p.out_h = (p.in_h + p.pad_top - 1) / p.stride_h + 1; /* some windows end behind the image */
    p.out_w = (p.in_w + p.pad_left - 1) / p.stride_w + 1;
    test_activation(&p.act_min, &p.act_max);
    test_reset();
    const float *x = test_random_buffer(p.batch * p.in_h * p.in_w * p.channels);
    const int32_t count = p.batch * p.out_h * p.out_w * p.channels;
    float *y = test_buffer(count);
    ew_lp_pool2d_f32(x, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p.channels, ox = i / p.channels % p.out_w, oy = i / p.channels / p.out_w % p.out_h;
        const int32_t n = i / p.channels / p.out_w / p.out_h;
        double sum = 0;
        for (int32_t tap = 0; tap < p.kernel_h * p.kernel_w; ++tap) {
            const int32_t iy = oy * p.stride_h - p.pad_top + tap / p.kernel_w * p.dilation_h;
            const int32_t ix = ox * p.stride_w - p.pad_left + tap % p.kernel_w * p.dilation_w;
            if (iy >= 0 && iy < p.in_h && ix >= 0 && ix < p.in_w) {
                sum += pow(fabs((double)x[((n * p.in_h + iy) * p.in_w + ix) * p.channels + c]), (double)p.p);
            }
        }
        bad += !test_close(y[i], test_clamp(pow(sum, 1.0 / p.p), p.act_min, p.act_max), 1e-6 + 1e-5 * pow(sum, 1.0 / p.p));
    }
    TEST_CHECK(bad == 0, "%d of %ld, p %ld", bad, (long)count, (long)p.p);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        check_normalize(12);
        check_lrn();
        check_lp_pool();
    }
    for (int i = 0; i < 3; ++i) {
        check_normalize(300);
    }
    check_zeros();
    return test_end();
}
