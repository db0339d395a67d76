/* Functions of one integer or truth value, and what is asked of one float, element by element: ew_NAME_SUFFIX.
 *
 * x and y hold count elements; y may be x where elements have one size, and otherwise does not overlap it. */
#ifndef EW_INTEGER_MATH_H
#define EW_INTEGER_MATH_H

#include "ew_base.h"
#include "ew_types.h"
#include "ew_unary.h"

#include <math.h>

/* The smallest number of a signed type has no opposite: abs and neg leave it as it is. */
#define EW_SIGNED_KERNELS(S, T, U)                              \
    EW_INLINE T ew_value_neg_##S(T x)                           \
    {                                                           \
        return (T)(0 - (U)x);                                   \
    }                                                           \
    EW_INLINE T ew_value_abs_##S(T x)                           \
    {                                                           \
        return (T)(x < 0 ? (T)(0 - (U)x) : x);                  \
    }                                                           \
    EW_INLINE T ew_value_sign_##S(T x)                          \
    {                                                           \
        return (T)((x > 0) - (x < 0));                          \
    }                                                           \
    EW_UNARY_KERNEL(ew_neg_##S, T, T, ew_value_neg_##S)         \
    EW_UNARY_KERNEL(ew_abs_##S, T, T, ew_value_abs_##S)         \
    EW_UNARY_KERNEL(ew_sign_##S, T, T, ew_value_sign_##S)

#define EW_UNSIGNED_KERNELS(S, T, U)                            \
    EW_INLINE T ew_value_abs_##S(T x)                           \
    {                                                           \
        return x;                                               \
    }                                                           \
    EW_INLINE T ew_value_sign_##S(T x)                          \
    {                                                           \
        return x != 0;                                          \
    }                                                           \
    EW_UNARY_KERNEL(ew_abs_##S, T, T, ew_value_abs_##S)         \
    EW_UNARY_KERNEL(ew_sign_##S, T, T, ew_value_sign_##S)

#define EW_BITWISE_NOT_KERNEL(S, T, U)                          \
    EW_INLINE T ew_value_bitwise_not_##S(T x)                   \
    {                                                           \
        return (T)~(U)x;                                        \
    }                                                           \
    EW_UNARY_KERNEL(ew_bitwise_not_##S, T, T, ew_value_bitwise_not_##S)

EW_SIGNED_TYPES(EW_SIGNED_KERNELS)
EW_UNSIGNED_TYPES(EW_UNSIGNED_KERNELS)
EW_INTEGER_TYPES(EW_BITWISE_NOT_KERNEL)

/* Any byte but 0 is true. */
EW_INLINE uint8_t ew_value_not_b8(uint8_t x)
{
    return x == 0;
}

EW_UNARY_KERNEL(ew_not_b8, uint8_t, uint8_t, ew_value_not_b8)

EW_INLINE uint8_t ew_value_isnan_f32(float x)
{
    return x != x;
}

EW_INLINE uint8_t ew_value_isnan_f64(double x)
{
    return x != x;
}

EW_INLINE uint8_t ew_value_isnan_f16(uint16_t x)
{
    return (x & 0x7fffu) > 0x7c00u;
}

EW_UNARY_KERNEL(ew_isnan_f32, float, uint8_t, ew_value_isnan_f32)
EW_UNARY_KERNEL(ew_isnan_f64, double, uint8_t, ew_value_isnan_f64)
EW_UNARY_KERNEL(ew_isnan_f16, uint16_t, uint8_t, ew_value_isnan_f16)

/* Whether x is infinite: alpha other than 0 asks for the negative one, beta for the positive one. */
EW_INLINE uint8_t ew_value_isinf_f32(float x, float alpha, float beta)
{
    return (alpha != 0.0f && x == -INFINITY) || (beta != 0.0f && x == INFINITY);
}

EW_INLINE uint8_t ew_value_isinf_f64(double x, float alpha, float beta)
{
    return (alpha != 0.0f && x == -(double)INFINITY) || (beta != 0.0f && x == (double)INFINITY);
}

EW_INLINE uint8_t ew_value_isinf_f16(uint16_t x, float alpha, float beta)
{
    return (alpha != 0.0f && x == 0xfc00u) || (beta != 0.0f && x == 0x7c00u);
}

EW_UNARY_CONSTANTS_KERNEL(ew_isinf_f32, float, uint8_t, ew_value_isinf_f32)
EW_UNARY_CONSTANTS_KERNEL(ew_isinf_f64, double, uint8_t, ew_value_isinf_f64)
EW_UNARY_CONSTANTS_KERNEL(ew_isinf_f16, uint16_t, uint8_t, ew_value_isinf_f16)

#endif
