/* Two-dimensional maximum pooling, 8 bits, for Arm DSP cores: four channels at a time, by USUB8 or SSUB8 and SEL. */
#ifndef EW_MAX_POOL2D_Q8__DSP_H
#define EW_MAX_POOL2D_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_pool2d_q.h"
#include "ew_quantized.h"
#include "ew_window.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* The larger bytes, without and with sign. The difference, wanted for its flags alone, must not overwrite an operand. */
EW_INLINE uint32_t ew_dsp_umax8(uint32_t a, uint32_t b)
{
    uint32_t r;
    __asm__("usub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b));
    return r;
}

EW_INLINE uint32_t ew_dsp_smax8(uint32_t a, uint32_t b)
{
    uint32_t r;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b));
    return r;
}

/* Four channels of a window of which rows by columns taps exist, from the first of these on. Steps in bytes. */
EW_INLINE uint32_t ew_max_four(const uint8_t *x, int32_t rows, int32_t columns, int32_t row, int32_t column,
                               int32_t x_type)
{
    uint32_t most = ew_dsp_load4(x);
    for (; rows > 0; --rows, x += row) {
        const uint8_t *tap = x;
        for (int32_t left = columns; left > 0; --left, tap += column) {
            const uint32_t four = ew_dsp_load4(tap);
            most = x_type == EW_QS8 ? ew_dsp_smax8(four, most) : ew_dsp_umax8(four, most);
        }
    }
    return most;
}

EW_SHARED uint32_t ew_max_four_u8(const uint8_t *x, int32_t rows, int32_t columns, int32_t row, int32_t column)
{
    return ew_max_four(x, rows, columns, row, column, EW_QU8);
}

EW_SHARED uint32_t ew_max_four_s8(const uint8_t *x, int32_t rows, int32_t columns, int32_t row, int32_t column)
{
    return ew_max_four(x, rows, columns, row, column, EW_QS8);
}

/* As ew_max_pool2d_q, for at least four channels of 8 bits. The last four channels may be done twice. */
EW_KERNEL void ew_max_pool2d_q8__dsp(const void *restrict x, void *restrict y, const ew_pool2d_q_params *p)
{
    const int32_t is_s8 = p->x_type == EW_QS8, row = p->dilation_h * p->in_w * p->channels;
    const int32_t column = p->dilation_w * p->channels;
    const uint32_t low = ((uint32_t)p->act_min & 0xff) * 0x01010101u, high = ((uint32_t)p->act_max & 0xff) * 0x01010101u;
    const int32_t clamps = p->act_min > (is_s8 ? -128 : 0) || p->act_max < (is_s8 ? 127 : 255);
    uint8_t *to = y;
    for (int32_t at = 0; at < p->batch * p->out_h; ++at) {
        const int32_t iy = at % p->out_h * p->stride_h - p->pad_top;
        const ew_range taps_y = ew_window_taps(iy, p->kernel_h, p->dilation_h, 0, p->in_h);
        for (int32_t ox = 0; ox < p->out_w; ++ox, to += p->channels) {
            const int32_t ix = ox * p->stride_w - p->pad_left;
            const ew_range taps_x = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
            const uint8_t *first = (const uint8_t *)x + ((at / p->out_h * p->in_h + iy) * p->in_w + ix) * p->channels +
                                   taps_y.begin * row + taps_x.begin * column;
            const int32_t rows = taps_y.end - taps_y.begin, columns = taps_x.end - taps_x.begin;
            for (int32_t group = 0; group < p->channels; group += 4) {
                const int32_t c = group + 4 <= p->channels ? group : p->channels - 4;
                uint32_t four = is_s8 ? ew_max_four_s8(first + c, rows, columns, row, column)
                                      : ew_max_four_u8(first + c, rows, columns, row, column);
                if (clamps && is_s8) {
                    four = ew_dsp_smax8(four, low);
                    four = ~ew_dsp_smax8(~four, ~high);
                } else if (clamps) {
                    four = ew_dsp_umax8(four, low);
                    four = ~ew_dsp_umax8(~four, ~high);
                }
                ew_dsp_store4(to + c, four);
            }
        }
    }
}

#endif
#endif
