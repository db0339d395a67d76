/* Floats of 16 and fewer bits as their bits, and float32: bfloat16, the float8 types, float4. float16 is in ew_half.h. */
#ifndef EW_SMALL_FLOAT_H
#define EW_SMALL_FLOAT_H

#include "ew_base.h"
#include "ew_float_bits.h"

#include <math.h>

/* Exact. */
EW_INLINE float ew_bfloat_to_float(uint16_t code)
{
    return ew_float_of_bits((uint32_t)code << 16);
}

/* To nearest, ties to even. */
EW_INLINE uint16_t ew_float_to_bfloat(float value)
{
    const uint32_t bits = ew_float_bits(value);
    if (value != value) {
        return (uint16_t)((bits >> 16 & 0x8000u) | 0x7fc0u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* A format of 4 or 8 bits: sign, exponent, mantissa. */
typedef struct {
    uint32_t sign;         /* the bit of the sign */
    int32_t mantissa;      /* bits of the mantissa */
    int32_t bias;          /* of the exponent */
    uint32_t largest;      /* code of the largest number */
    uint32_t beyond;       /* code of what is larger: infinity, or NaN */
    uint32_t nan;          /* code of NaN */
    int32_t unsigned_zero; /* there is no -0: its code is NaN's */
} ew_small_format;

#define EW_FORMAT_F8E4M3FN {0x80u, 3, 7, 0x7eu, 0x7fu, 0x7fu, 0}
#define EW_FORMAT_F8E4M3FNUZ {0x80u, 3, 8, 0x7fu, 0x80u, 0x80u, 1}
#define EW_FORMAT_F8E5M2 {0x80u, 2, 15, 0x7bu, 0x7cu, 0x7eu, 0}
#define EW_FORMAT_F8E5M2FNUZ {0x80u, 2, 16, 0x7fu, 0x80u, 0x80u, 1}
#define EW_FORMAT_F4E2M1 {0x8u, 1, 1, 0x7u, 0x7u, 0x8u, 0} /* no infinity; NaN becomes -0 */

/* Exact. */
EW_INLINE float ew_small_to_float(uint32_t code, ew_small_format f)
{
    const uint32_t magnitude = code & (f.sign - 1u), sign = (code & f.sign) != 0 ? 0x80000000u : 0u;
    if (magnitude > f.largest || (f.unsigned_zero && code == f.sign)) {
        return magnitude == f.beyond && f.beyond != f.nan ? ew_float_of_bits(sign | 0x7f800000u) : NAN;
    }
    if (magnitude >> f.mantissa == 0) { /* zero, subnormal: a multiple of 2^(1 - bias - mantissa) */
        const float step = ew_float_of_bits((uint32_t)(128 - f.bias - f.mantissa) << 23);
        return ew_float_of_bits(sign | ew_float_bits((float)magnitude * step));
    }
    return ew_float_of_bits(sign | ((magnitude << (23 - f.mantissa)) + ((uint32_t)(127 - f.bias) << 23)));
}

/* To nearest, ties to even. What is larger than the largest number becomes that with `saturate`. */
EW_INLINE uint8_t ew_float_to_small(float value, ew_small_format f, int32_t saturate)
{
    uint32_t bits = ew_float_bits(value), code;
    const uint32_t sign = (bits & 0x80000000u) != 0 ? f.sign : 0u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) {
        return (uint8_t)(sign | f.nan);
    }
    if (bits < (uint32_t)(128 - f.bias) << 23) { /* subnormal */
        code = (uint32_t)rintf(ew_float_of_bits(bits) * ew_float_of_bits((uint32_t)(126 + f.bias + f.mantissa) << 23));
    } else {
        const int32_t shift = 23 - f.mantissa;
        bits += (1u << (shift - 1)) - 1u + (bits >> shift & 1u);
        code = (bits >> shift) - ((uint32_t)(127 - f.bias) << f.mantissa);
    }
    if (code > f.largest) {
        code = saturate ? f.largest : f.beyond;
    }
    return (uint8_t)(f.unsigned_zero && code == 0 ? 0u : sign | code);
}

/* float8e8m0 is the exponent of a power of two, 2^(code - 127), without a sign; 255 is NaN. */
enum { EW_ROUND_UP = 0, EW_ROUND_DOWN = 1, EW_ROUND_NEAREST = 2 };

/* Exact. */
EW_INLINE float ew_exponent_to_float(uint8_t code)
{
    return code == 255 ? NAN : ew_float_of_bits(code == 0 ? 0x00400000u : (uint32_t)code << 23);
}

/* The sign is dropped; ties of EW_ROUND_NEAREST go up. What no power reaches, 0 and infinity included, becomes the
 * nearest of them with `saturate`, else NaN. */
EW_INLINE uint8_t ew_float_to_exponent(float value, int32_t rounding, int32_t saturate)
{
    const uint32_t bits = ew_float_bits(value) & 0x7fffffffu;
    if (bits > 0x7f800000u) {
        return 255;
    }
    if (bits < 0x00400000u) { /* below 2^-127 */
        return saturate ? 0 : 255;
    }
    uint32_t code = bits >> 23;
    const uint32_t rest = code == 0 ? (bits - 0x00400000u) << 1 : bits & 0x7fffffu; /* of 2^23, to the next power */
    code += rounding == EW_ROUND_UP ? rest > 0 : rounding == EW_ROUND_NEAREST ? rest >= 0x400000u : 0u;
    return (uint8_t)(code < 255 ? code : saturate ? 254 : 255);
}

#endif
