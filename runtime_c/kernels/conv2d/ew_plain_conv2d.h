/* Two-dimensional convolution by simple loops, of types other than float32: ew_plain_conv2d_SUFFIX. */
#ifndef EW_PLAIN_CONV2D_H
#define EW_PLAIN_CONV2D_H

#include "ew_base.h"

/* x [batch][in_h][in_w][in_c], w [out_c][kernel_h][kernel_w][in_c / groups], bias [out_c] or NULL,
 * y [batch][out_h][out_w][out_c]. All sizes, strides, dilations and groups are >= 1; groups divides in_c and out_c.
 * Padding reads as zero; what is padded below and right follows from out_h and out_w. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups;
} ew_plain_conv2d_params;

/* The sum is in type A; integers wrap around. Buffers do not overlap. */
#define EW_PLAIN_CONV2D(S, T, A)                                                                                       \
    EW_INLINE A ew_plain_conv2d_sum_##S(const T *x, const T *w, int32_t top, int32_t left, A sum,                      \
                                        const ew_plain_conv2d_params *p)                                               \
    {                                                                                                                  \
        const int32_t channels = p->in_c / p->groups;                                                                  \
        for (int32_t i = 0; i < p->kernel_h; ++i) {                                                                    \
            for (int32_t j = 0; j < p->kernel_w; ++j) {                                                                \
                const int32_t row = top + i * p->dilation_h, column = left + j * p->dilation_w;                        \
                if (row < 0 || row >= p->in_h || column < 0 || column >= p->in_w) {                                    \
                    continue;                                                                                          \
                }                                                                                                      \
                for (int32_t c = 0; c < channels; ++c) {                                                               \
                    sum += (A)x[(row * p->in_w + column) * p->in_c + c] *                                              \
                           (A)w[(i * p->kernel_w + j) * channels + c];                                                 \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        return sum;                                                                                                    \
    }                                                                                                                  \
    EW_KERNEL void ew_plain_conv2d_##S(const T *restrict x, const T *restrict w, const T *restrict bias,               \
                                       T *restrict y, const ew_plain_conv2d_params *p)                                 \
    {                                                                                                                  \
        const int32_t in_c = p->in_c / p->groups, out_c = p->out_c / p->groups;                                        \
        for (int32_t at = 0; at < p->batch * p->out_h * p->out_w; ++at) { /* a place of the output */                  \
            const int32_t top = at / p->out_w % p->out_h * p->stride_h - p->pad_top;                                   \
            const int32_t left = at % p->out_w * p->stride_w - p->pad_left;                                            \
            const T *image = x + at / p->out_w / p->out_h * p->in_h * p->in_w * p->in_c;                               \
            for (int32_t o = 0; o < p->out_c; ++o) {                                                                   \
                const T *filter = w + o * p->kernel_h * p->kernel_w * in_c;                                            \
                const A start = bias != NULL ? (A)bias[o] : (A)0;                                                      \
                *y++ = (T)ew_plain_conv2d_sum_##S(image + o / out_c * in_c, filter, top, left, start, p);              \
            }                                                                                                          \
        }                                                                                                              \
    }

EW_PLAIN_CONV2D(f64, double, double)
EW_PLAIN_CONV2D(s32, int32_t, uint32_t)

#endif
