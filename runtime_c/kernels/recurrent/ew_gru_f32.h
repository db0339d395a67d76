/* Gated recurrent unit, float32. Source: ONNX GRU-22. */
#ifndef EW_GRU_F32_H
#define EW_GRU_F32_H

#include "ew_base.h"
#include "ew_recurrent_f32.h"

/* One step: gates [3][n] hold the sums of the update and the reset gate and, behind `linear_before_reset`, what the
 * input gives the candidate; `product` [n] is free. x, w, r and bias are those of the direction, `set` is the number of
 * its first activation. */
EW_INLINE void ew_gru_cell_f32(const float *restrict x, const float *restrict w, const float *restrict r,
                               const float *restrict bias, float *restrict gates, float *restrict product,
                               float *restrict h, int32_t set, const ew_recurrent_f32_params *p)
{
    const int32_t n = p->hidden;
    const float *w_candidate = w + 2 * n * p->input, *r_candidate = r + 2 * n * n;
    const float *w_bias = ew_row_or_null_f32(bias, 2 * n), *r_bias = ew_row_or_null_f32(bias, 5 * n);
    for (int32_t j = 0; j < 2 * n; ++j) {
        const float sum = gates[j] + ew_or_zero_f32(bias, 3 * n + j);
        gates[j] = ew_recurrent_clipped_f32(sum, set, p);
    }
    if (p->linear_before_reset) {
        ew_recurrent_rows_f32(x, w_candidate, p->input, h, r_candidate, 0, w_bias, gates + 2 * n, n);
        ew_recurrent_rows_f32(x, w_candidate, 0, h, r_candidate, n, r_bias, product, n);
    } else {
        for (int32_t j = 0; j < n; ++j) {
            product[j] = gates[n + j] * h[j];
        }
        ew_recurrent_rows_f32(x, w_candidate, p->input, product, r_candidate, n, w_bias, gates + 2 * n, n);
    }
    for (int32_t j = 0; j < n; ++j) {
        const float more = p->linear_before_reset ? gates[n + j] * product[j] : ew_or_zero_f32(r_bias, j);
        const float candidate = ew_recurrent_clipped_f32(gates[2 * n + j] + more, set + 1, p);
        h[j] = (1.0f - gates[j]) * candidate + gates[j] * h[j];
    }
}

/* With gates z, r, h of `hidden` rows each, s and t the first two activations of the direction:
 *     z = s(w_z x + r_z h + b_z)   r = s(w_r x + r_r h + b_r)   h' = (1 - z) g + z h
 *     g = t(w_h x + r_h (r h) + b_h), or linear_before_reset: t(w_h x + wb_h + r (r_h h + rb_h))
 * x [steps][batch][input] and y [steps][directions][batch][hidden] in the order that the strides say; w
 * [directions][3][hidden][input], r [directions][3][hidden][hidden]; bias [directions][2][3][hidden] (of w, of r) or
 * NULL; initial_h [directions][batch][hidden] or NULL (0); lengths [batch], the steps of each sequence, or NULL (all);
 * scratch 5 * hidden floats. y, which is 0 behind a sequence's end, and the last state y_h [directions][batch][hidden],
 * may be NULL. Buffers do not overlap. */
EW_KERNEL void ew_gru_f32(const float *restrict x, const float *restrict w, const float *restrict r,
                          const float *restrict bias, const float *restrict initial_h,
                          const int32_t *restrict lengths, void *restrict scratch, float *restrict y,
                          float *restrict y_h, const ew_recurrent_f32_params *p)
{
    const int32_t n = p->hidden;
    float *gates = (float *)scratch;
    float *product = gates + 3 * n;
    float *h = product + n;
    for (int32_t d = 0; d < p->directions; ++d) {
        const int32_t backwards = d == 0 ? p->backwards : 1;
        const float *w_d = w + d * 3 * n * p->input, *r_d = r + d * 3 * n * n;
        const float *bias_d = ew_row_or_null_f32(bias, d * 6 * n);
        for (int32_t b = 0; b < p->batch; ++b) {
            const int32_t state = d * p->h_direction + b * p->h_batch;
            const int32_t length = ew_recurrent_length(lengths, b, p->steps);
            ew_recurrent_start_f32(h, ew_row_or_null_f32(initial_h, state), n, length);
            for (int32_t s = 0; s < length; ++s) {
                const int32_t t = backwards ? length - 1 - s : s;
                const float *x_t = x + t * p->x_step + b * p->x_batch;
                ew_recurrent_rows_f32(x_t, w_d, p->input, h, r_d, n, bias_d, gates, 2 * n);
                ew_gru_cell_f32(x_t, w_d, r_d, bias_d, gates, product, h, d * p->second_set, p);
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
        }
    }
}

#endif
