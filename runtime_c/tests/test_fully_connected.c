/* ew_fully_connected_f32 against the definition in double precision. */
#include "ew_fully_connected_f32.h"
#include "ew_test.h"

typedef void kernel(const float *x, const float *w, const float *bias, float *y,
                    const ew_fully_connected_f32_params *p);

static void run_any(const float *x, const float *w, const float *bias, float *y, const ew_fully_connected_f32_params *p)
{
    ew_fully_connected_f32(x, w, bias, y, p);
}

static void check(const ew_fully_connected_f32_params *p, kernel *run)
{
    test_reset();
    float *x = test_random_buffer(p->rows * p->in_features);
    float *w = test_random_buffer(p->out_features * p->in_features);
    float *bias = test_int(0, 3) ? test_random_buffer(p->out_features) : NULL;
    float *y = test_buffer(p->rows * p->out_features);
    test_maybe_nan(x, p->rows * p->in_features);
    run(x, w, bias, y, p);
    test_guards();
    int bad = 0;
    for (int32_t r = 0; r < p->rows; ++r) {
        for (int32_t o = 0; o < p->out_features; ++o) {
            test_sum sum = {0};
            test_add(&sum, bias ? (double)bias[o] : 0.0);
            for (int32_t i = 0; i < p->in_features; ++i) {
                test_add(&sum, (double)x[r * p->in_features + i] * (double)w[o * p->in_features + i]);
            }
            bad += !test_close(y[r * p->out_features + o], test_clamp(sum.value, p->act_min, p->act_max),
                               test_sum_error(&sum));
        }
    }
    TEST_CHECK(bad == 0, "%d outputs; %ldx%ld to %ld", bad, (long)p->rows, (long)p->in_features, (long)p->out_features);
}

/* Literal parameters, as the generated code has them. */
#define LITERAL(name, ...)                                                        \
    static const ew_fully_connected_f32_params name##_p = {__VA_ARGS__};          \
    static void name(const float *x, const float *w, const float *bias, float *y, \
                     const ew_fully_connected_f32_params *p)                      \
    {                                                                             \
        (void)p;                                                                  \
        ew_fully_connected_f32(x, w, bias, y, &name##_p);                         \
    }

LITERAL(one_row, 1, 640, 128, 0.0f, INFINITY)
LITERAL(odd, 1, 65, 10, -INFINITY, INFINITY)
LITERAL(rows, 7, 33, 11, -0.5f, 0.5f)

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        ew_fully_connected_f32_params p = {test_int(1, 10), test_int(1, 70), test_int(1, 21), 0.0f, 0.0f};
        test_activation(&p.act_min, &p.act_max);
        check(&p, run_any);
    }
    for (int i = 0; i < 4; ++i) {
        check(&one_row_p, one_row);
        check(&odd_p, odd);
        check(&rows_p, rows);
    }
    return test_end();
}
