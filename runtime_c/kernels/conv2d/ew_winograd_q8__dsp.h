/* 3x3 convolution, stride 1, 8 bits, by Winograd's F(2x2, 3x3), exact in integers, for Arm DSP cores with FPU.
 *
 * A tile is 2x2 outputs, of the 4x4 inputs that they see. Inputs are transformed (sums of up to four pixels, halfwords),
 * and the weights were when they were packed, so that 16 products a channel and tile do what 36 did. Tiles are done in
 * pairs: for each of the 16 positions a product of matrices, four output channels by two tiles at a time, whose eight
 * sums go to the stack; then the 16 sums of each channel and tile are transformed back.
 *
 * With B^T = (1 0 -1 0, 0 1 1 0, 0 -1 1 0, 0 1 0 -1), G = (2 0 0, 1 1 1, 1 -1 1, 0 0 2) and A^T = (1 1 1 0, 0 1 -1 -1):
 * A^T ((G w G^T) . (B^T x B)) A is 4 times the sums, which the requantization divides by; it is so modulo 2^32 for all
 * that is on the way. Bounds: |B^T x B| <= 1020, |G w G^T| <= 36 * 128.
 *
 * Positions of a column share accumulators: what goes to the stack after each is the sum of the column's positions so
 * far, in the order 1 2 0 3, because the third of these sums is then a result already. The weights of the four corners
 * are as they were, but for a factor 4; so two output channels share a halfword there. */
#ifndef EW_WINOGRAD_Q8__DSP_H
#define EW_WINOGRAD_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_float.h"
#include "ew_quantized.h"

#include <string.h>

/* x [batch][in_h][in_w][in_c], int8 or uint8; y [batch][out_h][out_w][out_c], uint8, clamped to 0..255 only.
 * in_c and out_c are multiples of 4; pads are at most 2. Buffers do not overlap. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t pad_top, pad_left;
    int32_t x_type; /* EW_QS8 or EW_QU8 */
    int32_t x_zero; /* in the domain of x */
} ew_winograd_q8__dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* A function that no layer gets a copy of. */
#if defined(__clang__)
#define EW_WG_ONCE static __attribute__((noinline, unused))
#else
#define EW_WG_ONCE static __attribute__((noinline, noclone, unused))
#endif

#define EW_WG_DEPTH 16 /* input channels that one turn of the inner loop takes; packed weights are filled up to that */

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
 * blocks, offset and the pointers, then saved registers. */
#define EW_WG_TILES(BEGIN, PRODUCTS, sums, BOTH, END, APART) \
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
    __asm__(EW_WG_TILES(EW_WG_BEGIN, EW_WG_PRODUCTS EW_WG_PRODUCTS_SHARED, "512", EW_WG_BOTH_2, EW_WG_END, EW_WG_APART_2));
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
    __asm__(EW_WG_TILES(EW_WG_BEGIN, EW_WG_PRODUCTS, "1152", EW_WG_BOTH_4, EW_WG_END, EW_WG_APART_4));
}

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

#define EW_WG_POSITION_BYTES(in_c) (4 * (((in_c) + EW_WG_DEPTH - 1) / EW_WG_DEPTH * EW_WG_DEPTH) + 4)

/* Zeros where channels are filled up, and the marks. Tiles of 2: two columns of four positions, two of their inner two,
 * then the corners apart; of 4: six columns of six. */
EW_WG_ONCE void ew_wg_prepare(uint8_t *v, int32_t side, int32_t position)
{
    const uint32_t last = side == 4 ? 1u << 11 | 1u << 15 : 0, clear = side == 4 ? 1u << 3 | 1u << 7 | 1u << 9 : 0;
    memset(v, 0, (size_t)(side * side * position));
    for (int32_t i = 0; i < side * side; ++i) {
        uint32_t mark = EW_WG_MARK;
        if (side == 4 ? last >> i & 1 : i == 35) {
            mark |= EW_WG_MARK_LAST;
        } else if (side == 4 ? clear >> i & 1 : i % 6 == 5) {
            mark |= EW_WG_MARK_CLEAR;
        }
        v += position;
        ew_dsp_store4(v - 4, mark);
    }
}

/* The window of side by side pixels from (top, left) on as a dense block of uint8, zero points where there is no pixel.
 * Words of four channels: `from` is x's first pixel. */
