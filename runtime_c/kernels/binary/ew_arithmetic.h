/* Arithmetic of two broadcast operands: ew_NAME_SUFFIX for add, sub, mul, div, mod, fmod, prelu, max, min.
 *
 * Integers wrap around. Division truncates toward zero; by zero it gives 0, as do both remainders, on every processor;
 * the smallest number divided by -1 is itself. float16 is computed in float32, which for one operation gives the same
 * as arithmetic in float16. add, sub, mul and div of float32 have kernels of their own, with a fused activation. */
#ifndef EW_ARITHMETIC_H
#define EW_ARITHMETIC_H

#include "ew_base.h"
#include "ew_broadcast.h"
#include "ew_types.h"

#include <math.h>

#define EW_SAME_KERNEL(name, S, T) EW_BROADCAST_KERNEL(ew_##name##_##S, T, T, T, ew_value_##name##_##S)

/* ---- of every integer type */

#define EW_INTEGER_ARITHMETIC(S, T, U)                    \
    EW_INLINE T ew_value_add_##S(T a, T b)                \
    {                                                     \
        return (T)((U)a + (U)b);                          \
    }                                                     \
    EW_INLINE T ew_value_sub_##S(T a, T b)                \
    {                                                     \
        return (T)((U)a - (U)b);                          \
    }                                                     \
    EW_INLINE T ew_value_mul_##S(T a, T b)                \
    {                                                     \
        return (T)((U)a * (U)b);                          \
    }                                                     \
    EW_INLINE T ew_value_max_##S(T a, T b)                \
    {                                                     \
        return a > b ? a : b;                             \
    }                                                     \
    EW_INLINE T ew_value_min_##S(T a, T b)                \
    {                                                     \
        return a < b ? a : b;                             \
    }                                                     \
    EW_SAME_KERNEL(add, S, T)                             \
    EW_SAME_KERNEL(sub, S, T)                             \
    EW_SAME_KERNEL(mul, S, T)                             \
    EW_SAME_KERNEL(max, S, T)                             \
    EW_SAME_KERNEL(min, S, T)

EW_INTEGER_TYPES(EW_INTEGER_ARITHMETIC)

/* ---- division; mod has the sign of the divisor, fmod that of the dividend */

#define EW_SIGNED_DIVISION(S, T, U)                                        \
    EW_INLINE T ew_value_div_##S(T a, T b)                                 \
    {                                                                      \
        return (T)(b == 0 ? 0 : b == -1 ? (T)(0 - (U)a) : a / b);          \
    }                                                                      \
    EW_INLINE T ew_value_fmod_##S(T a, T b)                                \
    {                                                                      \
        return (T)(b == 0 || b == -1 ? 0 : a % b);                         \
    }                                                                      \
    EW_INLINE T ew_value_mod_##S(T a, T b)                                 \
    {                                                                      \
        const T rest = ew_value_fmod_##S(a, b);                            \
        return (T)(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);  \
    }                                                                      \
    EW_INLINE T ew_value_prelu_##S(T a, T b)                               \
    {                                                                      \
        return a < 0 ? ew_value_mul_##S(a, b) : a;                         \
    }                                                                      \
    EW_SAME_KERNEL(div, S, T)                                              \
    EW_SAME_KERNEL(fmod, S, T)                                             \
    EW_SAME_KERNEL(mod, S, T)                                              \
    EW_SAME_KERNEL(prelu, S, T)

#define EW_UNSIGNED_DIVISION(S, T, U)                                      \
    EW_INLINE T ew_value_div_##S(T a, T b)                                 \
    {                                                                      \
        return (T)(b == 0 ? 0 : a / b);                                    \
    }                                                                      \
    EW_INLINE T ew_value_mod_##S(T a, T b)                                 \
    {                                                                      \
        return (T)(b == 0 ? 0 : a % b);                                    \
    }                                                                      \
    EW_INLINE T ew_value_prelu_##S(T a, T b)                               \
    {                                                                      \
        (void)b;                                                           \
        return a;                                                          \
    }                                                                      \
    EW_SAME_KERNEL(div, S, T)                                              \
    EW_SAME_KERNEL(mod, S, T)                                              \
    EW_BROADCAST_KERNEL(ew_fmod_##S, T, T, T, ew_value_mod_##S)            \
    EW_SAME_KERNEL(prelu, S, T)

EW_SIGNED_TYPES(EW_SIGNED_DIVISION)
EW_UNSIGNED_TYPES(EW_UNSIGNED_DIVISION)

/* ---- of floats: max and min give NaN where either operand is NaN */

#define EW_FLOAT_ARITHMETIC(S, R, F)                                       \
    EW_INLINE R ew_value_add_##S(R a, R b)                                 \
    {                                                                      \
        return a + b;                                                      \
    }                                                                      \
    EW_INLINE R ew_value_sub_##S(R a, R b)                                 \
    {                                                                      \
        return a - b;                                                      \
    }                                                                      \
    EW_INLINE R ew_value_mul_##S(R a, R b)                                 \
    {                                                                      \
        return a * b;                                                      \
    }                                                                      \
    EW_INLINE R ew_value_div_##S(R a, R b)                                 \
    {                                                                      \
        return a / b;                                                      \
    }                                                                      \
    EW_INLINE R ew_value_max_##S(R a, R b)                                 \
    {                                                                      \
        return a != a || a > b ? a : b;                                    \
    }                                                                      \
    EW_INLINE R ew_value_min_##S(R a, R b)                                 \
    {                                                                      \
        return a != a || a < b ? a : b;                                    \
    }                                                                      \
    EW_INLINE R ew_value_prelu_##S(R a, R b)                               \
    {                                                                      \
        return a < 0 ? a * b : a;                                          \
    }                                                                      \
    EW_INLINE R ew_value_fmod_##S(R a, R b)                                \
    {                                                                      \
        return F(fmod)(a, b);                                              \
    }                                                                      \
    EW_INLINE R ew_value_mod_##S(R a, R b)                                 \
    {                                                                      \
        const R rest = F(fmod)(a, b);                                      \
        if (rest == 0) {                                                   \
            return F(copysign)(rest, b);                                   \
        }                                                                  \
        return (rest < 0) != (b < 0) ? rest + b : rest;                    \
    }

EW_FLOAT_TYPES(EW_FLOAT_ARITHMETIC)

#define EW_HALF_ARITHMETIC(name)                                                                     \
    EW_INLINE uint16_t ew_value_##name##_f16(uint16_t a, uint16_t b)                                 \
    {                                                                                                \
        return ew_float_to_half(ew_value_##name##_f32(ew_half_to_float(a), ew_half_to_float(b)));    \
    }                                                                                                \
    EW_SAME_KERNEL(name, f16, uint16_t)                                                              \
    EW_SAME_KERNEL(name, f64, double)

EW_HALF_ARITHMETIC(add)
EW_HALF_ARITHMETIC(sub)
EW_HALF_ARITHMETIC(mul)
EW_HALF_ARITHMETIC(div)
EW_HALF_ARITHMETIC(max)
EW_HALF_ARITHMETIC(min)
EW_HALF_ARITHMETIC(prelu)
EW_HALF_ARITHMETIC(fmod)
EW_HALF_ARITHMETIC(mod)
EW_SAME_KERNEL(max, f32, float)
EW_SAME_KERNEL(min, f32, float)
EW_SAME_KERNEL(prelu, f32, float)
EW_SAME_KERNEL(fmod, f32, float)
EW_SAME_KERNEL(mod, f32, float)

#endif
