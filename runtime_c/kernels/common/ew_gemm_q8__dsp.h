/* The inner loops of all 8-bit convolutions on Arm DSP cores: for pairs of pixels, all output channels.
 *
 * A window (what one output pixel sees) is a run of halfwords: 8-bit activations widened, with those of the pixel's
 * partner between them: two of this pixel, two of its partner, and so on. Channels are made four at a time: eight
 * accumulators, two registers of activations, two of weights and two pointers are all that there are. So the rest is on
 * the stack, in a frame that one LDM reads, and weights, biases and scales are one stream under one pointer.
 *
 * Stream, 32-bit words, for each block of four channels a, b, c, d (missing ones are 0), k = halfwords of a window:
 *   4      256 * bias_a + bias_b, bias_b, 256 * bias_c + bias_d, bias_d (mod 2^32)
 *          wide: the four biases
 *   k      256 * weight_a + weight_b as two halfwords, the same of c and d, and so on
 *   or 2k  wide: two halfwords of a, of b, of c, of d, and so on
 *   8      results by line: multiplier and offset of a, b, c, d; the first multiplier is not 0
 *   or 9   results by float: 0, scale_a, zero, scale_b, scale_c, scale_d, and the words of ew_dsp_clamp (raise, lower,
 *          shift); not wide: scales of a and c are divided by 256
 */
#ifndef EW_GEMM_Q8__DSP_H
#define EW_GEMM_Q8__DSP_H

#include "ew_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* A run of pairs; the assembly knows the order. Sizes and steps in bytes. */
typedef struct {
    const void *x;           /* the first window, aligned to 4 */
    void *y;                 /* the first pixel's results, at any address */
    int32_t y_step;          /* from a pixel's results to its partner's; 0 where there is no partner to keep */
    const void *weights_end; /* the end of the stream */
    const void *x_end;       /* the end of the first window, at least 8 bytes after its start */
    const void *weights;     /* the stream, aligned to 4 */
    int32_t x_advance;       /* from a window to that of the next pair */
    int32_t y_advance;       /* from the end of a pixel's results, a multiple of 4, to the next pixel's start */
    int32_t pairs;           /* at least 1 */
} ew_gemm_q8;

/* Steps that are unrolled, 2^EW_GEMM_STEPS_LOG2. A window of any length enters the loop in its middle. */
#define EW_GEMM_STEPS 32
#define EW_GEMM_STEPS_LOG2 5

/* Registers: r0 x, r1 weights, r2-r5 what was loaded, r6-r9 the pixel's accumulators, r10-r12 and lr its partner's. */
#define EW_GEMM_SMLAD(x, w, from, acc) "smlad " #acc ", " #x ", " #w ", " #from "\n\t"

/* Two halfwords of both windows, four channels; sums go on from these registers and the partner's. 44 bytes. */
#define EW_GEMM_STEP_BYTES 44
#define EW_GEMM_STEP(ab_partner, b_partner, cd_partner, d_partner) \
    "ldmia r0!, {r2, r3}\n\t"                                      \
    "ldmia r1!, {r4, r5}\n\t"                                      \
    EW_GEMM_SMLAD(r3, r4, ab_partner, r10)                         \
    EW_GEMM_SMLAD(r2, r4, r6, r6)                                  \
    "sxtb16 r4, r4\n\t"                                            \
    EW_GEMM_SMLAD(r3, r5, cd_partner, r12)                         \
    EW_GEMM_SMLAD(r2, r5, r8, r8)                                  \
    "sxtb16 r5, r5\n\t"                                            \
    EW_GEMM_SMLAD(r3, r4, b_partner, r11)                          \
    EW_GEMM_SMLAD(r2, r4, r7, r7)                                  \
    EW_GEMM_SMLAD(r3, r5, d_partner, lr)                           \
    EW_GEMM_SMLAD(r2, r5, r9, r9)

/* The same with weights of 16 bits. 38 bytes. */
#define EW_GEMM_WIDE_STEP_BYTES 38
#define EW_GEMM_WIDE_STEP(a_partner, b_partner, c_partner, d_partner) \
    "ldmia r0!, {r2, r3}\n\t"                                         \
    "ldmia r1!, {r4, r5}\n\t"                                         \
    EW_GEMM_SMLAD(r3, r4, a_partner, r10)                             \
    EW_GEMM_SMLAD(r2, r4, r6, r6)                                     \
    EW_GEMM_SMLAD(r3, r5, b_partner, r11)                             \
    EW_GEMM_SMLAD(r2, r5, r7, r7)                                     \
    "ldmia r1!, {r4, r5}\n\t"                                         \
    EW_GEMM_SMLAD(r3, r4, c_partner, r12)                             \
    EW_GEMM_SMLAD(r2, r4, r8, r8)                                     \
    EW_GEMM_SMLAD(r3, r5, d_partner, lr)                              \
    EW_GEMM_SMLAD(r2, r5, r9, r9)

/* 256 * A of a and c. */
#define EW_GEMM_SPLIT_A  \
    "sub r6, r6, r7\n\t" \
    "sub r10, r10, r11\n\t"
