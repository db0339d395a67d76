/* Products of transformed inputs and weights, and the way back to outputs: the middle and the end of the Winograd
 * convolutions (ew_winograd_q8__dsp.h). */
#ifndef EW_WINOGRAD_TILES_Q8__DSP_H
#define EW_WINOGRAD_TILES_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* What the products of two tiles need; the assembly knows the order. */
typedef struct {
    const void *v;  /* transformed inputs: for each position, pairs of channels of tile 0 and 1 in turn, then a mark */
    const uint32_t *weights;
    int32_t blocks; /* of four output channels */
    int32_t offset; /* of the block in y's channels: 0 */
    uint8_t *const *y; /* where the outputs of tile 0 are, row by row, and of tile 1 */
} ew_wg_tiles;

/* After each position of v: less than any pair of transformed inputs. */
#define EW_WG_MARK 0x80000000u
#define EW_WG_MARK_CLEAR 2u /* sums start again from 0 */
#define EW_WG_MARK_LAST 3u  /* no position follows */

/* Two input channels of both tiles. r0-r7 sums, tile 0 and 1 of output channels 0 to 3; r8 r9 inputs of both tiles; r10
 * r11 weights; r12 v; r14 weights. */
#define EW_WG_STEP               \
    "ldmia r12!, {r8, r9}\n\t"   \
    "ldmia r14!, {r10, r11}\n\t" \
    "smlad r0, r8, r10, r0\n\t"  \
    "smlad r1, r9, r10, r1\n\t"  \
    "smlad r2, r8, r11, r2\n\t"  \
    "smlad r3, r9, r11, r3\n\t"  \
    "ldmia r14!, {r10, r11}\n\t" \
    "smlad r4, r8, r10, r4\n\t"  \
    "smlad r5, r9, r10, r5\n\t"  \
    "smlad r6, r8, r11, r6\n\t"  \
    "smlad r7, r9, r11, r7\n\t"
/* The same where two output channels share halfwords of weights (ew_dsp.h): r0 r1 r4 r5 are 256 * A + B. */
#define EW_WG_STEP_SHARED        \
    "ldmia r12!, {r8, r9}\n\t"   \
    "ldmia r14!, {r10, r11}\n\t" \
    "smlad r0, r8, r10, r0\n\t"  \
    "smlad r1, r9, r10, r1\n\t"  \
    "smlad r4, r8, r11, r4\n\t"  \
    "smlad r5, r9, r11, r5\n\t"  \
    "sxtb16 r10, r10\n\t"        \
    "sxtb16 r11, r11\n\t"        \
    "smlad r2, r8, r10, r2\n\t"  \
    "smlad r3, r9, r10, r3\n\t"  \
    "smlad r6, r8, r11, r6\n\t"  \
    "smlad r7, r9, r11, r7\n\t"
#define EW_WG_CLEAR     \
    "mov r0, #0\n\t"    \
    "mov r1, #0\n\t"    \
    "mov r2, #0\n\t"    \
    "mov r3, #0\n\t"    \
    "mov r4, #0\n\t"    \
    "mov r5, #0\n\t"    \
    "mov r6, #0\n\t"    \
    "mov r7, #0\n\t"
#define EW_WG_TURN(STEP, label)           \
    STEP STEP STEP STEP STEP STEP STEP STEP \
    "ldr r8, [r12]\n\t"                   \
    "cmp r8, #0x81000000\n\t"             \
    "bge " label "b\n\t"

/* Positions of four output channels: sums go on from r0-r7, each position's are pushed. */
#define EW_WG_PRODUCTS                             \
    "2:\n\t" EW_WG_TURN(EW_WG_STEP, "2")           \
    "push {r0-r7}\n\t"                             \
    "add r12, r12, #4\n\t"                         \
    "lsls r8, r8, #31\n\t" /* C: clear, N: last */ \
    "bcc 2b\n\t"                                   \
    "bmi 3f\n\t" EW_WG_CLEAR                       \
    "b 2b\n"                                       \
    "3:\n\t"
/* Positions whose sums are wanted four times as large, and apart. */
#define EW_WG_PRODUCTS_SHARED                                       \
    "30:\n\t" EW_WG_CLEAR                                           \
    "31:\n\t" EW_WG_TURN(EW_WG_STEP_SHARED, "31")                   \
    "sub r0, r0, r2\n\t"                                            \
    "sub r1, r1, r3\n\t"                                            \
    "sub r4, r4, r6\n\t"                                            \
    "sub r5, r5, r7\n\t"                                            \
    "asr r0, r0, #6\n\t"                                            \
    "asr r1, r1, #6\n\t"                                            \
    "lsl r2, r2, #2\n\t"                                            \
    "lsl r3, r3, #2\n\t"                                            \
    "asr r4, r4, #6\n\t"                                            \
    "asr r5, r5, #6\n\t"                                            \
    "lsl r6, r6, #2\n\t"                                            \
    "lsl r7, r7, #2\n\t"                                            \
    "push {r0-r7}\n\t"                                              \
    "add r12, r12, #4\n\t"                                          \
    "lsls r8, r8, #31\n\t"                                          \
    "bpl 30b\n\t"

