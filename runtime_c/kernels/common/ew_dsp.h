/* What the integer kernels for Arm DSP cores (Cortex-M4F, M7, M33 with FPU) share: instructions that C cannot name, and
 * requantization to 8 bits.
 *
 * Results are made as uint8; an int8 tensor is the same bytes with the top bit flipped (value + 128), so a kernel that
 * stores int8 adds 128 to its zero point and flips the word as it stores (ew_dsp_clamp4 or an EOR with 0x80808080).
 *
 * Two ways from an accumulator to a uint8, both giving the bits of docs/ARITHMETIC.md:
 * - by float: usat8(zero + rint(f32(acc) * scale)), for any scale, zero and accumulator: ew_dsp_requantize().
 * - by line:  usat8((offset + high32(acc * multiplier)) >> EW_DSP_LINE_SHIFT), where the generator found a multiplier
 *   and an offset (and perhaps something to add to the bias) that give the same result for each accumulator that the
 *   layer can have; it compares where the two staircases step (generator/kernels/dsp_requantize.py). SMMLA and USAT
 *   do it: two instructions in place of about six. An accumulator that is 256 times too large (see below) is shifted
 *   by 8 more. A few channels of a hundred have no such line.
 *
 * Two output channels share a halfword of weights, 256 * a + b: SMLAD with it gives P = 256 * A + B (mod 2^32), SMLAD
 * with the low bytes (SXTB16) gives B, and P - B = 256 * A while |A| < 2^23, which the generator proves.
 */
#ifndef EW_DSP_H
#define EW_DSP_H

#include <string.h>

#include "ew_base.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define EW_DSP_LINE_SHIFT 4      /* of the line's result; |scale| < 2^-5 */
#define EW_DSP_LINE_SHIFT_256 12 /* where the accumulator is 256 * A */

/* The same numbers, as text in assembly. */
#define EW_DSP_TEXT_(x) #x
#define EW_DSP_TEXT(x) EW_DSP_TEXT_(x)
#define EW_DSP_ASR "asr #" EW_DSP_TEXT(EW_DSP_LINE_SHIFT)
#define EW_DSP_ASR_256 "asr #" EW_DSP_TEXT(EW_DSP_LINE_SHIFT_256)

/* A function whose whole body is one volatile asm that clobbers memory and saves registers itself. The compiler must
 * not conclude anything from C it does not have, such as arguments that nothing reads. */
#if defined(__clang__)
#define EW_DSP_NAKED static __attribute__((naked, noinline, optnone, unused))
#else
#define EW_DSP_NAKED static __attribute__((naked, noinline, noclone, noipa, unused))
#endif

/* A function of which a program has one copy, for all layers: their parameters must not be propagated into clones. */
#if defined(__clang__)
#define EW_DSP_SHARED static __attribute__((noinline, unused))
#else
#define EW_DSP_SHARED static __attribute__((noinline, noclone, noipa, unused))
#endif

