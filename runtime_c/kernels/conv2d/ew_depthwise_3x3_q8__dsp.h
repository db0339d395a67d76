/* Depthwise convolution, 3x3, stride 1 or 2, 8 bits, for Arm DSP cores with FPU.
 *
 * Four channels at a time, in strips of at most eight input columns. First the strip's pixels are widened to halfwords
 * times 2^7, in pairs of neighbouring columns, channels apart (scratch). Then one channel at a time walks down its
 * columns with all its weights in registers: an output column has two of its three taps in one pair and the third in
 * the pair beside, so a row of it is two loads and six multiplications, for the three outputs that are under way. An
 * output is requantized in two instructions by a line (ew_dsp.h; its shift is 16 here, and the bias is in its offset);
 * a channel that has no line is requantized in float.
 *
 * Three kinds of columns, by where the tap beside lies:
 *   right  taps 0 and 1 in the pair, tap 2 in the lower half of the next pair;
 *   first  taps 1 and 2 in the pair, tap 0 is padding;
 *   left   taps 1 and 2 in the pair, tap 0 in the upper half of the pair before.
 * Padding is 0: the zero point is taken away where it is not. There are no rows of padding: an output beside them
 * starts late or ends early. */
#ifndef EW_DEPTHWISE_3X3_Q8__DSP_H
#define EW_DEPTHWISE_3X3_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_quantized.h"

/* x [batch][in_h][in_w][channels], int8 or uint8; y [batch][out_h][out_w][channels], uint8, clamped to 0..255 only.
 * channels >= 4; in_h >= 2; stride 1 or 2; padding of 0 or 1 on each side (pad_top and pad_left here; below and right
 * it follows from out_h and out_w). Rows of y are made block_rows at a time, at least 2 in every block.
 * Buffers do not overlap, but y may be x where both have one shape, there is one strip, block_rows is out_h, and channels
 * are a multiple of 4. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t stride;
    int32_t pad_top, pad_left;
    int32_t x_type; /* EW_QS8 or EW_QU8 */
    int32_t x_zero; /* in the domain of x */
    int32_t y_zero; /* 0..255; for channels without a line */
    int32_t lines;  /* 1: all channels have lines */
    int32_t block_rows;
} ew_depthwise_3x3_q8__dsp_params;

#define EW_DW3_ROW_BYTES 64    /* of scratch: 4 pairs of columns, 4 channels, 2 halfwords */
#define EW_DW3_CHANNEL_WORDS 7 /* of weights: rows 0 1 2 of taps 0 and 1; tap 2 of rows 0 and 1; of row 2; a line */

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* What widening a strip needs. The assembly knows the offsets. */
typedef struct {
    const uint8_t *x;     /*  0: the first pixel */
    void *to;             /*  4: scratch */
    uint32_t mask;        /*  8: 0x7f807f80 */
    int32_t pixel_bytes;  /* 12 */
    int32_t entry;        /* 16: 4 less the pairs of which both columns exist */
    uint32_t rows;        /* 20: rows less 1, times 4; plus 1 for a pair of which one exists, or 2 where none does */
    int32_t row_bytes;    /* 24 */
    int32_t to_skip;      /* 28: from the last pair of a row to the next row */
} ew_dw3_widening;

/* r0 pixel, r1 to, r2 mask, r3 pixel_bytes, r4-r7 channels, r8 r9 two pixels, r10 entry, r11 rows, r12 x, r14 row_bytes. */
#define EW_DW3_WIDEN                   \
    "and r4, r2, r5, lsl #7\n\t"       \
    "and r5, r2, r5, lsr #1\n\t"       \
    "and r6, r2, r7, lsl #7\n\t"       \
    "and r7, r2, r7, lsr #1\n\t"       \
    "stmia r1!, {r4-r7}\n\t"
#define EW_DW3_WIDEN_PAIR              \
    "ldr r8, [r0]\n\t"                 \
    "ldr r9, [r0, r3]\n\t"             \
    "add r0, r0, r3, lsl #1\n\t"       \
    "pkhbt r5, r8, r9, lsl #16\n\t"    \
    "pkhtb r7, r9, r8, asr #16\n\t"    \
    EW_DW3_WIDEN

