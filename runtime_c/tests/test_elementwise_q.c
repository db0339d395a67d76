/* ew_table_q, ew_rescale_q, ew_quantize_q and ew_dequantize_q against the definition, bit for bit. */
#include "ew_dequantize_q.h"
#include "ew_quantize_q.h"
#include "ew_rescale_q.h"
#include "ew_table_q.h"
#include "ew_test_q.h"

#define COUNT 700

static void check_table(int32_t x_type, int32_t y_type)
{
    const ew_table_q_params p = {COUNT, x_type, y_type};
    test_q_reset();
    void *x = test_q_tensor(x_type, COUNT);
    const void *table = test_q_tensor(y_type, 256);
    void *y = test_q_output(y_type, COUNT);
    ew_table_q(x, table, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < COUNT; ++i) {
        const int32_t at = test_q_get(x_type, x, i) - test_q_low(x_type);
        bad += test_q_get(y_type, y, i) != test_q_get(y_type, table, at);
    }
    TEST_CHECK(bad == 0, "%d of a table, types %ld %ld", bad, (long)x_type, (long)y_type);
    if (y_type != EW_QS16) { /* y may be x */
        ew_table_q(x, table, x, &p);
        TEST_CHECK(memcmp(x, y, COUNT) == 0, "in place, types %ld %ld", (long)x_type, (long)y_type);
    }
}

static void check_rescale(void)
{
    ew_rescale_q_params p = {.count = COUNT, .x_type = test_q_type(), .y_type = test_q_type()};
    p.x_zero = test_q_zero(p.x_type);
    p.y_zero = test_q_zero(p.y_type);
    p.x_scale = 0.001f + fabsf(test_float());
    p.y_scale = 0.001f + fabsf(test_float()) * (p.x_type == EW_QS16 ? 100.0f : 1.0f);
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, COUNT);
    void *y = test_q_output(p.y_type, COUNT);
    ew_rescale_q(x, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < COUNT; ++i) {
        const volatile float real = (float)(test_q_get(p.x_type, x, i) - p.x_zero) * p.x_scale;
        const volatile float steps = real / p.y_scale;
        bad += test_q_get(p.y_type, y, i) != test_q_round(steps, p.y_zero, p.act_min, p.act_max);
    }
    TEST_CHECK(bad == 0, "%d rescaled, types %ld %ld", bad, (long)p.x_type, (long)p.y_type);
}

static void check_quantize(void)
{
    static const float ends[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0.0f, -0.0f, FLT_MIN, 1e-45f};
    ew_quantize_q_params p = {.count = COUNT, .y_type = test_q_type(), .scale = 0.001f + fabsf(test_float())};
    p.zero = test_q_zero(p.y_type);
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    test_q_reset();
    float *x = (float *)test_q_bytes(4 * COUNT, 4);
    void *y = test_q_output(p.y_type, COUNT);
    for (int32_t i = 0; i < COUNT; ++i) {
        const float halves = (float)test_int(-600, 600) * 0.5f * p.scale;
        x[i] = i < 9 ? ends[i] : test_int(0, 1) ? halves : test_float() * 300.0f * p.scale;
    }
    ew_quantize_q(x, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < COUNT; ++i) {
        const volatile float steps = isnan(x[i]) ? 0.0f : x[i] / p.scale;
        const float bounded = steps > 1e6f ? 1e6f : steps < -1e6f ? -1e6f : steps;
        bad += test_q_get(p.y_type, y, i) != test_q_round(bounded, p.zero, p.act_min, p.act_max);
    }
    TEST_CHECK(bad == 0, "%d quantized, type %ld, scale %g", bad, (long)p.y_type, (double)p.scale);
}

static void check_dequantize(void)
{
    ew_dequantize_q_params p = {.count = COUNT, .x_type = test_q_type(), .scale = 0.001f + fabsf(test_float())};
    p.zero = test_q_zero(p.x_type);
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, COUNT);
    float *y = (float *)test_q_bytes(4 * COUNT, 4);
    ew_dequantize_q(x, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < COUNT; ++i) {
        const float want = (float)(test_q_get(p.x_type, x, i) - p.zero) * p.scale;
        bad += y[i] != want;
    }
    TEST_CHECK(bad == 0, "%d dequantized, type %ld", bad, (long)p.x_type);
}

int main(int argc, char **argv)
{
    static const int32_t types[] = {EW_QS8, EW_QU8, EW_QS16};
    test_begin(argc, argv);
    for (int i = 0; i < 6; ++i) {
        check_table(types[i % 2], types[i / 2]);
    }
    for (int i = 0; i < 30; ++i) {
        check_rescale();
        check_quantize();
        check_dequantize();
    }
    return test_end();
}
