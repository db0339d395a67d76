/* Fully connected layer, integers. */
#ifndef EW_FULLY_CONNECTED_Q_H
#define EW_FULLY_CONNECTED_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_rows_q.h"

typedef struct {
    int32_t rows, in_features, out_features; /* all >= 1 */
    int32_t x_type, w_type, y_type;          /* ew_qtype */
    int32_t wide;                            /* 1: sums of 64 bits */
    int32_t x_zero, y_zero;                  /* in the domains of x and y */
    int32_t act_min, act_max;                /* in the domain of y, within its type */
} ew_fully_connected_q_params;

/* y[r,o] = clamp(rint(float32(bias[o] + sum over i of (x[r,i] - x_zero) * w[o,i]) * scale[o]) + y_zero).
 * x [rows][in_features], y [rows][out_features], bias and scale [out_features]. weights: the stream of ew_rows_q.h; its
 * block is 8 where rows is 1 and not `wide`, else 4. What bias holds, and bounds: ew_conv2d_q_params.h. Buffers do not
 * overlap. */
EW_KERNEL void ew_fully_connected_q(const void *restrict x, const void *restrict weights, const int32_t *restrict bias,
                                    const float *restrict scale, void *restrict y, const ew_fully_connected_q_params *p)
{
    const ew_rows_q_params rows = {
        .count = p->in_features,
        .outs = p->out_features,
        .x_zero = p->x_zero,
        .y_zero = p->y_zero,
        .act_min = p->act_min,
        .act_max = p->act_max,
    };
    const int32_t single = p->rows == 1 || p->wide;
    for (int32_t step = 0; step < p->rows; step += single ? 1 : 2) {
        /* The last pair may overlap the one before: one row is computed twice, to the same result. */
        const int32_t r = single || step + 2 <= p->rows ? step : p->rows - 2;
        const void *x0 = ew_at_q(p->x_type, x, r * p->in_features);
        void *y0 = ew_out_at_q(p->y_type, y, r * p->out_features);
        if (p->wide) {
            ew_row_wide_q(p->x_type, p->w_type, p->y_type, x0, weights, bias, scale, y0, &rows);
        } else if (single) {
            ew_one_row_q(p->x_type, p->w_type, p->y_type, x0, weights, bias, scale, y0, &rows);
        } else {
            ew_two_rows_q(p->x_type, p->w_type, p->y_type, x0, ew_at_q(p->x_type, x0, p->in_features), weights, bias,
                          scale, y0, ew_out_at_q(p->y_type, y0, p->out_features), &rows);
        }
    }
}

#endif