EW_DSP_NAKED void ew_dw3_widen(const ew_dw3_widening *w __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n\t"
            "ldr r4, [r0, #28]\n\t"
            "push {r4}\n\t"
            "ldr r12, [r0]\n\t"
            "ldr r1, [r0, #4]\n\t"
            "ldr r2, [r0, #8]\n\t"
            "ldr r3, [r0, #12]\n\t"
            "ldr r10, [r0, #16]\n\t"
            "ldr r11, [r0, #20]\n\t"
            "ldr r14, [r0, #24]\n"
            "1:\n\t"
            "mov r0, r12\n\t"
            "tbb [pc, r10]\n"
            "2: .byte (3f - 2b) / 2, (4f - 2b) / 2, (5f - 2b) / 2, (6f - 2b) / 2, (7f - 2b) / 2, 0\n"
            "3:\n\t" EW_DW3_WIDEN_PAIR
            "4:\n\t" EW_DW3_WIDEN_PAIR
            "5:\n\t" EW_DW3_WIDEN_PAIR
            "6:\n\t" EW_DW3_WIDEN_PAIR
            "7:\n\t"
            "tst r11, #3\n\t"
            "beq 8f\n\t"
            "mov r8, #0\n\t"
            "tst r11, #1\n\t"
            "it ne\n\t"
            "ldrne r8, [r0]\n\t"
            "uxth r5, r8\n\t"
            "lsr r7, r8, #16\n\t" EW_DW3_WIDEN
            "8:\n\t"
            "ldr r8, [sp]\n\t"
            "add r12, r12, r14\n\t"
            "add r1, r1, r8\n\t"
            "subs r11, r11, #4\n\t"
            "bpl 1b\n\t"
            "pop {r3-r11, pc}\n\t");
}

/* The same where the zero point is not 0: to halfwords (pixel - zero) * 2^7. `flip` is 0x80808080 for int8, `zero` in
 * uint8's domain. */
EW_SHARED void ew_dw3_widen_shifted(const ew_dw3_widening *w, uint32_t flip, uint32_t zero)
{
    const uint32_t taken = zero << 7 | zero << 23, none = zero * 0x01010101u;
    const uint8_t *x = w->x;
    uint32_t *to = w->to;
    const int32_t pairs = 4 - w->entry + ((w->rows & 3) != 0);
    for (uint32_t rows = 0; rows <= w->rows >> 2; ++rows) {
        const uint8_t *pixel = x;
        for (int32_t pair = 0; pair < pairs; ++pair) {
            const int32_t whole = pair < 4 - w->entry;
            const uint32_t a = whole || (w->rows & 1) ? ew_dsp_load4(pixel) ^ flip : none;
            const uint32_t b = whole ? ew_dsp_load4(pixel + w->pixel_bytes) ^ flip : none;
            const uint32_t low = ew_dsp_pkhbt(a, b), high = ew_dsp_pkhtb(a, b);
            *to++ = ew_dsp_ssub16(low << 7 & w->mask, taken);
            *to++ = ew_dsp_ssub16(low >> 1 & w->mask, taken);
            *to++ = ew_dsp_ssub16(high << 7 & w->mask, taken);
            *to++ = ew_dsp_ssub16(high >> 1 & w->mask, taken);
            pixel += 2 * w->pixel_bytes;
        }
        x += w->row_bytes;
        to += w->to_skip / 4;
    }
}

/* One kind of columns in a strip: how many, and bytes from the channel's place in y to the first. */
typedef struct {
    int32_t columns, out;
} ew_dw3_columns;

/* A walk over the columns of some channels. The assembly knows the offsets. */
typedef struct {
    const uint8_t *in;           /*  0: the channel's place in the scratch; moves on */
    uint8_t *out;                /*  4: in y; moves on */
    const uint32_t *weights;     /*  8: moves on */
    int32_t channels;            /* 12: still to do */
    int32_t halo;                /* 16: the first output has a row above */
    int32_t entry;               /* 20: place in the unrolled loop to start at */
    int32_t in_skip;             /* 24: bytes from the first output's middle row to the loop's start */
    uint32_t turns;              /* 28: of the loop, less 1, times 2^17; and 2^16 where bottom padding ends the column */
    int32_t out_row;             /* 32: bytes of a row of y */
    int32_t in_back;             /* 36: bytes from a column's end to the next column */
    int32_t out_back;            /* 40 */
    ew_dw3_columns right, first; /* 44, 52 */
    ew_dw3_columns left;         /* 60 */
    int32_t columns;             /* 68: still to do */
    int32_t y_zero;              /* 72 */
} ew_dw3_walk;

