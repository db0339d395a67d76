/* Parameters shared by the two-dimensional integer pools. */
#ifndef EW_POOL2D_Q_H
#define EW_POOL2D_Q_H

#include "ew_base.h"
#include "ew_quantized.h"

/* Layouts: x [batch][in_h][in_w][channels], y [batch][out_h][out_w][channels]. Sizes, strides and dilations are >= 1.
 * Every window has at least one tap inside the input. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left, pad_bottom, pad_right; /* >= 0 */
    int32_t count_include_pad;                        /* average only: 0 or 1 */
    int32_t count_min;                                /* average only: fewest elements that a window counts */
    int32_t x_type, y_type;                           /* maximum: the same */
    int32_t wide;                                     /* average only: 1: sums of 64 bits */
    int32_t x_zero, y_zero;                           /* average only */
    int32_t act_min, act_max;                         /* in the domain of y, within its type */
} ew_pool2d_q_params;

#endif