/* Back from the sums to outputs, for one channel and tile. r9: the tile's pointers; r10 r11: the channel's multiplier
 * and offset, or scale and zero where Z is clear; r12: where the last position's sum is. r14 is on the stack meanwhile. */

#define EW_WG_LINE(r, shift)           \
    "smmla " r ", " r ", r10, r11\n\t" \
    "usat " r ", #8, " r ", asr #" shift "\n\t"
#define EW_WG_FLOAT(a, b, c, d)            \
    "vmov s4, r10\n\t"                     \
    "vmov s0, s1, " a ", " b "\n\t"        \
    "vmov s2, s3, " c ", " d "\n\t"        \
    "vcvt.f32.s32 s0, s0\n\t"              \
    "vcvt.f32.s32 s1, s1\n\t"              \
    "vcvt.f32.s32 s2, s2\n\t"              \
    "vcvt.f32.s32 s3, s3\n\t"              \
    "vmul.f32 s0, s0, s4\n\t"              \
    "vmul.f32 s1, s1, s4\n\t"              \
    "vmul.f32 s2, s2, s4\n\t"              \
    "vmul.f32 s3, s3, s4\n\t"              \
    "vcvtr.s32.f32 s0, s0\n\t"             \
    "vcvtr.s32.f32 s1, s1\n\t"             \
    "vcvtr.s32.f32 s2, s2\n\t"             \
    "vcvtr.s32.f32 s3, s3\n\t"             \
    "vmov " a ", " b ", s0, s1\n\t"        \
    "vmov " c ", " d ", s2, s3\n\t"        \
    "qadd " a ", " a ", r11\n\t"           \
    "qadd " b ", " b ", r11\n\t"           \
    "qadd " c ", " c ", r11\n\t"           \
    "qadd " d ", " d ", r11\n\t"           \
    "usat " a ", #8, " a "\n\t"            \
    "usat " b ", #8, " b "\n\t"            \
    "usat " c ", #8, " c "\n\t"            \
    "usat " d ", #8, " d "\n\t"            \
    "bx lr\n"

/* Stores at four of the tile's pointers, from `at` on, plus the channel's offset. */
#define EW_WG_STORE(a, b, c, d, pa, pb, pc, pd, at, offset) \
    "ldr " pa ", [r9, #" at "]\n\t"                         \
    "ldr " pb ", [r9, #" at "+4]\n\t"                       \
    "ldr " pc ", [r9, #" at "+8]\n\t"                       \
    "ldr " pd ", [r9, #" at "+12]\n\t"                      \
    "ldr r8, [sp, #" offset "]\n\t"                         \
    "strb " a ", [" pa ", r8]\n\t"                          \
    "strb " b ", [" pb ", r8]\n\t"                          \
    "strb " c ", [" pc ", r8]\n\t"                          \
    "strb " d ", [" pd ", r8]\n\t"

/* F(2x2): from the sums of an inner column's positions 1, 1 2, 1 2 0 and 1 2 0 3 to its results a (above) and b
 * (below); from those of an outer column's 1, 1 2, 0 and 3. */
#define EW_WG_INNER_2(a, b, at)             \
    "ldr r8, [r12, #" at "+96]\n\t"         \
    "ldr r14, [r12, #" at "+64]\n\t"        \
    "ldr " a ", [r12, #" at "+32]\n\t"      \
    "ldr " b ", [r12, #" at "]\n\t"         \
    "sub " b ", " a ", " b "\n\t"           \
    "sub " b ", " b ", r14\n\t"             \
    "add " b ", " b ", r8, lsl #1\n\t"
#define EW_WG_OUTER_2(a, b, at, corners)    \
    "ldr r8, [r12, #" at "+32]\n\t"         \
    "ldr r14, [r12, #" at "]\n\t"           \
    "ldr " a ", [r12, #" corners "+32]\n\t" \
    "ldr " b ", [r12, #" corners "]\n\t"    \
    "rsb r8, r14, r8, lsl #1\n\t"           \
    "add " a ", " a ", r14\n\t"             \
    "sub " b ", r8, " b "\n\t"
/* From the results of columns 1 2 0 3 to the outputs of a row, in a0 and a1. */
#define EW_WG_ROW_2(a1, a2, a0, a3)         \
    "add " a0 ", " a0 ", " a1 "\n\t"        \
    "sub " a1 ", " a1 ", " a2 "\n\t"        \
    "add " a0 ", " a0 ", " a2 "\n\t"        \
    "sub " a1 ", " a1 ", " a3 "\n\t"