/* Four bytes at any address. */
EW_INLINE uint32_t ew_dsp_load4(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

EW_INLINE void ew_dsp_store4(void *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

#define EW_DSP_UNARY(name, text)          \
    EW_INLINE uint32_t name(uint32_t a)   \
    {                                     \
        uint32_t r;                       \
        __asm__(text : "=r"(r) : "r"(a)); \
        return r;                         \
    }
#define EW_DSP_BINARY(name, text)                   \
    EW_INLINE uint32_t name(uint32_t a, uint32_t b) \
    {                                               \
        uint32_t r;                                 \
        __asm__(text : "=r"(r) : "r"(a), "r"(b));   \
        return r;                                   \
    }

/* Bytes 0 and 2, or 1 and 3, as halfwords with or without sign. */
EW_DSP_UNARY(ew_dsp_sxtb16, "sxtb16 %0, %1")
EW_DSP_UNARY(ew_dsp_sxtb16_ror8, "sxtb16 %0, %1, ror #8")
EW_DSP_UNARY(ew_dsp_uxtb16, "uxtb16 %0, %1")
EW_DSP_UNARY(ew_dsp_uxtb16_ror8, "uxtb16 %0, %1, ror #8")

/* Lane by lane: halfwords saturated to 0..255; sums and differences of halfwords and of bytes. */
EW_DSP_UNARY(ew_dsp_usat16_8, "usat16 %0, #8, %1")
EW_DSP_BINARY(ew_dsp_sadd16, "sadd16 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_ssub16, "ssub16 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_qadd16, "qadd16 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_uadd8, "uadd8 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_uqadd8, "uqadd8 %0, %1, %2")
EW_DSP_BINARY(ew_dsp_uqsub8, "uqsub8 %0, %1, %2")
/* The low halfwords of a and b, and the high ones: a below, b above. */
EW_DSP_BINARY(ew_dsp_pkhbt, "pkhbt %0, %1, %2, lsl #16")
EW_DSP_BINARY(ew_dsp_pkhtb, "pkhtb %0, %2, %1, asr #16")

/* acc + a0 * b0 + a1 * b1, halfwords with sign (mod 2^32). */
EW_INLINE int32_t ew_dsp_smlad(uint32_t a, uint32_t b, int32_t acc)
{
    int32_t r;
    __asm__("smlad %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
}

/* offset + the high 32 bits of a * b (rounded down). */
EW_INLINE int32_t ew_dsp_smmla(int32_t a, int32_t b, int32_t offset)
{
    int32_t r;
    __asm__("smmla %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(offset));
    return r;
}

/* v >> the line's shift, saturated to 0..255. */
EW_DSP_UNARY(ew_dsp_usat8_line, "usat %0, #8, %1, " EW_DSP_ASR)
EW_DSP_UNARY(ew_dsp_usat8_line_256, "usat %0, #8, %1, " EW_DSP_ASR_256)

/* By line; `acc` as it is, or 256 times too large. */
EW_INLINE uint32_t ew_dsp_requantize_line(int32_t acc, int32_t multiplier, int32_t offset)
{
    return ew_dsp_usat8_line((uint32_t)ew_dsp_smmla(acc, multiplier, offset));
}

EW_INLINE uint32_t ew_dsp_requantize_line_256(int32_t acc_256, int32_t multiplier, int32_t offset)
{
    return ew_dsp_usat8_line_256((uint32_t)ew_dsp_smmla(acc_256, multiplier, offset));
}

/* By float; exact saturation for every value. */
EW_INLINE uint32_t ew_dsp_requantize(int32_t acc, float scale, int32_t zero)
{
    float v = (float)acc * scale; /* one product: nothing to contract */
    uint32_t r;
    __asm__("vcvtr.s32.f32 %1, %1\n\t" /* half to even (FPSCR's mode); saturates; NaN becomes 0 */
            "vmov %0, %1\n\t"
            "qadd %0, %0, %2\n\t"
            "usat %0, #8, %0"
            : "=&r"(r), "+t"(v)
            : "r"(zero));
    return r;
}

/* Four bytes in one word, a first in memory. */
EW_INLINE uint32_t ew_dsp_pack4(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return a | b << 8 | c << 16 | d << 24;
}

/* How four uint8 results are clamped to [act_min, act_max] and, for an int8 output, flipped: constants for
 * ew_dsp_clamp4, each byte the same. Limits are in uint8's domain, 0 <= act_min <= act_max <= 255. */
typedef struct {
    uint32_t raise; /* 255 - act_max */
    uint32_t lower; /* 255 - act_max + act_min */
    uint32_t shift; /* act_min, plus 128 where the output is int8 */
} ew_dsp_clamp;

EW_INLINE ew_dsp_clamp ew_dsp_clamp_of(int32_t act_min, int32_t act_max, int32_t is_s8)
{
    const uint32_t ones = 0x01010101u;
    return (ew_dsp_clamp){
        ones * (uint32_t)(255 - act_max),
        ones * (uint32_t)(255 - act_max + act_min),
        ones * (uint32_t)((act_min + (is_s8 ? 128 : 0)) & 255),
    };
}

/* min(max(byte, act_min), act_max) in each byte: saturating sums push what is too large against 255, then what is too
 * small against 0. */
EW_INLINE uint32_t ew_dsp_clamp4(uint32_t v, ew_dsp_clamp c)
{
    return ew_dsp_uadd8(ew_dsp_uqsub8(ew_dsp_uqadd8(v, c.raise), c.lower), c.shift);
}

#endif
#endif
