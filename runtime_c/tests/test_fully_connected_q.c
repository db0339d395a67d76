/* ew_fully_connected_q against the definition, bit for bit. */
#include "ew_fully_connected_q.h"
#include "ew_test_q.h"

typedef void kernel(const void *x, const void *w, const int32_t *bias, const float *scale, void *y,
                    const ew_fully_connected_q_params *p);

static void run(const void *x, const void *w, const int32_t *bias, const float *scale, void *y,
                const ew_fully_connected_q_params *p)
{
    ew_fully_connected_q(x, w, bias, scale, y, p);
}

#define WEIGHTS_MAX 8192
static int32_t weights[WEIGHTS_MAX]; /* [out][in] */
static uint8_t stream[2 * WEIGHTS_MAX];

/* The stream of ew_rows_q.h, by the position of each weight. Returns its bytes. */
static int32_t pack(const ew_fully_connected_q_params *p)
{
    const int32_t in = p->in_features, out = p->out_features, half_bytes = p->w_type == EW_QS4;
    const int32_t block = p->rows == 1 && !p->wide ? 8 : 4;
    const int32_t tiled = out / block * block;
    const int32_t row = half_bytes ? (in + 1) / 2 * 2 : in; /* of an output that is left over */
    const int32_t elements = tiled * in + (out - tiled) * row;
    memset(stream, 0, sizeof stream);
    for (int32_t o = 0; o < out; ++o) {
        for (int32_t i = 0; i < in; ++i) {
            const int32_t in_block = (o / block * in + i) * block + o % block;
            const int32_t at = o < tiled ? in_block : tiled * in + (o - tiled) * row + i;
            const int32_t w = weights[o * in + i];
            if (half_bytes) {
                stream[at / 2] = (uint8_t)(stream[at / 2] | (w & 15) << at % 2 * 4);
            } else {
                test_q_set(p->w_type, stream, at, w);
            }
        }
    }
    return half_bytes ? elements / 2 : p->w_type == EW_QS16 ? 2 * elements : elements;
}

static void check(ew_fully_connected_q_params *p, kernel *function)
{
    const int32_t in = p->in_features, out = p->out_features;
    const int32_t x_reach = p->x_type == EW_QS16 ? 32768 : p->x_type == EW_QU8 ? 255 : 128;
    test_q_reset();
    const void *x = test_q_tensor(p->x_type, p->rows * in);
    int32_t *bias = (int32_t *)test_q_bytes(4 * out, 4), *folded = (int32_t *)test_q_bytes(4 * out, 4);
    float *scale = (float *)test_q_bytes(4 * out, 4);
    for (int32_t o = 0; o < out; ++o) {
        int64_t sum = 0, magnitude = 0;
        for (int32_t i = 0; i < in; ++i) {
            weights[o * in + i] = test_q_value(p->w_type);
            sum += weights[o * in + i];
            magnitude += weights[o * in + i] < 0 ? -weights[o * in + i] : weights[o * in + i];
        }
        bias[o] = test_int(-50000, 50000);
        const int64_t start = bias[o] - p->x_zero * sum;
        p->wide = p->wide || magnitude * x_reach + (start < 0 ? -start : start) > INT32_MAX;
        folded[o] = (int32_t)start;
        scale[o] = test_q_scale(p->y_type, (double)x_reach * (double)magnitude * 0.3);
        p->wide = p->wide || scale[o] < 0x1p-24f || scale[o] >= 32.0f;
    }
    const int32_t bytes = pack(p);
    void *w = test_q_bytes(bytes, 4);
    memcpy(w, stream, (size_t)bytes);
    void *y = test_q_output(p->y_type, p->rows * out);
    function(x, w, p->wide ? bias : folded, scale, y, p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < p->rows * out; ++i) {
        int64_t sum = bias[i % out];
        for (int32_t j = 0; j < in; ++j) {
            sum += (int64_t)(test_q_get(p->x_type, x, i / out * in + j) - p->x_zero) * weights[i % out * in + j];
        }
        bad += test_q_get(p->y_type, y, i) !=
               test_q_requantize(sum, scale[i % out], p->y_zero, p->act_min, p->act_max);
    }
    TEST_CHECK(bad == 0, "%d of %ld outputs; %ld rows %ld in %ld out, types %ld %ld %ld, zero %ld, wide %ld", bad,
               (long)(p->rows * out), (long)p->rows, (long)in, (long)out, (long)p->x_type, (long)p->w_type,
               (long)p->y_type, (long)p->x_zero, (long)p->wide);
}

static ew_fully_connected_q_params random_params(void)
{
    static const int32_t w_types[] = {EW_QS8, EW_QS8, EW_QS4, EW_QS16};
    ew_fully_connected_q_params p;
    p.rows = test_int(0, 1) ? 1 : test_int(2, 7);
    p.in_features = test_int(1, 70);
    p.out_features = test_int(1, 40);
    p.x_type = test_q_type();
    p.w_type = w_types[test_int(0, 3)];
    p.y_type = test_q_type();
    p.wide = test_int(0, 5) == 0;
    p.x_zero = test_q_zero(p.x_type);
    p.y_zero = test_q_zero(p.y_type);
    test_q_activation(p.y_type, &p.act_min, &p.act_max);
    return p;
}

/* A layer with literal parameters, as the generated code has them. */
#define LITERAL(name, ...)                                                                                   \
    static const ew_fully_connected_q_params name##_p = {__VA_ARGS__};                                       \
    static void name(const void *x, const void *w, const int32_t *bias, const float *scale, void *y,         \
                     const ew_fully_connected_q_params *p)                                                   \
    {                                                                                                        \
        (void)p;                                                                                             \
        ew_fully_connected_q(x, w, bias, scale, y, &name##_p);                                               \
    }

LITERAL(one_row, 1, 70, 27, EW_QS8, EW_QS8, EW_QS8, 0, -128, -128, -128, 127)
LITERAL(rows, 5, 33, 14, EW_QU8, EW_QS8, EW_QU8, 0, 0, 0, 0, 255)
LITERAL(half_bytes, 1, 31, 19, EW_QS8, EW_QS4, EW_QS8, 0, 3, 4, -128, 127)

static void check_literal(const ew_fully_connected_q_params *literal, kernel *function)
{
    ew_fully_connected_q_params p = *literal;
    check(&p, function);
    TEST_CHECK(p.wide == literal->wide, "a literal layer must have sums that fit");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 400; ++i) {
        ew_fully_connected_q_params p = random_params();
        check(&p, run);
    }
    check_literal(&one_row_p, one_row);
    check_literal(&rows_p, rows);
    check_literal(&half_bytes_p, half_bytes);
    return test_end();
}
