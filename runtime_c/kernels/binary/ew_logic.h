/* Bits and truth values of two broadcast operands: ew_NAME_SUFFIX for bitwise_and, bitwise_or, bitwise_xor, shift_left,
 * shift_right (integers), and, or, xor (b8: any byte but 0 is true). */
#ifndef EW_LOGIC_H
#define EW_LOGIC_H

#include "ew_base.h"
#include "ew_broadcast.h"
#include "ew_types.h"

/* Shifts to the right copy the sign. By fewer than 0 or by all bits: what the sign alone gives. */
#define EW_BITWISE_KERNELS(S, T, U)                                             \
    EW_INLINE T ew_value_bitwise_and_##S(T a, T b)                              \
    {                                                                           \
        return (T)((U)a & (U)b);                                                \
    }                                                                           \
    EW_INLINE T ew_value_bitwise_or_##S(T a, T b)                               \
    {                                                                           \
        return (T)((U)a | (U)b);                                                \
    }                                                                           \
    EW_INLINE T ew_value_bitwise_xor_##S(T a, T b)                              \
    {                                                                           \
        return (T)((U)a ^ (U)b);                                                \
    }                                                                           \
    EW_INLINE T ew_value_shift_left_##S(T a, T b)                               \
    {                                                                           \
        return (T)((U)b >= 8 * sizeof(T) ? 0 : (U)a << (U)b);                   \
    }                                                                           \
    EW_INLINE T ew_value_shift_right_##S(T a, T b)                              \
    {                                                                           \
        const U bits = (U)b >= 8 * sizeof(T) ? (U)(8 * sizeof(T) - 1) : (U)b;   \
        return (T)((U)b >= 8 * sizeof(T) && (T)(0 - (U)1) > 0 ? 0 : a >> bits); \
    }                                                                           \
    EW_BROADCAST_KERNEL(ew_bitwise_and_##S, T, T, T, ew_value_bitwise_and_##S)  \
    EW_BROADCAST_KERNEL(ew_bitwise_or_##S, T, T, T, ew_value_bitwise_or_##S)    \
    EW_BROADCAST_KERNEL(ew_bitwise_xor_##S, T, T, T, ew_value_bitwise_xor_##S)  \
    EW_BROADCAST_KERNEL(ew_shift_left_##S, T, T, T, ew_value_shift_left_##S)    \
    EW_BROADCAST_KERNEL(ew_shift_right_##S, T, T, T, ew_value_shift_right_##S)

EW_INTEGER_TYPES(EW_BITWISE_KERNELS)

EW_INLINE uint8_t ew_value_and_b8(uint8_t a, uint8_t b)
{
    return a != 0 && b != 0;
}

EW_INLINE uint8_t ew_value_or_b8(uint8_t a, uint8_t b)
{
    return a != 0 || b != 0;
}

EW_INLINE uint8_t ew_value_xor_b8(uint8_t a, uint8_t b)
{
    return (a != 0) != (b != 0);
}

EW_BROADCAST_KERNEL(ew_and_b8, uint8_t, uint8_t, uint8_t, ew_value_and_b8)
EW_BROADCAST_KERNEL(ew_or_b8, uint8_t, uint8_t, uint8_t, ew_value_or_b8)
EW_BROADCAST_KERNEL(ew_xor_b8, uint8_t, uint8_t, uint8_t, ew_value_xor_b8)

#endif
