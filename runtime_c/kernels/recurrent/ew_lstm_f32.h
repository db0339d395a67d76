/* Long short-term memory, float32. Source: ONNX LSTM-22. */
#ifndef EW_LSTM_F32_H
#define EW_LSTM_F32_H

#include "ew_base.h"
#include "ew_recurrent_f32.h"

/* The gates of one step become the new cell and the new state. gates [4][n]: input, output, forget, cell;
 * `set` is the number of the direction's first activation. */
EW_INLINE void ew_lstm_cell_f32(const float *restrict gates, const float *restrict bias,
                                const float *restrict peepholes, float *restrict h, float *restrict c,
                                int32_t set, const ew_recurrent_f32_params *p)
{
    const int32_t n = p->hidden;
    for (int32_t j = 0; j < n; ++j) {
        const float before = c[j];
        float in = gates[j] + ew_or_zero_f32(bias, j);
        float out = gates[n + j] + ew_or_zero_f32(bias, n + j);
        float forget = gates[2 * n + j] + ew_or_zero_f32(bias, 2 * n + j);
        const float cell = gates[3 * n + j] + ew_or_zero_f32(bias, 3 * n + j);
        if (peepholes) {
            in += peepholes[j] * before;
            forget += peepholes[2 * n + j] * before;
        }
        in = ew_recurrent_clipped_f32(in, set, p);
        forget = p->input_forget ? 1.0f - in : ew_recurrent_clipped_f32(forget, set, p);
        const float now = forget * before + in * ew_recurrent_clipped_f32(cell, set + 1, p);
        if (peepholes) {
            out += peepholes[n + j] * now;
        }
        c[j] = now;
        h[j] = ew_recurrent_clipped_f32(out, set, p) * ew_recurrent_activation_f32(now, set + 2, p);
    }
}

/* With d a direction, gates i, o, f, c of `hidden` rows each, s, t, u the direction's three activations:
 *     i = s(w_i x + r_i h + b_i + P_i c)   f = s(w_f x + r_f h + b_f + P_f c)   g = t(w_c x + r_c h + b_c)
 *     c' = f c + i g                       o = s(w_o x + r_o h + b_o + P_o c')  h' = o u(c')
 * x [steps][batch][input] and y [steps][directions][batch][hidden] in the order that the strides say; w
 * [directions][4][hidden][input], r [directions][4][hidden][hidden]; bias [directions][2][4][hidden] (of w, of r) or
 * NULL; initial_h, initial_c [directions][batch][hidden] or NULL (0); peepholes [directions][3][hidden] (i, o, f) or
 * NULL; lengths [batch], the steps of each sequence, or NULL (all); scratch 6 * hidden floats. y, which is 0 behind a
 * sequence's end, and the last states y_h and y_c [directions][batch][hidden], may each be NULL. Buffers do not
 * overlap. */
EW_KERNEL void ew_lstm_f32(const float *restrict x, const float *restrict w, const float *restrict r,
                           const float *restrict bias, const float *restrict initial_h, const float *restrict initial_c,
                           const float *restrict peepholes, const int32_t *restrict lengths, void *restrict scratch,
                           float *restrict y, float *restrict y_h, float *restrict y_c,
                           const ew_recurrent_f32_params *p)
{
    const int32_t n = p->hidden;
    float *gates = (float *)scratch;
    float *h = gates + 4 * n;
    float *c = h + n;
    for (int32_t d = 0; d < p->directions; ++d) {
        const int32_t backwards = d == 0 ? p->backwards : 1;
        const float *w_bias = ew_row_or_null_f32(bias, d * 8 * n);
        const float *r_bias = ew_row_or_null_f32(bias, d * 8 * n + 4 * n);
        for (int32_t b = 0; b < p->batch; ++b) {
            const int32_t state = d * p->h_direction + b * p->h_batch;
            const int32_t length = ew_recurrent_length(lengths, b, p->steps);
            ew_recurrent_start_f32(h, ew_row_or_null_f32(initial_h, state), n, length);
            ew_recurrent_start_f32(c, ew_row_or_null_f32(initial_c, state), n, length);
            for (int32_t s = 0; s < length; ++s) {
                const int32_t t = backwards ? length - 1 - s : s;
                ew_recurrent_rows_f32(x + t * p->x_step + b * p->x_batch, w + d * 4 * n * p->input, p->input, h,
                                      r + d * 4 * n * n, n, w_bias, gates, 4 * n);
                ew_lstm_cell_f32(gates, r_bias, ew_row_or_null_f32(peepholes, d * 3 * n), h, c, d * p->second_set,
                                 p);
                if (y) {
                    ew_recurrent_copy_f32(y + t * p->y_step + d * p->y_direction + b * p->y_batch, h, n);
                }
            }
            if (y) {
                ew_recurrent_rest_f32(y, length, d, b, p);
            }
            if (y_h) {
                ew_recurrent_copy_f32(y_h + state, h, n);
            }
            if (y_c) {
                ew_recurrent_copy_f32(y_c + state, c, n);
            }
        }
    }
}

#endif
