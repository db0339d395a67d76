/* ew_pad_f32, exact: every mode, pads and crops on every side. */
#include "ew_pad_f32.h"
#include "ew_test.h"

/* Walks from `at` into [0, in) step by step. */
static int32_t source(int32_t at, int32_t in, int32_t mode)
{
    while (at < 0 || at >= in) {
        if (mode == EW_PAD_CONSTANT) {
            return -1;
        }
        if (mode == EW_PAD_EDGE || in == 1) {
            at = at < 0 ? 0 : in - 1;
        } else if (mode == EW_PAD_WRAP) {
            at += at < 0 ? in : -in;
        } else {
            at = at < 0 ? -at : 2 * (in - 1) - at;
        }
    }
    return at;
}

static void check(const ew_pad_f32_params *p)
{
    int32_t in_count = 1, out_count = 1;
    for (int32_t axis = 0; axis < p->rank; ++axis) {
        in_count *= p->in_dims[axis];
        out_count *= p->out_dims[axis];
    }
    test_reset();
    float *x = test_random_buffer(in_count);
    float *y = test_buffer(out_count);
    ew_pad_f32(x, y, p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < out_count; ++i) {
        int32_t rest = i, at = 0, stride = 1, inside = 1;
        for (int32_t axis = p->rank - 1; axis >= 0; --axis) {
            const int32_t from = source(rest % p->out_dims[axis] - p->pads_before[axis], p->in_dims[axis], p->mode);
            inside = inside && from >= 0;
            at += from * stride;
            stride *= p->in_dims[axis];
            rest /= p->out_dims[axis];
        }
        bad += y[i] != (inside ? x[at] : p->value);
    }
    TEST_CHECK(bad == 0, "%d of %ld, rank %ld, mode %ld", bad, (long)out_count, (long)p->rank, (long)p->mode);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 400; ++i) {
        ew_pad_f32_params p = {0};
        p.rank = test_int(1, 4);
        p.mode = i % 4;
        p.value = test_float();
        for (int32_t axis = 0; axis < p.rank; ++axis) {
            p.in_dims[axis] = test_int(1, 5);
            p.out_dims[axis] = test_int(1, 9);
            p.pads_before[axis] = test_int(-2, 4);
        }
        check(&p);
    }
    static const ew_pad_f32_params row = {1, {3}, {7}, {2}, EW_PAD_REFLECT, 0.0f};
    static const float abc[3] = {1.0f, 2.0f, 3.0f}, want[7] = {3.0f, 2.0f, 1.0f, 2.0f, 3.0f, 2.0f, 1.0f};
    float y[7];
    ew_pad_f32(abc, y, &row);
    TEST_CHECK(memcmp(y, want, sizeof y) == 0, "reflect of 1 2 3 by 2");
    return test_end();
}
