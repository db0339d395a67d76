/* Elements whose type is a parameter: indices that a network computes, and numbers that are compared or added. */
#ifndef EW_ELEMENTS_H
#define EW_ELEMENTS_H

#include "ew_base.h"

typedef enum ew_element_type {
    EW_ELEMENT_F32 = 0,
    EW_ELEMENT_F64 = 1,
    EW_ELEMENT_S8 = 2,
    EW_ELEMENT_U8 = 3,
    EW_ELEMENT_S16 = 4,
    EW_ELEMENT_U16 = 5,
    EW_ELEMENT_S32 = 6,
    EW_ELEMENT_U32 = 7,
    EW_ELEMENT_S64 = 8,
    EW_ELEMENT_U64 = 9
} ew_element_type;

/* Element `at` as an index. What int32_t cannot hold, NaN included, becomes INT32_MIN or INT32_MAX, which lie outside
 * every tensor. Floats are truncated. `type` is a literal at every call: the switch folds. */
EW_INLINE int32_t ew_load_index(int32_t type, const void *indices, int32_t at)
{
    int64_t value = 0;
    switch (type) {
    case EW_ELEMENT_F32: {
        const float number = ((const float *)indices)[at];
        return number >= -2147483648.0f && number < 2147483648.0f ? (int32_t)number : INT32_MAX;
    }
    case EW_ELEMENT_F64: {
        const double number = ((const double *)indices)[at];
        return number >= -2147483648.0 && number < 2147483648.0 ? (int32_t)number : INT32_MAX;
    }
    case EW_ELEMENT_S8:
        return ((const int8_t *)indices)[at];
    case EW_ELEMENT_U8:
        return ((const uint8_t *)indices)[at];
    case EW_ELEMENT_S16:
        return ((const int16_t *)indices)[at];
    case EW_ELEMENT_U16:
        return ((const uint16_t *)indices)[at];
    case EW_ELEMENT_S32:
        return ((const int32_t *)indices)[at];
    case EW_ELEMENT_U32:
        value = ((const uint32_t *)indices)[at];
        break;
    case EW_ELEMENT_U64: {
        const uint64_t number = ((const uint64_t *)indices)[at];
        return number > INT32_MAX ? INT32_MAX : (int32_t)number;
    }
    default:
        value = ((const int64_t *)indices)[at];
        break;
    }
    return value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* The position that an index names in a dimension of `size` elements: counted from the end where it is negative.
 * Returns -1 for one outside [-size, size). */
EW_INLINE int32_t ew_index_position(int32_t index, int32_t size)
{
    const int32_t position = index < 0 ? index + size : index;
    return position >= 0 && position < size ? position : -1;
}

/* The same, and the nearest position for an index outside. */
EW_INLINE int32_t ew_index_nearest(int32_t index, int32_t size)
{
    const int32_t position = index < 0 ? index + size : index;
    return position < 0 ? 0 : position < size ? position : size - 1;
}

#endif