EW_WG_ONCE void ew_wg_patch(const uint8_t *from, uint8_t *to, int32_t side, int32_t top, int32_t left,
                            const ew_winograd_q8__dsp_params *p)
{
    const uint32_t flip = p->x_type == EW_QS8 ? 0x80808080u : 0, zero = ((uint32_t)p->x_zero & 0xff) * 0x01010101u;
    const int32_t before = left < 0 ? -left : 0, after = left + side > p->in_w ? left + side - p->in_w : 0;
    for (int32_t row = top; row < top + side; ++row) {
        const int32_t there = row >= 0 && row < p->in_h && before + after < side;
        const int32_t first = there ? before * p->in_c : side * p->in_c, end = (side - after) * p->in_c;
        const uint8_t *x = from + (row * p->in_w + left) * p->in_c;
        int32_t at = 0;
        for (; at < first; at += 4) {
            ew_dsp_store4(to + at, zero ^ flip);
        }
        for (; at < end; at += 4) {
            ew_dsp_store4(to + at, ew_dsp_load4(x + at) ^ flip);
        }
        to += at;
        for (; at < side * p->in_c; at += 4, to += 4) {
            ew_dsp_store4(to, zero ^ flip);
        }
    }
}

/* All tiles of m by m outputs. */
EW_WG_ONCE void ew_wg_all(const void *x, const uint32_t *weights, void *scratch, void *y,
                         const ew_winograd_q8__dsp_params *p, int32_t m, void (*input)(const ew_wg_window *),
                         void (*products)(const ew_wg_tiles *))
{
    const int32_t side = m + 2, position = EW_WG_POSITION_BYTES(p->in_c), pixel = p->in_c;
    uint8_t *const v = scratch, *const patch = v + side * side * position;
    uint8_t *const nowhere = patch + side * side * pixel;
    uint8_t *to[2 * 4 * 4];
    const ew_wg_tiles pair = {v, weights, p->out_c / 4, 0, to};
    uint8_t **next = to;
    ew_wg_window window = {NULL, v, pixel / 4, 0, pixel, side * position, position};
    ew_wg_prepare(v, side, position);
    const uint8_t *from = x;
    for (int32_t image = 0; image < p->batch; ++image, from += p->in_h * p->in_w * pixel) {
        for (int32_t row = 0; row < p->out_h; row += m) {
            for (int32_t column = 0; column < p->out_w; column += m) {
                const int32_t top = row - p->pad_top, left = column - p->pad_left;
                window.x = from + (top * p->in_w + left) * pixel;
                window.row = p->in_w * pixel;
                if (p->x_type == EW_QS8 || top < 0 || left < 0 || top + side > p->in_h || left + side > p->in_w) {
                    ew_wg_patch(from, patch, side, top, left, p);
                    window.x = patch;
                    window.row = side * pixel;
                }
                input(&window);
                for (int32_t i = row; i < row + m; ++i) {
                    for (int32_t j = column; j < column + m; ++j) {
                        uint8_t *place = (uint8_t *)y + ((image * p->out_h + i) * p->out_w + j) * p->out_c;
                        *next++ = i < p->out_h && j < p->out_w ? place : nowhere;
                    }
                }
                window.v += 4;
                if (next == to + 2 * m * m) {
                    products(&pair);
                    next = to;
                    window.v = v;
                }
            }
        }
    }
    if (next != to) { /* an odd number of tiles: the last one is alone */
        while (next != to + 2 * m * m) {
            *next++ = nowhere;
        }
        products(&pair);
    }
}

/* weights: for each four output channels, input channels filled up to EW_WG_DEPTH: 4 words, 4 * bias (x's zero point
 * folded in, plus what a line needs); for positions (row, column) 11 21 01 31, 12 22 02 32, 10 20, 13 23 and two
 * channels (0 and 2, 1 and 3 of each four) a word for each of the four; for positions 00 30 03 33 and two channels two
 * words, 256 * weight of an even channel + weight of the next; for each of the four 0, multiplier and offset of its line
 * (shift 8), or 1, scale / 4 as float32 and zero.
 * scratch: 16 * (EW_WG_POSITION_BYTES(in_c) + in_c) + out_c bytes. */
EW_KERNEL void ew_winograd_2_q8__dsp(const void *x, const uint32_t *weights, void *scratch, void *y,
                                     const ew_winograd_q8__dsp_params *p)
{
    ew_wg_all(x, weights, scratch, y, p, 2, ew_wg_input_2, ew_wg_tiles_2);
}

/* With tiles of 4x4 outputs: 576 * bias; positions (row, column) 11 21 31 41 01 51, 12 ..., 13, 14, 10, 15, none shared;
 * shift 16, scale / 64.
 * scratch: 36 * (EW_WG_POSITION_BYTES(in_c) + in_c) + out_c bytes. */
EW_KERNEL void ew_winograd_4_q8__dsp(const void *x, const uint32_t *weights, void *scratch, void *y,
                                     const ew_winograd_q8__dsp_params *p)
{
    ew_wg_all(x, weights, scratch, y, p, 4, ew_wg_input_4, ew_wg_tiles_4);
}

#endif
#endif
