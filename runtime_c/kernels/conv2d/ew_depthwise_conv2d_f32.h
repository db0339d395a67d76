/* Two-dimensional depthwise convolution with one output a channel, float32. */
#ifndef EW_DEPTHWISE_CONV2D_F32_H
#define EW_DEPTHWISE_CONV2D_F32_H

#include "ew_base.h"
#include "ew_conv2d.h"
#include "ew_depthwise_3wide_f32.h"
#include "ew_float.h"
#include "ew_window.h"

/* Channels and adjacent pixels of one tile: a weight is loaded once for all pixels, an address serves all channels. */
#define EW_DEPTHWISE_CHANNELS 4
#define EW_DEPTHWISE_PIXELS 3

/* One tile of `pixels` x `channels` outputs. x: the first channel at the window of the first pixel (tap (0, 0), which
 * may lie outside the input where clipped). All pixels have the same taps. */
EW_INLINE void ew_depthwise_tile_f32(const float *restrict x, const float *restrict weights, const float *restrict bias,
                                     float *restrict y, const ew_conv2d_f32_params *p, ew_range taps_y, ew_range taps_x,
                                     int32_t offset, int32_t pixels, int32_t channels)
{
    const int32_t pixel = p->stride_w * p->in_c;
    float acc[EW_DEPTHWISE_PIXELS][EW_DEPTHWISE_CHANNELS];
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        EW_UNROLL
        for (int32_t i = 0; i < pixels; ++i) {
            acc[i][c] = bias ? bias[c] : 0.0f;
        }
    }
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
            const float *tap = x + (offset + (ky * p->dilation_h * p->in_w + kx * p->dilation_w) * p->in_c);
            const float *w = weights + (ky * p->kernel_w + kx) * p->in_c;
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                const float w_c = w[c];
                EW_UNROLL
                for (int32_t i = 0; i < pixels; ++i) {
                    acc[i][c] += tap[i * pixel + c] * w_c;
                }
            }
        }
    }
    EW_UNROLL
    for (int32_t i = 0; i < pixels; ++i) {
        EW_UNROLL
        for (int32_t c = 0; c < channels; ++c) {
            y[i * p->out_c + c] = ew_clamp_value_f32(acc[i][c], p->act_min, p->act_max);
        }
    }
}

/* All channels of `pixels` adjacent pixels; `offset` is where tap (0, 0) of the first pixel lies in x. */
EW_INLINE void ew_depthwise_strip_f32(const float *restrict x, const float *restrict weights,
                                      const float *restrict bias, float *restrict y, const ew_conv2d_f32_params *p,
                                      ew_range taps_y, ew_range taps_x, int32_t offset, int32_t pixels)
{
    const int32_t tiled = p->out_c - p->out_c % EW_DEPTHWISE_CHANNELS;
    for (int32_t c = 0; c < tiled; c += EW_DEPTHWISE_CHANNELS) {
        ew_depthwise_tile_f32(x + c, weights + c, bias ? bias + c : NULL, y + c, p, taps_y, taps_x, offset, pixels,
                              EW_DEPTHWISE_CHANNELS);
    }
    for (int32_t c = tiled; c < p->out_c; ++c) {
        ew_depthwise_tile_f32(x + c, weights + c, bias ? bias + c : NULL, y + c, p, taps_y, taps_x, offset, pixels, 1);
    }
}

/* y[n,oy,ox,c] = clamp(bias[c] + sum over ky,kx of x[n, oy*stride_h - pad_top + ky*dilation_h,
 *                ox*stride_w - pad_left + kx*dilation_w, c] * weights[ky,kx,c]).
 * Requires groups == in_c == out_c. weights_hwc: [kernel_h][kernel_w][in_c]. Buffers do not overlap. */
EW_KERNEL void ew_depthwise_conv2d_f32(const float *restrict x, const float *restrict weights_hwc,
                                       const float *restrict bias, float *restrict y, const ew_conv2d_f32_params *p)
{
    const ew_range inside = ew_window_interior(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left);
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            const int32_t iy = oy * p->stride_h - p->pad_top;
            const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
            if (p->kernel_w == 3 && p->stride_w == 1 && p->dilation_w == 1) {
                ew_depthwise_3wide_row_f32(x + n * p->in_h * p->in_w * p->in_c, weights_hwc, bias,
                                           y + (n * p->out_h + oy) * p->out_w * p->out_c, p, taps_y, iy);
                continue;
            }
            for (int32_t ox = 0; ox < p->out_w;) {
                const int32_t ix = ox * p->stride_w - p->pad_left;
                const int32_t offset = ((n * p->in_h + iy) * p->in_w + ix) * p->in_c;
                float *y_pixel = y + ((n * p->out_h + oy) * p->out_w + ox) * p->out_c;
                if (inside.end - inside.begin >= EW_DEPTHWISE_PIXELS && ox >= inside.begin &&
                    ox + EW_DEPTHWISE_PIXELS <= inside.end) {
                    ew_depthwise_strip_f32(x, weights_hwc, bias, y_pixel, p, taps_y, (ew_range){0, p->kernel_w}, offset,
                                           EW_DEPTHWISE_PIXELS);
                    ox += EW_DEPTHWISE_PIXELS;
                } else {
                    const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
                    ew_depthwise_strip_f32(x, weights_hwc, bias, y_pixel, p, taps_y, taps_x, offset, 1);
                    ox += 1;
                }
            }
        }
    }
}

#endif
