/* The element types as lists, from which kernels of one formula are made for every type.
 *
 * M(suffix, T, U): T is the element type. Integers are computed in U, an unsigned type that is not promoted: sums and
 * products wrap around as in two's complement, without undefined behaviour.
 * M(suffix, R, F): R is a float type, F(name) the C library's function for it. */
#ifndef EW_TYPES_H
#define EW_TYPES_H

#include "ew_base.h"
#include "ew_half.h"

#include <math.h>

#define EW_SIGNED_TYPES(M)   \
    M(s8, int8_t, uint32_t)  \
    M(s16, int16_t, uint32_t) \
    M(s32, int32_t, uint32_t) \
    M(s64, int64_t, uint64_t)

#define EW_UNSIGNED_TYPES(M)  \
    M(u8, uint8_t, uint32_t)  \
    M(u16, uint16_t, uint32_t) \
    M(u32, uint32_t, uint32_t) \
    M(u64, uint64_t, uint64_t)

#define EW_INTEGER_TYPES(M) EW_SIGNED_TYPES(M) EW_UNSIGNED_TYPES(M)

#define EW_WIDE_TYPES(M)      \
    M(s32, int32_t, uint32_t) \
    M(s64, int64_t, uint64_t) \
    M(u32, uint32_t, uint32_t) \
    M(u64, uint64_t, uint64_t)

#define EW_F32_FUNCTION(name) name##f
#define EW_F64_FUNCTION(name) name

#define EW_FLOAT_TYPES(M)          \
    M(f32, float, EW_F32_FUNCTION) \
    M(f64, double, EW_F64_FUNCTION)

/* Truncates toward zero, saturates at the ends of int64; NaN gives 0. */
EW_INLINE int64_t ew_truncated(double v)
{
    if (v != v) {
        return 0;
    }
    if (v < -9223372036854775808.0) {
        return INT64_MIN;
    }
    if (v >= 9223372036854775808.0) {
        return INT64_MAX;
    }
    return (int64_t)v;
}

/* The same, within [low, high]. */
EW_INLINE int64_t ew_truncated_between(double v, int64_t low, int64_t high)
{
    const int64_t value = ew_truncated(v);
    return value < low ? low : value > high ? high : value;
}

#endif
