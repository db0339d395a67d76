/* Parameters shared by the two-dimensional pools, and the tile of channels they work in. */
#ifndef EW_POOL2D_H
#define EW_POOL2D_H

#include "ew_base.h"

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
    float act_min, act_max; /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_pool2d_f32_params;

/* Channels that are pooled together in registers. */
#define EW_POOL_CHANNELS 4

#endif
