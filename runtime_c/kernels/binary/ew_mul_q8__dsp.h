/* Product of two tensors of the same shape, 8 bits, for Arm DSP cores, by a line (ew_dsp.h) whose shift is 16.
 *
 * Operands are widened times 2^7, their zero points taken away, so that products are 2^14 times those of the
 * definition. The generator has compared the line with the definition for every product. */
#ifndef EW_MUL_Q8__DSP_H
#define EW_MUL_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_quantized.h"

#include <string.h>

/* a, b and y hold `count` elements, at any address; y may be a or b. */
typedef struct {
    int32_t count;
    int32_t a_zero, b_zero;         /* 0..255: 128 is added to those of int8 */
    int32_t multiplier, offset;     /* of the line */
    int32_t a_type, b_type, y_type; /* EW_QS8 or EW_QU8; int8 is taken and given as uint8 less 128 */
    int32_t act_min, act_max;       /* 0..255, likewise */
} ew_mul_q8__dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

EW_DSP_BINARY(ew_dsp_smulbb, "smulbb %0, %1, %2")
EW_DSP_BINARY(ew_dsp_smultt, "smultt %0, %1, %2")

/* What ew_mul_four needs beside its operands. */
typedef struct {
    uint32_t a_zeros, b_zeros; /* zero points times 2^7, twice */
    int32_t multiplier, offset;
} ew_mul_line;

/* Four elements, uint8. */
EW_INLINE uint32_t ew_mul_four(uint32_t a, uint32_t b, ew_mul_line l)
{
    const uint32_t mask = 0x7f807f80u;
    const uint32_t a_even = ew_dsp_ssub16(a << 7 & mask, l.a_zeros), a_odd = ew_dsp_ssub16(a >> 1 & mask, l.a_zeros);
    const uint32_t b_even = ew_dsp_ssub16(b << 7 & mask, l.b_zeros), b_odd = ew_dsp_ssub16(b >> 1 & mask, l.b_zeros);
    const int32_t y0 = ew_dsp_smmla((int32_t)ew_dsp_smulbb(a_even, b_even), l.multiplier, l.offset);
    const int32_t y2 = ew_dsp_smmla((int32_t)ew_dsp_smultt(a_even, b_even), l.multiplier, l.offset);
    const int32_t y1 = ew_dsp_smmla((int32_t)ew_dsp_smulbb(a_odd, b_odd), l.multiplier, l.offset);
    const int32_t y3 = ew_dsp_smmla((int32_t)ew_dsp_smultt(a_odd, b_odd), l.multiplier, l.offset);
    const uint32_t even = ew_dsp_usat16_8(ew_dsp_pkhtb((uint32_t)y0, (uint32_t)y2));
    const uint32_t odd = ew_dsp_usat16_8(ew_dsp_pkhtb((uint32_t)y1, (uint32_t)y3));
    return even | odd << 8;
}

/* Words of four elements, uint8 and not clamped further. */
EW_SHARED void ew_mul_words(const uint8_t *a, const uint8_t *b, uint8_t *y, int32_t words, const ew_mul_line *line)
{
    const ew_mul_line l = *line;
    for (; words > 0; --words, a += 4, b += 4, y += 4) {
        ew_dsp_store4(y, ew_mul_four(ew_dsp_load4(a), ew_dsp_load4(b), l));
    }
}

EW_KERNEL void ew_mul_q8__dsp(const void *a, const void *b, void *y, const ew_mul_q8__dsp_params *p)
{
    const int32_t plain = p->a_type == EW_QU8 && p->b_type == EW_QU8 && p->y_type == EW_QU8 && p->act_min == 0 &&
                          p->act_max == 255;
    const uint32_t a_flip = p->a_type == EW_QS8 ? 0x80808080u : 0, b_flip = p->b_type == EW_QS8 ? 0x80808080u : 0;
    const ew_dsp_clamp clamp = ew_dsp_clamp_of(p->act_min, p->act_max, p->y_type == EW_QS8);
    const ew_mul_line line = {(uint32_t)p->a_zero * 0x00800080u, (uint32_t)p->b_zero * 0x00800080u, p->multiplier,
                              p->offset};
    int32_t done = 0;
    if (plain) {
        done = p->count / 4 * 4;
        ew_mul_words(a, b, y, p->count / 4, &line);
    }
    for (; done < p->count; done += 4) {
        const size_t n = p->count - done < 4 ? (size_t)(p->count - done) : 4;
        uint32_t four_a = 0, four_b = 0;
        memcpy(&four_a, (const uint8_t *)a + done, n);
        memcpy(&four_b, (const uint8_t *)b + done, n);
        const uint32_t four = ew_dsp_clamp4(ew_mul_four(four_a ^ a_flip, four_b ^ b_flip, line), clamp);
        memcpy((uint8_t *)y + done, &four, n);
    }
}

#endif
#endif
