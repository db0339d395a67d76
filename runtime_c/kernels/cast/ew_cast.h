/* Conversions between any two element types: ONNX Cast-28.
 *
 * Float to integer truncates toward zero, saturates at the type's ends (infinities too), and NaN gives 0: defined for
 * every input, unlike a plain C cast. Of integers of four and two bits the low bits of that stay. Integer to integer
 * keeps the low bits. Integer to float, and float to a smaller float, rounds to nearest, ties to even; what is too large
 * becomes infinity, or as `saturate` says where the type has float8's rules. double goes to types below float16 by way
 * of float. A number is true where it differs from 0, NaN included. */
#ifndef EW_CAST_H
#define EW_CAST_H

#include "ew_numbers.h"

typedef struct {
    int32_t count;    /* elements of x and of y */
    int32_t from;     /* ew_number_type of x */
    int32_t to;       /* of y */
    int32_t saturate; /* to float8 only: 1: what is too large becomes the largest number, 0: infinity or NaN */
    int32_t rounding; /* to float8e8m0 only: EW_ROUND_... */
} ew_cast_params;

/* END is a power of two, exact in R: values from there up saturate, and the largest R below it converts without
 * overflow. */
#define EW_TRUNCATION(S, R, T, LOW, END, MIN, MAX) \
    EW_INLINE T ew_truncated_##S(R value)          \
    {                                              \
        if (value != value) {                      \
            return 0;                              \
        }                                          \
        if (value < (LOW)) {                       \
            return MIN;                            \
        }                                          \
        if (value >= (END)) {                      \
            return MAX;                            \
        }                                          \
        return (T)value;                           \
    }
EW_TRUNCATION(f32_s8, float, int8_t, -0x1p7f, 0x1p7f, INT8_MIN, INT8_MAX)
EW_TRUNCATION(f32_u8, float, uint8_t, 0.0f, 0x1p8f, 0, UINT8_MAX)
EW_TRUNCATION(f32_s16, float, int16_t, -0x1p15f, 0x1p15f, INT16_MIN, INT16_MAX)
EW_TRUNCATION(f32_u16, float, uint16_t, 0.0f, 0x1p16f, 0, UINT16_MAX)
EW_TRUNCATION(f32_s32, float, int32_t, -0x1p31f, 0x1p31f, INT32_MIN, INT32_MAX)
EW_TRUNCATION(f32_u32, float, uint32_t, 0.0f, 0x1p32f, 0, UINT32_MAX)
EW_TRUNCATION(f32_s64, float, int64_t, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX)
EW_TRUNCATION(f32_u64, float, uint64_t, 0.0f, 0x1p64f, 0, UINT64_MAX)
EW_TRUNCATION(f64_s8, double, int8_t, -0x1p7, 0x1p7, INT8_MIN, INT8_MAX)
EW_TRUNCATION(f64_u8, double, uint8_t, 0.0, 0x1p8, 0, UINT8_MAX)
EW_TRUNCATION(f64_s16, double, int16_t, -0x1p15, 0x1p15, INT16_MIN, INT16_MAX)
EW_TRUNCATION(f64_u16, double, uint16_t, 0.0, 0x1p16, 0, UINT16_MAX)
EW_TRUNCATION(f64_s32, double, int32_t, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX)
EW_TRUNCATION(f64_u32, double, uint32_t, 0.0, 0x1p32, 0, UINT32_MAX)
EW_TRUNCATION(f64_s64, double, int64_t, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX)
EW_TRUNCATION(f64_u64, double, uint64_t, 0.0, 0x1p64, 0, UINT64_MAX)

