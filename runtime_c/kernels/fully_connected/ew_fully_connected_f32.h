/* Fully connected layer, float32. */
#ifndef EW_FULLY_CONNECTED_F32_H
#define EW_FULLY_CONNECTED_F32_H

#include "ew_base.h"
#include "ew_tile_f32.h"

typedef struct {
    int32_t rows, in_features, out_features; /* all >= 1 */
    float act_min, act_max;                  /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_fully_connected_f32_params;

/* y[r,o] = clamp(bias[o] + sum over i of x[r,i] * weights[o,i]).
 * x [rows][in_features], weights_oi [out_features][in_features], bias [out_features] or NULL (none),
 * y [rows][out_features]. Buffers do not overlap. */
EW_KERNEL void ew_fully_connected_f32(const float *restrict x, const float *restrict weights_oi,
                                      const float *restrict bias, float *restrict y,
                                      const ew_fully_connected_f32_params *p)
{
    const ew_product_f32_params product = {.rows = p->rows,
                                           .outs = p->out_features,
                                           .count = p->in_features,
                                           .x_row = p->in_features,
                                           .x_step = 1,
                                           .w_out = p->in_features,
                                           .w_step = 1,
                                           .act_min = p->act_min,
                                           .act_max = p->act_max};
    ew_product_f32(x, weights_oi, bias, y, &product);
}

#endif
