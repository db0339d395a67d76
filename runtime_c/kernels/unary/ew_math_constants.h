/* Functions of one float and one or two constants, element by element: ew_NAME_f32, ew_NAME_f64, ew_NAME_f16.
 *
 * A formula M(R, F, x, alpha, beta) is written once: R is the type, F(name) the C library's function for it. float16
 * is computed in float32. x and y hold count elements; y may be x, and otherwise does not overlap it. */
#ifndef EW_MATH_CONSTANTS_H
#define EW_MATH_CONSTANTS_H

#include "ew_base.h"
#include "ew_half.h"
#include "ew_types.h"
#include "ew_unary.h"

#include <math.h>

#define EW_CONSTANTS_FUNCTION(name, formula)                                                   \
    EW_INLINE float ew_value_##name##_f32(float x, float alpha, float beta)                    \
    {                                                                                          \
        (void)beta;                                                                            \
        return formula(float, EW_F32_FUNCTION, x, alpha, beta);                                \
    }                                                                                          \
    EW_INLINE double ew_value_##name##_f64(double x, float alpha, float beta)                  \
    {                                                                                          \
        (void)beta;                                                                            \
        return formula(double, EW_F64_FUNCTION, x, (double)alpha, (double)beta);               \
    }                                                                                          \
    EW_INLINE uint16_t ew_value_##name##_f16(uint16_t x, float alpha, float beta)              \
    {                                                                                          \
        return ew_float_to_half(ew_value_##name##_f32(ew_half_to_float(x), alpha, beta));      \
    }                                                                                          \
    EW_UNARY_CONSTANTS_KERNEL(ew_##name##_f64, double, double, ew_value_##name##_f64)          \
    EW_UNARY_CONSTANTS_KERNEL(ew_##name##_f16, uint16_t, uint16_t, ew_value_##name##_f16)

/* With the float32 kernel, where that is not a header of its own. */
#define EW_CONSTANTS_KERNELS(name, formula) \
    EW_CONSTANTS_FUNCTION(name, formula)    \
    EW_UNARY_CONSTANTS_KERNEL(ew_##name##_f32, float, float, ew_value_##name##_f32)

#define EW_ELU(R, F, x, alpha, beta) (x < 0 ? alpha * F(expm1)(x) : x)
/* beta is ONNX's gamma */
#define EW_SELU(R, F, x, alpha, beta) (beta * (x > 0 ? x : alpha * F(expm1)(x)))
#define EW_CELU(R, F, x, alpha, beta) (x < 0 ? alpha * F(expm1)(x / alpha) : x) /* alpha is not 0 */
#define EW_SWISH(R, F, x, alpha, beta) (x / (1 + F(exp)(-alpha * x)))
#define EW_THRESHOLDED_RELU(R, F, x, alpha, beta) (x > alpha ? x : 0) /* NaN gives 0 */
/* alpha is ONNX's lambd, beta its bias; NaN gives 0 */
#define EW_SHRINK(R, F, x, alpha, beta) (x < -alpha ? x + beta : x > alpha ? x - beta : 0)
#define EW_LEAKY_RELU(R, F, x, alpha, beta) (x < 0 ? alpha * x : x)
#define EW_HARD_SIGMOID(R, F, x, alpha, beta) \
    (alpha * x + beta < 0 ? 0 : alpha * x + beta > 1 ? 1 : alpha * x + beta)

EW_CONSTANTS_KERNELS(elu, EW_ELU)
EW_CONSTANTS_KERNELS(selu, EW_SELU)
EW_CONSTANTS_KERNELS(celu, EW_CELU)
EW_CONSTANTS_KERNELS(swish, EW_SWISH)
EW_CONSTANTS_KERNELS(thresholded_relu, EW_THRESHOLDED_RELU)
EW_CONSTANTS_KERNELS(shrink, EW_SHRINK)
EW_CONSTANTS_FUNCTION(leaky_relu, EW_LEAKY_RELU)
EW_CONSTANTS_FUNCTION(hard_sigmoid, EW_HARD_SIGMOID)

/* Shrink of integers of up to 32 bits: computed in double, which holds them all, truncated and saturated. */
#define EW_SHRINK_INTEGER(S, T, low, high)                                                                        \
    EW_INLINE T ew_value_shrink_##S(T x, float alpha, float beta)                                                 \
    {                                                                                                             \
        return (T)ew_truncated_between(ew_value_shrink_f64((double)x, alpha, beta), (int64_t)low, (int64_t)high); \
    }                                                                                                             \
    EW_UNARY_CONSTANTS_KERNEL(ew_shrink_##S, T, T, ew_value_shrink_##S)

EW_SHRINK_INTEGER(s8, int8_t, INT8_MIN, INT8_MAX)
EW_SHRINK_INTEGER(u8, uint8_t, 0, UINT8_MAX)
EW_SHRINK_INTEGER(s16, int16_t, INT16_MIN, INT16_MAX)
EW_SHRINK_INTEGER(u16, uint16_t, 0, UINT16_MAX)
EW_SHRINK_INTEGER(s32, int32_t, INT32_MIN, INT32_MAX)
EW_SHRINK_INTEGER(u32, uint32_t, 0, UINT32_MAX)

#endif
