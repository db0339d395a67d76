/* Integer tensors: element types as literals, loads and stores, and clamping. Arithmetic: docs/ARITHMETIC.md.
 *
 * A kernel for integers takes pointers to void and the types as parameters. They are literals in a generated step, so
 * that each switch below folds to one instruction. */
#ifndef EW_QUANTIZED_H
#define EW_QUANTIZED_H

#include "ew_base.h"

/* A function that all layers of a program share: it takes what it needs as arguments. */
#define EW_SHARED static __attribute__((noinline, unused))

/* EW_QS4 is for weights only: two in a byte, the first in the low half, each in two's complement. */
typedef enum ew_qtype { EW_QS8 = 0, EW_QU8 = 1, EW_QS16 = 2, EW_QS4 = 3 } ew_qtype;

/* Bytes of `count` elements; EW_QS4: the last byte may be half used. */
EW_INLINE int32_t ew_bytes_q(int32_t type, int32_t count)
{
    return type == EW_QS16 ? 2 * count : type == EW_QS4 ? (count + 1) / 2 : count;
}

/* The address of element i, which starts a byte: EW_QS4 takes even i only. */
EW_INLINE const void *ew_at_q(int32_t type, const void *x, int32_t i)
{
    return (const uint8_t *)x + ew_bytes_q(type, i);
}

EW_INLINE void *ew_out_at_q(int32_t type, void *y, int32_t i)
{
    return (uint8_t *)y + ew_bytes_q(type, i);
}

/* The first of two EW_QS4 in a byte; the second is byte >> 4. */
EW_INLINE int32_t ew_low_half_q(int32_t byte)
{
    return (int32_t)((uint32_t)byte << 28) >> 28;
}

EW_INLINE int32_t ew_load_q(int32_t type, const void *x, int32_t i)
{
    switch (type) {
    case EW_QS8:
        return ((const int8_t *)x)[i];
    case EW_QU8:
        return ((const uint8_t *)x)[i];
    case EW_QS16:
        return ((const int16_t *)x)[i];
    default: { /* EW_QS4 */
        const int32_t both = ((const int8_t *)x)[i >> 1];
        return i & 1 ? both >> 4 : ew_low_half_q(both);
    }
    }
}

/* `value` is in the type's range. */
EW_INLINE void ew_store_q(int32_t type, void *y, int32_t i, int32_t value)
{
    if (type == EW_QS16) {
        ((int16_t *)y)[i] = (int16_t)value;
    } else {
        ((uint8_t *)y)[i] = (uint8_t)value; /* the same bits for EW_QS8 */
    }
}

/* lo <= hi. */
EW_INLINE int32_t ew_clamp_q(int32_t value, int32_t lo, int32_t hi)
{
    const int32_t above = value < lo ? lo : value;
    return above > hi ? hi : above;
}

#endif
