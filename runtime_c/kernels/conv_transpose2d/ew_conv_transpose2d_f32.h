/* Two-dimensional transposed convolution (as ONNX ConvTranspose), float32, in gather form: each output is computed
 * once, from the inputs that reach it, so the output needs no zeroing and the activation fuses. */
#ifndef EW_CONV_TRANSPOSE2D_F32_H
#define EW_CONV_TRANSPOSE2D_F32_H

#include "ew_base.h"
#include "ew_conv2d.h"
#include "ew_tile_f32.h"
#include "ew_window.h"

/* `outs` output channels of one pixel: x is one image at the group's first channel, weights start at the first output.
 */
EW_INLINE void ew_conv_transpose2d_tile_f32(const float *restrict x, const float *restrict weights,
                                            const float *restrict bias, float *restrict y,
                                            const ew_conv2d_f32_params *p, int32_t oy, int32_t ox, int32_t outs)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t filter = p->kernel_h * p->kernel_w * group_in;
    float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX];
    ew_tile_start_f32(acc, 1, outs, bias);
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t iy = ew_conv_transpose_source(oy, ky, p->in_h, p->stride_h, p->dilation_h, p->pad_top);
        if (iy < 0) {
            continue;
        }
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t ix = ew_conv_transpose_source(ox, kx, p->in_w, p->stride_w, p->dilation_w, p->pad_left);
            if (ix < 0) {
                continue;
            }
            ew_tile_dot_f32(acc, 1, outs, x + (iy * p->in_w + ix) * p->in_c, 0, 1,
                            weights + (ky * p->kernel_w + kx) * group_in, filter, 1, group_in);
        }
    }
    ew_tile_store_f32(acc, 1, outs, y, 0, p->act_min, p->act_max);
}

/* y[n,oy,ox,o] = clamp(bias[o] + sum over ky,kx,i of x[n,iy,ix,g*in_c/groups + i] * weights[o,ky,kx,i]) where
 * iy = (oy + pad_top - ky*dilation_h) / stride_h is whole and in range, ix likewise; g = o / (out_c/groups).
 * weights_ohwi: [out_c][kernel_h][kernel_w][in_c/groups]. Buffers do not overlap. */
EW_KERNEL void ew_conv_transpose2d_f32(const float *restrict x, const float *restrict weights_ohwi,
                                       const float *restrict bias, float *restrict y, const ew_conv2d_f32_params *p)
{
    const int32_t group_in = p->in_c / p->groups;
    const int32_t group_out = p->out_c / p->groups;
    const int32_t filter = p->kernel_h * p->kernel_w * group_in;
    const int32_t pixels = p->out_h * p->out_w;
    for (int32_t pixel = 0; pixel < p->batch * pixels; ++pixel) {
        const float *image = x + pixel / pixels * (p->in_h * p->in_w * p->in_c);
        const int32_t oy = pixel % pixels / p->out_w;
        const int32_t ox = pixel % p->out_w;
        float *y_pixel = y + pixel * p->out_c;
        for (int32_t g = 0; g < p->groups; ++g) {
            const float *x_group = image + g * group_in;
            const int32_t begin = g * group_out;
            const int32_t tiled = begin + group_out - group_out % EW_TILE_OUTS;
            for (int32_t o = begin; o < tiled; o += EW_TILE_OUTS) {
                ew_conv_transpose2d_tile_f32(x_group, weights_ohwi + o * filter, bias ? bias + o : NULL, y_pixel + o, p,
                                             oy, ox, EW_TILE_OUTS);
            }
            for (int32_t o = tiled; o < begin + group_out; ++o) {
                ew_conv_transpose2d_tile_f32(x_group, weights_ohwi + o * filter, bias ? bias + o : NULL, y_pixel + o, p,
                                             oy, ox, 1);
            }
        }
    }
}

#endif
