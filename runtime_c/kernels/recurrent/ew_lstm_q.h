/* Long short-term memory, integers. */
#ifndef EW_LSTM_Q_H
#define EW_LSTM_Q_H

#include "ew_base.h"
#include "ew_recurrent_q.h"

/* The sums of one step become the new cell and the new state. u [4][n]: input, output, forget, cell. */
EW_INLINE void ew_lstm_cell_q(const int32_t *restrict u, const uint16_t *restrict table, int16_t *restrict h,
                              int32_t *restrict c, ew_scale y_scale, const ew_recurrent_q_params *p)
{
    const int32_t n = p->hidden;
    for (int32_t j = 0; j < n; ++j) {
        const int32_t in = ew_logistic_q(u[j], table);
        const int32_t out = ew_logistic_q(u[n + j], table);
        const int32_t forget = ew_logistic_q(u[2 * n + j], table);
        const int32_t cell = ew_tanh_q(u[3 * n + j], table);
        c[j] = ew_state_next_q(forget, c[j], (int64_t)in * (cell * 16));
        const int64_t product = (int64_t)out * ew_tanh_q((c[j] + 8) >> 4, table);
        const int32_t state = (int32_t)((product + (1 << 10)) >> 11); /* 2^-22 */
        h[j] = (int16_t)ew_requantize_by(state, y_scale, p->y_zero, p->act_min, p->act_max);
    }
}

EW_INLINE void ew_lstm_layer_q(ew_recurrent_rows *rows, const void *restrict x, const int8_t *restrict weights,
                               const int32_t *restrict multipliers, const int64_t *restrict bias,
                               const uint16_t *restrict table, const void *restrict initial_h,
                               const float *restrict initial_c, void *restrict scratch, void *restrict y,
                               void *restrict y_h, float *restrict y_c, const ew_recurrent_q_params *p)
{
    const int32_t n = p->hidden;
    int32_t *u = (int32_t *)scratch;
    int32_t *c = u + 4 * n;
    int16_t *x_wide = (int16_t *)(c + n);
    int16_t *h = x_wide + ew_recurrent_padded_q(p->input);
    const ew_scale y_scale = ew_scale_of(p->y_scale);
    for (int32_t d = 0; d < p->directions; ++d) {
        const int32_t backwards = d == 0 ? p->backwards : 1;
        for (int32_t b = 0; b < p->batch; ++b) {
            const int32_t state = d * p->h_direction + b * p->h_batch;
            for (int32_t j = 0; j < n; ++j) {
                h[j] = (int16_t)(initial_h ? ew_load_q(p->y_type, initial_h, state + j) : p->y_zero);
                c[j] = initial_c ? ew_state_from_float_q(initial_c[state + j]) : 0;
            }
            for (int32_t s = 0; s < p->steps; ++s) {
                const int32_t t = backwards ? p->steps - 1 - s : s;
                ew_recurrent_widen_q(p->x_type, ew_at_q(p->x_type, x, t * p->x_step + b * p->x_batch), x_wide,
                                     p->input);
                rows(x_wide, p->input, h, n, weights + d * p->weights_direction, multipliers + d * 8 * n,
                     bias + d * 4 * n, p->shift, 4 * n, u);
                ew_lstm_cell_q(u, table, h, c, y_scale, p);
                if (y) {
                    ew_recurrent_store_q(p->y_type, h, y, t * p->y_step + d * p->y_direction + b * p->y_batch, n);
                }
            }
            if (y_h) {
                ew_recurrent_store_q(p->y_type, h, y_h, state, n);
            }
            for (int32_t j = 0; y_c && j < n; ++j) {
                y_c[state + j] = ew_state_to_float_q(c[j]);
            }
        }
    }
}

/* x [steps][batch][input] and y [steps][directions][batch][hidden] in the order that the strides say. For each
 * direction: weights, the stream of ew_recurrent_rows_q for 4 * hidden rows in ONNX's order (input, output, forget,
 * cell); multipliers [4 * hidden][2]; bias [4 * hidden]. table [385]. initial_h [directions][batch][hidden], of y's
 * type, or NULL (y_zero); initial_c, float32, likewise, or NULL (0). scratch: 20 * hidden bytes, then 2 * input and
 * 2 * hidden, each rounded up to 16. y_scale is 2^-22 / the scale of y. y, and the last states y_h and y_c
 * [directions][batch][hidden], may each be NULL. Buffers do not overlap. */
EW_KERNEL void ew_lstm_q(const void *restrict x, const int8_t *restrict weights, const int32_t *restrict multipliers,
                         const int64_t *restrict bias, const uint16_t *restrict table, const void *restrict initial_h,
                         const float *restrict initial_c, void *restrict scratch, void *restrict y, void *restrict y_h,
                         float *restrict y_c, const ew_recurrent_q_params *p)
{
    ew_lstm_layer_q(ew_recurrent_rows_q, x, weights, multipliers, bias, table, initial_h, initial_c, scratch, y, y_h,
                    y_c, p);
}

#endif
