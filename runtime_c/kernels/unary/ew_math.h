/* Functions of one float, element by element: ew_NAME_f32, ew_NAME_f64, ew_NAME_f16. float16 is computed in float32.
 *
 * A formula M(R, F, x) is written once: R is the type, F(name) the C library's function for it. NaN gives NaN where
 * nothing else is said. x and y hold count elements; y may be x, and otherwise does not overlap it. */
#ifndef EW_MATH_H
#define EW_MATH_H

#include "ew_base.h"
#include "ew_half.h"
#include "ew_types.h"
#include "ew_unary.h"

#include <math.h>

#define EW_FLOAT_FUNCTION(name, formula)                                               \
    EW_INLINE float ew_value_##name##_f32(float x)                                     \
    {                                                                                  \
        return formula(float, EW_F32_FUNCTION, x);                                     \
    }                                                                                  \
    EW_INLINE double ew_value_##name##_f64(double x)                                   \
    {                                                                                  \
        return formula(double, EW_F64_FUNCTION, x);                                    \
    }                                                                                  \
    EW_INLINE uint16_t ew_value_##name##_f16(uint16_t x)                               \
    {                                                                                  \
        return ew_float_to_half(ew_value_##name##_f32(ew_half_to_float(x)));           \
    }                                                                                  \
    EW_UNARY_KERNEL(ew_##name##_f64, double, double, ew_value_##name##_f64)            \
    EW_UNARY_KERNEL(ew_##name##_f16, uint16_t, uint16_t, ew_value_##name##_f16)

/* With the float32 kernel, where that is not a header of its own. */
#define EW_FLOAT_KERNELS(name, formula) \
    EW_FLOAT_FUNCTION(name, formula)    \
    EW_UNARY_KERNEL(ew_##name##_f32, float, float, ew_value_##name##_f32)

#define EW_ABS(R, F, x) F(fabs)(x)
#define EW_NEG(R, F, x) -x
#define EW_SIGN(R, F, x) (x != x ? x : (R)((x > 0) - (x < 0)))
#define EW_CEIL(R, F, x) F(ceil)(x)
#define EW_FLOOR(R, F, x) F(floor)(x)
#define EW_ROUND(R, F, x) F(rint)(x) /* half to even */
#define EW_SQRT(R, F, x) F(sqrt)(x)
#define EW_RECIPROCAL(R, F, x) (1 / x)
#define EW_EXP(R, F, x) F(exp)(x)
#define EW_LOG(R, F, x) F(log)(x)
#define EW_SIN(R, F, x) F(sin)(x)
#define EW_COS(R, F, x) F(cos)(x)
#define EW_TAN(R, F, x) F(tan)(x)
#define EW_ASIN(R, F, x) F(asin)(x)
#define EW_ACOS(R, F, x) F(acos)(x)
#define EW_ATAN(R, F, x) F(atan)(x)
#define EW_SINH(R, F, x) F(sinh)(x)
#define EW_COSH(R, F, x) F(cosh)(x)
#define EW_ASINH(R, F, x) F(asinh)(x)
#define EW_ACOSH(R, F, x) F(acosh)(x)
#define EW_ATANH(R, F, x) F(atanh)(x)
#define EW_ERF(R, F, x) F(erf)(x)
#define EW_SIGMOID(R, F, x) (1 / (1 + F(exp)(-x)))
#define EW_TANH(R, F, x) F(tanh)(x)
#define EW_HARD_SWISH(R, F, x) (x * (x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + (R)0.5))
/* log(1 + exp(x)), which overflows only where the result does */
#define EW_SOFTPLUS(R, F, x) ((x > 0 ? x : 0) + F(log1p)(F(exp)(-F(fabs)(x))))
#define EW_SOFTSIGN(R, F, x) (x / (1 + F(fabs)(x)))
#define EW_MISH(R, F, x) (x * F(tanh)((x > 0 ? x : 0) + F(log1p)(F(exp)(-F(fabs)(x)))))
/* x / 2 * (1 + erf(x / sqrt(2))): erfc keeps the digits that 1 + erf loses for negative x */
#define EW_GELU(R, F, x) ((R)0.5 * x * F(erfc)(-(R)0.70710678118654752440 * x))
#define EW_GELU_TANH(R, F, x) \
    ((R)0.5 * x * (1 + F(tanh)((R)0.79788456080286535588 * (x + (R)0.044715 * x * x * x))))

EW_FLOAT_KERNELS(abs, EW_ABS)
EW_FLOAT_KERNELS(neg, EW_NEG)
EW_FLOAT_KERNELS(sign, EW_SIGN)
EW_FLOAT_KERNELS(ceil, EW_CEIL)
EW_FLOAT_KERNELS(floor, EW_FLOOR)
EW_FLOAT_KERNELS(round, EW_ROUND)
EW_FLOAT_KERNELS(sqrt, EW_SQRT)
EW_FLOAT_KERNELS(reciprocal, EW_RECIPROCAL)
EW_FLOAT_KERNELS(exp, EW_EXP)
EW_FLOAT_KERNELS(log, EW_LOG)
EW_FLOAT_KERNELS(sin, EW_SIN)
EW_FLOAT_KERNELS(cos, EW_COS)
EW_FLOAT_KERNELS(tan, EW_TAN)
EW_FLOAT_KERNELS(asin, EW_ASIN)
EW_FLOAT_KERNELS(acos, EW_ACOS)
EW_FLOAT_KERNELS(atan, EW_ATAN)
EW_FLOAT_KERNELS(sinh, EW_SINH)
EW_FLOAT_KERNELS(cosh, EW_COSH)
EW_FLOAT_KERNELS(asinh, EW_ASINH)
EW_FLOAT_KERNELS(acosh, EW_ACOSH)
EW_FLOAT_KERNELS(atanh, EW_ATANH)
EW_FLOAT_KERNELS(erf, EW_ERF)
EW_FLOAT_KERNELS(softplus, EW_SOFTPLUS)
EW_FLOAT_KERNELS(softsign, EW_SOFTSIGN)
EW_FLOAT_KERNELS(mish, EW_MISH)
EW_FLOAT_KERNELS(gelu, EW_GELU)
EW_FLOAT_KERNELS(gelu_tanh, EW_GELU_TANH)
EW_FLOAT_FUNCTION(sigmoid, EW_SIGMOID)
EW_FLOAT_FUNCTION(tanh, EW_TANH)
EW_FLOAT_FUNCTION(hard_swish, EW_HARD_SWISH)

#endif
