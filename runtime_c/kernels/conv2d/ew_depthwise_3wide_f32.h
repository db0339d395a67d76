/* The depthwise convolution's path for kernels three wide without stride or dilation along the row: a column of the
 * input is loaded once for all the outputs that it reaches, not once an output. Used by ew_depthwise_conv2d_f32.h only.
 */
#ifndef EW_DEPTHWISE_3WIDE_F32_H
#define EW_DEPTHWISE_3WIDE_F32_H

#include "ew_base.h"
#include "ew_conv2d.h"
#include "ew_float.h"
#include "ew_window.h"

/* Five pixels fit 25x5 keyword-spotting maps in one tile; two channels share every address. */
#define EW_DEPTHWISE_3WIDE_CHANNELS 2
#define EW_DEPTHWISE_3WIDE_PIXELS 5

/* One tile of `pixels` x `channels` outputs for kernel_w 3 and no stride or dilation along the row. x: the tile's first
 * channel; tap (0, 0) of the first pixel is at x[offset], column ix of the input. With `edge` (a literal) columns may
 * lie outside the input, and are left out; one test serves all outputs that a column reaches. */
EW_INLINE void ew_depthwise_3wide_tile_f32(const float *restrict x, const float *restrict weights,
                                           const float *restrict bias, float *restrict y, const ew_conv2d_f32_params *p,
                                           ew_range taps_y, int32_t ix, int32_t offset, int32_t pixels,
                                           int32_t channels, int32_t edge)
{
    float acc[EW_DEPTHWISE_3WIDE_PIXELS][EW_DEPTHWISE_3WIDE_CHANNELS];
    EW_UNROLL
    for (int32_t i = 0; i < pixels; ++i) {
        EW_UNROLL
        for (int32_t c = 0; c < channels; ++c) {
            acc[i][c] = bias ? bias[c] : 0.0f;
        }
    }
    for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
        float w[3][EW_DEPTHWISE_3WIDE_CHANNELS];
        EW_UNROLL
        for (int32_t kx = 0; kx < 3; ++kx) {
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                w[kx][c] = weights[(ky * 3 + kx) * p->in_c + c];
            }
        }
        const float *row = x + (offset + ky * p->dilation_h * p->in_w * p->in_c);
        EW_UNROLL
        for (int32_t column = 0; column < pixels + 2; ++column) {
            if (edge && (ix + column < 0 || ix + column >= p->in_w)) {
                continue;
            }
            EW_UNROLL
            for (int32_t c = 0; c < channels; ++c) {
                const float x_c = row[column * p->in_c + c];
                EW_UNROLL
                for (int32_t kx = 0; kx < 3; ++kx) {
                    if (column >= kx && column - kx < pixels) {
                        acc[column - kx][c] += x_c * w[kx][c];
                    }
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

EW_INLINE void ew_depthwise_3wide_strip_f32(const float *restrict x, const float *restrict weights,
                                            const float *restrict bias, float *restrict y,
                                            const ew_conv2d_f32_params *p, ew_range taps_y, int32_t ix, int32_t offset,
                                            int32_t pixels, int32_t edge)
{
    const int32_t tiled = p->out_c - p->out_c % EW_DEPTHWISE_3WIDE_CHANNELS;
    for (int32_t c = 0; c < tiled; c += EW_DEPTHWISE_3WIDE_CHANNELS) {
        ew_depthwise_3wide_tile_f32(x + c, weights + c, bias ? bias + c : NULL, y + c, p, taps_y, ix, offset, pixels,
                                    EW_DEPTHWISE_3WIDE_CHANNELS, edge);
    }
    for (int32_t c = tiled; c < p->out_c; ++c) {
        ew_depthwise_3wide_tile_f32(x + c, weights + c, bias ? bias + c : NULL, y + c, p, taps_y, ix, offset, pixels, 1,
                                    edge);
    }
}

/* One output row. x: one image; y: the row; iy: the input row of the kernel's first row, outside the input where
 * clipped. */
EW_INLINE void ew_depthwise_3wide_row_f32(const float *restrict x, const float *restrict weights,
                                          const float *restrict bias, float *restrict y, const ew_conv2d_f32_params *p,
                                          ew_range taps_y, int32_t iy)
{
    const int32_t tile = p->out_w < EW_DEPTHWISE_3WIDE_PIXELS ? 1 : EW_DEPTHWISE_3WIDE_PIXELS;
    for (int32_t step = 0; step < p->out_w; step += tile) {
        /* The last tile of a row may overlap the one before: some outputs are computed twice, which costs less than one
         * by one. */
        const int32_t ox = step + tile <= p->out_w ? step : p->out_w - tile;
        const int32_t ix = ox - p->pad_left;
        const int32_t offset = (iy * p->in_w + ix) * p->in_c;
        float *y_pixel = y + ox * p->out_c;
        if (tile == 1) {
            ew_depthwise_3wide_strip_f32(x, weights, bias, y_pixel, p, taps_y, ix, offset, 1, 1);
        } else if (ix < 0 || ix + EW_DEPTHWISE_3WIDE_PIXELS + 2 > p->in_w) {
            ew_depthwise_3wide_strip_f32(x, weights, bias, y_pixel, p, taps_y, ix, offset, EW_DEPTHWISE_3WIDE_PIXELS,
                                         1);
        } else {
            ew_depthwise_3wide_strip_f32(x, weights, bias, y_pixel, p, taps_y, ix, offset, EW_DEPTHWISE_3WIDE_PIXELS,
                                         0);
        }
    }
}

#endif
