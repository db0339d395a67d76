/* Numbers whose type is a parameter: any element type as float, double or integer, and the other way. `type` is a
 * literal at every call: the switches fold. */
#ifndef EW_NUMBERS_H
#define EW_NUMBERS_H

#include "ew_base.h"
#include "ew_half.h"
#include "ew_small_float.h"

typedef enum ew_number_type {
    EW_NUMBER_F32, /* float */
    EW_NUMBER_F64, /* double */
    EW_NUMBER_F16, /* uint16_t, the bits */
    EW_NUMBER_BF16,
    EW_NUMBER_F8E4M3FN, /* uint8_t, the bits */
    EW_NUMBER_F8E4M3FNUZ,
    EW_NUMBER_F8E5M2,
    EW_NUMBER_F8E5M2FNUZ,
    EW_NUMBER_F8E8M0,
    EW_NUMBER_F4E2M1, /* the low four bits of a uint8_t */
    EW_NUMBER_B8,     /* uint8_t; any byte but 0 is true. From here on integers */
    EW_NUMBER_S8,
    EW_NUMBER_U8,
    EW_NUMBER_S16,
    EW_NUMBER_U16,
    EW_NUMBER_S32,
    EW_NUMBER_U32,
    EW_NUMBER_S64,
    EW_NUMBER_U64,
    EW_NUMBER_S4, /* int8_t in -8..7 */
    EW_NUMBER_U4, /* uint8_t in 0..15 */
    EW_NUMBER_S2, /* int8_t in -2..1 */
    EW_NUMBER_U2  /* uint8_t in 0..3 */
} ew_number_type;

EW_INLINE int32_t ew_is_integer(int32_t type)
{
    return type >= EW_NUMBER_B8;
}

/* An element of an integer type; that of u64 as the int64_t of the same bits. */
EW_INLINE int64_t ew_load_integer(int32_t type, const void *x, int32_t i)
{
    switch (type) {
    case EW_NUMBER_B8:
        return ((const uint8_t *)x)[i] != 0;
    case EW_NUMBER_U8:
    case EW_NUMBER_U4:
    case EW_NUMBER_U2:
        return ((const uint8_t *)x)[i];
    case EW_NUMBER_S16:
        return ((const int16_t *)x)[i];
    case EW_NUMBER_U16:
        return ((const uint16_t *)x)[i];
    case EW_NUMBER_S32:
        return ((const int32_t *)x)[i];
    case EW_NUMBER_U32:
        return ((const uint32_t *)x)[i];
    case EW_NUMBER_S64:
    case EW_NUMBER_U64:
        return ((const int64_t *)x)[i];
    default:
        return ((const int8_t *)x)[i];
    }
}

/* Stores the low bits of a value: wraps around as in two's complement. */
EW_INLINE void ew_store_integer(int32_t type, void *y, int32_t i, int64_t value)
{
    switch (type) {
    case EW_NUMBER_B8:
        ((uint8_t *)y)[i] = value != 0;
        break;
    case EW_NUMBER_U2:
        ((uint8_t *)y)[i] = (uint8_t)(value & 3);
        break;
    case EW_NUMBER_U4:
        ((uint8_t *)y)[i] = (uint8_t)(value & 15);
        break;
    case EW_NUMBER_U8:
        ((uint8_t *)y)[i] = (uint8_t)value;
        break;
    case EW_NUMBER_S2:
        ((int8_t *)y)[i] = (int8_t)(((value & 3) ^ 2) - 2);
        break;
    case EW_NUMBER_S4:
        ((int8_t *)y)[i] = (int8_t)(((value & 15) ^ 8) - 8);
        break;
    case EW_NUMBER_S8:
        ((int8_t *)y)[i] = (int8_t)value;
        break;
    case EW_NUMBER_S16:
    case EW_NUMBER_U16:
        ((uint16_t *)y)[i] = (uint16_t)value;
        break;
    case EW_NUMBER_S32:
    case EW_NUMBER_U32:
        ((uint32_t *)y)[i] = (uint32_t)value;
        break;
    default:
        ((int64_t *)y)[i] = value;
        break;
    }
}

/* An element of any type but f64: exact, but that integers of 32 and 64 bits are rounded to nearest, ties to even. */
EW_INLINE float ew_load_float(int32_t type, const void *x, int32_t i)
{
    static const ew_small_format formats[] = {EW_FORMAT_F8E4M3FN, EW_FORMAT_F8E4M3FNUZ, EW_FORMAT_F8E5M2,
                                              EW_FORMAT_F8E5M2FNUZ, EW_FORMAT_F4E2M1};
    switch (type) {
    case EW_NUMBER_F32:
        return ((const float *)x)[i];
    case EW_NUMBER_F16:
        return ew_half_to_float(((const uint16_t *)x)[i]);
    case EW_NUMBER_BF16:
        return ew_bfloat_to_float(((const uint16_t *)x)[i]);
    case EW_NUMBER_F8E4M3FN:
        return ew_small_to_float(((const uint8_t *)x)[i], formats[0]);
    case EW_NUMBER_F8E4M3FNUZ:
        return ew_small_to_float(((const uint8_t *)x)[i], formats[1]);
    case EW_NUMBER_F8E5M2:
        return ew_small_to_float(((const uint8_t *)x)[i], formats[2]);
    case EW_NUMBER_F8E5M2FNUZ:
        return ew_small_to_float(((const uint8_t *)x)[i], formats[3]);
    case EW_NUMBER_F8E8M0:
        return ew_exponent_to_float(((const uint8_t *)x)[i]);
    case EW_NUMBER_F4E2M1:
        return ew_small_to_float(((const uint8_t *)x)[i], formats[4]);
    case EW_NUMBER_U64:
        return (float)((const uint64_t *)x)[i];
    case EW_NUMBER_S64:
        return (float)((const int64_t *)x)[i];
    case EW_NUMBER_U32:
        return (float)((const uint32_t *)x)[i];
    default:
        return (float)(int32_t)ew_load_integer(type, x, i);
    }
}

/* An element of any type. */
EW_INLINE double ew_load_double(int32_t type, const void *x, int32_t i)
{
    switch (type) {
    case EW_NUMBER_F64:
        return ((const double *)x)[i];
    case EW_NUMBER_U64:
        return (double)((const uint64_t *)x)[i];
    default:
        return ew_is_integer(type) ? (double)ew_load_integer(type, x, i) : (double)ew_load_float(type, x, i);
    }
}

#endif
