/* Fully connected layer of one row of 8-bit activations, for Arm DSP cores.
 *
 * Nothing but x is used twice, so loads of weights decide: four outputs at once leave eight registers for what is
 * loaded, and one LDM brings four words. Two outputs share a halfword (ew_dsp.h); weights and biases are one stream.
 *
 * Stream, 32-bit words, for each block of four outputs a, b, c, d (missing ones are 0), k = in, rounded up to 8s:
 *   4    256 * bias_a + bias_b, bias_b, 256 * bias_c + bias_d, bias_d (mod 2^32)
 *   k    256 * weight_a + weight_b as two halfwords, the same of c and d, and so on; each four inputs in the order
 *        0, 2, 1, 3, which is how UXTB16 takes a word apart
 *   8    with a line for each output: multiplier and offset of a, b, c, d; the first multiplier is not 0
 *   or 9 results by float: 0, scale_a / 256, zero, scale_b, scale_c / 256, scale_d, and the words of ew_dsp_clamp
 *   or 0 with one line for the layer (in the parameters)
 * Lines here are shifted by 1, and by 9 for a and c, because sums are short and scales large: scale < 2^-2. */
#ifndef EW_FULLY_CONNECTED_Q8__DSP_H
#define EW_FULLY_CONNECTED_Q8__DSP_H

#include "ew_widen_q8__dsp.h"

/* Layouts: x [in], y [out], 8 bits an element, at any address. */
typedef struct {
    int32_t in, out;      /* at least 1 */
    int32_t x_signed;     /* 1: x is int8; 0: uint8 */
    int32_t whole_bytes;  /* of the stream: what whole blocks of four outputs take */
    int32_t stream_bytes; /* all of it */
    int32_t line[4];      /* multiplier and offset of even outputs, then of odd ones; all 0 where blocks have theirs */
    uint32_t flip;        /* with a line: 0x80808080 where y is int8, else 0 */
} ew_fully_connected_q8_dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* What the assembly reads. */
typedef struct {
    const void *x;           /* halfwords, aligned to 4; or bytes at any address */
    void *y;                 /* at any address */
    const void *weights_end; /* the end of the stream */
    int32_t line[4];
    uint32_t flip;
    const void *weights; /* the stream, aligned to 4 */
    const void *x_end;
} ew_row_q8;

#define EW_ROW_ASR "asr #1"
#define EW_ROW_ASR_256 "asr #9"

/* Code of a step, by where its x comes from: halfwords, or bytes that are widened on the way. */
#define EW_ROW_STEP_BYTES 104
#define EW_ROW_STEP_BYTES_OF_BYTES 124

/* Below so many weights a layer takes a function with little unrolled: 1.4 KB less, for a few cycles more an output. */
#define EW_ROW_LARGE 8192

/* Registers: r0 x, r1 weights, r2-r5 words of weights, r6-r9 of x, r10-r12 and lr the sums P and B of a, b and of c, d.
 */
#define EW_ROW_PAIR(x, ab, cd)            \
    "smlad r10, " #x ", " #ab ", r10\n\t" \
    "sxtb16 " #ab ", " #ab "\n\t"         \
    "smlad r12, " #x ", " #cd ", r12\n\t" \
    "sxtb16 " #cd ", " #cd "\n\t"         \
    "smlad r11, " #x ", " #ab ", r11\n\t" \
    "smlad lr, " #x ", " #cd ", lr\n\t"
#define EW_ROW_HALFWORDS "ldmia r0!, {r6, r7, r8, r9}\n\t"
#define EW_ROW_BYTES(EXTEND)           \
    "ldr r7, [r0], #4\n\t"             \
    "ldr r9, [r0], #4\n\t"             \
    EXTEND " r6, r7\n\t"               \
    EXTEND " r7, r7, ror #8\n\t"       \
    EXTEND " r8, r9\n\t"               \
    EXTEND " r9, r9, ror #8\n\t"