/* Registers: r0 r1 r2 weights of rows 0 1 2 in pairs; r3 weights beside of rows 0 1; r4 of row 2, and above it the
 * turns left; r5 multiplier; r6 offset; r7 r8 sums of two outputs, the older first; r9 a pair of pixels; r10 the pair
 * beside; r11 in; r12 out; r14 out_row. */
#define EW_DW3_LOAD_right(a, b) "ldr r9, [r11, #" a "]\n\tldr r10, [r11, #" b "]\n\t"
#define EW_DW3_LOAD_first(a, b) "ldr r9, [r11, #" a "]\n\t"
#define EW_DW3_LOAD_left(a, b) "ldr r10, [r11, #" a "]\n\tldr r9, [r11, #" b "]\n\t"
#define EW_DW3_MAC_right(half, sum, w) "smlab" half " " sum ", r10, " w ", " sum "\n\t"
#define EW_DW3_MAC_first(half, sum, w) ""
#define EW_DW3_MAC_left(half, sum, w) "smlat" half " " sum ", r10, " w ", " sum "\n\t"

#define EW_DW3_BEGIN_LINE ""
#define EW_DW3_STORE_LINE(to)      \
    "smmla r7, r7, r5, r6\n\t"     \
    "usat r7, #8, r7, asr #16\n\t" \
    "strb r7, " to "\n\t"

#define EW_DW3_BEGIN_FLOAT "vmov s1, r5\n\tldr r5, [r14, #72]\n\t"
#define EW_DW3_STORE_FLOAT(to) \
    "add r7, r7, r6\n\t"       \
    "vmov s0, r7\n\t"          \
    "vcvt.f32.s32 s0, s0\n\t"  \
    "vmul.f32 s0, s0, s1\n\t"  \
    "vcvtr.s32.f32 s0, s0\n\t" \
    "vmov r7, s0\n\t"          \
    "qadd r7, r7, r5\n\t"      \
    "usat r7, #8, r7\n\t"      \
    "strb r7, " to "\n\t"

/* A row, stride 1: it is the last of one output, the middle one of the next and the first of the one after. */
#define EW_DW3_NEXT_1(kind) "smuad r8, r9, r0\n\t" EW_DW3_MAC_##kind("b", "r8", "r3")
#define EW_DW3_ROW(kind, way, a, b, to)                           \
    EW_DW3_LOAD_##kind(a, b)                                      \
    "smlad r7, r9, r2, r7\n\t" EW_DW3_MAC_##kind("b", "r7", "r4") \
    EW_DW3_STORE_##way(to)                                        \
    "smlad r7, r9, r1, r8\n\t" EW_DW3_MAC_##kind("t", "r7", "r3") \
    EW_DW3_NEXT_1(kind)

/* Two rows, stride 2: the first is the last of one output and the first of the next, the second its middle one. */
#define EW_DW3_NEXT_2(kind) ""
#define EW_DW3_ROWS(kind, way, a, b, c, d, to)                    \
    EW_DW3_LOAD_##kind(a, b)                                      \
    "smlad r7, r9, r2, r7\n\t" EW_DW3_MAC_##kind("b", "r7", "r4") \
    EW_DW3_STORE_##way(to)                                        \
    "smuad r7, r9, r0\n\t" EW_DW3_MAC_##kind("b", "r7", "r3")     \
    EW_DW3_LOAD_##kind(c, d)                                      \
    "smlad r7, r9, r1, r7\n\t" EW_DW3_MAC_##kind("t", "r7", "r3")

/* The loops, entered at the place in r9. */
#define EW_DW3_TURN(in_bytes) \
    "add r11, r11, #" in_bytes "\n\tsubs r4, r4, #0x20000\n\tbpl 10b\n\t"
#define EW_DW3_LOOP_1_LINE(kind)                                                 \
    "tbb [pc, r9]\n"                                                             \
    "4: .byte (10f - 4b) / 2, (11f - 4b) / 2, (12f - 4b) / 2, (13f - 4b) / 2\n"  \
    "   .byte (14f - 4b) / 2, (15f - 4b) / 2, (16f - 4b) / 2, (17f - 4b) / 2\n"  \
    "10:\n\t" EW_DW3_ROW(kind, LINE, "0", "16", "[r12]")                         \
    "11:\n\t" EW_DW3_ROW(kind, LINE, "64", "80", "[r12, r14]")                   \
    "12:\n\t" EW_DW3_ROW(kind, LINE, "128", "144", "[r12, r14, lsl #1]")         \
    "add r12, r12, r14, lsl #1\n"                                                \
    "13:\n\t" EW_DW3_ROW(kind, LINE, "192", "208", "[r12, r14]")                 \
    "14:\n\t" EW_DW3_ROW(kind, LINE, "256", "272", "[r12, r14, lsl #1]")         \
    "add r12, r12, r14, lsl #1\n"                                                \
    "15:\n\t" EW_DW3_ROW(kind, LINE, "320", "336", "[r12, r14]")                 \
    "16:\n\t" EW_DW3_ROW(kind, LINE, "384", "400", "[r12, r14, lsl #1]")         \
    "add r12, r12, r14, lsl #1\n"                                                \
    "17:\n\t" EW_DW3_ROW(kind, LINE, "448", "464", "[r12, r14]")                 \
    "add r12, r12, r14, lsl #1\n\t" EW_DW3_TURN("512")
