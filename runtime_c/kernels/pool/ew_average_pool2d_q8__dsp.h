/* Two-dimensional average pooling, 8 bits, for Arm DSP cores with FPU: four channels at a time, summed up in halfwords. */
#ifndef EW_AVERAGE_POOL2D_Q8__DSP_H
#define EW_AVERAGE_POOL2D_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_pool2d_q.h"
#include "ew_quantized.h"
#include "ew_window.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* a + bytes 0 and 2, or 1 and 3, of b, as halfwords. */
EW_DSP_BINARY(ew_dsp_uxtab16, "uxtab16 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_uxtab16_ror8, "uxtab16 %0, %1, %2, ror #8")

/* Sums of channels 0 and 2, and 1 and 3. */
typedef struct {
    uint32_t even, odd;
} ew_sum_four_result;

/* Four channels of a window of which rows by columns taps exist, from the first of these on, at most 257 in all. Steps
 * in bytes. `flip` is 0x80808080 for int8: sums are those of uint8. */
EW_SHARED ew_sum_four_result ew_sum_four(const uint8_t *x, int32_t rows, int32_t columns, int32_t row, int32_t column,
                                         uint32_t flip)
{
    ew_sum_four_result sum = {0, 0};
    for (; rows > 0; --rows, x += row) {
        const uint8_t *tap = x;
        int32_t left = columns;
        for (; left >= 4; left -= 4) {
            const uint32_t a = ew_dsp_load4(tap) ^ flip, b = ew_dsp_load4(tap + column) ^ flip;
            tap += 2 * column;
            const uint32_t c = ew_dsp_load4(tap) ^ flip, d = ew_dsp_load4(tap + column) ^ flip;
            tap += 2 * column;
            sum.even = ew_dsp_uxtab16(ew_dsp_uxtab16(ew_dsp_uxtab16(ew_dsp_uxtab16(sum.even, a), b), c), d);
            sum.odd = ew_dsp_uxtab16_ror8(
                ew_dsp_uxtab16_ror8(ew_dsp_uxtab16_ror8(ew_dsp_uxtab16_ror8(sum.odd, a), b), c), d);
        }
        for (; left > 0; --left, tap += column) {
            const uint32_t a = ew_dsp_load4(tap) ^ flip;
            sum.even = ew_dsp_uxtab16(sum.even, a);
            sum.odd = ew_dsp_uxtab16_ror8(sum.odd, a);
        }
    }
    return sum;
}

/* As ew_average_pool2d_q, for at least four channels of 8 bits, windows of at most 257 taps, and y of 8 bits. The last
 * four channels may be done twice. */
EW_KERNEL void ew_average_pool2d_q8__dsp(const void *restrict x, const float *restrict scales, void *restrict y,
                                         const ew_pool2d_q_params *p)
{
    const int32_t extra = p->count_include_pad ? 1 : 0, x_add = p->x_type == EW_QS8 ? 128 : 0;
    const int32_t y_add = p->y_type == EW_QS8 ? 128 : 0, y_zero = p->y_zero + y_add;
    const ew_dsp_clamp clamp = ew_dsp_clamp_of(p->act_min + y_add, p->act_max + y_add, p->y_type == EW_QS8);
    const int32_t row = p->dilation_h * p->in_w * p->channels, column = p->dilation_w * p->channels;
    uint8_t *to = y;
    for (int32_t at = 0; at < p->batch * p->out_h; ++at) {
        const int32_t iy = at % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        const ew_range counted_y =
            ew_window_taps(iy, p->kernel_h, p->dilation_h, -p->pad_top * extra, p->in_h + p->pad_bottom * extra);
        for (int32_t ox = 0; ox < p->out_w; ++ox, to += p->channels) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const ew_range counted_x =
                ew_window_taps(ix, p->kernel_w, p->dilation_w, -p->pad_left * extra, p->in_w + p->pad_right * extra);
            const float scale =
                scales[(counted_y.end - counted_y.begin) * (counted_x.end - counted_x.begin) - p->count_min];
            const uint8_t *first = (const uint8_t *)x + ((at / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels +
                                   taps_y.begin * row + taps_x.begin * column;
            int32_t rows = taps_y.end - taps_y.begin, columns = taps_x.end - taps_x.begin;
            const int32_t zeros = rows * columns * (p->x_zero + x_add);
            if (columns * column == row) { /* whole rows: one after the other */
                columns *= rows;
                rows = 1;
            }
            for (int32_t group = 0; group < p->channels; group += 4) {
                const int32_t c = group + 4 <= p->channels ? group : p->channels - 4;
                const ew_sum_four_result sum =
                    ew_sum_four(first + c, rows, columns, row, column, p->x_type == EW_QS8 ? 0x80808080u : 0);
                const uint32_t four =
                    ew_dsp_pack4(ew_dsp_requantize((int32_t)(sum.even & 0xffff) - zeros, scale, y_zero),
                                 ew_dsp_requantize((int32_t)(sum.odd & 0xffff) - zeros, scale, y_zero),
                                 ew_dsp_requantize((int32_t)(sum.even >> 16) - zeros, scale, y_zero),
                                 ew_dsp_requantize((int32_t)(sum.odd >> 16) - zeros, scale, y_zero));
                ew_dsp_store4(to + c, ew_dsp_clamp4(four, clamp));
            }
        }
    }
}

#endif
#endif