#define EW_ROW_STEP(LOAD)             \
    LOAD                              \
    "ldmia r1!, {r2, r3, r4, r5}\n\t" \
    EW_ROW_PAIR(r6, r2, r3)           \
    EW_ROW_PAIR(r7, r4, r5)           \
    "ldmia r1!, {r2, r3, r4, r5}\n\t" \
    EW_ROW_PAIR(r8, r2, r3)           \
    EW_ROW_PAIR(r9, r4, r5)

#define EW_ROW_LINE(acc, multiplier, offset, shift)              \
    "smmla " #acc ", " #acc ", " #multiplier ", " #offset "\n\t" \
    "usat " #acc ", #8, " #acc ", " shift "\n\t"
#define EW_ROW_PACK                 \
    "orr r10, r10, r11, lsl #8\n\t" \
    "orr r12, r12, lr, lsl #8\n\t"  \
    "orr r10, r10, r12, lsl #16\n\t"
#define EW_ROW_FLOAT(acc, scale)                  \
    "vcvt.f32.s32 " #acc ", " #acc "\n\t"         \
    "vmul.f32 " #acc ", " #acc ", " #scale "\n\t" \
    "vcvtr.s32.f32 " #acc ", " #acc "\n\t"
#define EW_ROW_ADD_ZERO(acc)          \
    "qadd " #acc ", " #acc ", r4\n\t" \
    "usat " #acc ", #8, " #acc "\n\t"

/* One line for all; the frame gives it with x, y and weights_end. */
#define EW_ROW_BY_ONE_LINE                           \
    "ldmia sp, {r0, r2, r3, r4, r5, r6, r7, r8}\n\t" \
    EW_ROW_LINE(r10, r4, r5, EW_ROW_ASR_256)         \
    EW_ROW_LINE(r12, r4, r5, EW_ROW_ASR_256)         \
    EW_ROW_LINE(r11, r6, r7, EW_ROW_ASR)             \
    EW_ROW_LINE(lr, r6, r7, EW_ROW_ASR)              \
    EW_ROW_PACK                                      \
    "eor r10, r10, r8\n\t"

/* A line each, or by float: VCVTR rounds half to even; VCVTR, QADD and USAT saturate. */
#define EW_ROW_BY_BLOCK                               \
    "ldmia r1!, {r2, r3, r4, r5, r6, r7, r8, r9}\n\t" \
    "cmp r2, #0\n\t"                                  \
    "beq 5f\n\t"                                      \
    EW_ROW_LINE(r10, r2, r3, EW_ROW_ASR_256)          \
    EW_ROW_LINE(r11, r4, r5, EW_ROW_ASR)              \
    EW_ROW_LINE(r12, r6, r7, EW_ROW_ASR_256)          \
    EW_ROW_LINE(lr, r8, r9, EW_ROW_ASR)               \
    EW_ROW_PACK                                       \
    "b 6f\n"                                          \
    "5:\n\t"                                          \
    "vmov s4, s5, r3, r5\n\t"                         \
    "vmov s6, s7, r6, r7\n\t"                         \
    "vmov s0, s1, r10, r11\n\t"                       \
    "vmov s2, s3, r12, lr\n\t"                        \
    EW_ROW_FLOAT(s0, s4)                              \
    EW_ROW_FLOAT(s1, s5)                              \
    EW_ROW_FLOAT(s2, s6)                              \
    EW_ROW_FLOAT(s3, s7)                              \
    "vmov r10, r11, s0, s1\n\t"                       \
    "vmov r12, lr, s2, s3\n\t"                        \
    EW_ROW_ADD_ZERO(r10)                              \
    EW_ROW_ADD_ZERO(r11)                              \
    EW_ROW_ADD_ZERO(r12)                              \
    EW_ROW_ADD_ZERO(lr)                               \
    EW_ROW_PACK                                       \
    "ldr r2, [r1], #4\n\t"                            \
    "uqadd8 r10, r10, r8\n\t"                         \
    "uqsub8 r10, r10, r9\n\t"                         \
    "uadd8 r10, r10, r2\n"                            \
    "6:\n\t"                                          \
    "ldmia sp, {r0, r2, r3}\n\t"

/* The whole function, STEPS = 2^LOG2 steps of eight inputs unrolled; the first turn enters the loop in its middle. A
 * step reads 2^X_LOG2 bytes of x by LOAD, and its code takes STEP_BYTES.
 * r0: a pointer to ew_row_q8. Its frame, from sp: x, y, weights_end, the line's four words, flip,
 * x_end, where the first turn enters the loop. */
