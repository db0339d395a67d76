/* What the integer recurrent layers share: parameters, sums of gates, the hyperbolic tangent, states. Arithmetic:
 * docs/ARITHMETIC.md, "Recurrent layers". Integers only, but for a state's way to y, and float32 states in and out.
 *
 * Fixed point: a sum u that goes into an activation counts 2^-16; an activation, 2^-16 (a logistic one 2^-17, because
 * logistic(2 u) = (1 + tanh(u)) / 2); the cell and the state of a GRU, 2^-20. */
#ifndef EW_RECURRENT_Q_H
#define EW_RECURRENT_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_requantize.h"
#include "ew_rows_q.h" /* EW_ROLLED */

#define EW_RECURRENT_Q_BLOCK 8 /* rows */

/* Sizes are >= 1, strides in elements. Where a layer has two directions, the second one runs from the last step to the
 * first; `backwards` is about the first (or only) direction. */
typedef struct {
    int32_t steps, batch, input, hidden;
    int32_t directions; /* 1 or 2 */
    int32_t backwards;  /* 1: the first direction runs from the last step to the first */
    int32_t x_step, x_batch;
    int32_t y_step, y_direction, y_batch;
    int32_t h_direction, h_batch; /* of initial and last states */
    int32_t weights_direction;    /* bytes of a direction's weights */
    int32_t x_type, y_type;       /* ew_qtype; states in integers are of y's */
    int32_t y_zero, act_min, act_max;
    float y_scale;               /* from a state's fixed point to steps of y, > 0 */
    int32_t shift;               /* 1..62: from the scaled sums to u */
    int32_t linear_before_reset; /* GRU: 1: the reset gate is applied behind the product */
    int32_t reset_shift;         /* GRU, else: 17 - the bits that reset * h keeps below a step of h */
} ew_recurrent_q_params;

/* acc[o] += x * w[o] */
EW_INLINE void ew_recurrent_step_q(int32_t x, const int8_t *w, int32_t outs, int32_t *acc)
{
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        acc[o] += x * w[o];
    }
}

/* sum[o] = sum over i of x[i] * w[i][o]: `outs` is a literal. */
EW_INLINE void ew_recurrent_dot_q(const int16_t *x, const int8_t *w, int32_t count, int32_t outs, int32_t *sum)
{
    int32_t acc[EW_RECURRENT_Q_BLOCK] = {0};
    const int16_t *const pairs_end = x + count / 2 * 2;
    for (; x != pairs_end; x += 2) { /* no index: eight sums leave few registers */
        ew_recurrent_step_q(x[0], w, outs, acc);
        ew_recurrent_step_q(x[1], w + outs, outs, acc);
        w += 2 * outs;
    }
    if (count % 2) {
        ew_recurrent_step_q(x[0], w, outs, acc);
    }
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        sum[o] = acc[o];
    }
}

EW_SHARED void ew_recurrent_dot_block_q(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q(x, w, count, EW_RECURRENT_Q_BLOCK, sum);
}

EW_SHARED void ew_recurrent_dot_one_q(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q(x, w, count, 1, sum);
}

/* A sum of 504 products of 16 and 8 bits fits 32 bits (504 * 2^15 * 2^7 < 2^31). */
#define EW_RECURRENT_Q_CHUNK 504

/* How many of `count` elements are left to the last sum of 32 bits. */
EW_INLINE int32_t ew_recurrent_rest_q(int32_t count)
{
    return count <= EW_RECURRENT_Q_CHUNK ? count : (count - 1) % EW_RECURRENT_Q_CHUNK + 1;
}

typedef void ew_recurrent_dot(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum);

/* The sums of what is left of x after whole chunks, which go into `total` at once. Returns the weights behind. */
EW_INLINE const int8_t *ew_recurrent_sums_q(ew_recurrent_dot *dot, const int16_t *x, int32_t count, int32_t padded,
                                            const int8_t *w, int32_t outs, const int32_t *multipliers, int64_t *total,
                                            int32_t *sum)
{
    const int32_t rest = ew_recurrent_rest_q(count);
    for (int32_t left = count; left > rest; left -= EW_RECURRENT_Q_CHUNK) {
        dot(x, w, EW_RECURRENT_Q_CHUNK, sum);
        EW_ROLLED
        for (int32_t o = 0; o < outs; ++o) {
            total[o] += (int64_t)sum[o] * multipliers[2 * o];
        }
        x += EW_RECURRENT_Q_CHUNK;
        w += EW_RECURRENT_Q_CHUNK * outs;
    }
    dot(x, w, rest, sum);
    return w + (rest + padded - count) * outs;
}

/* `outs` rows: u[o] = (sum over x * multipliers[o][0] + sum over h * multipliers[o][1] + bias[o]) >> shift. */
EW_INLINE const int8_t *ew_recurrent_some_rows_q(ew_recurrent_dot *dot, int32_t outs, int32_t pad, const int16_t *x,
                                                 int32_t x_count, const int16_t *h, int32_t h_count, const int8_t *w,
                                                 const int32_t *multipliers, const int64_t *bias, int32_t shift,
                                                 int32_t *u)
{
    int64_t total[EW_RECURRENT_Q_BLOCK];
    int32_t of_x[EW_RECURRENT_Q_BLOCK], of_h[EW_RECURRENT_Q_BLOCK];
    EW_ROLLED
    for (int32_t o = 0; o < outs; ++o) {
        total[o] = bias[o];
    }
    const int32_t x_padded = (x_count + pad - 1) / pad * pad, h_padded = (h_count + pad - 1) / pad * pad;
    w = ew_recurrent_sums_q(dot, x, x_count, x_padded, w, outs, multipliers, total, of_x);
    w = ew_recurrent_sums_q(dot, h, h_count, h_padded, w, outs, multipliers + 1, total, of_h);
    EW_ROLLED
    for (int32_t o = 0; o < outs; ++o) {
        const int64_t products = (int64_t)of_x[o] * multipliers[2 * o] + (int64_t)of_h[o] * multipliers[2 * o + 1];
        u[o] = (int32_t)((total[o] + products) >> shift);
    }
    return w;
}

