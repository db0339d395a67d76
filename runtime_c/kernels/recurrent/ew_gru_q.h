/* Gated recurrent unit, integers. */
#ifndef EW_GRU_Q_H
#define EW_GRU_Q_H

#include "ew_base.h"
#include "ew_recurrent_q.h"

/* The buffers of a layer. */
typedef struct {
    int32_t *u;              /* [4][hidden]: update, reset, candidate; what h gives the candidate */
    int32_t *exact;          /* [hidden]: the state in 2^-20 */
    int16_t *x, *h, *reset;  /* [input], the state as y has it [hidden], reset * h [hidden] */
} ew_gru_q_buffers;

/* One step: weights, multipliers and bias are those of the direction. */
EW_INLINE void ew_gru_step_q(ew_recurrent_rows *rows, const int8_t *restrict weights,
                             const int32_t *restrict multipliers, const int64_t *restrict bias,
                             const uint16_t *restrict table, const ew_gru_q_buffers *at, ew_scale y_scale,
                             const ew_recurrent_q_params *p)
{
    const int32_t n = p->hidden;
    int32_t *u = at->u;
    const int32_t *last = multipliers + 4 * n;
    weights = rows(at->x, p->input, at->h, n, weights, multipliers, bias, p->shift, 2 * n, u);
    if (p->linear_before_reset) {
        weights = rows(at->x, p->input, at->h, 0, weights, last, bias + 2 * n, p->shift, n, u + 2 * n);
        rows(at->x, 0, at->h, n, weights, last, bias + 3 * n, p->shift, n, u + 3 * n);
    } else {
        for (int32_t j = 0; j < n; ++j) {
            const int32_t gate = ew_logistic_q(u[n + j], table);
            const int64_t product = (int64_t)gate * (at->h[j] - p->y_zero);
            at->reset[j] = (int16_t)((product + ((int64_t)1 << (p->reset_shift - 1))) >> p->reset_shift);
        }
        rows(at->x, p->input, at->reset, n, weights, last, bias + 2 * n, p->shift, n, u + 2 * n);
    }
    for (int32_t j = 0; j < n; ++j) {
        int32_t sum = u[2 * n + j];
        if (p->linear_before_reset) {
            sum += (int32_t)(((int64_t)ew_logistic_q(u[n + j], table) * u[3 * n + j] + (1 << 16)) >> 17);
        }
        const int32_t update = ew_logistic_q(u[j], table);
        const int32_t candidate = ew_tanh_q(sum, table);
        at->exact[j] = ew_state_next_q(update, at->exact[j], (int64_t)((1 << 17) - update) * (candidate * 16));
        at->h[j] = (int16_t)ew_requantize_by(at->exact[j], y_scale, p->y_zero, p->act_min, p->act_max);
    }
}

EW_INLINE void ew_gru_layer_q(ew_recurrent_rows *rows, const void *restrict x, const int8_t *restrict weights,
                              const int32_t *restrict multipliers, const int64_t *restrict bias,
                              const uint16_t *restrict table, const float *restrict initial_h, void *restrict scratch,
                              void *restrict y, void *restrict y_h, float *restrict y_exact,
                              const ew_recurrent_q_params *p)
{
    const int32_t n = p->hidden;
    ew_gru_q_buffers at;
    at.u = (int32_t *)scratch;
    at.exact = at.u + 4 * n;
    at.x = (int16_t *)(at.exact + n);
    at.h = at.x + ew_recurrent_padded_q(p->input);
    at.reset = at.h + ew_recurrent_padded_q(n);
    const ew_scale y_scale = ew_scale_of(p->y_scale);
    for (int32_t d = 0; d < p->directions; ++d) {
        const int32_t backwards = d == 0 ? p->backwards : 1;
        for (int32_t b = 0; b < p->batch; ++b) {
            const int32_t state = d * p->h_direction + b * p->h_batch;
            for (int32_t j = 0; j < n; ++j) {
                at.exact[j] = initial_h ? ew_state_from_float_q(initial_h[state + j]) : 0;
                at.h[j] = (int16_t)ew_requantize_by(at.exact[j], y_scale, p->y_zero, p->act_min, p->act_max);
            }
            for (int32_t s = 0; s < p->steps; ++s) {
                const int32_t t = backwards ? p->steps - 1 - s : s;
                ew_recurrent_widen_q(p->x_type, ew_at_q(p->x_type, x, t * p->x_step + b * p->x_batch), at.x, p->input);
                ew_gru_step_q(rows, weights + d * p->weights_direction, multipliers + d * 6 * n, bias + d * 4 * n,
                              table, &at, y_scale, p);
                if (y) {
                    ew_recurrent_store_q(p->y_type, at.h, y, t * p->y_step + d * p->y_direction + b * p->y_batch, n);
                }
            }
            if (y_h) {
                ew_recurrent_store_q(p->y_type, at.h, y_h, state, n);
            }
            for (int32_t j = 0; y_exact && j < n; ++j) {
                y_exact[state + j] = ew_state_to_float_q(at.exact[j]);
            }
        }
    }
}

/* x [steps][batch][input] and y [steps][directions][batch][hidden] in the order that the strides say. For each
 * direction: weights, streams of ew_recurrent_rows_q: the 2 * hidden rows of update and reset gate, then those of the
 * candidate (linear_before_reset: first all of x, then all of h); multipliers [3 * hidden][2]; bias [4 * hidden]: three
 * gates, and what h adds to the candidate's where linear_before_reset. table [385]. initial_h, float32
 * [directions][batch][hidden], or NULL (0). scratch: 20 * hidden bytes, then 2 * input, 2 * hidden and 2 * hidden, each
 * rounded up to 16. y_scale is 2^-20 / the scale of y. y, and the last state, y_h as y has it and y_exact as float32
 * [directions][batch][hidden], may each be NULL. Buffers do not overlap. */
EW_KERNEL void ew_gru_q(const void *restrict x, const int8_t *restrict weights, const int32_t *restrict multipliers,
                        const int64_t *restrict bias, const uint16_t *restrict table, const float *restrict initial_h,
                        void *restrict scratch, void *restrict y, void *restrict y_h, float *restrict y_exact,
                        const ew_recurrent_q_params *p)
{
    ew_gru_layer_q(ew_recurrent_rows_q, x, weights, multipliers, bias, table, initial_h, scratch, y, y_h, y_exact, p);
}

#endif
