/* The instructions of the innermost loops: multiply and accumulate, and the loads that feed it. */
#ifndef EW_MAC_Q_H
#define EW_MAC_Q_H

#include "ew_base.h"
#include "ew_quantized.h"

/* Before a loop that must not be unrolled. */
#if defined(__GNUC__) && !defined(__clang__)
#define EW_ROLLED _Pragma("GCC unroll 1")
#else
#define EW_ROLLED
#endif

/* For Thumb-2 as the instructions that they are, in the places where they are written: gcc 12 would load several
 * elements ahead, give each partial sum another register, and spill them (2.5 instructions a product instead of 2). */
#if defined(__thumb2__) && defined(__GNUC__)
#define EW_MLA(sum, a, b) __asm__ volatile("mla %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b))
#define EW_LOAD_NEXT(instruction, value, x) __asm__ volatile(instruction : "=r"(value), "+r"(x) : : "memory")
#define EW_LOAD_HERE(instruction, value, element) __asm__ volatile(instruction : "=r"(value) : "m"(element))
#else
#define EW_MLA(sum, a, b) (sum) += (a) * (b)
#endif

/* The next element of a row of EW_QS8, EW_QU8 or EW_QS16; x advances. */
EW_INLINE int32_t ew_next_q(int32_t type, const void **x)
{
#ifdef EW_LOAD_NEXT
    int32_t value;
    if (type == EW_QS8) {
        EW_LOAD_NEXT("ldrsb %0, [%1], #1", value, *x);
    } else if (type == EW_QU8) {
        EW_LOAD_NEXT("ldrb %0, [%1], #1", value, *x);
    } else {
        EW_LOAD_NEXT("ldrsh %0, [%1], #2", value, *x);
    }
#else
    const int32_t value = ew_load_q(type, *x, 0);
    *x = ew_at_q(type, *x, 1);
#endif
    return value;
}

/* Element i of a row of EW_QS8, EW_QU8 or EW_QS16. */
EW_INLINE int32_t ew_load_here_q(int32_t type, const void *x, int32_t i)
{
#ifdef EW_LOAD_HERE
    int32_t value;
    if (type == EW_QS8) {
        EW_LOAD_HERE("ldrsb %0, %1", value, ((const int8_t *)x)[i]);
    } else if (type == EW_QU8) {
        EW_LOAD_HERE("ldrb %0, %1", value, ((const uint8_t *)x)[i]);
    } else {
        EW_LOAD_HERE("ldrsh %0, %1", value, ((const int16_t *)x)[i]);
    }
    return value;
#else
    return ew_load_q(type, x, i);
#endif
}

#endif
