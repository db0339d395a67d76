/* Transforms windows of inputs: the beginning of the Winograd convolutions (ew_winograd_q8__dsp.h). */
#ifndef EW_WINOGRAD_INPUT_Q8__DSP_H
#define EW_WINOGRAD_INPUT_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* A window to transform, uint8; the assembly knows the order. Steps in bytes. */
typedef struct {
    const uint8_t *x; /* the first pixel's channels */
    uint8_t *v;       /* the tile's place at the first position */
    int32_t fours;    /* of channels */
    int32_t row;      /* of x */
    int32_t pixel;
    int32_t column; /* of positions */
    int32_t position;
} ew_wg_window;

/* 4x4 pixels, two channels at a time in the halves of words: `half` takes bytes 0 and 2, or 1 and 3.
 * From pixels r0-r3 of a column or a row to its positions 1 2 0 3: r2 r4 r0 r3. */
#define EW_WG_FOUR             \
    "ssub16 r4, r2, r1\n\t"    \
    "ssub16 r0, r0, r2\n\t"    \
    "sadd16 r2, r1, r2\n\t"    \
    "ssub16 r3, r1, r3\n\t"
/* r6 r7 the first two pixels of a column, r10 row, r14 pixel's step; to four words on the stack. */
#define EW_WG_COLUMN_IN_2(half, at)              \
    "ldr r0, [r6]\n\t"                           \
    "ldr r1, [r7]\n\t"                           \
    "ldr r2, [r6, r10, lsl #1]\n\t"              \
    "ldr r3, [r7, r10, lsl #1]\n\t"              \
    "add r6, r6, r14\n\t"                        \
    "add r7, r7, r14\n\t"                        \
    "uxtb16 r0, r0" half "\n\t"                  \
    "uxtb16 r1, r1" half "\n\t"                  \
    "uxtb16 r2, r2" half "\n\t"                  \
    "uxtb16 r3, r3" half "\n\t" EW_WG_FOUR       \
    "str r2, [sp, #" at "]\n\t"                  \
    "str r4, [sp, #" at "+4]\n\t"                \
    "str r0, [sp, #" at "+8]\n\t"                \
    "str r3, [sp, #" at "+12]\n\t"
#define EW_WG_COLUMNS_IN_2(half)                 \
    "ldr r6, [sp, #64]\n\t"                      \
    "ldr r10, [sp, #76]\n\t"                     \
    "ldr r14, [sp, #80]\n\t"                     \
    "add r7, r6, r10\n\t"                        \
    EW_WG_COLUMN_IN_2(half, "0")                 \
    EW_WG_COLUMN_IN_2(half, "16")                \
    EW_WG_COLUMN_IN_2(half, "32")                \
    EW_WG_COLUMN_IN_2(half, "48")
/* A row of what columns became; r10 four positions. Its first position, and where those of columns 0 and 3 are eight
 * positions after. */
#define EW_WG_ROW_IN_2(at, first, zero, three)   \
    "ldr r0, [sp, #" at "+4]\n\t"                \
    "ldr r1, [sp, #" at "+20]\n\t"               \
    "ldr r2, [sp, #" at "+36]\n\t"               \
    "ldr r3, [sp, #" at "+52]\n\t" EW_WG_FOUR    \
    "str r2, [" first "]\n\t"                    \
    "str r4, [" first ", r10]\n\t"               \
    "str r0, [" zero ", r10, lsl #1]\n\t"        \
    "str r3, [" three ", r10, lsl #1]\n\t"

/* The stack: 16 words of columns, the window, saved registers. */
EW_DSP_NAKED void ew_wg_input_2(const ew_wg_window *w __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n\t"
            "ldmia r0, {r1-r7}\n\t"
            "push {r1-r7}\n\t"
            "sub sp, sp, #64\n"
            "1:\n\t" EW_WG_COLUMNS_IN_2("")
            "bl 5f\n\t" EW_WG_COLUMNS_IN_2(", ror #8")
            "bl 5f\n\t"
            "ldr r0, [sp, #64]\n\t"
            "ldr r1, [sp, #72]\n\t"
            "add r0, r0, #4\n\t"
            "subs r1, r1, #1\n\t"
            "str r0, [sp, #64]\n\t"
            "str r1, [sp, #72]\n\t"
            "bne 1b\n\t"
            "add sp, sp, #92\n\t"
            "pop {r4-r11, pc}\n"
            "5:\n\t" /* all rows, to two channels of v, which moves on */
            "push {r14}\n\t"
            "ldr r5, [sp, #72]\n\t"
            "ldr r11, [sp, #92]\n\t"
            "add r0, r5, #8\n\t"
            "add r6, r5, r11\n\t"
            "add r7, r6, r11\n\t"
            "add r8, r7, r11\n\t"
            "add r9, r8, r11\n\t"
            "add r12, r9, r11\n\t"
            "lsl r10, r11, #2\n\t"
            "str r0, [sp, #72]\n\t"
            EW_WG_ROW_IN_2("0", "r5", "r5", "r7")
            EW_WG_ROW_IN_2("4", "r6", "r6", "r8")
            "add r5, r12, r11\n\t"
            EW_WG_ROW_IN_2("8", "r7", "r9", "r5")
            "add r6, r5, r11\n\t"
            EW_WG_ROW_IN_2("12", "r8", "r12", "r6")
            "pop {pc}\n\t");
}

/* 6x6 pixels. The halves of a word are one number here, 2^16 * high + low, so that shifts are free; where low is
 * negative, high is 1 too small. At the end 2^15 is added, which makes high right, and taken from low by its top bit.
 * r0-r5: from pixels 0 to 5 of a column or a row to its positions 1 2 3 4 0 5. */
