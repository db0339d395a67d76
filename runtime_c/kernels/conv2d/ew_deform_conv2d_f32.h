/* Convolution whose taps are moved by offsets that the network computes, float32. */
#ifndef EW_DEFORM_CONV2D_F32_H
#define EW_DEFORM_CONV2D_F32_H

#include "ew_base.h"
#include "ew_float.h"

/* Layouts: x [batch][in_c][in_h][in_w], y [batch][out_c][out_h][out_w]. Sizes, strides and dilations are >= 1. */
typedef struct {
    int32_t batch, in_c, in_h, in_w;
    int32_t out_c, out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups, offset_groups; /* channels are multiples of both */
} ew_deform_conv2d_f32_params;

/* An image between its elements, by lines; what lies outside is 0. Any float is safe. */
EW_INLINE float ew_deform_value(const float *image, int32_t in_h, int32_t in_w, float y, float x)
{
    if (!(y > -1.0f && y < (float)in_h && x > -1.0f && x < (float)in_w)) {
        return 0.0f;
    }
    const float top = floorf(y), left = floorf(x), down = y - top, along = x - left;
    const int32_t v = (int32_t)top, h = (int32_t)left;
    const int above = v >= 0, below = v + 1 < in_h, before = h >= 0, behind = h + 1 < in_w;
    const int32_t at = v * in_w + h, under = at + in_w;
    const float upper = (above && before ? (1.0f - along) * image[at] : 0.0f) +
                        (above && behind ? along * image[at + 1] : 0.0f);
    const float lower = (below && before ? (1.0f - along) * image[under] : 0.0f) +
                        (below && behind ? along * image[under + 1] : 0.0f);
    return (1.0f - down) * upper + down * lower;
}

/* y[n,o,oy,ox] = bias[o] + sum over i and taps k of weights[o,i,k] * mask[n,g,k,oy,ox] * x[n,i] at the tap's place, moved
 * by offsets[n,g,k,:,oy,ox] (down, along), for the channels i of o's group; g is i's group of offsets.
 * weights: [out_c][in_c/groups][kernel_h][kernel_w], offsets: [batch][offset_groups][kernel_h][kernel_w][2][out_h][out_w],
 * mask: the same without the 2, or NULL: ones; bias [out_c] or NULL; scratch holds in_c * kernel_h * kernel_w floats.
 * Buffers do not overlap. */
EW_KERNEL void ew_deform_conv2d_f32(const float *restrict x, const float *restrict weights,
                                    const float *restrict offsets, const float *restrict bias,
                                    const float *restrict mask, void *restrict scratch, float *restrict y,
                                    const ew_deform_conv2d_f32_params *p)
{
    const int32_t taps = p->kernel_h * p->kernel_w, pixels = p->out_h * p->out_w, plane = p->in_h * p->in_w;
    const int32_t group_in = p->in_c / p->groups, group_out = p->out_c / p->groups;
    const int32_t offset_in = p->in_c / p->offset_groups;
    float *column = (float *)scratch; /* [in_c][taps]: what the taps of one output pixel see */
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            const float oy = (float)(pixel / p->out_w * p->stride_h - p->pad_top);
            const float ox = (float)(pixel % p->out_w * p->stride_w - p->pad_left);
            for (int32_t k = 0; k < p->offset_groups * taps; ++k) {
                const int32_t group = k / taps, tap = k % taps, from = n * p->offset_groups * taps + k;
                const float at_y = oy + (float)(tap / p->kernel_w * p->dilation_h) + offsets[from * 2 * pixels + pixel];
                const float at_x =
                    ox + (float)(tap % p->kernel_w * p->dilation_w) + offsets[(from * 2 + 1) * pixels + pixel];
                const float factor = mask ? mask[from * pixels + pixel] : 1.0f;
                for (int32_t i = group * offset_in; i < (group + 1) * offset_in; ++i) {
                    const float *image = x + (n * p->in_c + i) * plane;
                    column[i * taps + tap] = factor * ew_deform_value(image, p->in_h, p->in_w, at_y, at_x);
                }
            }
            for (int32_t o = 0; o < p->out_c; ++o) {
                const float *seen = column + o / group_out * group_in * taps, *filter = weights + o * group_in * taps;
                float sum = bias ? bias[o] : 0.0f;
                for (int32_t i = 0; i < group_in; ++i) {
                    float part = 0.0f; /* one channel: see EW_SUM_BLOCK */
                    for (int32_t tap = 0; tap < taps; ++tap) {
                        part += filter[i * taps + tap] * seen[i * taps + tap];
                    }
                    sum += part;
                }
                y[(n * p->out_c + o) * pixels + pixel] = sum;
            }
        }
    }
}

#endif
