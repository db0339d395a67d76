/* Parameters shared by the portable integer convolutions. */
#ifndef EW_CONV2D_Q_PARAMS_H
#define EW_CONV2D_Q_PARAMS_H

#include "ew_base.h"
#include "ew_quantized.h"

/* Layouts: x [batch][in_h][in_w][in_c], y [batch][out_h][out_w][out_c], bias and scale [out_c].
 * All sizes, strides, dilations and groups are >= 1; groups divides in_c and out_c. Padding reads as x_zero.
 * pad_top and pad_left may be negative (the first rows or columns are skipped). What is padded below and right follows
 * from out_h and out_w.
 *
 * The sum of an output: bias[o] + sum of (x - x_zero) * w. Unless `wide` is set, bias holds
 * bias[o] - x_zero * sum of w[o] instead, |bias[o]| + (largest |x| of its type) * sum of |w[o]| < 2^31, and
 * 2^-24 <= scale[o] < 32. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t x_type, w_type, y_type; /* ew_qtype */
    int32_t wide;                   /* 1: sums of 64 bits */
    int32_t x_zero, y_zero;         /* in the domains of x and y */
    int32_t act_min, act_max;       /* in the domain of y, within its type */
} ew_conv2d_q_params;

#endif
