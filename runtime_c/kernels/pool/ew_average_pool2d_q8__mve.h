/* Two-dimensional average pooling, int8, for MVE: eight channels at a time, sums of 16 bits. */
#ifndef EW_AVERAGE_POOL2D_Q8__MVE_H
#define EW_AVERAGE_POOL2D_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_pool2d_q8__mve.h"
#include "ew_window.h"

#if defined(__ARM_FEATURE_MVE)

/* Elements of a clipped window. */
EW_INLINE int32_t ew_taps_count__mve(ew_range taps_y, ew_range taps_x)
{
    return (taps_y.end - taps_y.begin) * (taps_x.end - taps_x.begin);
}

/* Up to eight outputs. x: the window's first tap; `line` bytes from a row of taps to the next, `tap` from one to the
 * next. |sum| <= 255 * 128 fits int16. */
EW_INLINE void ew_average_pool2d_tile__mve(const int8_t *x, int8_t *y, int32_t channels, int32_t taps_y, int32_t taps_x,
                                           int32_t line, int32_t tap, float scale, const ew_pool2d_q8__mve_params *p)
{
    const mve_pred16_t there = vctp16q((uint32_t)channels);
    const int32_t whole = channels >= 8;
    int16x8_t sum = vdupq_n_s16(0);
    for (int32_t ky = 0; ky < taps_y; ++ky) {
        const int8_t *at = x;
        if (whole) {
            int16x8_t other = vdupq_n_s16(0);
            for (int32_t pairs = taps_x >> 1; pairs > 0; --pairs) {
                sum = vaddq_s16(sum, vldrbq_s16(at));
                other = vaddq_s16(other, vldrbq_s16(at + tap));
                at += 2 * tap;
            }
            if (taps_x & 1) {
                sum = vaddq_s16(sum, vldrbq_s16(at));
            }
            sum = vaddq_s16(sum, other);
        } else {
            for (int32_t kx = 0; kx < taps_x; ++kx) {
                sum = vaddq_s16(sum, vldrbq_z_s16(at, there));
                at += tap;
            }
        }
        x += line;
    }
    const int32_t zeros = taps_y * taps_x * p->x_zero;
    const float32x4_t by = vdupq_n_f32(scale);
    const int32x4_t even = ew_mve_requantize(vsubq_n_s32(vmovlbq_s16(sum), zeros), by, &p->out);
    const int32x4_t odd = ew_mve_requantize(vsubq_n_s32(vmovltq_s16(sum), zeros), by, &p->out);
    vstrbq_p_s16(y, vmovntq_s32(vreinterpretq_s16_s32(even), odd), there);
}

/* y[n,oy,ox,c] = clamp(rint(f32(sum of x[n,iy,ix,c] - x_zero over the window's taps inside the input) * scale) +
 * y_zero) with scale = scales[counted - count_min]: x_scale / (y_scale * counted), made at generation. `counted` is the
 * number of those taps; with count_include_pad, of the taps inside the padded input. Any address; x and y do not
 * overlap. */
EW_KERNEL void ew_average_pool2d_q8__mve(const void *restrict x, const float *restrict scales, void *restrict y,
                                         const ew_pool2d_q8__mve_params *p)
{
    const int32_t extra = p->count_include_pad ? 1 : 0;
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
            const float scale = scales[ew_taps_count__mve(counted_y, counted_x) - p->count_min];
            int32_t tap = p->dilation_w * p->channels;
            const int32_t line = p->dilation_h * p->in_w * p->channels;
            const int32_t from =
                ((row / p->out_h * p->in_h + iy + taps_y.begin * p->dilation_h) * p->in_w + ix) * p->channels +
                taps_x.begin * tap;
            int32_t lines = taps_y.end - taps_y.begin, taps = taps_x.end - taps_x.begin;
            if (taps == p->in_w && p->dilation_h == 1 && p->dilation_w == 1) { /* whole rows are one */
                taps *= lines;
                lines = 1;
            }
            const int32_t to = (row * p->out_w + ox) * p->channels;
            for (int32_t c = 0; c < p->channels; c += 8) {
                ew_average_pool2d_tile__mve((const int8_t *)x + (from + c), (int8_t *)y + (to + c), p->channels - c,
                                            lines, taps, line, tap, scale, p);
            }
        }
    }
}

#endif
#endif