#define EW_DW3_LOOP_2_LINE(kind)                                                 \
    "tbb [pc, r9]\n"                                                             \
    "4: .byte (10f - 4b) / 2, (11f - 4b) / 2\n"                                  \
    "10:\n\t" EW_DW3_ROWS(kind, LINE, "0", "16", "64", "80", "[r12]")            \
    "11:\n\t" EW_DW3_ROWS(kind, LINE, "128", "144", "192", "208", "[r12, r14]")  \
    "add r12, r12, r14, lsl #1\n\t" EW_DW3_TURN("256")
#define EW_DW3_LOOP_1_FLOAT(kind)                                                \
    "\n10:\n\t" EW_DW3_ROW(kind, FLOAT, "0", "16", "[r12]")                      \
    "add r12, r12, r14\n\t" EW_DW3_TURN("64")
#define EW_DW3_LOOP_2_FLOAT(kind)                                                \
    "\n10:\n\t" EW_DW3_ROWS(kind, FLOAT, "0", "16", "64", "80", "[r12]")         \
    "add r12, r12, r14\n\t" EW_DW3_TURN("128")

/* All columns of one kind; `columns` and `out`: where the walk has their ew_dw3_columns. */
#define EW_DW3_COLUMNS(kind, stride, way, columns, out)                  \
    "ldr r14, [sp]\n\t"                                                  \
    "ldr r9, [r14, #" columns "]\n\t"                                    \
    "cmp r9, #0\n\t"                                                     \
    "beq 9f\n\t"                                                         \
    "ldr r11, [r14]\n\t"                                                 \
    "ldr r12, [r14, #4]\n\t"                                             \
    "ldr r8, [r14, #" out "]\n\t"                                        \
    "add r12, r12, r8\n"                                                 \
    "2:\n\t"                                                             \
    "str r9, [r14, #68]\n\t"                                             \
    "ldr r10, [r14, #28]\n\t"                                            \
    "ldr r9, [r14, #16]\n\t"                                             \
    "pkhbt r4, r4, r10\n\t"                                              \
    "mov r8, #0\n\t"                                                     \
    "cmp r9, #0\n\t"                                                     \
    "beq 3f\n\t" EW_DW3_LOAD_##kind("0", "16") EW_DW3_NEXT_1(kind)       \
    "add r11, r11, #64\n"                                                \
    "3:\n\t" EW_DW3_LOAD_##kind("0", "16")                               \
    "smlad r7, r9, r1, r8\n\t" EW_DW3_MAC_##kind("t", "r7", "r3")        \
    EW_DW3_NEXT_##stride(kind)                                           \
    "ldr r10, [r14, #24]\n\t"                                            \
    "ldr r9, [r14, #20]\n\t"                                             \
    "ldr r14, [r14, #32]\n\t"                                            \
    "add r11, r11, r10\n\t" EW_DW3_LOOP_##stride##_##way(kind)           \
    "tst r4, #0x10000\n\t"                                               \
    "beq 4f\n\t" EW_DW3_STORE_##way("[r12]")                             \
    "\n4:\n\t"                                                           \
    "ldr r14, [sp]\n\t"                                                  \
    "ldr r9, [r14, #68]\n\t"                                             \
    "ldr r8, [r14, #36]\n\t"                                             \
    "ldr r10, [r14, #40]\n\t"                                            \
    "add r11, r11, r8\n\t"                                               \
    "add r12, r12, r10\n\t"                                              \
    "subs r9, r9, #1\n\t"                                                \
    "bne 2b\n"                                                           \
    "9:\n\t"