#define EW_ROW_FUNCTION(STEPS, LOG2, RESULTS, LOAD, X_LOG2, STEP_BYTES) \
    __asm__ volatile(                                                  \
        "push {r4-r11, lr}\n\t"                                        \
        "ldr r1, [r0, #32]\n\t"                                        \
        "ldr r10, [r0, #36]\n\t"                                       \
        "ldmia r0, {r2, r3, r4, r5, r6, r7, r8, r9}\n\t"               \
        "sub r11, r10, r2\n\t"                                         \
        "sub r11, r11, #(1 << " X_LOG2 ")\n\t"                         \
        "ubfx r11, r11, #" X_LOG2 ", #" LOG2 "\n\t"                    \
        "add r11, r11, #1\n\t" /* steps of the first turn, not none */ \
        "mov r12, #" EW_DSP_TEXT(STEP_BYTES) "\n\t"                    \
        "adr.w lr, 3f\n\t"                                             \
        "mls r11, r11, r12, lr\n\t"                                    \
        "orr r11, r11, #1\n\t" /* Thumb */                             \
        "push {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11}\n\t"          \
        "mov r0, r2\n"                                                 \
        "1:\n\t" /* four outputs */                                    \
        "ldmia r1!, {r10, r11, r12, lr}\n\t"                           \
        "ldr pc, [sp, #36]\n\t"                                        \
        ".balign 4\n"                                                  \
        "2:\n\t"                                                       \
        ".rept " STEPS "\n\t"                                          \
        EW_ROW_STEP(LOAD)                                              \
        ".endr\n"                                                      \
        "3:\n\t"                                                       \
        "ldr r2, [sp, #32]\n\t"                                        \
        "cmp r0, r2\n\t"                                               \
        "bne.w 2b\n\t"                                                 \
        "sub r10, r10, r11\n\t" /* 256 * A */                          \
        "sub r12, r12, lr\n\t"                                         \
        RESULTS                                                        \
        "str r10, [r2], #4\n\t"                                        \
        "str r2, [sp, #4]\n\t"                                         \
        "cmp r1, r3\n\t"                                               \
        "bne.w 1b\n\t"                                                 \
        "add sp, #40\n\t"                                              \
        "pop {r4-r11, pc}\n\t" ::: "memory")

#define EW_ROW_KERNEL(name, STEPS, LOG2, RESULTS)                                                    \
    EW_DSP_NAKED void name(__attribute__((unused)) const ew_row_q8 *row)                             \
    {                                                                                                \
        EW_ROW_FUNCTION(STEPS, LOG2, RESULTS, EW_ROW_HALFWORDS, "4", EW_ROW_STEP_BYTES);             \
    }
#define EW_ROW_BYTES_KERNEL(name, RESULTS, EXTEND)                                                   \
    EW_DSP_NAKED void name(__attribute__((unused)) const ew_row_q8 *row)                             \
    {                                                                                                \
        EW_ROW_FUNCTION("8", "3", RESULTS, EW_ROW_BYTES(EXTEND), "3", EW_ROW_STEP_BYTES_OF_BYTES);   \
    }
EW_ROW_KERNEL(ew_row_line_q8__dsp, "16", "4", EW_ROW_BY_ONE_LINE)
EW_ROW_KERNEL(ew_row_blocks_q8__dsp, "16", "4", EW_ROW_BY_BLOCK)
EW_ROW_KERNEL(ew_row_small_line_q8__dsp, "2", "1", EW_ROW_BY_ONE_LINE)
EW_ROW_KERNEL(ew_row_small_blocks_q8__dsp, "2", "1", EW_ROW_BY_BLOCK)
EW_ROW_BYTES_KERNEL(ew_row_line_u8__dsp, EW_ROW_BY_ONE_LINE, "uxtb16")
EW_ROW_BYTES_KERNEL(ew_row_line_s8__dsp, EW_ROW_BY_ONE_LINE, "sxtb16")
EW_ROW_BYTES_KERNEL(ew_row_blocks_u8__dsp, EW_ROW_BY_BLOCK, "uxtb16")
EW_ROW_BYTES_KERNEL(ew_row_blocks_s8__dsp, EW_ROW_BY_BLOCK, "sxtb16")

