/* From an integer sum to a quantized output, bit for bit as docs/ARITHMETIC.md says:
 *     clamp(rint(float32(sum) * scale) + zero, lo, hi)
 * with IEEE single arithmetic, round to nearest even in both steps, no fused multiply-add, and rint half to even.
 *
 * Two ways give the same bits: float arithmetic where the core has it, integer arithmetic elsewhere
 * (EW_SOFT_REQUANTIZE). Floats are rounded in the default mode: a program must not change it, nor flush subnormals,
 * nor compile this with -ffast-math.
 *
 * Everywhere: scale is finite and not negative; lo, hi and zero are within 16 bits (signed or unsigned), lo <= hi. */
#ifndef EW_REQUANTIZE_H
#define EW_REQUANTIZE_H

#include "ew_base.h"
#include "ew_float_bits.h"
#include "ew_quantized.h"

#include <float.h>

#ifdef __FAST_MATH__
#error "quantized kernels need IEEE arithmetic: compile without -ffast-math"
#endif
#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "quantized kernels need float arithmetic in single precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

#if defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4)
#define EW_HAS_VCVTR
#elif (defined(__arm__) || (defined(__riscv) && !defined(__riscv_flen))) && !defined(EW_SOFT_REQUANTIZE)
#define EW_SOFT_REQUANTIZE
#endif

/* A product that may not be fused with a sum that follows. ISO mode (-std=c11) never fuses across statements; GNU mode
 * of gcc does, where the processor can, and must not see through this. */
EW_INLINE float ew_product_f32_exact(float a, float b)
{
    float product = a * b;
#if defined(__FP_FAST_FMAF) && defined(__GNUC__) && !defined(__clang__) && !defined(__STRICT_ANSI__)
#if defined(__arm__)
    __asm__("" : "+t"(product));
#elif defined(__aarch64__)
    __asm__("" : "+w"(product));
#elif defined(__x86_64__)
    __asm__("" : "+x"(product));
#else
    __asm__("" : "+f"(product));
#endif
#endif
    return product;
}

#ifdef __GNUC__
#define EW_UNLIKELY(condition) __builtin_expect(condition, 0)
#else
#define EW_UNLIKELY(condition) (condition)
#endif

/* clamp(rint(value) + zero, lo, hi), half to even; infinities saturate; `value` is not NaN. */
EW_INLINE int32_t ew_round_q(float value, int32_t zero, int32_t lo, int32_t hi)
{
#ifdef EW_HAS_VCVTR
    int32_t rounded; /* VCVTR rounds to nearest even, the FPU's default, and saturates */
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(rounded) : "t"(value));
    return ew_clamp_q(rounded, lo - zero, hi - zero) + zero;
#else
    /* The bounds are integers: clamping before rounding is the same. Between -2^22 and 2^22 the sum with 1.5 * 2^23 has
     * an ulp of 1, so the addition rounds, half to even, and the result stands in its low bits. */
    const float low = (float)(lo - zero), high = (float)(hi - zero);
    const float above = value > low ? value : low;
    const float inside = above < high ? above : high;
    const float shifted = inside + 12582912.0f;
    return (int32_t)(ew_float_bits(shifted) - 0x4b400000u) + zero;
#endif
}

/* The definition, in float arithmetic. */
EW_INLINE int32_t ew_requantize_float(int32_t sum, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    return ew_round_q(ew_product_f32_exact((float)sum, scale), zero, lo, hi);
}

EW_INLINE int32_t ew_leading_zeros_u32(uint32_t value) /* value != 0 */
{
#ifdef __GNUC__
    return __builtin_clz(value);
#else
    int32_t zeros = 0;
    for (; !(value >> 31); value <<= 1) {
        ++zeros;
    }
    return zeros;
#endif
}

/* rint(float32(sum) * scale) by integers, for any scale; results beyond 2^22 may come out as 2^22.
 * |sum| = high * 2^-zeros, with bit 31 of `high` set and its bit 0 standing for itself and anything lost below. */
EW_SHARED int32_t ew_requantize_exact(uint32_t high, int32_t zeros, float scale)
{
    const uint32_t bits = ew_float_bits(scale);
    const int32_t exponent = (int32_t)(bits >> 23 & 0xff);
    if (exponent == 0) {
        return 0; /* scale < 2^-126 */
    }
    /* float32(sum): 24 bits, half to even. */
    uint32_t a = high + 0x7f + (high >> 8 & 1);
    if (a < high) {
        a = 0x80000000u;
        --zeros;
    }
    a &= ~0xffu;
    /* The product of 24 and 24 bits, in [2^61, 2^63); what is lost below bit 32 stays as the sticky bit. */
    const uint64_t product = (uint64_t)a * ((bits << 7 & 0x3fffff80u) | 0x40000000u);
    const uint32_t p = (uint32_t)(product >> 32) | ((uint32_t)product != 0);
    /* Its float32: 24 of 30 or 31 bits, half to even. A carry is harmless: p < 2^31. */
    const int32_t drop = p >> 30 ? 7 : 6;
    const uint32_t rounded = (p + (1u << (drop - 1)) - 1 + (p >> drop & 1)) >> drop << drop;
    /* The value is rounded * 2^-shift; to an integer, half to even. */
    const int32_t shift = 125 + zeros - exponent;
    if (shift >= 32) {
        return 0; /* at most 1/2 */
    }
    if (shift < 8) {
        return 1 << 22; /* at least 2^29 / 2^7 */
    }
    return (int32_t)((rounded + (1u << (shift - 1)) - 1 + (rounded >> shift & 1)) >> shift);
}

