/* Depthwise convolution of any shape, 8 bits, one output a channel, for Arm DSP cores with FPU: four channels at a time.
 * 3x3 has a kernel of its own (ew_depthwise_3x3_q8__dsp.h). */
#ifndef EW_DEPTHWISE_CONV2D_Q8__DSP_H
#define EW_DEPTHWISE_CONV2D_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_quantized.h"
#include "ew_window.h"

/* x [batch][in_h][in_w][channels], y [batch][out_h][out_w][channels], at any address; channels >= 4. What is padded
 * below and right follows from out_h and out_w. Buffers do not overlap. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t x_type, y_type;   /* EW_QS8 or EW_QU8 */
    int32_t x_zero;           /* in the domain of x */
    int32_t y_zero;           /* this and limits: 0..255, 128 added to those of an int8 y */
    int32_t act_min, act_max;
} ew_depthwise_conv2d_q8__dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define EW_DSP_MAC(name)                                                                \
    EW_INLINE int32_t ew_dsp_##name(uint32_t a, uint32_t b, int32_t acc)                \
    {                                                                                   \
        int32_t r;                                                                      \
        __asm__(#name " %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));          \
        return r;                                                                       \
    }
EW_DSP_MAC(smlabb)
EW_DSP_MAC(smlatt)

/* Where the taps of a window are that exist: rows by columns of them, steps in bytes (x) and words (weights). */
typedef struct {
    const uint8_t *x;
    const uint32_t *weights; /* of each tap channels 0 and 2, 1 and 3, as halfwords */
    int32_t rows, columns;
    int32_t x_row, x_column, weights_row;
    uint32_t flip;  /* 0x80808080 for int8 */
    uint32_t zeros; /* x's zero point, 0..255, twice */
} ew_depthwise_four;

/* Adds the products of four channels to sums. */
EW_SHARED void ew_depthwise_four_sums(const ew_depthwise_four *f, int32_t sums[4])
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    const uint8_t *x = f->x;
    const uint32_t *w = f->weights;
    for (int32_t row = f->rows; row > 0; --row, x += f->x_row, w += f->weights_row) {
        const uint8_t *tap = x;
        const uint32_t *pair = w;
        for (int32_t left = f->columns; left > 0; --left, tap += f->x_column, pair += 2) {
            const uint32_t four = ew_dsp_load4(tap) ^ f->flip;
            const uint32_t even = ew_dsp_ssub16(ew_dsp_uxtb16(four), f->zeros);
            const uint32_t odd = ew_dsp_ssub16(ew_dsp_uxtb16_ror8(four), f->zeros);
            s0 = ew_dsp_smlabb(even, pair[0], s0);
            s2 = ew_dsp_smlatt(even, pair[0], s2);
            s1 = ew_dsp_smlabb(odd, pair[1], s1);
            s3 = ew_dsp_smlatt(odd, pair[1], s3);
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* weights: for each four channels (the last four where channels is not a multiple) a bias each, a scale each (the bits
 * of a float32), and for each tap, row by row, two words: channels 0 and 2, 1 and 3. */
EW_KERNEL void ew_depthwise_conv2d_q8__dsp(const void *x, const uint32_t *weights, void *y,
                                           const ew_depthwise_conv2d_q8__dsp_params *p)
{
    const int32_t x_add = p->x_type == EW_QS8 ? 128 : 0, taps = p->kernel_h * p->kernel_w;
    const ew_dsp_clamp clamp = ew_dsp_clamp_of(p->act_min, p->act_max, p->y_type == EW_QS8);
    ew_depthwise_four f = {
        .x_row = p->dilation_h * p->in_w * p->channels,
        .x_column = p->dilation_w * p->channels,
        .weights_row = 2 * p->kernel_w,
        .flip = p->x_type == EW_QS8 ? 0x80808080u : 0,
        .zeros = (uint32_t)(p->x_zero + x_add) * 0x00010001u,
    };
    uint8_t *to = y;
    for (int32_t at = 0; at < p->batch * p->out_h; ++at) {
        const int32_t iy = at % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        f.rows = taps_y.end - taps_y.begin;
        for (int32_t ox = 0; ox < p->out_w; ++ox, to += p->channels) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const uint8_t *first = (const uint8_t *)x + ((at / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels +
                                   taps_y.begin * f.x_row + taps_x.begin * f.x_column;
            const uint32_t *w = weights;
            f.columns = taps_x.end - taps_x.begin;
            for (int32_t group = 0; group < p->channels; group += 4, w += 8 + 2 * taps) {
                const int32_t c = group + 4 <= p->channels ? group : p->channels - 4;
                int32_t sums[4];
                float scale[4];
                memcpy(sums, w, sizeof sums);
                memcpy(scale, w + 4, sizeof scale);
                f.x = first + c;
                f.weights = w + 8 + taps_y.begin * f.weights_row + taps_x.begin * 2;
                ew_depthwise_four_sums(&f, sums);
                const uint32_t four = ew_dsp_pack4(
                    ew_dsp_requantize(sums[0], scale[0], p->y_zero), ew_dsp_requantize(sums[1], scale[1], p->y_zero),
                    ew_dsp_requantize(sums[2], scale[2], p->y_zero), ew_dsp_requantize(sums[3], scale[3], p->y_zero));
                ew_dsp_store4(to + c, ew_dsp_clamp4(four, clamp));
            }
        }
    }
}

#endif
#endif