#define EW_WG_SIX                     \
    "sub r6, r4, r2, lsl #2\n\t"      \
    "sub r7, r3, r1, lsl #2\n\t"      \
    "sub r8, r4, r2\n\t"              \
    "sub r9, r3, r1\n\t"              \
    "sub r4, r6, r2\n\t"              \
    "sub r5, r5, r3\n\t"              \
    "add r4, r4, r0, lsl #2\n\t"      \
    "sub r5, r5, r9, lsl #2\n\t"      \
    "add r0, r6, r7\n\t"              \
    "sub r1, r6, r7\n\t"              \
    "add r2, r8, r9, lsl #1\n\t"      \
    "sub r3, r8, r9, lsl #1\n\t"

/* A column of pixels: r11 pixel, r10 row, r14 pixel's step, r12 six words on the stack. */
#define EW_WG_COLUMN_IN_4(half)            \
    "add r6, r11, r10\n\t"                 \
    "ldr r0, [r11]\n\t"                    \
    "ldr r1, [r6]\n\t"                     \
    "ldr r2, [r11, r10, lsl #1]\n\t"       \
    "ldr r3, [r6, r10, lsl #1]\n\t"        \
    "ldr r4, [r11, r10, lsl #2]\n\t"       \
    "ldr r5, [r6, r10, lsl #2]\n\t"        \
    "add r11, r11, r14\n\t"                \
    "uxtb16 r0, r0" half "\n\t"            \
    "uxtb16 r1, r1" half "\n\t"            \
    "uxtb16 r2, r2" half "\n\t"            \
    "uxtb16 r3, r3" half "\n\t"            \
    "uxtb16 r4, r4" half "\n\t"            \
    "uxtb16 r5, r5" half "\n\t" EW_WG_SIX  \
    "stmia r12!, {r0-r5}\n\t"
#define EW_WG_COLUMNS_IN_4(label, half)    \
    "ldr r11, [sp, #144]\n\t"              \
    "ldr r10, [sp, #156]\n\t"              \
    "ldr r14, [sp, #160]\n\t"              \
    "mov r12, sp\n"                        \
    label ":\n\t"                          \
    EW_WG_COLUMN_IN_4(half)                \
    EW_WG_COLUMN_IN_4(half)                \
    EW_WG_COLUMN_IN_4(half)                \
    "sub r6, r12, #144\n\t"                \
    "cmp sp, r6\n\t"                       \
    "bne " label "b\n\t"
/* A row of what columns became: r12 its first word, r11 its first position, r10 column's step, r14 position's. */
#define EW_WG_ROW_IN_4                     \
    "ldr r0, [r12], #4\n\t"                \
    "ldr r1, [r12, #20]\n\t"               \
    "ldr r2, [r12, #44]\n\t"               \
    "ldr r3, [r12, #68]\n\t"               \
    "ldr r4, [r12, #92]\n\t"               \
    "ldr r5, [r12, #116]\n\t"              \
    "add r4, r4, #0x8000\n\t"              \
    "add r5, r5, #0x8000\n\t" EW_WG_SIX    \
    "add r6, r11, r10\n\t"                 \
    "eor r0, r0, #0x8000\n\t"              \
    "eor r1, r1, #0x8000\n\t"              \
    "eor r2, r2, #0x8000\n\t"              \
    "eor r3, r3, #0x8000\n\t"              \
    "eor r4, r4, #0x8000\n\t"              \
    "eor r5, r5, #0x8000\n\t"              \
    "str r0, [r11]\n\t"                    \
    "str r1, [r6]\n\t"                     \
    "str r2, [r11, r10, lsl #1]\n\t"       \
    "str r3, [r6, r10, lsl #1]\n\t"        \
    "str r4, [r11, r10, lsl #2]\n\t"       \
    "str r5, [r6, r10, lsl #2]\n\t"        \
    "add r11, r11, r14\n\t"

/* The stack: 36 words of columns, the window, saved registers. */
EW_DSP_NAKED void ew_wg_input_4(const ew_wg_window *w __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n\t"
            "ldmia r0, {r1-r7}\n\t"
            "push {r1-r7}\n\t"
            "sub sp, sp, #144\n"
            "1:\n\t" EW_WG_COLUMNS_IN_4("2", "")
            "bl 5f\n\t" EW_WG_COLUMNS_IN_4("3", ", ror #8")
            "bl 5f\n\t"
            "ldr r0, [sp, #144]\n\t"
            "ldr r1, [sp, #152]\n\t"
            "add r0, r0, #4\n\t"
            "subs r1, r1, #1\n\t"
            "str r0, [sp, #144]\n\t"
            "str r1, [sp, #152]\n\t"
            "bne 1b\n\t"
            "add sp, sp, #172\n\t"
            "pop {r4-r11, pc}\n"
            "5:\n\t" /* all rows, to two channels of v, which moves on */
            "push {r14}\n\t"
            "ldr r11, [sp, #152]\n\t"
            "ldr r10, [sp, #168]\n\t"
            "ldr r14, [sp, #172]\n\t"
            "add r0, r11, #8\n\t"
            "add r12, sp, #4\n\t"
            "str r0, [sp, #152]\n"
            "6:\n\t" EW_WG_ROW_IN_4 EW_WG_ROW_IN_4 EW_WG_ROW_IN_4
            "sub r6, r12, #28\n\t"
            "cmp sp, r6\n\t"
            "bne 6b\n\t"
            "pop {pc}\n\t");
}

#endif
#endif
