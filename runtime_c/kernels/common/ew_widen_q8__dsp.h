/* 8-bit activations made halfwords on Arm DSP cores, four in the order 0, 2, 1, 3, as UXTB16 takes a word apart. */
#ifndef EW_WIDEN_Q8__DSP_H
#define EW_WIDEN_Q8__DSP_H

#include "ew_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* What to widen: `pieces` pieces of 16 * sixteens + 4 * fours activations; the assembly knows the order. */
typedef struct {
    int32_t sixteens, fours; /* of a piece */
    int32_t to_skip, x_skip; /* bytes from the end of a piece to the start of the next */
    int32_t pieces;          /* at least 1 */
} ew_widen_q8;

#define EW_WIDEN_WORD(v, EXTEND, STEP)   \
    EXTEND " r2, " #v "\n\t"             \
    "str r2, [r0], #" STEP "\n\t"        \
    EXTEND " " #v ", " #v ", ror #8\n\t" \
    "str " #v ", [r0], #" STEP "\n\t"

/* r0 to, r1 x (any address), r2 a pointer to ew_widen_q8. */
#define EW_WIDEN_FUNCTION(EXTEND, STEP)       \
    __asm__ volatile(                         \
        "push {r4-r11, lr}\n\t"               \
        "ldmia r2, {r8, r9, r10, r11, r12}\n" \
        "1:\n\t"                              \
        "movs r3, r8\n\t"                     \
        "beq 3f\n"                            \
        "2:\n\t"                              \
        "ldr r4, [r1], #4\n\t"                \
        "ldr r5, [r1], #4\n\t"                \
        "ldr r6, [r1], #4\n\t"                \
        "ldr r7, [r1], #4\n\t"                \
        EW_WIDEN_WORD(r4, EXTEND, STEP)       \
        EW_WIDEN_WORD(r5, EXTEND, STEP)       \
        EW_WIDEN_WORD(r6, EXTEND, STEP)       \
        EW_WIDEN_WORD(r7, EXTEND, STEP)       \
        "subs r3, #1\n\t"                     \
        "bne 2b\n"                            \
        "3:\n\t"                              \
        "movs r3, r9\n\t"                     \
        "beq 5f\n"                            \
        "4:\n\t"                              \
        "ldr r4, [r1], #4\n\t"                \
        EW_WIDEN_WORD(r4, EXTEND, STEP)       \
        "subs r3, #1\n\t"                     \
        "bne 4b\n"                            \
        "5:\n\t"                              \
        "add r0, r10\n\t"                     \
        "add r1, r11\n\t"                     \
        "subs r12, #1\n\t"                    \
        "bne 1b\n\t"                          \
        "pop {r4-r11, pc}\n\t" ::: "memory")

typedef void ew_widen_function_q8(uint32_t *to, const uint8_t *x, const ew_widen_q8 *what);

#define EW_WIDEN_KERNEL(name, EXTEND, STEP)                                                                \
    EW_DSP_NAKED void name(__attribute__((unused)) uint32_t *to, __attribute__((unused)) const uint8_t *x, \
                           __attribute__((unused)) const ew_widen_q8 *what)                                \
    {                                                                                                      \
        EW_WIDEN_FUNCTION(EXTEND, STEP);                                                                   \
    }

/* A pixel's halfwords, those of its partner between them (ew_gemm_q8__dsp.h): every other word is written. */
EW_WIDEN_KERNEL(ew_widen_pixel_u8__dsp, "uxtb16", "8")
EW_WIDEN_KERNEL(ew_widen_pixel_s8__dsp, "sxtb16", "8")

/* A row: every word is written. */
EW_WIDEN_KERNEL(ew_widen_row_u8__dsp, "uxtb16", "4")
EW_WIDEN_KERNEL(ew_widen_row_s8__dsp, "sxtb16", "4")

#endif
#endif