#define EW_WG_BACK_2(out_of_line, back)     \
    EW_WG_INNER_2("r0", "r4", "384")        \
    EW_WG_INNER_2("r1", "r5", "256")        \
    EW_WG_OUTER_2("r2", "r6", "192", "64")  \
    EW_WG_OUTER_2("r3", "r7", "128", "0")   \
    EW_WG_ROW_2("r0", "r1", "r2", "r3")     \
    EW_WG_ROW_2("r4", "r5", "r6", "r7")     \
    "bne " out_of_line "f\n\t"              \
    EW_WG_LINE("r2", "8")                   \
    EW_WG_LINE("r0", "8")                   \
    EW_WG_LINE("r6", "8")                   \
    EW_WG_LINE("r4", "8")                   \
    "\n" back ":\n\t"                       \
    EW_WG_STORE("r2", "r0", "r6", "r4", "r1", "r3", "r5", "r7", "0", "512+12")
#define EW_WG_BOTH_2          \
    EW_WG_BACK_2("5", "50")   \
    "add r12, r12, #4\n\t"    \
    "add r9, r9, #16\n\t"     \
    EW_WG_BACK_2("6", "60")
#define EW_WG_APART_2         \
    "5:\n\t"                  \
    "bl 7f\n\t"               \
    "b 50b\n"                 \
    "6:\n\t"                  \
    "bl 7f\n\t"               \
    "b 60b\n"                 \
    "7:\n\t"                  \
    EW_WG_FLOAT("r2", "r0", "r6", "r4")

/* All output channels of two tiles. The stack: bytes of all positions' sums (`sums`), then from ew_wg_tiles v, weights,
 * blocks, offset and the pointers, then saved registers. How often the loop over positions pushes is in its data, so a
 * symbol tells the analysis of the stack what it comes to. */
#define EW_WG_TILES(name, BEGIN, PRODUCTS, sums, BOTH, END, APART) \
    ".set ew_stack_of_" name ", 56+" sums "\n\t"         \
    BEGIN                                                 \
    "1:\n\t"                                              \
    "ldr r14, [sp, #4]\n\t"                               \
    "ldr r12, [sp]\n\t"                                   \
    "ldmia r14!, {r0, r2, r4, r6}\n\t"                    \
    "mov r1, r0\n\t"                                      \
    "mov r3, r2\n\t"                                      \
    "mov r5, r4\n\t"                                      \
    "mov r7, r6\n"                                        \
    PRODUCTS                                              \
    "mov r12, sp\n"                                       \
    "4:\n\t"                                              \
    "ldr r10, [r14, #4]\n\t"                              \
    "ldr r11, [r14, #8]\n\t"                              \
    "ldr r8, [r14], #12\n\t"                              \
    "ldr r9, [sp, #" sums "+16]\n\t"                      \
    "str r14, [sp, #(" sums "+4)]\n\t"                    \
    "cmp r8, #0\n\t"                                      \
    BOTH                                                  \
    "ldr r14, [sp, #(" sums "+4)]\n\t"                    \
    "add r8, r8, #1\n\t"                                  \
    "add r12, r12, #4\n\t"                                \
    "str r8, [sp, #(" sums "+12)]\n\t"                    \
    "tst r8, #3\n\t"                                      \
    "bne 4b\n\t"                                          \
    "add sp, sp, #" sums "\n\t"                           \
    "ldr r8, [sp, #8]\n\t"                                \
    "subs r8, r8, #1\n\t"                                 \
    "str r8, [sp, #8]\n\t"                                \
    "bne 1b\n\t"                                          \
    END APART

#define EW_WG_BEGIN "push {r4-r11, lr}\n\tldmia r0, {r1-r5}\n\tpush {r1-r5}\n"
#define EW_WG_END "add sp, sp, #20\n\tpop {r4-r11, pc}\n"

EW_DSP_NAKED void ew_wg_tiles_2(const ew_wg_tiles *tiles __attribute__((unused)))
{
    __asm__(EW_WG_TILES("ew_wg_tiles_2", EW_WG_BEGIN, EW_WG_PRODUCTS EW_WG_PRODUCTS_SHARED, "512", EW_WG_BOTH_2, EW_WG_END,
                        EW_WG_APART_2));
}

/* F(4x4): from a column's sums of positions 1, 1 2, ... 1 2 3 4 0 5 to its four results, in their places but for the
 * first, which is there: the sum without position 5. */
