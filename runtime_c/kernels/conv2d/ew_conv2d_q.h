/* Two-dimensional convolution of integers, for all kernels, strides, dilations, pads and groups. */
#ifndef EW_CONV2D_Q_H
#define EW_CONV2D_Q_H

#include "ew_base.h"
#include "ew_conv2d_q_params.h"
#include "ew_quantized.h"
#include "ew_rows_q.h"
#include "ew_window.h"

#include <string.h>

/* In a loop of stores: keeps gcc from calling memmove or memset, which small C libraries have byte by byte. */
#if defined(__GNUC__) && (defined(__arm__) || defined(__riscv))
#define EW_STAYS_A_LOOP __asm__ volatile("")
#else
#define EW_STAYS_A_LOOP (void)0
#endif

/* Copies `bytes` bytes, by words as far as they go: windows are short. */
EW_INLINE void ew_copy_bytes_q(uint8_t *restrict to, const uint8_t *restrict from, int32_t bytes)
{
    int32_t i = 0;
    for (; i + 4 <= bytes; i += 4) {
        EW_STAYS_A_LOOP;
        memcpy(to + i, from + i, 4);
    }
    for (; i < bytes; ++i) {
        EW_STAYS_A_LOOP;
        to[i] = from[i];
    }
}

EW_INLINE void ew_fill_q(int32_t type, void *y, int32_t count, int32_t value)
{
    for (int32_t i = 0; i < count; ++i) {
        EW_STAYS_A_LOOP;
        ew_store_q(type, y, i, value);
    }
}

/* Whether windows are single pixels of x: nothing to gather. */
EW_INLINE int32_t ew_conv2d_q_is_pointwise(const ew_conv2d_q_params *p)
{
    return p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0 &&
           (p->out_h - 1) * p->stride_h < p->in_h && (p->out_w - 1) * p->stride_w < p->in_w;
}

/* The window of output pixel `pixel` (counted through the batch) for one group, as a row of kernel_h * kernel_w *
 * in_c/groups elements. Gathered into `window`, or where it lies. */
EW_INLINE const void *ew_conv2d_q_window(const void *x, void *window, const ew_conv2d_q_params *p, int32_t pixel,
                                         int32_t group)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t ox = pixel % p->out_w;
    const int32_t row = pixel / p->out_w; /* through the batch */
    const int32_t oy = row % p->out_h;
    const int32_t image = row / p->out_h * p->in_h;
    const int32_t iy0 = oy * p->stride_h - p->pad_top;
    const int32_t ix0 = ox * p->stride_w - p->pad_left;
    if (ew_conv2d_q_is_pointwise(p)) {
        return ew_at_q(p->x_type, x, ((image + iy0) * p->in_w + ix0) * p->in_c + group * group_in);
    }
    /* Adjacent taps are adjacent in memory too: one run instead of a run a tap. */
    const int32_t joined = p->groups == 1 && p->dilation_w == 1;
    const int32_t element = ew_bytes_q(p->x_type, 1);
    const ew_range taps_x = ew_window_taps(ix0, p->kernel_w, p->dilation_w, 0, p->in_w);
    uint8_t *to = (uint8_t *)window;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t iy = iy0 + ky * p->dilation_h;
        const int32_t inside = iy >= 0 && iy < p->in_h;
        const int32_t begin = inside ? taps_x.begin : 0;
        const int32_t end = inside ? taps_x.end : 0;
        const uint8_t *from =
            (const uint8_t *)ew_at_q(p->x_type, x, ((image + iy) * p->in_w + ix0) * p->in_c + group * group_in);
        ew_fill_q(p->x_type, to, begin * group_in, p->x_zero);
        if (joined) {
            ew_copy_bytes_q(to + begin * group_in * element, from + begin * group_in * element,
                            (end - begin) * group_in * element);
        } else {
            for (int32_t kx = begin; kx < end; ++kx) {
                ew_copy_bytes_q(to + kx * group_in * element, from + kx * p->dilation_w * p->in_c * element,
                                group_in * element);
            }
        }
        ew_fill_q(p->x_type, to + end * group_in * element, (p->kernel_w - end) * group_in, p->x_zero);
        to += p->kernel_w * group_in * element;
    }
    return window;
}

/* y[n,oy,ox,o] = clamp(rint(float32(sum) * scale[o]) + y_zero), the sum over ky,kx,i of (x[n, oy*stride_h - pad_top +
 * ky*dilation_h, ox*stride_w - pad_left + kx*dilation_w, g*in_c/groups + i] - x_zero) * w[o,ky,kx,i], plus the bias;
 * g = o / (out_c/groups). weights: group by group, the stream of ew_rows_q.h with count = kernel_h*kernel_w*in_c/groups
 * in the order ky, kx, i; its block is 8 where batch*out_h*out_w is 1 and not `wide`, else 4. scratch: two windows of
 * `count` elements of x, or NULL where kernels are 1x1 and nothing is padded. Buffers do not overlap. */
EW_KERNEL void ew_conv2d_q(const void *restrict x, const void *restrict weights, const int32_t *restrict bias,
                           const float *restrict scale, void *restrict scratch, void *restrict y,
                           const ew_conv2d_q_params *p)
{
    const int32_t group_out = p->out_c / p->groups;
    const int32_t count = p->kernel_h * p->kernel_w * (p->in_c / p->groups);
    const int32_t pixels = p->batch * p->out_h * p->out_w;
    const int32_t single = pixels == 1 || p->wide;
    const int32_t block = p->wide || pixels > 1 ? EW_ROWS_Q_BLOCK : EW_ROW_Q_BLOCK;
    const int32_t group_bytes = ew_rows_q_bytes(p->w_type, block, count, group_out);
    const ew_rows_q_params rows = {
        .count = count,
        .outs = group_out,
        .x_zero = p->x_zero,
        .y_zero = p->y_zero,
        .act_min = p->act_min,
        .act_max = p->act_max,
    };
    void *second = ew_out_at_q(p->x_type, scratch, count);
    for (int32_t step = 0; step < pixels; step += single ? 1 : 2) {
        /* The last pair may overlap the one before: one pixel is computed twice, to the same result. */
        const int32_t pixel = single || step + 2 <= pixels ? step : pixels - 2;
        for (int32_t g = 0; g < p->groups; ++g) {
            const uint8_t *w = (const uint8_t *)weights + g * group_bytes;
            const int32_t o = g * group_out;
            const void *x0 = ew_conv2d_q_window(x, scratch, p, pixel, g);
            void *y0 = ew_out_at_q(p->y_type, y, pixel * p->out_c + o);
            if (p->wide) {
                ew_row_wide_q(p->x_type, p->w_type, p->y_type, x0, w, bias + o, scale + o, y0, &rows);
            } else if (single) {
                ew_one_row_q(p->x_type, p->w_type, p->y_type, x0, w, bias + o, scale + o, y0, &rows);
            } else {
                const void *x1 = ew_conv2d_q_window(x, second, p, pixel + 1, g);
                ew_two_rows_q(p->x_type, p->w_type, p->y_type, x0, x1, w, bias + o, scale + o, y0,
                              ew_out_at_q(p->y_type, y0, p->out_c), &rows);
            }
        }
    }
}

#endif