/* `rows` rows; returns the weights behind them. x [x_count], h [h_count]; either may be empty. weights: rows in blocks
 * of 8, then singly; for each, those of x and those of h, element by element: [x_count][8], [h_count][8]. bias holds
 * the zero points, and the half that rounds. The generator proves that sums and results fit. */
EW_SHARED const int8_t *ew_recurrent_rows_q(const int16_t *x, int32_t x_count, const int16_t *h, int32_t h_count,
                                            const int8_t *weights, const int32_t *multipliers, const int64_t *bias,
                                            int32_t shift, int32_t rows, int32_t *u)
{
    for (int32_t block = 0; block < rows / EW_RECURRENT_Q_BLOCK; ++block) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_block_q, EW_RECURRENT_Q_BLOCK, 1, x, x_count, h, h_count,
                                           weights, multipliers, bias, shift, u);
        multipliers += 2 * EW_RECURRENT_Q_BLOCK;
        bias += EW_RECURRENT_Q_BLOCK;
        u += EW_RECURRENT_Q_BLOCK;
    }
    for (int32_t left = 0; left < rows % EW_RECURRENT_Q_BLOCK; ++left) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_one_q, 1, 1, x, x_count, h, h_count, weights, multipliers,
                                           bias, shift, u);
        multipliers += 2;
        ++bias;
        ++u;
    }
    return weights;
}

/* ew_recurrent_rows_q, or a twin of it that takes other weights. */
typedef const int8_t *ew_recurrent_rows(const int16_t *x, int32_t x_count, const int16_t *h, int32_t h_count,
                                        const int8_t *weights, const int32_t *multipliers, const int64_t *bias,
                                        int32_t shift, int32_t rows, int32_t *u);

/* 2^16 * tanh(2^-16 * u), by a line between the table's values at multiples of 1/64; 1 from 6 on. */
EW_SHARED int32_t ew_tanh_q(int32_t u, const uint16_t *table)
{
    const int32_t size = u < 0 ? -u : u;
    int32_t value = 1 << 16;
    if (size < 6 << 16) {
        const int32_t at = size >> 10;
        const int32_t from = table[at];
        value = from + (((table[at + 1] - from) * (size & 1023) + 512) >> 10);
    }
    return u < 0 ? -value : value;
}

/* The logistic function of 2 u, in 2^-17. */
EW_INLINE int32_t ew_logistic_q(int32_t u, const uint16_t *table)
{
    return (1 << 16) + ew_tanh_q(u, table);
}

/* Elements that a row of 16-bit integers has room for: twins read eight at a time. */
EW_INLINE int32_t ew_recurrent_padded_q(int32_t count)
{
    return (count + 7) / 8 * 8;
}

/* A row as 16-bit integers. */
EW_INLINE void ew_recurrent_widen_q(int32_t type, const void *x, int16_t *wide, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        wide[i] = (int16_t)ew_load_q(type, x, i);
    }
}

EW_INLINE void ew_recurrent_store_q(int32_t type, const int16_t *h, void *y, int32_t at, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        ew_store_q(type, y, at + i, h[i]);
    }
}

/* States between float32 and 2^-20: rint(2^20 * x), half to even, NaN to 0, clamped to 2^30. */
#define EW_STATE_Q_LIMIT (1 << 30)

EW_INLINE int32_t ew_state_from_float_q(float x)
{
    const float scaled = x * 1048576.0f; /* exact, or infinite */
    if (!(scaled > -(float)EW_STATE_Q_LIMIT)) {
        return scaled <= -(float)EW_STATE_Q_LIMIT ? -EW_STATE_Q_LIMIT : 0;
    }
    if (scaled >= (float)EW_STATE_Q_LIMIT) {
        return EW_STATE_Q_LIMIT;
    }
    const int32_t whole = (int32_t)scaled; /* towards zero; what is left is exact */
    const float rest = scaled - (float)whole;
    const int32_t odd = whole & 1;
    return whole + (rest > 0.5f || (rest == 0.5f && odd)) - (rest < -0.5f || (rest == -0.5f && odd));
}

EW_INLINE float ew_state_to_float_q(int32_t state)
{
    return (float)state * 0x1p-20f;
}

/* The new state: (keep * state + more) / 2^17, rounded half up and clamped; keep in 0..2^17, |more| <= 2^37. */
EW_INLINE int32_t ew_state_next_q(int32_t keep, int32_t state, int64_t more)
{
    const int32_t next = (int32_t)(((int64_t)keep * state + more + (1 << 16)) >> 17); /* |next| <= 2^30 + 2^20 + 1 */
    return ew_clamp_q(next, -EW_STATE_Q_LIMIT, EW_STATE_Q_LIMIT);
}

#endif
