/* Plain recurrent layer, float32. Source: ONNX RNN-22. */
#ifndef EW_RNN_F32_H
#define EW_RNN_F32_H

#include "ew_base.h"
#include "ew_recurrent_f32.h"

/* h' = s(w x + r h + b), s the first activation of the direction.
 * x [steps][batch][input] and y [steps][directions][batch][hidden] in the order that the strides say; w
 * [directions][hidden][input], r [directions][hidden][hidden]; bias [directions][2][hidden] (of w, of r) or NULL;
 * initial_h [directions][batch][hidden] or NULL (0); lengths [batch], the steps of each sequence, or NULL (all); scratch
 * 2 * hidden floats. y, which is 0 behind a sequence's end, and the last state y_h [directions][batch][hidden], may be
 * NULL. Buffers do not overlap. */
EW_KERNEL void ew_rnn_f32(const float *restrict x, const float *restrict w, const float *restrict r,
                          const float *restrict bias, const float *restrict initial_h,
                          const int32_t *restrict lengths, void *restrict scratch, float *restrict y,
                          float *restrict y_h, const ew_recurrent_f32_params *p)
{
    const int32_t n = p->hidden;
    float *sums = (float *)scratch;
    float *h = sums + n;
    for (int32_t d = 0; d < p->directions; ++d) {
        const int32_t backwards = d == 0 ? p->backwards : 1;
        const float *w_bias = ew_row_or_null_f32(bias, d * 2 * n);
        const float *r_bias = ew_row_or_null_f32(bias, d * 2 * n + n);
        for (int32_t b = 0; b < p->batch; ++b) {
            const int32_t state = d * p->h_direction + b * p->h_batch;
            const int32_t length = ew_recurrent_length(lengths, b, p->steps);
            ew_recurrent_start_f32(h, ew_row_or_null_f32(initial_h, state), n, length);
            for (int32_t s = 0; s < length; ++s) {
                const int32_t t = backwards ? length - 1 - s : s;
                ew_recurrent_rows_f32(x + t * p->x_step + b * p->x_batch, w + d * n * p->input, p->input, h,
                                      r + d * n * n, n, w_bias, sums, n);
                for (int32_t j = 0; j < n; ++j) {
                    h[j] = ew_recurrent_clipped_f32(sums[j] + ew_or_zero_f32(r_bias, j), d * p->second_set, p);
                }
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
