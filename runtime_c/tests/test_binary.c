/* ew_add_f32, ew_sub_f32, ew_mul_f32, ew_div_f32: bit for bit, with every kind of broadcast. */
#include "ew_add_f32.h"
#include "ew_div_f32.h"
#include "ew_mul_f32.h"
#include "ew_sub_f32.h"
#include "ew_test.h"

static const char *const names[] = {"add", "sub", "mul", "div"};

static void run(int op, const float *a, const float *b, float *y, const ew_binary_f32_params *p)
{
    if (op == 0) {
        ew_add_f32(a, b, y, p);
    } else if (op == 1) {
        ew_sub_f32(a, b, y, p);
    } else if (op == 2) {
        ew_mul_f32(a, b, y, p);
    } else {
        ew_div_f32(a, b, y, p);
    }
}

/* One rounding: double holds each sum, difference and product of floats closely enough, and a quotient too (Figueroa
 * 1995: twice 24 bits and 2 more make the double rounding harmless). */
static float reference(int op, float a, float b, const ew_binary_f32_params *p)
{
    const double x = (double)a, y = (double)b;
    const float v = (float)(op == 0 ? x + y : op == 1 ? x - y : op == 2 ? x * y : x / y);
    return v < p->act_min ? p->act_min : (v > p->act_max ? p->act_max : v);
}

static int32_t random_strides(const ew_binary_f32_params *p, int32_t *strides)
{
    int32_t stored = 1;
    for (int32_t axis = p->rank - 1; axis >= 0; --axis) {
        const int broadcast = test_int(0, 2) == 0;
        strides[axis] = broadcast ? 0 : stored;
        stored *= broadcast ? 1 : p->dims[axis];
    }
    return stored;
}

static void check(int op, ew_binary_f32_params *p)
{
    int32_t count = 1;
    for (int32_t axis = 0; axis < p->rank; ++axis) {
        count *= p->dims[axis];
    }
    test_reset();
    const int32_t a_count = random_strides(p, p->a_strides);
    float *a = test_random_buffer(a_count);
    float *b = test_random_buffer(random_strides(p, p->b_strides));
    float *y = test_buffer(count);
    test_maybe_nan(a, a_count);
    if (test_int(0, 3) == 0) {
        b[0] = 0.0f;
    }
    run(op, a, b, y, p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        int32_t rest = i, a_at = 0, b_at = 0;
        for (int32_t axis = p->rank - 1; axis >= 0; --axis) {
            a_at += rest % p->dims[axis] * p->a_strides[axis];
            b_at += rest % p->dims[axis] * p->b_strides[axis];
            rest /= p->dims[axis];
        }
        bad += !test_close(y[i], (double)reference(op, a[a_at], b[b_at], p), 0.0);
    }
    TEST_CHECK(bad == 0, "%s: %d of %ld outputs, rank %ld", names[op], bad, (long)count, (long)p->rank);
}

static void check_same_shape(void)
{
    static const ew_binary_f32_params p = {1, {37}, {1}, {1}, 0.0f, INFINITY};
    test_reset();
    float *a = test_random_buffer(37);
    float *y = test_buffer(37);
    a[3] = NAN;
    ew_add_f32(a, a, y, &p); /* both operands one buffer */
    test_guards();
    for (int i = 0; i < 37; ++i) {
        TEST_CHECK(test_close(y[i], (double)reference(0, a[i], a[i], &p), 0.0), "a + a at %d", i);
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 400; ++i) {
        ew_binary_f32_params p = {0};
        p.rank = test_int(1, i % 10 == 0 ? EW_MAX_RANK : 4);
        for (int32_t axis = 0; axis < p.rank; ++axis) {
            p.dims[axis] = test_int(1, p.rank > 4 ? 3 : 6);
        }
        test_activation(&p.act_min, &p.act_max);
        check(i % 4, &p);
    }
    check_same_shape();
    return test_end();
}
