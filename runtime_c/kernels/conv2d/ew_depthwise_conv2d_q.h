/* Two-dimensional depthwise convolution of integers, one output a channel. */
#ifndef EW_DEPTHWISE_CONV2D_Q_H
#define EW_DEPTHWISE_CONV2D_Q_H

#include "ew_base.h"
#include "ew_conv2d_q_params.h"
#include "ew_float.h" /* EW_UNROLL */
#include "ew_mac_q.h"
#include "ew_quantized.h"
#include "ew_requantize.h"
#include "ew_window.h"

/* A tile is one channel of up to EW_DEPTHWISE_Q_PIXELS adjacent outputs: their sums, a row of weights and an element
 * fit the registers of a small core where kernel_w and the pixels are at most EW_DEPTHWISE_Q_REGISTERS together. */
#define EW_DEPTHWISE_Q_PIXELS 5
#define EW_DEPTHWISE_Q_REGISTERS 8
#define EW_DEPTHWISE_Q_COLUMNS 16 /* columns of x that a tile reaches, at most: EW_UNROLL */

/* Where a tile reads and writes. */
typedef struct {
    const void *x;  /* the channel in the first pixel of the image */
    int32_t iy, ix; /* input position of tap (0, 0) of the first pixel; outside the input where clipped */
    ew_range taps_y;
    void *y; /* the first output */
} ew_depthwise_q_place;

/* Columns of x that `pixels` outputs reach. */
EW_INLINE int32_t ew_depthwise_q_columns(const ew_conv2d_q_params *p, int32_t pixels)
{
    return (pixels - 1) * p->stride_w + p->kernel_w;
}

/* Outputs of a tile: as many as registers allow, fewer where that wastes less of a row. 0: tiles do not pay. */
EW_INLINE int32_t ew_depthwise_q_pixels(const ew_conv2d_q_params *p)
{
    int32_t best = 0, best_cost = INT32_MAX;
    if (p->dilation_w != 1 || p->wide) {
        return 0;
    }
    EW_UNROLL
    for (int32_t pixels = EW_DEPTHWISE_Q_PIXELS; pixels > 1; --pixels) {
        if (p->kernel_w + pixels <= EW_DEPTHWISE_Q_REGISTERS && pixels <= p->out_w &&
            ew_depthwise_q_columns(p, pixels) <= EW_DEPTHWISE_Q_COLUMNS) {
            const int32_t cost = (p->out_w + pixels - 1) / pixels *
                                 (pixels * p->kernel_w + ew_depthwise_q_columns(p, pixels) + p->kernel_w);
            best = cost < best_cost ? pixels : best;
            best_cost = cost < best_cost ? cost : best_cost;
        }
    }
    return best;
}

/* Rows of taps outside the input read as x_zero: the folded bias counts on all taps. */
EW_INLINE int32_t ew_depthwise_q_outside(const void *weights, const ew_conv2d_q_params *p, ew_range taps_y)
{
    int32_t sum = 0;
    if (p->x_zero != 0 && taps_y.end - taps_y.begin < p->kernel_h) {
        for (int32_t i = 0; i < p->kernel_h * p->kernel_w; ++i) {
            const int32_t inside = i >= taps_y.begin * p->kernel_w && i < taps_y.end * p->kernel_w;
            sum += inside ? 0 : ew_load_q(p->w_type, weights, i);
        }
    }
    return sum * p->x_zero;
}

/* `pixels` outputs of one channel; weights: its kernel_h * kernel_w. With `edge` (a literal) columns may lie outside
 * the input. A column is loaded once for all the outputs that it reaches. */
EW_INLINE void ew_depthwise_q_tile(const ew_depthwise_q_place *at, const void *weights, int32_t bias, float scale,
                                   const ew_conv2d_q_params *p, int32_t pixels, int32_t edge)
{
    int32_t sum[EW_DEPTHWISE_Q_PIXELS];
    const int32_t start = bias + ew_depthwise_q_outside(weights, p, at->taps_y);
    EW_UNROLL
    for (int32_t i = 0; i < EW_DEPTHWISE_Q_PIXELS; ++i) {
        sum[i] = start;
    }
    const void *row = ew_at_q(p->x_type, at->x, (at->iy + at->taps_y.begin * p->dilation_h) * p->in_w * p->in_c);
    const void *w = ew_at_q(p->w_type, weights, at->taps_y.begin * p->kernel_w);
    for (int32_t ky = at->taps_y.begin; ky < at->taps_y.end; ++ky) {
        int32_t w_row[EW_DEPTHWISE_Q_REGISTERS];
        EW_UNROLL
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            w_row[kx] = ew_next_q(p->w_type, &w);
        }
        EW_UNROLL
        for (int32_t column = 0; column < ew_depthwise_q_columns(p, pixels); ++column) {
            const int32_t ix = at->ix + column;
            const int32_t inside = !edge || (ix >= 0 && ix < p->in_w);
            if (!inside && p->x_zero == 0) {
                continue;
            }
            const int32_t x = inside ? ew_load_here_q(p->x_type, row, ix * p->in_c) : p->x_zero;
            EW_UNROLL
            for (int32_t i = 0; i < pixels; ++i) {
                if (column >= i * p->stride_w && column - i * p->stride_w < p->kernel_w) {
                    EW_MLA(sum[i], x, w_row[column - i * p->stride_w]);
                }
            }
        }
        row = ew_at_q(p->x_type, row, p->dilation_h * p->in_w * p->in_c);
    }
    int32_t kept[EW_DEPTHWISE_Q_PIXELS]; /* in memory, so that `sum` can live in registers */
    EW_UNROLL
    for (int32_t i = 0; i < pixels; ++i) {
        kept[i] = sum[i];
    }
    const ew_scale by = ew_usual_scale_of(scale);
    EW_ROLLED
    for (int32_t i = 0; i < pixels; ++i) {
        ew_store_q(p->y_type, at->y, i * p->out_c, ew_requantize_by(kept[i], by, p->y_zero, p->act_min, p->act_max));
    }
}

