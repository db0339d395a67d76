/* Two-dimensional average pooling, float32. */
#ifndef EW_AVERAGE_POOL2D_F32_H
#define EW_AVERAGE_POOL2D_F32_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_pool2d.h"
#include "ew_window.h"

/* `channels` outputs of one pixel. x: tap (0, 0) of the window is at x[offset]; it may lie outside the input where
 * clipped. */
EW_INLINE void ew_average_pool2d_tile_f32(const float *restrict x, float *restrict y, const ew_pool2d_f32_params *p,
                                          int32_t offset, ew_range taps_y, ew_range taps_x, float divisor,
                                          int32_t channels)
{
    float sum[EW_POOL_CHANNELS];
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        sum[c] = 0.0f;
    }
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        float part[EW_POOL_CHANNELS]; /* one row of the window: see EW_SUM_BLOCK */
        EW_UNROLL
        for (int32_t c = 0; c < channels; ++c) {
            part[c] = 0.0f;
        }
        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
            const float *tap = x + (offset + (ky * p->dilation_h * p->in_w + kx * p->dilation_w) * p->channels);
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                part[c] += tap[c];
            }
        }
        EW_UNROLL
        for (int32_t c = 0; c < channels; ++c) {
            sum[c] += part[c];
        }
    }
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        y[c] = ew_clamp_value_f32(sum[c] / divisor, p->act_min, p->act_max);
    }
}

/* y[n,oy,ox,c] = clamp(sum of x[n,iy,ix,c] over the window's taps inside the input / divisor). The divisor is the
 * number of those taps; with count_include_pad, of the taps inside the padded input, [-pad_top, in_h + pad_bottom) and
 * likewise for columns. Buffers do not overlap. */
EW_KERNEL void ew_average_pool2d_f32(const float *restrict x, float *restrict y, const ew_pool2d_f32_params *p)
{
    const int32_t extra = p->count_include_pad ? 1 : 0;
    const int32_t tiled = p->channels - p->channels % EW_POOL_CHANNELS;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            const int32_t iy = oy * p->stride_h - p->pad_top;
            const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
            const ew_range counted_y =
                ew_window_taps(iy, p->kernel_h, p->dilation_h, -p->pad_top * extra, p->in_h + p->pad_bottom * extra);
            for (int32_t ox = 0; ox < p->out_w; ++ox) {
                const int32_t ix = ox * p->stride_w - p->pad_left;
                const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
                const ew_range counted_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, -p->pad_left * extra,
                                                          p->in_w + p->pad_right * extra);
                const float divisor = (float)((counted_y.end - counted_y.begin) * (counted_x.end - counted_x.begin));
                const int32_t offset = ((n * p->in_h + iy) * p->in_w + ix) * p->channels;
                float *y_pixel = y + ((n * p->out_h + oy) * p->out_w + ox) * p->channels;
                for (int32_t c = 0; c < tiled; c += EW_POOL_CHANNELS) {
                    ew_average_pool2d_tile_f32(x, y_pixel + c, p, offset + c, taps_y, taps_x, divisor,
                                               EW_POOL_CHANNELS);
                }
                for (int32_t c = tiled; c < p->channels; ++c) {
                    ew_average_pool2d_tile_f32(x, y_pixel + c, p, offset + c, taps_y, taps_x, divisor, 1);
                }
            }
        }
    }
}

#endif
