/* Parameters shared by the two-dimensional convolutions. */
#ifndef EW_CONV2D_H
#define EW_CONV2D_H

#include "ew_base.h"

/* Layouts: x [batch][in_h][in_w][in_c], y [batch][out_h][out_w][out_c], bias [out_c] or NULL (none).
 * All sizes, strides, dilations and groups are >= 1; groups divides in_c and out_c. Each tensor has fewer than 2^31
 * elements. Padding reads as zero: its taps are left out. pad_top and pad_left may be negative (the first rows or
 * columns are skipped). What is padded below and right follows from out_h and out_w. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups;
    float act_min, act_max; /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_conv2d_f32_params;

#endif
