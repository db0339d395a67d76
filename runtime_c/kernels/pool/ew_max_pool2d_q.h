/* Two-dimensional maximum pooling, integers. */
#ifndef EW_MAX_POOL2D_Q_H
#define EW_MAX_POOL2D_Q_H

#include "ew_base.h"
#include "ew_float.h" /* EW_UNROLL */
#include "ew_pool2d.h"
#include "ew_pool2d_q.h"
#include "ew_quantized.h"
#include "ew_window.h"

/* `channels` outputs of one pixel. Tap (0, 0) of the window is at x[offset], outside the input where clipped. */
EW_INLINE void ew_max_pool2d_q_tile(const void *x, void *y, int32_t y_offset, const ew_pool2d_q_params *p,
                                    int32_t offset, ew_range taps_y, ew_range taps_x, int32_t channels)
{
    int32_t largest[EW_POOL_CHANNELS];
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        largest[c] = INT32_MIN;
    }
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
            const int32_t tap = offset + (ky * p->dilation_h * p->in_w + kx * p->dilation_w) * p->channels;
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                const int32_t value = ew_load_q(p->x_type, x, tap + c);
                largest[c] = value > largest[c] ? value : largest[c];
            }
        }
    }
    EW_UNROLL
    for (int32_t c = 0; c < channels; ++c) {
        ew_store_q(p->y_type, y, y_offset + c, ew_clamp_q(largest[c], p->act_min, p->act_max));
    }
}

/* y[n,oy,ox,c] = clamp(largest x[n,iy,ix,c] of the window's taps inside the input). Padding never wins. Scale and zero
 * point of x and y are the same. Buffers do not overlap. */
EW_KERNEL void ew_max_pool2d_q(const void *restrict x, void *restrict y, const ew_pool2d_q_params *p)
{
    const int32_t tiled = p->channels - p->channels % EW_POOL_CHANNELS;
    for (int32_t row = 0; row < p->batch * p->out_h; ++row) {
        const int32_t iy = row % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        for (int32_t ox = 0; ox < p->out_w; ++ox) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const int32_t offset = ((row / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels;
            const int32_t y_offset = (row * p->out_w + ox) * p->channels;
            for (int32_t c = 0; c < tiled; c += EW_POOL_CHANNELS) {
                ew_max_pool2d_q_tile(x, y, y_offset + c, p, offset + c, taps_y, taps_x, EW_POOL_CHANNELS);
            }
            for (int32_t c = tiled; c < p->channels; ++c) {
                ew_max_pool2d_q_tile(x, y, y_offset + c, p, offset + c, taps_y, taps_x, 1);
            }
        }
    }
}

#endif