typedef void ew_row_kernel_q8(const ew_row_q8 *row);

/* x as halfwords, four in the order 0, 2, 1, 3, and something finite up to a multiple of 8: its weights are 0. */
EW_DSP_SHARED void ew_row_widen_q8__dsp(const uint8_t *x, uint32_t *to, int32_t count, ew_widen_function_q8 *widen)
{
    const ew_widen_q8 whole = {count / 16, count / 4 % 4, 0, 0, 1};
    widen(to, x, &whole);
    if (count % 4) {
        static const ew_widen_q8 one = {0, 1, 0, 0, 1};
        uint8_t last[4] = {0, 0, 0, 0};
        for (int32_t i = count & ~3; i < count; ++i) {
            last[i & 3] = x[i];
        }
        widen(to + (count / 4) * 2, last, &one);
    }
}

/* Outputs are stored by fours; those of a last, partial block go through a word of their own. */
EW_DSP_SHARED void ew_row_q8__dsp(const void *x, const void *x_end, const uint32_t *stream, uint8_t *y, ew_row_kernel_q8 *kernel,
                                  const ew_fully_connected_q8_dsp_params *p)
{
    const int32_t whole = p->out / 4 * 4;
    ew_row_q8 row;
    row.x = x;
    row.x_end = x_end;
    memcpy(row.line, p->line, sizeof row.line);
    row.flip = p->flip;
    row.weights = stream;
    row.weights_end = (const uint8_t *)(const void *)stream + p->whole_bytes;
    row.y = y;
    if (whole > 0) {
        kernel(&row);
    }
    if (whole < p->out) {
        uint32_t last;
        row.weights = row.weights_end;
        row.weights_end = (const uint8_t *)(const void *)stream + p->stream_bytes;
        row.y = &last;
        kernel(&row);
        memcpy(y + whole, &last, (size_t)(p->out - whole));
    }
}

/* y[o] = requantized(bias[o] + sum over i of (x[i] - x_zero) * weight[o][i]); the generator has folded zero points,
 * scales and clamps into the stream, and proved |sum of a or c| < 2^23 and that no halfword overflows.
 * Scratch: 2 bytes for each input, their number rounded up to 8s. */
EW_KERNEL void ew_fully_connected_q8__dsp(const void *x, const uint32_t *weights_stream, void *scratch, void *y,
                                          const ew_fully_connected_q8_dsp_params *p)
{
    const int32_t large = p->in * p->out >= EW_ROW_LARGE;
    ew_row_kernel_q8 *const by_line = large ? ew_row_line_q8__dsp : ew_row_small_line_q8__dsp;
    ew_row_kernel_q8 *const by_block = large ? ew_row_blocks_q8__dsp : ew_row_small_blocks_q8__dsp;
    ew_row_widen_q8__dsp(x, scratch, p->in, p->x_signed ? ew_widen_row_s8__dsp : ew_widen_row_u8__dsp);
    const uint32_t *const x_end = (const uint32_t *)scratch + (p->in + 7) / 8 * 4;
    ew_row_q8__dsp(scratch, x_end, weights_stream, y, p->line[0] ? by_line : by_block, p);
}

/* The same without scratch memory, x being widened again for each four outputs. `in` is a multiple of 8. */
EW_KERNEL void ew_fully_connected_bytes_q8__dsp(const void *x, const uint32_t *weights_stream, void *y,
                                                const ew_fully_connected_q8_dsp_params *p)
{
    ew_row_kernel_q8 *const by_line = p->x_signed ? ew_row_line_s8__dsp : ew_row_line_u8__dsp;
    ew_row_kernel_q8 *const by_block = p->x_signed ? ew_row_blocks_s8__dsp : ew_row_blocks_u8__dsp;
    ew_row_q8__dsp(x, (const uint8_t *)x + p->in, weights_stream, y, p->line[0] ? by_line : by_block, p);
}

#endif
#endif