EW_SHARED int32_t ew_requantize_slow(int32_t sum, float scale)
{
    if (sum == 0) {
        return 0;
    }
    const uint32_t magnitude = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const int32_t zeros = ew_leading_zeros_u32(magnitude);
    const int32_t value = ew_requantize_exact(magnitude << zeros, zeros, scale);
    return sum < 0 ? -value : value;
}

/* The upper word of a signed product. */
EW_INLINE int32_t ew_high_word(int32_t a, int32_t b)
{
    return (int32_t)((int64_t)a * b >> 32);
}

/* The same bits by integers. One multiplication gives the product rounded down, as `fixed` * 2^-shift. The float32
 * product is at most 64 units of that off (half of its last place, |fixed| <= 2^30), so where 66 more and 66 less round
 * to the same integer, that is the result; it is so for all but about 1 in 2^(shift - 7), which go the exact way. */
typedef struct {
    float scale;
    int32_t multiplier, shift;
    int32_t rounding; /* half a unit of the result, less 66 */
} ew_scale_integer;

EW_INLINE ew_scale_integer ew_scale_shifted(float scale, int32_t shift)
{
    ew_scale_integer s;
    s.scale = scale;
    s.multiplier = (int32_t)((ew_float_bits(scale) << 8 | 0x80000000u) >> 1);
#if defined(__arm__) && defined(__GNUC__)
    __asm__("" : "+r"(s.multiplier)); /* gcc 12 that knows it is positive takes UMULL and mends the sign, not SMULL */
#endif
    s.shift = shift;
    s.rounding = (1 << (shift - 1)) - 66;
    return s;
}

/* For 2^-24 <= scale < 32: shifts of 2 to 30. */
EW_INLINE ew_scale_integer ew_usual_scale_by_integers(float scale)
{
    return ew_scale_shifted(scale, 133 - (int32_t)(ew_float_bits(scale) >> 23));
}

/* For any scale; with a shift of 1 no result is certain. */
EW_INLINE ew_scale_integer ew_scale_by_integers(float scale)
{
    const int32_t shift = 133 - (int32_t)(ew_float_bits(scale) >> 23);
    return ew_scale_shifted(scale, shift >= 2 && shift <= 30 ? shift : 1);
}

EW_INLINE int32_t ew_requantize_integer(int32_t sum, ew_scale_integer s, int32_t zero, int32_t lo, int32_t hi)
{
    const int32_t less = ew_high_word((int32_t)((uint32_t)sum << 8), s.multiplier) + s.rounding;
    int32_t value = less >> s.shift;
    if (EW_UNLIKELY(((uint32_t)sum + (1u << 23)) >> 24 != 0 || value != (less + 132) >> s.shift)) {
        value = ew_requantize_slow(sum, s.scale);
    }
    const int32_t from_lo = value - (lo - zero); /* a clamp at 0 is one instruction on Arm */
    const int32_t above = from_lo > 0 ? from_lo : 0;
    return (above < hi - lo ? above : hi - lo) + lo;
}

/* The way for this core, in two parts: a scale serves many sums. */
#ifdef EW_SOFT_REQUANTIZE
typedef ew_scale_integer ew_scale;

EW_INLINE ew_scale ew_scale_of(float scale)
{
    return ew_scale_by_integers(scale);
}

/* For 2^-24 <= scale < 32: quicker. */
EW_INLINE ew_scale ew_usual_scale_of(float scale)
{
    return ew_usual_scale_by_integers(scale);
}

EW_INLINE int32_t ew_requantize_by(int32_t sum, ew_scale scale, int32_t zero, int32_t lo, int32_t hi)
{
    return ew_requantize_integer(sum, scale, zero, lo, hi);
}
#else
typedef float ew_scale;

EW_INLINE ew_scale ew_scale_of(float scale)
{
    return scale;
}

EW_INLINE ew_scale ew_usual_scale_of(float scale)
{
    return scale;
}

EW_INLINE int32_t ew_requantize_by(int32_t sum, ew_scale scale, int32_t zero, int32_t lo, int32_t hi)
{
    return ew_requantize_float(sum, scale, zero, lo, hi);
}
#endif

EW_INLINE int32_t ew_requantize(int32_t sum, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    return ew_requantize_by(sum, ew_scale_of(scale), zero, lo, hi);
}

/* The same for a sum in 64 bits: one conversion to float32, half to even, from all of them. */
EW_INLINE int32_t ew_requantize_wide(int64_t sum, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    if (sum == (int32_t)sum) {
        return ew_requantize((int32_t)sum, scale, zero, lo, hi);
    }
    const uint64_t magnitude = sum < 0 ? 0u - (uint64_t)sum : (uint64_t)sum;
    const uint32_t top = (uint32_t)(magnitude >> 32);
    const int32_t zeros = top ? ew_leading_zeros_u32(top) : 32;
    const uint64_t aligned = magnitude << zeros;
    const uint32_t high = (uint32_t)(aligned >> 32) | ((uint32_t)aligned != 0);
    const int32_t value = ew_requantize_exact(high, zeros - 32, scale);
    return ew_clamp_q(sum < 0 ? -value : value, lo - zero, hi - zero) + zero;
}

#endif
