/* Convolution and transposed convolution of volumes, float32. */
#ifndef EW_CONV3D_F32_H
#define EW_CONV3D_F32_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_window.h"

/* Layouts: x [batch][in_c][in], y [batch][out_c][out]. Sizes are depth, height, width; sizes, strides and dilations are
 * >= 1, pads >= 0. */
typedef struct {
    int32_t batch, in_c, out_c, groups; /* channels are multiples of groups */
    int32_t in[3], out[3], kernel[3], stride[3], dilation[3];
    int32_t pad[3];         /* at the beginning of each axis */
    float act_min, act_max; /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_conv3d_f32_params;

/* y[n,o,oz,oy,ox] = clamp(bias[o] + sum over i,kz,ky,kx of x[n,i,iz,iy,ix] * weights[o,i,kz,ky,kx]), iz =
 * oz * stride + kz * dilation - pad and likewise iy, ix, for taps inside x, and channels i of o's group.
 * weights: [out_c][in_c/groups][kernel]; bias [out_c] may be NULL. Buffers do not overlap. */
EW_KERNEL void ew_conv3d_f32(const float *restrict x, const float *restrict weights, const float *restrict bias,
                             float *restrict y, const ew_conv3d_f32_params *p)
{
    const int32_t plane = p->in[1] * p->in[2], volume = p->in[0] * plane;
    const int32_t taps = p->kernel[0] * p->kernel[1] * p->kernel[2];
    const int32_t group_in = p->in_c / p->groups, group_out = p->out_c / p->groups;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t o = 0; o < p->out_c; ++o) {
            const float *image = x + (n * p->in_c + o / group_out * group_in) * volume;
            const float *filter = weights + o * group_in * taps;
            for (int32_t oz = 0; oz < p->out[0]; ++oz) {
                const int32_t iz = oz * p->stride[0] - p->pad[0];
                const ew_range taps_z = ew_window_taps(iz, p->kernel[0], p->dilation[0], 0, p->in[0]);
                for (int32_t oy = 0; oy < p->out[1]; ++oy) {
                    const int32_t iy = oy * p->stride[1] - p->pad[1];
                    const ew_range taps_y = ew_window_taps(iy, p->kernel[1], p->dilation[1], 0, p->in[1]);
                    for (int32_t ox = 0; ox < p->out[2]; ++ox) {
                        const int32_t ix = ox * p->stride[2] - p->pad[2];
                        const ew_range taps_x = ew_window_taps(ix, p->kernel[2], p->dilation[2], 0, p->in[2]);
                        float sum = bias ? bias[o] : 0.0f;
                        for (int32_t i = 0; i < group_in; ++i) {
                            float part = 0.0f; /* one channel of the window: see EW_SUM_BLOCK */
                            for (int32_t kz = taps_z.begin; kz < taps_z.end; ++kz) {
                                for (int32_t ky = taps_y.begin; ky < taps_y.end; ++ky) {
                                    const int32_t from = i * volume + (iz + kz * p->dilation[0]) * plane +
                                                         (iy + ky * p->dilation[1]) * p->in[2] + ix;
                                    const float *row = filter + i * taps + (kz * p->kernel[1] + ky) * p->kernel[2];
                                    for (int32_t kx = taps_x.begin; kx < taps_x.end; ++kx) {
                                        part += image[from + kx * p->dilation[2]] * row[kx];
                                    }
                                }
                            }
                            sum += part;
                        }
                        *y++ = ew_clamp_value_f32(sum, p->act_min, p->act_max);
                    }
                }
            }
        }
    }
}

/* The sum of a transposed convolution for one output, without the bias. x begins at the group's first channel, weights
 * at the output channel; a channel of x is x_step elements, one of its weights w_step elements after the other. */
EW_INLINE float ew_conv_transpose3d_sum(const float *restrict x, const float *restrict weights,
                                        const ew_conv3d_f32_params *p, const int32_t *at, int32_t channels,
                                        int32_t x_step, int32_t w_step)
{
    float sum = 0.0f;
    for (int32_t kz = 0; kz < p->kernel[0]; ++kz) {
        const int32_t iz = ew_conv_transpose_source(at[0], kz, p->in[0], p->stride[0], p->dilation[0], p->pad[0]);
        for (int32_t ky = 0; iz >= 0 && ky < p->kernel[1]; ++ky) {
            const int32_t iy = ew_conv_transpose_source(at[1], ky, p->in[1], p->stride[1], p->dilation[1], p->pad[1]);
            for (int32_t kx = 0; iy >= 0 && kx < p->kernel[2]; ++kx) {
                const int32_t ix =
                    ew_conv_transpose_source(at[2], kx, p->in[2], p->stride[2], p->dilation[2], p->pad[2]);
                const int32_t tap = (kz * p->kernel[1] + ky) * p->kernel[2] + kx;
                const int32_t from = (iz * p->in[1] + iy) * p->in[2] + ix;
                float part = 0.0f; /* one tap: see EW_SUM_BLOCK */
                for (int32_t i = 0; ix >= 0 && i < channels; ++i) {
                    part += x[i * x_step + from] * weights[i * w_step + tap];
                }
                sum += part;
            }
        }
    }
    return sum;
}

/* y[n,o,oz,oy,ox] = clamp(bias[o] + sum over i,kz,ky,kx of x[n,i,iz,iy,ix] * weights[i,o,kz,ky,kx]) where
 * iz = (oz + pad - kz * dilation) / stride is whole and in range, iy and ix likewise, for channels i of o's group.
 * weights: [in_c][out_c/groups][kernel]; bias [out_c] may be NULL. Buffers do not overlap. */
EW_KERNEL void ew_conv_transpose3d_f32(const float *restrict x, const float *restrict weights,
                                       const float *restrict bias, float *restrict y, const ew_conv3d_f32_params *p)
{
    const int32_t volume = p->in[0] * p->in[1] * p->in[2], taps = p->kernel[0] * p->kernel[1] * p->kernel[2];
    const int32_t group_in = p->in_c / p->groups, group_out = p->out_c / p->groups;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t o = 0; o < p->out_c; ++o) {
            const int32_t first = o / group_out * group_in; /* channel of x */
            const float *image = x + (n * p->in_c + first) * volume;
            const float *filter = weights + (first * group_out + o % group_out) * taps;
            for (int32_t z = 0; z < p->out[0]; ++z) {
                for (int32_t r = 0; r < p->out[1]; ++r) {
                    for (int32_t c = 0; c < p->out[2]; ++c) {
                        const int32_t at[3] = {z, r, c};
                        const float sum =
                            ew_conv_transpose3d_sum(image, filter, p, at, group_in, volume, group_out * taps);
                        *y++ = ew_clamp_value_f32(sum + (bias ? bias[o] : 0.0f), p->act_min, p->act_max);
                    }
                }
            }
        }
    }
}

#endif