#define EW_GEMM_SPLIT_C  \
    "sub r8, r8, r9\n\t" \
    "sub r12, r12, lr\n\t"

#define EW_GEMM_LINE(pixel, partner, multiplier, offset)             \
    "smmla " #pixel ", " #pixel ", " #multiplier ", " #offset "\n\t" \
    "smmla " #partner ", " #partner ", " #multiplier ", " #offset "\n\t"
#define EW_GEMM_USAT(pixel, partner, shift)     \
    "usat " #pixel ", #8, " #pixel shift "\n\t" \
    "usat " #partner ", #8, " #partner shift "\n\t"
#define EW_GEMM_PACK                \
    "orr r6, r6, r7, lsl #8\n\t"    \
    "orr r8, r8, r9, lsl #8\n\t"    \
    "orr r10, r10, r11, lsl #8\n\t" \
    "orr r12, r12, lr, lsl #8\n\t"  \
    "orr r6, r6, r8, lsl #16\n\t"   \
    "orr r10, r10, r12, lsl #16\n"

/* Results by line; r2-r5: multipliers and offsets of a and b. */
#define EW_GEMM_BY_LINE(SPLIT_C, SHIFT_AC) \
    EW_GEMM_LINE(r6, r10, r2, r3)          \
    EW_GEMM_LINE(r7, r11, r4, r5)          \
    "ldmia r1!, {r2, r3, r4, r5}\n\t"      \
    SPLIT_C                                \
    EW_GEMM_LINE(r8, r12, r2, r3)          \
    EW_GEMM_LINE(r9, lr, r4, r5)           \
    EW_GEMM_USAT(r6, r10, ", " SHIFT_AC)   \
    EW_GEMM_USAT(r8, r12, ", " SHIFT_AC)   \
    EW_GEMM_USAT(r7, r11, ", " EW_DSP_ASR) \
    EW_GEMM_USAT(r9, lr, ", " EW_DSP_ASR)  \
    EW_GEMM_PACK

/* Results by float; r3 scale_a, r4 zero, r5 scale_b. VCVTR rounds half to even; VCVTR, QADD and USAT saturate. */
#define EW_GEMM_FLOAT(pixel, partner, scale)              \
    "vcvt.f32.s32 " #pixel ", " #pixel "\n\t"             \
    "vcvt.f32.s32 " #partner ", " #partner "\n\t"         \
    "vmul.f32 " #pixel ", " #pixel ", " #scale "\n\t"     \
    "vmul.f32 " #partner ", " #partner ", " #scale "\n\t" \
    "vcvtr.s32.f32 " #pixel ", " #pixel "\n\t"            \
    "vcvtr.s32.f32 " #partner ", " #partner "\n\t"
#define EW_GEMM_ADD_ZERO(pixel, partner)      \
    "qadd " #pixel ", " #pixel ", r0\n\t"     \
    "qadd " #partner ", " #partner ", r0\n\t" \
    EW_GEMM_USAT(pixel, partner, "")
#define EW_GEMM_CLAMP(word)               \
    "uqadd8 " #word ", " #word ", r4\n\t" \
    "uqsub8 " #word ", " #word ", r5\n\t" \
    "uadd8 " #word ", " #word ", r2\n\t"
#define EW_GEMM_BY_FLOAT(SPLIT_C)     \
    SPLIT_C                           \
    "mov r0, r4\n\t"                  \
    "vmov s8, s9, r3, r5\n\t"         \
    "ldmia r1!, {r2, r3, r4, r5}\n\t" \
    "vmov s10, s11, r2, r3\n\t"       \
    "ldr r2, [r1], #4\n\t"            \
    "vmov s0, s1, r6, r7\n\t"         \
    "vmov s2, s3, r8, r9\n\t"         \
    "vmov s4, s5, r10, r11\n\t"       \
    "vmov s6, s7, r12, lr\n\t"        \
    EW_GEMM_FLOAT(s0, s4, s8)         \
    EW_GEMM_FLOAT(s1, s5, s9)         \
    EW_GEMM_FLOAT(s2, s6, s10)        \
    EW_GEMM_FLOAT(s3, s7, s11)        \
    "vmov r6, r7, s0, s1\n\t"         \
    "vmov r8, r9, s2, s3\n\t"         \
    "vmov r10, r11, s4, s5\n\t"       \
    "vmov r12, lr, s6, s7\n\t"        \
    EW_GEMM_ADD_ZERO(r6, r10)         \
    EW_GEMM_ADD_ZERO(r7, r11)         \
    EW_GEMM_ADD_ZERO(r8, r12)         \
    EW_GEMM_ADD_ZERO(r9, lr)          \
    EW_GEMM_PACK                      \
    EW_GEMM_CLAMP(r6)                 \
    EW_GEMM_CLAMP(r10)

/* The whole function; r0: a pointer to ew_gemm_q8. Its frame, from sp: x, y, y_step, weights_end, x_end, where the
 * first turn enters the loop, weights, x_advance, y_advance, pairs. */
