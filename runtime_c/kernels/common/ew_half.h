/* float16 in memory (uint16_t), float32 in registers: conversions in integer arithmetic, for cores that have none. */
#ifndef EW_HALF_H
#define EW_HALF_H

#include "ew_base.h"
#include "ew_float_bits.h"

#include <math.h>

/* Exact; a NaN stays one. */
EW_INLINE float ew_half_to_float(uint16_t half)
{
    const uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t bits;
    if (magnitude >= 0x7c00u) { /* infinity, NaN */
        bits = 0x7f800000u | (magnitude & 0x3ffu) << 13;
    } else if (magnitude >= 0x0400u) {
        bits = (magnitude << 13) + (112u << 23);
    } else { /* subnormal: a multiple of 2^-24 */
        bits = ew_float_bits((float)magnitude * 0x1p-24f);
    }
    return ew_float_of_bits(bits | sign);
}

/* To nearest, ties to even; 65520 and above become infinity. */
EW_INLINE uint16_t ew_float_to_half(float value)
{
    uint32_t bits = ew_float_bits(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (bits >= 0x477ff000u) {
        return (uint16_t)(sign | 0x7c00u);
    }
    if (bits < 0x38800000u) { /* below 2^-14 */
        return (uint16_t)(sign | (uint32_t)rintf(fabsf(value) * 0x1p24f));
    }
    bits += 0xfffu + (bits >> 13 & 1u);
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

#endif
