/* Powers of two broadcast operands: ew_pow_BASE_EXPONENT, of the base's type.
 *
 * An integer to the power of an integer is exact and wraps around; to a negative one it is the reciprocal without its
 * fraction: 1 and -1 stay, everything else gives 0 (0 too). An integer to the power of a float is computed in double,
 * truncated and saturated, NaN gives 0. A float to the power of an integer of 32 or 64 bits is computed in double. */
#ifndef EW_POW_H
#define EW_POW_H

#include "ew_base.h"
#include "ew_broadcast.h"
#include "ew_types.h"

#include <math.h>

/* base to the power of magnitude, modulo 2^64; for narrower types the low bits of it. */
EW_INLINE uint64_t ew_integer_power(uint64_t base, uint64_t magnitude)
{
    uint64_t result = 1;
    while (magnitude != 0) {
        if (magnitude & 1u) {
            result *= base;
        }
        base *= base;
        magnitude >>= 1;
    }
    return result;
}

/* `base` sign-extended, `exponent` negative where `negative`. */
EW_INLINE uint64_t ew_signed_power(int64_t base, uint64_t exponent, int negative)
{
    if (!negative) {
        return ew_integer_power((uint64_t)base, exponent);
    }
    if (base == 1 || base == -1) {
        return exponent & 1u ? (uint64_t)base : 1;
    }
    return 0;
}

#define EW_POW_KERNEL(B, E, TB, TE, value)                          \
    EW_INLINE TB ew_value_pow_##B##_##E(TB a, TE b)                 \
    {                                                               \
        return value;                                               \
    }                                                               \
    EW_BROADCAST_KERNEL(ew_pow_##B##_##E, TB, TE, TB, ew_value_pow_##B##_##E)

/* By floats and narrow integers, which float32 holds, and by wide integers. */
#define EW_POW_BY_NARROW(E, TE, to_float)                                                           \
    EW_POW_KERNEL(f32, E, float, TE, powf(a, to_float(b)))                                          \
    EW_POW_KERNEL(f64, E, double, TE, pow(a, (double)to_float(b)))                                  \
    EW_POW_KERNEL(f16, E, uint16_t, TE, ew_float_to_half(powf(ew_half_to_float(a), to_float(b))))

#define EW_POW_BY_WIDE(E, TE)                                                                       \
    EW_POW_KERNEL(f32, E, float, TE, (float)pow((double)a, (double)b))                              \
    EW_POW_KERNEL(f64, E, double, TE, pow(a, (double)b))                                            \
    EW_POW_KERNEL(f16, E, uint16_t, TE,                                                             \
                  ew_float_to_half((float)pow((double)ew_half_to_float(a), (double)b)))

/* Of integers, by floats and by integers. */
#define EW_POW_OF_INTEGER_BY_FLOAT(E, TE, to_float)                                                 \
    EW_POW_KERNEL(s32, E, int32_t, TE,                                                              \
                  (int32_t)ew_truncated_between(pow((double)a, (double)to_float(b)), INT32_MIN, INT32_MAX)) \
    EW_POW_KERNEL(s64, E, int64_t, TE, ew_truncated(pow((double)a, (double)to_float(b))))

#define EW_POW_OF_INTEGER(E, TE, is_negative)                                                        \
    EW_POW_KERNEL(s32, E, int32_t, TE, (int32_t)(uint32_t)ew_signed_power(a, (uint64_t)b, is_negative)) \
    EW_POW_KERNEL(s64, E, int64_t, TE, (int64_t)ew_signed_power(a, (uint64_t)b, is_negative))

#define EW_POW_BY_SIGNED(S, T, U) EW_POW_OF_INTEGER(S, T, b < 0)
#define EW_POW_BY_UNSIGNED(S, T, U) EW_POW_OF_INTEGER(S, T, 0)
#define EW_POW_WIDE_TYPE(S, T, U) EW_POW_BY_WIDE(S, T)

EW_SIGNED_TYPES(EW_POW_BY_SIGNED)
EW_UNSIGNED_TYPES(EW_POW_BY_UNSIGNED)
EW_WIDE_TYPES(EW_POW_WIDE_TYPE)
EW_POW_BY_WIDE(f64, double)
EW_POW_BY_NARROW(f32, float, (float))
EW_POW_BY_NARROW(f16, uint16_t, ew_half_to_float)
EW_POW_BY_NARROW(s8, int8_t, (float))
EW_POW_BY_NARROW(u8, uint8_t, (float))
EW_POW_BY_NARROW(s16, int16_t, (float))
EW_POW_BY_NARROW(u16, uint16_t, (float))
EW_POW_OF_INTEGER_BY_FLOAT(f32, float, (float))
EW_POW_OF_INTEGER_BY_FLOAT(f64, double, (double))
EW_POW_OF_INTEGER_BY_FLOAT(f16, uint16_t, ew_half_to_float)

#endif
