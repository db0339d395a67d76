/* ew_softmax_q against the definition, bit for bit. */
#include "ew_softmax_q.h"
#include "ew_test_q.h"

static void check(void)
{
    ew_softmax_q_params p = {.rows = test_int(1, 5), .axis = test_int(1, 40)};
    p.x_type = test_int(0, 1) ? EW_QS8 : EW_QU8;
    p.y_type = test_q_type();
    p.y_scale = (p.y_type == EW_QS16 ? 0x1p-15f : 0x1p-8f) * (test_int(0, 1) ? 1.0f : 1.1f);
    p.y_zero = test_int(0, 1) ? test_q_low(p.y_type) : test_q_zero(p.y_type);
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    const int32_t count = p.rows * p.axis;
    const double x_scale = test_int(0, 1) ? 0.1 : 0.004;
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, count);
    float *table = (float *)test_q_bytes(4 * 256, 4);
    for (int32_t d = 0; d < 256; ++d) {
        table[d] = (float)exp(-x_scale * d);
    }
    void *y = test_q_output(p.y_type, count);
    ew_softmax_q(x, table, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t row = 0; row < p.rows; ++row) {
        int32_t largest = -1000;
        for (int32_t i = 0; i < p.axis; ++i) {
            const int32_t x_i = test_q_get(p.x_type, x, row * p.axis + i);
            largest = x_i > largest ? x_i : largest;
        }
        volatile float sum = 0.0f;
        for (int32_t i = 0; i < p.axis; ++i) {
            sum = sum + table[largest - test_q_get(p.x_type, x, row * p.axis + i)];
        }
        for (int32_t i = row * p.axis; i < (row + 1) * p.axis; ++i) {
            const volatile float share = table[largest - test_q_get(p.x_type, x, i)] / sum;
            const volatile float steps = share / p.y_scale;
            bad += test_q_get(p.y_type, y, i) != test_q_round(steps, p.y_zero, p.act_min, p.act_max);
        }
    }
    TEST_CHECK(bad == 0, "%d of %ld, types %ld %ld", bad, (long)count, (long)p.x_type, (long)p.y_type);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 100; ++i) {
        check();
    }
    return test_end();
}
