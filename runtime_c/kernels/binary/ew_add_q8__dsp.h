/* Sum or difference of two tensors of the same shape, 8 bits, for Arm DSP cores, by integers.
 *
 * With bytes widened times 2^7, y = usat8((offset + (a * a_factor >> 16) + (b * b_factor >> 16)) >> 16), which SMLAW
 * does without taking halfwords apart. The generator has tried all 65,536 pairs of operands against the definition. */
#ifndef EW_ADD_Q8__DSP_H
#define EW_ADD_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_quantized.h"

#include <string.h>

/* a, b and y hold `count` elements, at any address; y may be a or b. Zero points are in the offset. */
typedef struct {
    int32_t count;
    int32_t a_factor, b_factor;     /* for uint8 operands times 2^7 */
    int32_t offset;
    int32_t a_type, b_type, y_type; /* EW_QS8 or EW_QU8; int8 is taken and given as uint8 less 128 */
    int32_t act_min, act_max;       /* 0..255: after 128 is added to those of an int8 y */
} ew_add_q8__dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* acc + (a * the low or the high halfword of b >> 16) */
EW_INLINE int32_t ew_dsp_smlawb(int32_t a, uint32_t b, int32_t acc)
{
    int32_t r;
    __asm__("smlawb %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}

EW_INLINE int32_t ew_dsp_smlawt(int32_t a, uint32_t b, int32_t acc)
{
    int32_t r;
    __asm__("smlawt %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}

/* Four elements, uint8. */
EW_INLINE uint32_t ew_add_four(uint32_t a, uint32_t b, int32_t a_factor, int32_t b_factor, int32_t offset)
{
    const uint32_t mask = 0x7f807f80u;
    const uint32_t a_even = a << 7 & mask, a_odd = a >> 1 & mask, b_even = b << 7 & mask, b_odd = b >> 1 & mask;
    const int32_t y0 = ew_dsp_smlawb(b_factor, b_even, ew_dsp_smlawb(a_factor, a_even, offset));
    const int32_t y2 = ew_dsp_smlawt(b_factor, b_even, ew_dsp_smlawt(a_factor, a_even, offset));
    const int32_t y1 = ew_dsp_smlawb(b_factor, b_odd, ew_dsp_smlawb(a_factor, a_odd, offset));
    const int32_t y3 = ew_dsp_smlawt(b_factor, b_odd, ew_dsp_smlawt(a_factor, a_odd, offset));
    const uint32_t even = ew_dsp_usat16_8(ew_dsp_pkhtb((uint32_t)y0, (uint32_t)y2));
    const uint32_t odd = ew_dsp_usat16_8(ew_dsp_pkhtb((uint32_t)y1, (uint32_t)y3));
    return even | odd << 8;
}

/* Registers: r0 a, r1 b, r2 y, r3 its end, r4 a_factor, r5 b_factor, r6 offset, r7 mask; r8-r12 as in ew_add_four. */
#define EW_ADD_FOUR                       \
    "ldr r8, [r0], #4\n\t"                \
    "ldr r9, [r1], #4\n\t"                \
    "and r10, r7, r8, lsl #7\n\t"         \
    "and r8, r7, r8, lsr #1\n\t"          \
    "and r11, r7, r9, lsl #7\n\t"         \
    "and r9, r7, r9, lsr #1\n\t"          \
    "smlawb r12, r4, r10, r6\n\t"         \
    "smlawt r10, r4, r10, r6\n\t"         \
    "smlawb r12, r5, r11, r12\n\t"        \
    "smlawt r10, r5, r11, r10\n\t"        \
    "pkhtb r10, r10, r12, asr #16\n\t"    \
    "smlawb r12, r4, r8, r6\n\t"          \
    "smlawt r8, r4, r8, r6\n\t"           \
    "smlawb r12, r5, r9, r12\n\t"         \
    "smlawt r8, r5, r9, r8\n\t"           \
    "pkhtb r8, r8, r12, asr #16\n\t"      \
    "usat16 r10, #8, r10\n\t"             \
    "usat16 r8, #8, r8\n\t"               \
    "orr r8, r10, r8, lsl #8\n\t"         \
    "str r8, [r2], #4\n\t"

/* A whole number of words of four elements, at least one, uint8 and not clamped further. */
typedef struct {
    const uint8_t *y_end;
    int32_t a_factor, b_factor, offset;
    uint32_t mask; /* 0x7f807f80 */
} ew_add_words_constants;

EW_DSP_NAKED void ew_add_words(const uint8_t *a __attribute__((unused)), const uint8_t *b __attribute__((unused)),
                               uint8_t *y __attribute__((unused)),
                               const ew_add_words_constants *constants __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n\t"
            "ldmia r3, {r3-r7}\n\t"
            "sub r12, r3, r2\n\t"
            "tst r12, #4\n\t"
            "bne 2f\n"
            "1:\n\t" EW_ADD_FOUR
            "2:\n\t" EW_ADD_FOUR
            "cmp r2, r3\n\t"
            "bne 1b\n\t"
            "pop {r4-r11, pc}\n\t");
}

EW_KERNEL void ew_add_q8__dsp(const void *a, const void *b, void *y, const ew_add_q8__dsp_params *p)
{
    const int32_t plain = p->a_type == EW_QU8 && p->b_type == EW_QU8 && p->y_type == EW_QU8 && p->act_min == 0 &&
                          p->act_max == 255;
    const uint32_t a_flip = p->a_type == EW_QS8 ? 0x80808080u : 0, b_flip = p->b_type == EW_QS8 ? 0x80808080u : 0;
    const ew_dsp_clamp clamp = ew_dsp_clamp_of(p->act_min, p->act_max, p->y_type == EW_QS8);
    const uint8_t *from_a = a, *from_b = b;
    uint8_t *to = y;
    int32_t done = 0;
    if (plain && p->count >= 4) {
        done = p->count / 4 * 4;
        const ew_add_words_constants constants = {to + done, p->a_factor, p->b_factor, p->offset, 0x7f807f80u};
        ew_add_words(from_a, from_b, to, &constants);
    }
    for (; done < p->count; done += 4) {
        const size_t n = p->count - done < 4 ? (size_t)(p->count - done) : 4;
        uint32_t four_a = 0, four_b = 0;
        memcpy(&four_a, from_a + done, n);
        memcpy(&four_b, from_b + done, n);
        uint32_t four = ew_add_four(four_a ^ a_flip, four_b ^ b_flip, p->a_factor, p->b_factor, p->offset);
        four = ew_dsp_clamp4(four, clamp);
        memcpy(to + done, &four, n);
    }
}

#endif
#endif