/* One output of one channel, for any kernel. Its bias has the zero point folded in, or (with `wide`) not. */
EW_INLINE void ew_depthwise_q_one(const ew_depthwise_q_place *at, const void *weights, int32_t bias, float scale,
                                  const ew_conv2d_q_params *p)
{
    const ew_range taps_x = ew_window_taps(at->ix, p->kernel_w, p->dilation_w, 0, p->in_w);
    int64_t wide = bias;
    int32_t sum = bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t row_inside = ky >= at->taps_y.begin && ky < at->taps_y.end;
        const int32_t row = (at->iy + ky * p->dilation_h) * p->in_w;
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t inside = row_inside && kx >= taps_x.begin && kx < taps_x.end;
            if (!inside && p->x_zero == 0) {
                continue;
            }
            const int32_t w = ew_load_q(p->w_type, weights, ky * p->kernel_w + kx);
            const int32_t x =
                inside ? ew_load_q(p->x_type, at->x, (row + at->ix + kx * p->dilation_w) * p->in_c) : p->x_zero;
            if (p->wide) {
                wide += (int64_t)(x - p->x_zero) * w;
            } else {
                sum += x * w;
            }
        }
    }
    ew_store_q(p->y_type, at->y, 0,
               p->wide ? ew_requantize_wide(wide, scale, p->y_zero, p->act_min, p->act_max)
                       : ew_requantize_by(sum, ew_usual_scale_of(scale), p->y_zero, p->act_min, p->act_max));
}

/* All channels of `pixels` outputs (0: of one, by the way for any kernel). */
EW_INLINE void ew_depthwise_q_channels(ew_depthwise_q_place at, const void *weights, const int32_t *bias,
                                       const float *scale, const ew_conv2d_q_params *p, int32_t pixels, int32_t edge)
{
    for (int32_t c = 0; c < p->in_c; ++c) {
        if (pixels > 0) {
            ew_depthwise_q_tile(&at, weights, bias[c], scale[c], p, pixels, edge);
        } else {
            ew_depthwise_q_one(&at, weights, bias[c], scale[c], p);
        }
        at.x = ew_at_q(p->x_type, at.x, 1);
        at.y = ew_out_at_q(p->y_type, at.y, 1);
        weights = ew_at_q(p->w_type, weights, p->kernel_h * p->kernel_w);
    }
}

/* As ew_conv2d_q with groups = in_c = out_c. weights_chw: [in_c][kernel_h][kernel_w], EW_QS8 or EW_QS16. Buffers do not
 * overlap. */
EW_KERNEL void ew_depthwise_conv2d_q(const void *restrict x, const void *restrict weights_chw,
                                     const int32_t *restrict bias, const float *restrict scale, void *restrict y,
                                     const ew_conv2d_q_params *p)
{
    const int32_t pixels = ew_depthwise_q_pixels(p);
    for (int32_t row = 0; row < p->batch * p->out_h; ++row) {
        ew_depthwise_q_place at;
        at.x = ew_at_q(p->x_type, x, row / p->out_h * p->in_h * p->in_w * p->in_c);
        at.iy = row % p->out_h * p->stride_h - p->pad_top;
        at.taps_y = ew_window_taps(at.iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        for (int32_t step = 0; step < p->out_w; step += pixels > 0 ? pixels : 1) {
            /* The last tile of a row may overlap the one before: some outputs are computed twice, and stay the same. */
            const int32_t ox = step + pixels <= p->out_w ? step : p->out_w - pixels;
            at.ix = ox * p->stride_w - p->pad_left;
            at.y = ew_out_at_q(p->y_type, y, (row * p->out_w + ox) * p->out_c);
            if (pixels == 0) {
                ew_depthwise_q_channels(at, weights_chw, bias, scale, p, 0, 1);
            } else if (at.ix < 0 || at.ix + ew_depthwise_q_columns(p, pixels) > p->in_w) {
                ew_depthwise_q_channels(at, weights_chw, bias, scale, p, pixels, 1);
            } else {
                ew_depthwise_q_channels(at, weights_chw, bias, scale, p, pixels, 0);
            }
        }
    }
}

#endif
