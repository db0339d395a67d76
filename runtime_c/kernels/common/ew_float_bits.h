/* A float32 and its bits. */
#ifndef EW_FLOAT_BITS_H
#define EW_FLOAT_BITS_H

#include "ew_base.h"

#include <string.h>

EW_INLINE uint32_t ew_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

EW_INLINE float ew_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