#define EW_STORE_TRUNCATED(S, R)                                                      \
    EW_INLINE void ew_store_truncated_##S(int32_t type, void *y, int32_t i, R value)  \
    {                                                                                 \
        switch (type) {                                                               \
        case EW_NUMBER_B8:                                                            \
            ((uint8_t *)y)[i] = value != 0;                                           \
            break;                                                                    \
        case EW_NUMBER_S8:                                                            \
            ((int8_t *)y)[i] = ew_truncated_##S##_s8(value);                          \
            break;                                                                    \
        case EW_NUMBER_U8:                                                            \
            ((uint8_t *)y)[i] = ew_truncated_##S##_u8(value);                         \
            break;                                                                    \
        case EW_NUMBER_S16:                                                           \
            ((int16_t *)y)[i] = ew_truncated_##S##_s16(value);                        \
            break;                                                                    \
        case EW_NUMBER_U16:                                                           \
            ((uint16_t *)y)[i] = ew_truncated_##S##_u16(value);                       \
            break;                                                                    \
        case EW_NUMBER_U32:                                                           \
            ((uint32_t *)y)[i] = ew_truncated_##S##_u32(value);                       \
            break;                                                                    \
        case EW_NUMBER_S64:                                                           \
            ((int64_t *)y)[i] = ew_truncated_##S##_s64(value);                        \
            break;                                                                    \
        case EW_NUMBER_U64:                                                           \
            ((uint64_t *)y)[i] = ew_truncated_##S##_u64(value);                       \
            break;                                                                    \
        default: /* s32, and of it the low bits */                                    \
            ew_store_integer(type, y, i, ew_truncated_##S##_s32(value));              \
            break;                                                                    \
        }                                                                             \
    }
EW_STORE_TRUNCATED(f32, float)
EW_STORE_TRUNCATED(f64, double)

/* The float next to a double, toward zero, its last bit set where it is not exact: rounding that once more to fewer bits
 * gives what rounding the double would have. */
EW_INLINE float ew_rounded_to_odd(double value)
{
    const float nearest = (float)value;
    if ((double)nearest == value || value != value) {
        return nearest;
    }
    const uint32_t bits = ew_float_bits(nearest);
    return ew_float_of_bits((fabs((double)nearest) > fabs(value) ? bits - 1u : bits) | 1u);
}

EW_INLINE void ew_store_float(const ew_cast_params *p, void *y, int32_t i, float value)
{
    static const ew_small_format formats[] = {EW_FORMAT_F8E4M3FN, EW_FORMAT_F8E4M3FNUZ, EW_FORMAT_F8E5M2,
                                              EW_FORMAT_F8E5M2FNUZ, EW_FORMAT_F4E2M1};
    switch (p->to) {
    case EW_NUMBER_F16:
        ((uint16_t *)y)[i] = ew_float_to_half(value);
        break;
    case EW_NUMBER_BF16:
        ((uint16_t *)y)[i] = ew_float_to_bfloat(value);
        break;
    case EW_NUMBER_F8E4M3FN:
        ((uint8_t *)y)[i] = ew_float_to_small(value, formats[0], p->saturate);
        break;
    case EW_NUMBER_F8E4M3FNUZ:
        ((uint8_t *)y)[i] = ew_float_to_small(value, formats[1], p->saturate);
        break;
    case EW_NUMBER_F8E5M2:
        ((uint8_t *)y)[i] = ew_float_to_small(value, formats[2], p->saturate);
        break;
    case EW_NUMBER_F8E5M2FNUZ:
        ((uint8_t *)y)[i] = ew_float_to_small(value, formats[3], p->saturate);
        break;
    case EW_NUMBER_F8E8M0:
        ((uint8_t *)y)[i] = ew_float_to_exponent(value, p->rounding, p->saturate);
        break;
    case EW_NUMBER_F4E2M1:
        ((uint8_t *)y)[i] = ew_float_to_small(value, formats[4], 1);
        break;
    default:
        ((float *)y)[i] = value;
        break;
    }
}

/* y[i] = x[i] converted. Buffers do not overlap. */
EW_KERNEL void ew_cast(const void *restrict x, void *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        if (p->to == EW_NUMBER_F64) {
            ((double *)y)[i] = ew_load_double(p->from, x, i);
        } else if (ew_is_integer(p->from) && ew_is_integer(p->to)) {
            ew_store_integer(p->to, y, i, ew_load_integer(p->from, x, i));
        } else if (p->from != EW_NUMBER_F64 && ew_is_integer(p->to)) {
            ew_store_truncated_f32(p->to, y, i, ew_load_float(p->from, x, i));
        } else if (p->from != EW_NUMBER_F64) {
            ew_store_float(p, y, i, ew_load_float(p->from, x, i));
        } else if (ew_is_integer(p->to)) {
            ew_store_truncated_f64(p->to, y, i, ((const double *)x)[i]);
        } else {
            const double value = ((const double *)x)[i];
            ew_store_float(p, y, i, p->to == EW_NUMBER_F16 ? ew_rounded_to_odd(value) : (float)value);
        }
    }
}

#endif