/* From the weights of `right` columns to those of the others: taps 1 and 2 in pairs, tap 0 beside. */
#define EW_DW3_SHIFT_TAPS           \
    "pkhbt r9, r0, r1, lsl #16\n\t" \
    "lsr r0, r0, #16\n\t"           \
    "orr r0, r0, r3, lsl #16\n\t"   \
    "pkhtb r1, r3, r1, asr #16\n\t" \
    "mov r3, r9\n\t"                \
    "uxth r9, r2\n\t"               \
    "lsr r2, r2, #16\n\t"           \
    "orr r2, r2, r4, lsl #16\n\t"   \
    "mov r4, r9\n\t"

/* walk->channels channels of one strip. */
#define EW_DW3_WALK(name, stride, way)                                    \
    EW_DSP_NAKED void name(ew_dw3_walk *walk __attribute__((unused)))     \
    {                                                                     \
        __asm__("push {r0, r4-r11, lr}\n"                                 \
                "1:\n\t"                                                  \
                "ldr r14, [sp]\n\t"                                       \
                "ldr r12, [r14, #8]\n\t"                                  \
                "ldmia r12!, {r0-r6}\n\t"                                 \
                "str r12, [r14, #8]\n\t" EW_DW3_BEGIN_##way               \
                EW_DW3_COLUMNS(right, stride, way, "44", "48")            \
                EW_DW3_SHIFT_TAPS                                         \
                EW_DW3_COLUMNS(first, stride, way, "52", "56")            \
                EW_DW3_COLUMNS(left, stride, way, "60", "64")             \
                "ldr r14, [sp]\n\t"                                       \
                "ldr r0, [r14]\n\t"                                       \
                "ldr r1, [r14, #4]\n\t"                                   \
                "ldr r2, [r14, #12]\n\t"                                  \
                "add r0, r0, #4\n\t"                                      \
                "add r1, r1, #1\n\t"                                      \
                "str r0, [r14]\n\t"                                       \
                "str r1, [r14, #4]\n\t"                                   \
                "subs r2, r2, #1\n\t"                                     \
                "str r2, [r14, #12]\n\t"                                  \
                "bne 1b\n\t"                                              \
                "pop {r0, r4-r11, pc}\n\t");                              \
    }

EW_DW3_WALK(ew_dw3_walk_line_1, 1, LINE)
EW_DW3_WALK(ew_dw3_walk_line_2, 2, LINE)
EW_DW3_WALK(ew_dw3_walk_float_1, 1, FLOAT)
EW_DW3_WALK(ew_dw3_walk_float_2, 2, FLOAT)

/* Rows of y that are made together: `outputs` rows, the last of them beside bottom padding where `tail`. */
typedef struct {
    int32_t outputs, tail;
} ew_dw3_rows;

/* Walks over `channels` channels from the group's channel k on; y: the group's first output. */
EW_INLINE void ew_dw3_run(ew_dw3_walk *walk, const void *scratch, uint8_t *y, int32_t k, int32_t channels,
                          ew_dw3_rows rows, int32_t by_line, const ew_depthwise_3x3_q8__dsp_params *p)
{
    const int32_t unroll = !by_line ? 1 : p->stride == 1 ? 8 : 2;
    const int32_t steps = rows.outputs - rows.tail;
    const int32_t turns = (steps + unroll - 1) / unroll;
    const int32_t entry = turns * unroll - steps;
    const int32_t late = entry == 0 ? 0 : 2 - entry % 2; /* rows: where the loop's stores are from, at the entry */
    walk->entry = entry;
    walk->in_skip = EW_DW3_ROW_BYTES * (1 - p->stride * entry);
    walk->turns = (uint32_t)(turns - 1) << 17 | (uint32_t)rows.tail << 16;
    walk->in_back = 16 - walk->in_skip - EW_DW3_ROW_BYTES * (walk->halo + turns * unroll * p->stride);
    walk->out_back = (p->stride == 1 ? 2 : 1) * p->channels - (steps + late) * walk->out_row;
    walk->in = (const uint8_t *)scratch + 4 * k;
    walk->out = y + k - late * walk->out_row;
    walk->channels = channels;
    if (by_line && p->stride == 1) {
        ew_dw3_walk_line_1(walk);
    } else if (by_line) {
        ew_dw3_walk_line_2(walk);
    } else if (p->stride == 1) {
        ew_dw3_walk_float_1(walk);
    } else {
        ew_dw3_walk_float_2(walk);
    }
}

