/* Two-dimensional average pooling, integers. */
#ifndef EW_AVERAGE_POOL2D_Q_H
#define EW_AVERAGE_POOL2D_Q_H

#include "ew_base.h"
#include "ew_float.h" /* EW_UNROLL */
#include "ew_pool2d.h"
#include "ew_pool2d_q.h"
#include "ew_quantized.h"
#include "ew_requantize.h"
#include "ew_window.h"

/* Elements of a clipped window. */
EW_INLINE int32_t ew_taps_count(ew_range taps_y, ew_range taps_x)
{
    return (taps_y.end - taps_y.begin) * (taps_x.end - taps_x.begin);
}

/* `channels` outputs of one pixel. Tap (0, 0) of the window is at x[offset], outside the input where clipped. */
EW_INLINE void ew_average_pool2d_q_tile(const void *x, float scale, void *y, int32_t y_offset,
                                        const ew_pool2d_q_params *p, int32_t offset, ew_range taps_y, ew_range taps_x,
                                        int32_t channels)
{
    const int32_t zeros = ew_taps_count(taps_y, taps_x) * p->x_zero;
    const ew_scale by = ew_scale_of(scale);
    int32_t sum[EW_POOL_CHANNELS];
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        sum[c] = -zeros;
    }
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
            const int32_t tap = offset + (ky * p->dilation_h * p->in_w + kx * p->dilation_w) * p->channels;
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                sum[c] += ew_load_q(p->x_type, x, tap + c);
            }
        }
    }
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        ew_store_q(p->y_type, y, y_offset + c, ew_requantize_by(sum[c], by, p->y_zero, p->act_min, p->act_max));
    }
}

/* One output, its sum in 64 bits. */
EW_INLINE void ew_average_pool2d_q_wide(const void *x, float scale, void *y, int32_t y_offset,
                                        const ew_pool2d_q_params *p, int32_t offset, ew_range taps_y, ew_range taps_x)
{
    int64_t sum = 0;
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
            const int32_t tap = offset + (ky * p->dilation_h * p->in_w + kx * p->dilation_w) * p->channels;
            sum += ew_load_q(p->x_type, x, tap) - p->x_zero;
        }
    }
    ew_store_q(p->y_type, y, y_offset, ew_requantize_wide(sum, scale, p->y_zero, p->act_min, p->act_max));
}

/* y[n,oy,ox,c] = clamp(rint(float32(sum of x[n,iy,ix,c] - x_zero over the window's taps inside the input) * scale) +
 * y_zero) with scale = scales[counted - count_min]: x_scale / (y_scale * counted), made at generation. `counted` is the
 * number of those taps; with count_include_pad, of the taps inside the padded input, [-pad_top, in_h + pad_bottom) and
 * likewise for columns. Unless `wide` is set, (|x| + |x_zero|) * kernel_h * kernel_w < 2^31. Buffers do not overlap. */
EW_KERNEL void ew_average_pool2d_q(const void *restrict x, const float *restrict scales, void *restrict y,
                                   const ew_pool2d_q_params *p)
{
    const int32_t extra = p->count_include_pad ? 1 : 0;
    const int32_t tiled = p->wide ? 0 : p->channels - p->channels % EW_POOL_CHANNELS;
    for (int32_t row = 0; row < p->batch * p->out_h; ++row) {
        const int32_t iy = row % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        const ew_range counted_y =
            ew_window_taps(iy, p->kernel_h, p->dilation_h, -p->pad_top * extra, p->in_h + p->pad_bottom * extra);
        for (int32_t ox = 0; ox < p->out_w; ++ox) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const ew_range counted_x =
                ew_window_taps(ix, p->kernel_w, p->dilation_w, -p->pad_left * extra, p->in_w + p->pad_right * extra);
            const float scale = scales[ew_taps_count(counted_y, counted_x) - p->count_min];
            const int32_t offset = ((row / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels;
            const int32_t y_offset = (row * p->out_w + ox) * p->channels;
            for (int32_t c = 0; c < tiled; c += EW_POOL_CHANNELS) {
                ew_average_pool2d_q_tile(x, scale, y, y_offset + c, p, offset + c, taps_y, taps_x, EW_POOL_CHANNELS);
            }
            for (int32_t c = tiled; c < p->channels; ++c) {
                if (p->wide) {
                    ew_average_pool2d_q_wide(x, scale, y, y_offset + c, p, offset + c, taps_y, taps_x);
                } else {
                    ew_average_pool2d_q_tile(x, scale, y, y_offset + c, p, offset + c, taps_y, taps_x, 1);
                }
            }
        }
    }
}

#endif
