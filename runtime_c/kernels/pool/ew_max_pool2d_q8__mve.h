/* Two-dimensional maximum pooling, int8, for MVE: 16 channels at a time. */
#ifndef EW_MAX_POOL2D_Q8__MVE_H
#define EW_MAX_POOL2D_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_pool2d_q8__mve.h"
#include "ew_window.h"

#if defined(__ARM_FEATURE_MVE)

/* y[n,oy,ox,c] = clamp(max of x[n,iy,ix,c] over the window's taps inside the input). Any address; x and y do not
 * overlap. */
EW_KERNEL void ew_max_pool2d_q8__mve(const void *restrict x, void *restrict y, const ew_pool2d_q8__mve_params *p)
{
    for (int32_t row = 0; row < p->batch * p->out_h; ++row) {
        const int32_t iy = row % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        for (int32_t ox = 0; ox < p->out_w; ++ox) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const int32_t tap = p->dilation_w * p->channels;
            const int32_t line = p->dilation_h * p->in_w * p->channels;
            const int8_t *window =
                (const int8_t *)x +
                (((row / p->out_h * p->in_h + iy + taps_y.begin * p->dilation_h) * p->in_w + ix) * p->channels +
                 taps_x.begin * tap);
            int8_t *to = (int8_t *)y + (row * p->out_w + ox) * p->channels;
            for (int32_t c = 0; c < p->channels; c += 16) {
                const mve_pred16_t there = vctp8q((uint32_t)(p->channels - c));
                int8x16_t largest = vdupq_n_s8((int8_t)p->out.act_min);
                const int8_t *from = window + c;
                for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
                    const int8_t *at = from;
                    for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
                        largest = vmaxq_s8(largest, vldrbq_z_s8(at, there));
                        at += tap;
                    }
                    from += line;
                }
                if (p->out.act_max < 127) {
                    largest = vminq_s8(largest, vdupq_n_s8((int8_t)p->out.act_max));
                }
                vstrbq_p_s8(to + c, largest, there);
            }
        }
    }
}

#endif
#endif
