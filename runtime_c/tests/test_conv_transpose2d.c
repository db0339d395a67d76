/* ew_conv_transpose2d_f32 against the scatter form of the definition in double precision. */
#include "ew_conv_transpose2d_f32.h"
#include "ew_test.h"

#define OUTPUTS_MAX 12000

static test_sum sums[OUTPUTS_MAX];

/* Every input adds to the outputs it reaches: the other way round than the kernel. */
static void reference(const float *x, const float *w, const float *bias, const ew_conv2d_f32_params *p)
{
    const int32_t group_in = p->in_c / p->groups, group_out = p->out_c / p->groups;
    const int32_t outputs = p->batch * p->out_h * p->out_w * p->out_c;
    for (int32_t i = 0; i < outputs; ++i) {
        sums[i] = (test_sum){0};
        test_add(&sums[i], bias ? (double)bias[i % p->out_c] : 0.0);
    }
    for (int32_t at = 0; at < p->batch * p->in_h * p->in_w * p->in_c; ++at) {
        const int32_t c = at % p->in_c, ix = at / p->in_c % p->in_w, iy = at / p->in_c / p->in_w % p->in_h;
        const int32_t n = at / p->in_c / p->in_w / p->in_h;
        for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; ++tap) {
            const int32_t oy = iy * p->stride_h - p->pad_top + tap / p->kernel_w * p->dilation_h;
            const int32_t ox = ix * p->stride_w - p->pad_left + tap % p->kernel_w * p->dilation_w;
            if (oy < 0 || oy >= p->out_h || ox < 0 || ox >= p->out_w) {
                continue;
            }
            for (int32_t j = 0; j < group_out; ++j) {
                const int32_t o = c / group_in * group_out + j;
                test_add(&sums[((n * p->out_h + oy) * p->out_w + ox) * p->out_c + o],
                         (double)x[at] * (double)w[(o * p->kernel_h * p->kernel_w + tap) * group_in + c % group_in]);
            }
        }
    }
}

static void check(const ew_conv2d_f32_params *p)
{
    const int32_t inputs = p->batch * p->in_h * p->in_w * p->in_c;
    const int32_t outputs = p->batch * p->out_h * p->out_w * p->out_c;
    test_reset();
    float *x = test_random_buffer(inputs);
    float *w = test_random_buffer(p->out_c * p->kernel_h * p->kernel_w * (p->in_c / p->groups));
    float *bias = test_int(0, 3) ? test_random_buffer(p->out_c) : NULL;
    float *y = test_buffer(outputs);
    test_maybe_nan(x, inputs);
    ew_conv_transpose2d_f32(x, w, bias, y, p);
    test_guards();
    reference(x, w, bias, p);
    int bad = 0;
    for (int32_t i = 0; i < outputs; ++i) {
        bad += !test_close(y[i], test_clamp(sums[i].value, p->act_min, p->act_max), test_sum_error(&sums[i]));
    }
    TEST_CHECK(
        bad == 0,
        "%d of %ld outputs; in %ldx%ldx%ld kernel %ldx%ld stride %ld,%ld dilation %ld,%ld pad %ld,%ld groups %ld", bad,
        (long)outputs, (long)p->in_h, (long)p->in_w, (long)p->in_c, (long)p->kernel_h, (long)p->kernel_w,
        (long)p->stride_h, (long)p->stride_w, (long)p->dilation_h, (long)p->dilation_w, (long)p->pad_top,
        (long)p->pad_left, (long)p->groups);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        ew_conv2d_f32_params p;
        p.batch = test_int(1, 2);
        p.groups = test_int(1, 3);
        p.in_c = p.groups * test_int(1, 5);
        p.out_c = p.groups * test_int(1, 9);
        p.in_h = test_int(1, 5);
        p.in_w = test_int(1, 5);
        p.out_h = test_int(1, 9);
        p.out_w = test_int(1, 9);
        p.kernel_h = test_int(1, 4);
        p.kernel_w = test_int(1, 4);
        p.stride_h = test_int(1, 3);
        p.stride_w = test_int(1, 3);
        p.dilation_h = test_int(1, 2);
        p.dilation_w = test_int(1, 2);
        p.pad_top = test_int(-1, 3);
        p.pad_left = test_int(-1, 3);
        test_activation(&p.act_min, &p.act_max);
        check(&p);
    }
    return test_end();
}