/* All channels of a strip. x and y: its first pixel that exists, its first output. */
EW_INLINE void ew_dw3_strip(const uint8_t *x, const uint32_t *weights, void *scratch, uint8_t *y,
                            ew_dw3_widening *widening, ew_dw3_walk *walk, ew_dw3_rows rows,
                            const ew_depthwise_3x3_q8__dsp_params *p)
{
    const uint32_t flip = p->x_type == EW_QS8 ? 0x80808080u : 0;
    const uint32_t zero = (uint32_t)(p->x_zero + (p->x_type == EW_QS8 ? 128 : 0));
    walk->weights = weights;
    for (int32_t group = 0; group < p->channels; group += 4) {
        const int32_t at = group + 4 <= p->channels ? group : p->channels - 4; /* the last may overlap the one before */
        widening->x = x + at;
        if (flip == 0 && zero == 0) {
            ew_dw3_widen(widening);
        } else {
            ew_dw3_widen_shifted(widening, flip, zero);
        }
        const uint32_t lines = p->lines ? 0xf : *walk->weights++; /* bit k: channel k has a line */
        if (lines == 0xf) {
            ew_dw3_run(walk, scratch, y + at, 0, 4, rows, 1, p);
            continue;
        }
        for (int32_t k = 0; k < 4; ++k) {
            if (lines >> k & 1) {
                ew_dw3_run(walk, scratch, y + at, k, 1, rows, 1, p);
            } else {
                ew_dw3_run(walk, scratch, y + at, k, 1, rows, 0, p);
            }
        }
    }
}

/* weights: for each four channels (the last four where channels is not a multiple) a word whose bits 0 to 3 say which
 * have a line (not there where all have), then EW_DW3_CHANNEL_WORDS words a channel: weights * 2^a in int16, and
 * multiplier and offset for sums times 2^(7 + a); without a line: scale / 2^(7 + a) as float32, bias * 2^(7 + a).
 * scratch: EW_DW3_ROW_BYTES for each row of x that block_rows rows of y need, one more where stride is 2. */
EW_KERNEL void ew_depthwise_3x3_q8__dsp(const void *x, const uint32_t *weights, void *scratch, void *y,
                                        const ew_depthwise_3x3_q8__dsp_params *p)
{
    const int32_t c = p->channels, stride = p->stride;
    ew_dw3_widening widening = {.to = scratch, .mask = 0x7f807f80u, .pixel_bytes = c, .row_bytes = p->in_w * c};
    ew_dw3_walk walk = {.out_row = p->out_w * c, .y_zero = p->y_zero};
    for (int32_t image = 0; image < p->batch; ++image) {
        for (int32_t row = 0; row < p->out_h; row += p->block_rows) {
            const int32_t outputs = p->out_h - row < p->block_rows ? p->out_h - row : p->block_rows;
            const int32_t above = row * stride - p->pad_top;
            const int32_t top = above < 0 ? 0 : above;
            const int32_t below = above + (outputs - 1) * stride + 3;
            const int32_t tail = below > p->in_h;
            const int32_t rows = (tail ? p->in_h : below) - top;
            walk.halo = above >= 0;
            for (int32_t column = 0; column < p->out_w;) {
                const int32_t left = column * stride - p->pad_left;
                const int32_t first = left < 0, begin = first ? 0 : left;
                const int32_t room = (5 + first) / stride + 1;
                const int32_t count = p->out_w - column < room ? p->out_w - column : room;
                const int32_t pairs = ((count - 1) * stride + 4 - first) / 2;
                const int32_t there = p->in_w - begin;
                const int32_t whole = there / 2 < pairs ? there / 2 : pairs;
                widening.entry = 4 - whole;
                widening.rows = (uint32_t)(4 * (rows - 1) + (whole == pairs ? 0 : 2 - there % 2));
                widening.to_skip = EW_DW3_ROW_BYTES - 16 * pairs;
                walk.first = (ew_dw3_columns){first, 0};
                if (stride == 1) {
                    walk.right = (ew_dw3_columns){(count + 1 - first) / 2, first ? c : 0};
                    walk.left = (ew_dw3_columns){(count - first) / 2, first ? 2 * c : c};
                } else {
                    walk.right = (ew_dw3_columns){first ? 0 : count, 0};
                    walk.left = (ew_dw3_columns){first ? count - 1 : 0, c};
                }
                ew_dw3_strip((const uint8_t *)x + ((image * p->in_h + top) * p->in_w + begin) * c, weights, scratch,
                             (uint8_t *)y + ((image * p->out_h + row) * p->out_w + column) * c, &widening, &walk,
                             (ew_dw3_rows){outputs, tail}, p);
                column += count;
            }
        }
    }
}

#endif
#endif
