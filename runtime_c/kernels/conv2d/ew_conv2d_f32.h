/* Two-dimensional convolution (cross-correlation, as ONNX Conv), float32. */
#ifndef EW_CONV2D_F32_H
#define EW_CONV2D_F32_H

#include "ew_base.h"
#include "ew_conv2d.h"
#include "ew_tile_f32.h"
#include "ew_window.h"

/* Where one strip of adjacent output pixels reads. All its pixels have the same taps. */
typedef struct {
    int32_t iy, ix; /* input position of tap (0, 0) of the first pixel; outside the input where clipped */
    ew_range taps_y, taps_x;
} ew_conv2d_strip;

/* One tile of `pixels` x `outs` outputs: x is one image at the group's first channel, weights start at the first
 * output. */
EW_INLINE void ew_conv2d_tile_f32(const float *restrict x, const float *restrict weights, const float *restrict bias,
                                  float *restrict y, const ew_conv2d_f32_params *p, ew_conv2d_strip s, int32_t pixels,
                                  int32_t outs)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t row = p->kernel_w * group_in;
    /* Adjacent taps of one row are adjacent in memory too, in x and in the weights: one long run instead of a run a
     * tap. */
    const int32_t joined = p->groups == 1 && p->dilation_w == 1;
    const int32_t run = joined ? (s.taps_x.end - s.taps_x.begin) * group_in : group_in;
    const int32_t runs_end = joined && run > 0 ? s.taps_x.begin + 1 : s.taps_x.end;

    float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX];
    ew_tile_start_f32(acc, pixels, outs, bias);
    for (int32_t ky = s.taps_y.begin; ky < s.taps_y.end; ++ky) {
        const int32_t iy = s.iy + ky * p->dilation_h;
        for (int32_t kx = s.taps_x.begin; kx < runs_end; ++kx) {
            const int32_t ix = s.ix + kx * p->dilation_w;
            ew_tile_dot_f32(acc, pixels, outs, x + (iy * p->in_w + ix) * p->in_c, p->stride_w * p->in_c, 1,
                            weights + ky * row + kx * group_in, p->kernel_h * row, 1, run);
        }
    }
    ew_tile_store_f32(acc, pixels, outs, y, p->out_c, p->act_min, p->act_max);
}

/* All output channels of a strip of `pixels` adjacent pixels. */
EW_INLINE void ew_conv2d_strip_f32(const float *restrict x, const float *restrict weights, const float *restrict bias,
                                   float *restrict y, const ew_conv2d_f32_params *p, ew_conv2d_strip s, int32_t pixels)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t group_out = p->out_c / p->groups;
    const int32_t filter = p->kernel_h * p->kernel_w * group_in;
    for (int32_t g = 0; g < p->groups; ++g) {
        const float *x_group = x + g * group_in;
        const int32_t begin = g * group_out;
        const int32_t tiled = begin + group_out - group_out % EW_TILE_OUTS;
        for (int32_t o = begin; o < tiled; o += EW_TILE_OUTS) {
            ew_conv2d_tile_f32(x_group, weights + o * filter, bias ? bias + o : NULL, y + o, p, s, pixels,
                               EW_TILE_OUTS);
        }
        for (int32_t o = tiled; o < begin + group_out; ++o) {
            ew_conv2d_tile_f32(x_group, weights + o * filter, bias ? bias + o : NULL, y + o, p, s, pixels, 1);
        }
    }
}

/* y[n,oy,ox,o] = clamp(bias[o] + sum over ky,kx,i of x[n, oy*stride_h - pad_top + ky*dilation_h,
 *                ox*stride_w - pad_left + kx*dilation_w, g*in_c/groups + i] * weights[o,ky,kx,i]), g = o /
 * (out_c/groups). weights_ohwi: [out_c][kernel_h][kernel_w][in_c/groups]. Buffers do not overlap. */
EW_KERNEL void ew_conv2d_f32(const float *restrict x, const float *restrict weights_ohwi, const float *restrict bias,
                             float *restrict y, const ew_conv2d_f32_params *p)
{
    if (p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->pad_top == 0 &&
        p->pad_left == 0 && p->groups == 1 && p->in_h == p->out_h && p->in_w == p->out_w) {
        /* Pointwise: a plain matrix product over all pixels of the batch. */
        const ew_product_f32_params product = {.rows = p->batch * p->out_h * p->out_w,
                                               .outs = p->out_c,
                                               .count = p->in_c,
                                               .x_row = p->in_c,
                                               .x_step = 1,
                                               .w_out = p->in_c,
                                               .w_step = 1,
                                               .act_min = p->act_min,
                                               .act_max = p->act_max};
        ew_product_f32(x, weights_ohwi, bias, y, &product);
        return;
    }
    const ew_range inside = ew_window_interior(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left);
    for (int32_t n = 0; n < p->batch; ++n) {
        const float *image = x + n * p->in_h * p->in_w * p->in_c;
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            ew_conv2d_strip s;
            s.iy = oy * p->stride_h - p->pad_top;
            s.taps_y = ew_window_taps(s.iy, p->kernel_h, p->dilation_h, 0, p->in_h);
            for (int32_t ox = 0; ox < p->out_w;) {
                float *y_pixel = y + ((n * p->out_h + oy) * p->out_w + ox) * p->out_c;
                s.ix = ox * p->stride_w - p->pad_left;
                if (inside.end - inside.begin >= EW_TILE_ROWS && ox >= inside.begin &&
                    ox + EW_TILE_ROWS <= inside.end) {
                    s.taps_x = (ew_range){0, p->kernel_w};
                    ew_conv2d_strip_f32(image, weights_ohwi, bias, y_pixel, p, s, EW_TILE_ROWS);
                    ox += EW_TILE_ROWS;
                } else {
                    s.taps_x = ew_window_taps(s.ix, p->kernel_w, p->dilation_w, 0, p->in_w);
                    ew_conv2d_strip_f32(image, weights_ohwi, bias, y_pixel, p, s, 1);
                    ox += 1;
                }
            }
        }
    }
}

#endif
