/* ew_add_q and ew_mul_q against the definition, bit for bit, with broadcasting. */
#include "ew_add_q.h"
#include "ew_mul_q.h"
#include "ew_test_q.h"

static int32_t sum_of(int32_t a, int32_t b, const ew_binary_q_params *p)
{
    const volatile float left = (float)(a - p->a_zero) * p->a_scale;
    const volatile float right = (float)(b - p->b_zero) * p->b_scale;
    const volatile float both = left + right;
    const volatile float steps = both / p->y_scale;
    return test_q_round(steps, p->y_zero, p->act_min, p->act_max);
}

static int32_t product_of(int32_t a, int32_t b, const ew_binary_q_params *p)
{
    const int64_t product = (int64_t)(a - p->a_zero) * (b - p->b_zero);
    return test_q_requantize(product, p->scale, p->y_zero, p->act_min, p->act_max);
}

/* By integers: floor of the quotient, written without a shift of a negative number. */
static int32_t shifted_sum_of(int32_t a, int32_t b, const ew_binary_q_params *p)
{
    const double sum = (double)a * p->a_factor + (double)b * p->b_factor + (double)p->offset;
    return test_q_clamp(floor(ldexp(sum, -p->shift)), p->act_min, p->act_max);
}

static ew_binary_q_params random_params(void)
{
    ew_binary_q_params p = {.rank = 3};
    for (int32_t axis = 0; axis < 3; ++axis) {
        p.dims[axis] = test_int(1, axis == 2 ? 20 : 4);
    }
    p.a_type = test_q_type();
    p.b_type = test_q_type();
    p.y_type = test_q_type();
    p.a_zero = test_q_zero(p.a_type);
    p.b_zero = test_q_zero(p.b_type);
    p.y_zero = test_q_zero(p.y_type);
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    p.a_scale = 0.001f + fabsf(test_float());
    p.b_scale = test_float();
    p.y_scale = test_q_scale(EW_QS8, 300.0) * (p.y_type == EW_QS16 ? 0.02f : 1.0f) *
                (p.a_type == EW_QS16 || p.b_type == EW_QS16 ? 100.0f : 1.0f);
    return p;
}

static void check(ew_binary_q_params *p, int mul)
{
    int32_t a_count = 1, b_count = 1, count = 1;
    for (int32_t axis = 2; axis >= 0; --axis) {
        const int32_t a_whole = test_int(0, 3) != 0, b_whole = test_int(0, 3) != 0;
        p->a_strides[axis] = a_whole ? a_count : 0;
        p->b_strides[axis] = b_whole ? b_count : 0;
        a_count *= a_whole ? p->dims[axis] : 1;
        b_count *= b_whole ? p->dims[axis] : 1;
        count *= p->dims[axis];
    }
    const double a_reach = p->a_type == EW_QS16 ? 65536.0 : 256.0, b_reach = p->b_type == EW_QS16 ? 65536.0 : 256.0;
    p->wide = test_int(0, 4) == 0 || a_reach * b_reach > 2147483647.0;
    p->scale = test_q_scale(p->y_type, a_reach * b_reach * 0.2);
    test_q_reset();
    const void *a = test_q_tensor(p->a_type, a_count), *b = test_q_tensor(p->b_type, b_count);
    void *y = test_q_output(p->y_type, count);
    if (mul) {
        ew_mul_q(a, b, y, p);
    } else {
        ew_add_q(a, b, y, p);
    }
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t index[3] = {i / p->dims[2] / p->dims[1], i / p->dims[2] % p->dims[1], i % p->dims[2]};
        int32_t a_at = 0, b_at = 0;
        for (int axis = 0; axis < 3; ++axis) {
            a_at += index[axis] * p->a_strides[axis];
            b_at += index[axis] * p->b_strides[axis];
        }
        const int32_t a_i = test_q_get(p->a_type, a, a_at), b_i = test_q_get(p->b_type, b, b_at);
        const int32_t want = mul        ? product_of(a_i, b_i, p)
                             : p->shift ? shifted_sum_of(a_i, b_i, p)
                                        : sum_of(a_i, b_i, p);
        bad += test_q_get(p->y_type, y, i) != want;
    }
    TEST_CHECK(bad == 0, "%d of %ld; types %ld %ld %ld%s", bad, (long)count, (long)p->a_type, (long)p->b_type,
               (long)p->y_type, mul ? " mul" : p->shift ? " add by integers" : " add");
}

/* y may be a. */
static void check_in_place(void)
{
    static const ew_binary_q_params p = {.rank = 1,
                                         .dims = {77},
                                         .a_strides = {1},
                                         .b_strides = {1},
                                         .a_type = EW_QS8,
                                         .b_type = EW_QS8,
                                         .y_type = EW_QS8,
                                         .a_zero = 3,
                                         .b_zero = -4,
                                         .y_zero = 5,
                                         .a_scale = 0.25f,
                                         .b_scale = 0.125f,
                                         .y_scale = 0.3f,
                                         .act_min = -128,
                                         .act_max = 127};
    test_q_reset();
    void *a = test_q_tensor(EW_QS8, 77);
    const void *b = test_q_tensor(EW_QS8, 77);
    int32_t want[77], bad = 0;
    for (int32_t i = 0; i < 77; ++i) {
        want[i] = sum_of(test_q_get(EW_QS8, a, i), test_q_get(EW_QS8, b, i), &p);
    }
    ew_add_q(a, b, a, &p);
    test_q_guards();
    for (int32_t i = 0; i < 77; ++i) {
        bad += test_q_get(EW_QS8, a, i) != want[i];
    }
    TEST_CHECK(bad == 0, "%ld in place", (long)bad);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 400; ++i) {
        ew_binary_q_params p = random_params();
        check(&p, i % 2);
        if (p.a_type != EW_QS16 && p.b_type != EW_QS16) {
            p.shift = test_int(1, 20);
            p.a_factor = test_int(-1000000, 1000000);
            p.b_factor = test_int(-1000000, 1000000);
            p.offset = test_int(-400000000, 400000000);
            check(&p, 0);
        }
    }
    check_in_place();
    return test_end();
}
