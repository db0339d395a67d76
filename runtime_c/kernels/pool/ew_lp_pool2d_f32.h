/* Two-dimensional pooling by a norm, float32. */
#ifndef EW_LP_POOL2D_F32_H
#define EW_LP_POOL2D_F32_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_window.h"

/* Layouts: x [batch][in_h][in_w][channels], y [batch][out_h][out_w][channels]. Sizes, strides and dilations are >= 1. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left; /* >= 0 */
    int32_t p;                 /* of the norm; >= 1 */
    float act_min, act_max;    /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_lp_pool2d_f32_params;

/* y[n,oy,ox,c] = clamp((sum of |x[n,iy,ix,c]|^p over the window's taps inside the input)^(1/p)). Buffers do not overlap.
 */
EW_KERNEL void ew_lp_pool2d_f32(const float *restrict x, float *restrict y, const ew_lp_pool2d_f32_params *p)
{
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            const int32_t iy = oy * p->stride_h - p->pad_top;
            const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
            for (int32_t ox = 0; ox < p->out_w; ++ox) {
                const int32_t ix = ox * p->stride_w - p->pad_left;
                const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
                for (int32_t c = 0; c < p->channels; ++c) {
                    float sum = 0.0f;
                    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
                        float part = 0.0f; /* one row of the window: see EW_SUM_BLOCK */
                        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
                            const int32_t pixel =
                                (n * p->in_h + iy + ky * p->dilation_h) * p->in_w + ix + kx * p->dilation_w;
                            const float value = fabsf(x[pixel * p->channels + c]);
                            part += p->p == 1 ? value : p->p == 2 ? value * value : powf(value, (float)p->p);
                        }
                        sum += part;
                    }
                    const float norm = p->p == 1 ? sum : p->p == 2 ? sqrtf(sum) : powf(sum, 1.0f / (float)p->p);
                    *y++ = ew_clamp_value_f32(norm, p->act_min, p->act_max);
                }
            }
        }
    }
}

#endif