#define EW_WG_COLUMN_4(at)                \
    "ldr r0, [r12, #" at "+160]\n\t"      \
    "ldr r1, [r12, #" at "+128]\n\t"      \
    "ldr r2, [r12, #" at "+96]\n\t"       \
    "ldr r3, [r12, #" at "+64]\n\t"       \
    "ldr r4, [r12, #" at "+32]\n\t"       \
    "ldr r5, [r12, #" at "]\n\t"          \
    "rsb r0, r1, r0, lsl #1\n\t"          \
    "rsb r2, r3, r2, lsl #1\n\t"          \
    "sub r2, r2, r1\n\t"                  \
    "sub r3, r3, r1\n\t"                  \
    "sub r5, r5, r4\n\t"                  \
    "add r6, r0, r2, lsl #1\n\t"          \
    "add r1, r1, r3, lsl #2\n\t"          \
    "add r2, r2, r5\n\t"                  \
    "add r0, r0, r2, lsl #3\n\t"          \
    "str r6, [r12, #" at "+160]\n\t"      \
    "str r1, [r12, #" at "+128]\n\t"      \
    "str r0, [r12, #" at "+96]\n\t"
/* A row of outputs, in r0 r2 r6 r3, from the results of columns 1 2 3 4 0 5 at `at`. */
#define EW_WG_ROW_4(at, pointers, out_of_line, back) \
    "ldr r1, [r12, #960+" at "]\n\t"      \
    "ldr r2, [r12, #768+" at "]\n\t"      \
    "ldr r3, [r12, #576+" at "]\n\t"      \
    "ldr r4, [r12, #384+" at "]\n\t"      \
    "ldr r0, [r12, #192+" at "]\n\t"      \
    "ldr r5, [r12, #" at "]\n\t"          \
    "add r6, r1, r2\n\t"                  \
    "sub r1, r1, r2\n\t"                  \
    "add r7, r3, r4\n\t"                  \
    "sub r3, r3, r4\n\t"                  \
    "add r0, r0, r6\n\t"                  \
    "add r0, r0, r7\n\t"                  \
    "add r2, r1, r3, lsl #1\n\t"          \
    "add r6, r6, r7, lsl #2\n\t"          \
    "add r3, r3, r5\n\t"                  \
    "add r3, r1, r3, lsl #3\n\t"          \
    "bne " out_of_line "f\n\t"            \
    EW_WG_LINE("r0", "16")                \
    EW_WG_LINE("r2", "16")                \
    EW_WG_LINE("r6", "16")                \
    EW_WG_LINE("r3", "16")                \
    "\n" back ":\n\t"                     \
    EW_WG_STORE("r0", "r2", "r6", "r3", "r1", "r4", "r5", "r7", pointers, "1152+12")
#define EW_WG_BOTH_4                      \
    "\n5:\n\t"                            \
    EW_WG_COLUMN_4("960")                 \
    EW_WG_COLUMN_4("768")                 \
    EW_WG_COLUMN_4("576")                 \
    EW_WG_COLUMN_4("384")                 \
    EW_WG_COLUMN_4("192")                 \
    EW_WG_COLUMN_4("0")                   \
    EW_WG_ROW_4("32", "0", "6", "60")     \
    EW_WG_ROW_4("160", "16", "7", "70")   \
    EW_WG_ROW_4("128", "32", "8", "80")   \
    EW_WG_ROW_4("96", "48", "9", "90")    \
    "add r12, r12, #4\n\t"                \
    "add r9, r9, #64\n\t"                 \
    "tst r12, #4\n\t"                     \
    "beq 10f\n\t"                         \
    "ldr r14, [sp, #1152+4]\n\t"          \
    "ldr r14, [r14, #-12]\n\t"            \
    "cmp r14, #0\n\t"                     \
    "b 5b\n"                              \
    "10:\n\t"                             \
    "sub r12, r12, #4\n\t"
#define EW_WG_APART_4                     \
    "6:\n\tbl 11f\n\tb 60b\n"             \
    "7:\n\tbl 11f\n\tb 70b\n"             \
    "8:\n\tbl 11f\n\tb 80b\n"             \
    "9:\n\tbl 11f\n\tb 90b\n"             \
    "11:\n\t"                             \
    "movw r8, #0x8e39\n\t"                \
    "movt r8, #0x38e3\n\t"                \
    "mul r0, r0, r8\n\t"                  \
    "mul r2, r2, r8\n\t"                  \
    "mul r6, r6, r8\n\t"                  \
    "mul r3, r3, r8\n\t"                  \
    EW_WG_FLOAT("r0", "r2", "r6", "r3")

EW_DSP_NAKED void ew_wg_tiles_4(const ew_wg_tiles *tiles __attribute__((unused)))
{
    __asm__(EW_WG_TILES("ew_wg_tiles_4", EW_WG_BEGIN, EW_WG_PRODUCTS, "1152", EW_WG_BOTH_4, EW_WG_END, EW_WG_APART_4));
}

#endif
#endif
