/* Comparison of two broadcast operands, 0 or 1 in a byte: ew_NAME_SUFFIX for equal, greater, greater_or_equal, less,
 * less_or_equal. Nothing but false is said of a NaN. */
#ifndef EW_COMPARE_H
#define EW_COMPARE_H

#include "ew_base.h"
#include "ew_broadcast.h"
#include "ew_types.h"

#define EW_COMPARISON(name, S, T, V, value, sign)                                 \
    EW_INLINE uint8_t ew_value_##name##_##S(T a, T b)                             \
    {                                                                             \
        const V left = value(a), right = value(b);                                \
        return left sign right;                                                   \
    }                                                                             \
    EW_BROADCAST_KERNEL(ew_##name##_##S, T, T, uint8_t, ew_value_##name##_##S)

#define EW_AS_IT_IS(value) (value)
#define EW_IS_TRUE(value) ((value) != 0)

#define EW_COMPARISONS(S, T, V, value)                \
    EW_COMPARISON(equal, S, T, V, value, ==)          \
    EW_COMPARISON(greater, S, T, V, value, >)         \
    EW_COMPARISON(greater_or_equal, S, T, V, value, >=) \
    EW_COMPARISON(less, S, T, V, value, <)            \
    EW_COMPARISON(less_or_equal, S, T, V, value, <=)

#define EW_COMPARE_INTEGERS(S, T, U) EW_COMPARISONS(S, T, T, EW_AS_IT_IS)

EW_INTEGER_TYPES(EW_COMPARE_INTEGERS)
EW_COMPARISONS(f32, float, float, EW_AS_IT_IS)
EW_COMPARISONS(f64, double, double, EW_AS_IT_IS)
EW_COMPARISONS(f16, uint16_t, float, ew_half_to_float)
EW_COMPARISON(equal, b8, uint8_t, int, EW_IS_TRUE, ==)

#endif