#define EW_GEMM_FUNCTION(STEP_BYTES, FIRST_STEP, STEP, SPLIT_A, SPLIT_C, SHIFT_AC)      \
    __asm__ volatile(                                                                   \
        "push {r4-r11, lr}\n\t"                                                         \
        "ldr r9, [r0, #32]\n\t"                                                         \
        "ldr r8, [r0, #28]\n\t"                                                         \
        "ldr r7, [r0, #24]\n\t"                                                         \
        "ldr r6, [r0, #20]\n\t"                                                         \
        "ldmia r0, {r0, r1, r2, r3, r4}\n\t"                                            \
        "sub r5, r4, r0\n\t"                                                            \
        "subs r5, #8\n\t"                                                               \
        "ubfx r5, r5, #3, #" EW_DSP_TEXT(EW_GEMM_STEPS_LOG2) "\n\t"                     \
        "mov r11, #" EW_DSP_TEXT(STEP_BYTES) "\n\t"                                     \
        "adr.w r10, 3f\n\t"                                                             \
        "mls r5, r5, r11, r10\n\t"                                                      \
        "orr r5, r5, #1\n\t" /* Thumb */                                                \
        "push {r0, r1, r2, r3, r4, r5, r6, r7, r8, r9}\n\t"                             \
        "mov r1, r6\n"                                                                  \
        "1:\n\t" /* four channels of a pair */                                          \
        "ldmia r1!, {r6, r7, r8, r9}\n\t"                                               \
        FIRST_STEP                                                                      \
        "ldr pc, [sp, #20]\n\t"                                                         \
        ".balign 4\n"                                                                   \
        "2:\n\t"                                                                        \
        ".rept " EW_DSP_TEXT(EW_GEMM_STEPS) "\n\t"                                      \
        STEP                                                                            \
        ".endr\n"                                                                       \
        "3:\n\t"                                                                        \
        "ldr r2, [sp, #16]\n\t"                                                         \
        "cmp r0, r2\n\t"                                                                \
        "bne.w 2b\n\t"                                                                  \
        "ldmia r1!, {r2, r3, r4, r5}\n\t"                                               \
        SPLIT_A                                                                         \
        "cmp r2, #0\n\t"                                                                \
        "beq.w 6f\n\t"                                                                  \
        EW_GEMM_BY_LINE(SPLIT_C, SHIFT_AC)                                              \
        "4:\n\t"                                                                        \
        "ldmia sp, {r0, r2, r3, r4}\n\t"                                                \
        "str r10, [r2, r3]\n\t" /* first the partner's, which a y_step of 0 discards */ \
        "str r6, [r2], #4\n\t"                                                          \
        "str r2, [sp, #4]\n\t"                                                          \
        "cmp r1, r4\n\t"                                                                \
        "bne.w 1b\n\t"                                                                  \
        "ldr r5, [sp, #36]\n\t" /* the next pair */                                     \
        "ldr r6, [sp, #28]\n\t"                                                         \
        "ldr r7, [sp, #32]\n\t"                                                         \
        "ldr r8, [sp, #16]\n\t"                                                         \
        "ldr r1, [sp, #24]\n\t"                                                         \
        "subs r5, #1\n\t"                                                               \
        "beq 5f\n\t"                                                                    \
        "add r0, r6\n\t"                                                                \
        "add r2, r7\n\t"                                                                \
        "add r8, r6\n\t"                                                                \
        "str r0, [sp]\n\t"                                                              \
        "str r2, [sp, #4]\n\t"                                                          \
        "str r8, [sp, #16]\n\t"                                                         \
        "str r5, [sp, #36]\n\t"                                                         \
        "b.w 1b\n"                                                                      \
        "5:\n\t"                                                                        \
        "add sp, #40\n\t"                                                               \
        "pop {r4-r11, pc}\n"                                                            \
        "6:\n\t"                                                                        \
        EW_GEMM_BY_FLOAT(SPLIT_C)                                                       \
        "b.w 4b\n\t" ::: "memory")

typedef void ew_gemm_function_q8(const ew_gemm_q8 *run);

/* y of each pixel and channel = requantized(bias + sum of x * weight), two channels in a halfword of weights.
 * The generator has proved |sum of a or c| < 2^23 and that no halfword overflows. x: any halfwords with sign. */
EW_DSP_NAKED void ew_gemm_q8__dsp(__attribute__((unused)) const ew_gemm_q8 *run)
{
    EW_GEMM_FUNCTION(EW_GEMM_STEP_BYTES, EW_GEMM_STEP(r6, r7, r8, r9), EW_GEMM_STEP(r10, r11, r12, lr),
                     EW_GEMM_SPLIT_A, EW_GEMM_SPLIT_C, EW_DSP_ASR_256);
}

/* The same with a halfword for each weight: twice the stream, any sums within 32 bits. */
EW_DSP_NAKED void ew_gemm_q8_wide__dsp(__attribute__((unused)) const ew_gemm_q8 *run)
{
    EW_GEMM_FUNCTION(EW_GEMM_WIDE_STEP_BYTES, EW_GEMM_WIDE_STEP(r6, r7, r8, r9),
                     EW_GEMM_WIDE_STEP(r10, r11, r12, lr), "", "", EW_DSP_ASR);
}

#endif
#endif
