/* 3x3 convolution, int8, for MVE: stride 1 or 2, any padding.
 *
 * Four adjacent outputs of two channels at a time. For each row of the kernel the six (stride 2: nine) pixels that four
 * outputs need are loaded once, 16 channels of each, and meet the three weight vectors of both channels: 24
 * instructions that multiply for 12 (15) that load. The eight outputs are requantized together and scattered.
 *
 * Three rows of x, with padding, are kept in `scratch` as a ring, so that no window meets a border: a row is copied
 * once. Pixels of up to 32 channels stand side by side; of more, all pixels' first 16 channels come first, and so on.
 */
#ifndef EW_CONV2D_3X3_Q8__MVE_H
#define EW_CONV2D_3X3_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"

typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c; /* out_w >= 4; out_c is even, and less than 2^14 */
    int32_t stride;              /* 1 or 2 */
    int32_t pad_top, pad_left;   /* >= 0; what is padded below and right follows from out_h and out_w */
    int32_t x_zero;
    ew_mve_output out;
} ew_conv2d_3x3_q8__mve_params;

/* Columns of a padded row, and the bytes of all three. */
#define EW_CONV2D_3X3_COLUMNS__MVE(out_w, stride) (((out_w) - 1) * (stride) + 3)
#define EW_CONV2D_3X3_SCRATCH__MVE(out_w, stride, in_c) \
    (3 * 16 * EW_CONV2D_3X3_COLUMNS__MVE(out_w, stride) * (((in_c) + 15) / 16))

#if defined(__ARM_FEATURE_MVE)

typedef struct {
    const int8_t *row[3]; /* these three and y move on */
    int8_t *y;
    const void *w, *w_end;
    int32_t tiles;     /* >= 1, of four pixels */
    int32_t tile_step; /* bytes of x from tile to tile */
    int32_t out_c;
    float round;
    int32_t zero;
    int32_t chunk_step, chunks_step; /* bytes of x from 16 channels to the next, and for all of them */
    int32_t not_used[3];
    int32_t lo[4], hi[4]; /* EW_MVE_ANY only */
} ew_conv2d_3x3_job__mve;

_Static_assert(offsetof(ew_conv2d_3x3_job__mve, w_end) == 20 && offsetof(ew_conv2d_3x3_job__mve, round) == 36 &&
                   offsetof(ew_conv2d_3x3_job__mve, chunks_step) == 48 && offsetof(ew_conv2d_3x3_job__mve, lo) == 64,
               "the assembly has these offsets");

/* clang-format off */
/* r1 weights, r3, r5, r9 rows, r7 y, r11 round; q0-q5 pixels, q6 weights, q7 where eight outputs go. Sums: r0, r2, r4,
 * r6 of the first channel, r8, r10, r12, lr of the second. Frame: 0 y, 4 w_end, 8 zero; where there are more than 32
 * channels 12 round, 16-24 rows, 28 chunk_step, 32 end of the chunks, 40-71 zeros; 136 job. */
#define EW_MVE_3X3_W "vldrw.u32 q6, [r1], #16; "
#define EW_MVE_3X3_X(q, row, at) "vldrw.u32 " q ", [" row ", #" at "]; "
#define EW_MVE_3X3_MAC(a, acc, q) "vmladav" a ".s8 " acc ", " q ", q6; "

/* One row of the kernel; `a` is "" for the first products and "a" where they are added; c0 to c8 are offsets of pixels,
 * `next` loads what the tap after needs. Loads stand between products: the two overlap. */
#define EW_MVE_3X3_FIRST_TAP(a, row, c0, c1, c2, c3, next)                         \
    EW_MVE_3X3_X("q0", row, c0) EW_MVE_3X3_W EW_MVE_3X3_MAC(a, "r0", "q0")         \
    EW_MVE_3X3_X("q1", row, c1) EW_MVE_3X3_MAC(a, "r2", "q1")                      \
    EW_MVE_3X3_X("q2", row, c2) EW_MVE_3X3_MAC(a, "r4", "q2")                      \
    EW_MVE_3X3_X("q3", row, c3) EW_MVE_3X3_MAC(a, "r6", "q3")                      \
    EW_MVE_3X3_W EW_MVE_3X3_MAC(a, "r8", "q0") EW_MVE_3X3_MAC(a, "r10", "q1") next \
    EW_MVE_3X3_MAC(a, "r12", "q2") EW_MVE_3X3_MAC(a, "lr", "q3")
#define EW_MVE_3X3_TAP(x0, x1, x2, x3, next)                                       \
    EW_MVE_3X3_W EW_MVE_3X3_MAC("a", "r0", x0) EW_MVE_3X3_MAC("a", "r2", x1)       \
    EW_MVE_3X3_MAC("a", "r4", x2) EW_MVE_3X3_MAC("a", "r6", x3)                    \
    EW_MVE_3X3_W EW_MVE_3X3_MAC("a", "r8", x0) EW_MVE_3X3_MAC("a", "r10", x1) next \
    EW_MVE_3X3_MAC("a", "r12", x2) EW_MVE_3X3_MAC("a", "lr", x3)
#define EW_MVE_3X3_ROW_S1(a, row, c0, c1, c2, c3, c4, c5, c6, c7, c8)         \
    EW_MVE_3X3_FIRST_TAP(a, row, c0, c1, c2, c3, EW_MVE_3X3_X("q4", row, c4)) \
    EW_MVE_3X3_TAP("q1", "q2", "q3", "q4", EW_MVE_3X3_X("q5", row, c5))       \
    EW_MVE_3X3_TAP("q2", "q3", "q4", "q5", "")
/* Stride 2: the taps come in the order 0, 2, 1, so that even pixels are loaded once. */
#define EW_MVE_3X3_ROW_S2(a, row, c0, c1, c2, c3, c4, c5, c6, c7, c8)         \
    EW_MVE_3X3_FIRST_TAP(a, row, c0, c2, c4, c6, EW_MVE_3X3_X("q4", row, c8)) \
    EW_MVE_3X3_TAP("q1", "q2", "q3", "q4", "")                                \
    EW_MVE_3X3_FIRST_TAP("a", row, c1, c3, c5, c7, "")

/* All three rows for 16 channels: of 16, the first and the second half of 32, and in a loop. */
#define EW_MVE_3X3_ALL(stride, a, ...)                                                            \
    EW_MVE_3X3_ROW_##stride(a, "r3", __VA_ARGS__) EW_MVE_3X3_ROW_##stride("a", "r5", __VA_ARGS__) \
    EW_MVE_3X3_ROW_##stride("a", "r9", __VA_ARGS__)
#define EW_MVE_3X3_SUMS_1(stride) EW_MVE_3X3_ALL(stride, "", "0", "16", "32", "48", "64", "80", "96", "112", "128")
#define EW_MVE_3X3_SUMS_2(stride)                                                        \
    EW_MVE_3X3_ALL(stride, "", "0", "32", "64", "96", "128", "160", "192", "224", "256") \
    EW_MVE_3X3_ALL(stride, "a", "16", "48", "80", "112", "144", "176", "208", "240", "272")
#define EW_MVE_3X3_SUMS_N(stride)                                                              \
    "add r11, sp, #40; ldm r11, {r0, r2, r4, r6, r8, r10, r12, lr}; ldrd r11, r7, [sp, #28]; " \
    "3: " EW_MVE_3X3_ALL(stride, "a", "0", "16", "32", "48", "64", "80", "96", "112", "128")   \
    "add r3, r11; add r5, r11; add r9, r11; cmp r3, r7; bne 3b; "                              \
    "ldrd r3, r5, [sp, #16]; ldr r9, [sp, #24]; ldr r7, [sp]; ldr r11, [sp, #12]; "

/* Eight sums to outputs, in halfwords: pixel by pixel, the first channel in the lower one. q0 is free by now, and so
 * are the sums once they are vectors. */
#define EW_MVE_3X3_SCALE                                                                                             \
    "vmov q6[2], q6[0], r0, r4; vmov q6[3], q6[1], r2, r6; vmov q0[2], q0[0], r8, r12; vmov q0[3], q0[1], r10, lr; " \
    "ldm r1!, {r0, r2, r4, r6}; vadd.i32 q6, q6, r0; vadd.i32 q0, q0, r4; "                                          \
    "vcvt.f32.s32 q6, q6; vcvt.f32.s32 q0, q0; vmul.f32 q6, q6, r2; vmul.f32 q0, q0, r6; "
#define EW_MVE_3X3_ROUND "vadd.f32 q6, q6, r11; vadd.f32 q0, q0, r11; vmovnt.i32 q6, q0; "
#define EW_MVE_3X3_FAST EW_MVE_3X3_ROUND "vqmovnb.s16 q6, q6; "
#define EW_MVE_3X3_ODD EW_MVE_3X3_ROUND "ldr r0, [sp, #8]; vadd.i16 q6, q6, r0; vqmovnb.s16 q6, q6; "
#define EW_MVE_3X3_ANY                                                                                           \
    "vcvtn.s32.f32 q6, q6; vcvtn.s32.f32 q0, q0; ldr r0, [sp, #8]; vqadd.s32 q6, q6, r0; vqadd.s32 q0, q0, r0; " \
    "ldr r2, [sp, #136]; vldrw.u32 q1, [r2, #64]; vldrw.u32 q2, [r2, #80]; "                                     \
    "vmax.s32 q6, q6, q1; vmax.s32 q0, q0, q1; vmin.s32 q6, q6, q2; vmin.s32 q0, q0, q2; vmovnt.i32 q6, q0; "
#define EW_MVE_3X3_STORE "vstrb.16 q6, [r7, q7]; adds r7, #2; "

/* What the loop over chunks keeps in the frame: for a tile, and for a pair of channels. */
#define EW_MVE_3X3_TILE_1 ""
#define EW_MVE_3X3_TILE_2 ""
#define EW_MVE_3X3_TILE_N                                                           \
    "str r7, [sp]; str r11, [sp, #12]; strd r3, r5, [sp, #16]; str r9, [sp, #24]; " \
    "ldrd r2, r4, [r0, #44]; add r4, r3; strd r2, r4, [sp, #28]; "
#define EW_MVE_3X3_PAIR_1 ""
#define EW_MVE_3X3_PAIR_2 ""
#define EW_MVE_3X3_PAIR_N "str r7, [sp]; "

#define EW_CONV2D_3X3_FUNCTION__MVE(name, n, stride, round)                                            \
    EW_MVE_NAKED void name(ew_conv2d_3x3_job__mve *job __attribute__((unused)))                        \
    {                                                                                                  \
        __asm__ volatile(                                                                              \
            "push {r0, r4-r11, lr}; vpush {d8-d15}; sub sp, #72; "                                     \
            /* q7: 0, 1, out_c, out_c + 1, 2 * out_c, ... */                                           \
            "ldr r3, [r0, #32]; movs r2, #0; vidup.u16 q7, r2, #1; vmov.i16 q0, #1; vand q0, q0, q7; " \
            "vshr.u16 q7, q7, #1; vmul.i16 q7, q7, r3; vadd.i16 q7, q7, q0; "                          \
            "add r7, sp, #40; vmov.i32 q0, #0; vstrw.32 q0, [r7]; vstrw.32 q0, [r7, #16]; "            \
            "ldr r2, [r0, #20]; ldr r3, [r0, #40]; strd r2, r3, [sp, #4]; "                            \
            "1: " /* a tile */                                                                         \
            "ldr r0, [sp, #136]; ldrd r3, r5, [r0]; ldrd r9, r7, [r0, #8]; ldr r1, [r0, #16]; "        \
            "ldrd r2, r4, [r0, #28]; add r6, r3, r2; add r8, r5, r2; strd r6, r8, [r0]; "              \
            "add r6, r9, r2; add r8, r7, r4, lsl #2; strd r6, r8, [r0, #8]; ldr r11, [r0, #36]; "      \
            EW_MVE_3X3_TILE_##n                                                                        \
            "2: " /* two channels */                                                                   \
            EW_MVE_3X3_SUMS_##n(stride) EW_MVE_3X3_SCALE round EW_MVE_3X3_STORE EW_MVE_3X3_PAIR_##n    \
            "ldr r0, [sp, #4]; cmp r1, r0; bne 2b; "                                                   \
            "ldr r0, [sp, #136]; ldr r2, [r0, #24]; subs r2, #1; str r2, [r0, #24]; bne 1b; "          \
            "add sp, #72; vpop {d8-d15}; pop {r0, r4-r11, pc}; ");                                     \
    }
/* clang-format on */

#define EW_CONV2D_3X3_WAYS__MVE(name, n, stride)                              \
    EW_CONV2D_3X3_FUNCTION__MVE(name##_fast__mve, n, stride, EW_MVE_3X3_FAST) \
    EW_CONV2D_3X3_FUNCTION__MVE(name##_odd__mve, n, stride, EW_MVE_3X3_ODD)   \
    EW_CONV2D_3X3_FUNCTION__MVE(name##_any__mve, n, stride, EW_MVE_3X3_ANY)   \
    EW_INLINE void name##__mve(ew_conv2d_3x3_job__mve *job, int32_t way)      \
    {                                                                         \
        if (way == EW_MVE_FAST) {                                             \
            name##_fast__mve(job);                                            \
        } else if (way == EW_MVE_FAST_ODD) {                                  \
            name##_odd__mve(job);                                             \
        } else {                                                              \
            name##_any__mve(job);                                             \
        }                                                                     \
    }

EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_c16_s1, 1, S1)
EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_c16_s2, 1, S2)
EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_c32_s1, 2, S1)
EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_c32_s2, 2, S2)
EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_s1, N, S1)
EW_CONV2D_3X3_WAYS__MVE(ew_conv2d_3x3_s2, N, S2)

EW_INLINE void ew_conv2d_3x3_call__mve(ew_conv2d_3x3_job__mve *job, int32_t stride, int32_t chunks, int32_t way)
{
    if (stride == 1) {
        if (chunks == 1) {
            ew_conv2d_3x3_c16_s1__mve(job, way);
        } else if (chunks == 2) {
            ew_conv2d_3x3_c32_s1__mve(job, way);
        } else {
            ew_conv2d_3x3_s1__mve(job, way);
        }
    } else if (chunks == 1) {
        ew_conv2d_3x3_c16_s2__mve(job, way);
    } else if (chunks == 2) {
        ew_conv2d_3x3_c32_s2__mve(job, way);
    } else {
        ew_conv2d_3x3_s2__mve(job, way);
    }
}

/* Writes `pixels` pixels of x into a row of the ring, or, where x is NULL, the zero point. */
EW_INLINE void ew_conv2d_3x3_fill__mve(int8_t *row, const int8_t *x, int32_t pixels, int32_t in_c, int32_t pixel_step,
                                       int32_t chunk_step, int32_t x_zero)
{
    const int8x16_t zero = vdupq_n_s8((int8_t)x_zero);
    for (int32_t c = 0; c < in_c; c += 16) {
        const mve_pred16_t there = vctp8q((uint32_t)(in_c - c));
        int8_t *to = row + c / 16 * chunk_step;
        if (x == NULL) {
            for (int32_t i = 0; i < pixels; ++i) {
                vst1q_s8(to, zero);
                to += pixel_step;
            }
            continue;
        }
        const int8_t *from = x + c;
        if (in_c - c >= 16) {
            for (int32_t i = 0; i < pixels; ++i) {
                vst1q_s8(to, vldrbq_s8(from));
                from += in_c;
                to += pixel_step;
            }
        } else {
            for (int32_t i = 0; i < pixels; ++i) {
                vst1q_s8(to, vldrbq_z_s8(from, there));
                from += in_c;
                to += pixel_step;
            }
        }
    }
}

/* y[n,oy,ox,o] = clamp(rint(f32(sum) * scale[o]) + y_zero), sum = bias[o] + sum over ky,kx,i of
 * (x[n, oy*stride - pad_top + ky, ox*stride - pad_left + kx, i] - x_zero) * w[o,ky,kx,i]; taps outside x count 0.
 * w, packed by generator/kernels/mve_conv.py, 16-byte aligned, in_c padded to a multiple of 16 with zeros:
 *     [out_c / 2] of { int8 [in_c / 16][3 ky][3 taps][2][16]; { int32 bias; float scale; } [2] }
 * where taps are kx 0, 1, 2 for stride 1 and 0, 2, 1 for stride 2, and bias has x_zero folded in. scratch:
 * EW_CONV2D_3X3_SCRATCH__MVE bytes, 16-byte aligned. x and y may lie at any address, and do not overlap. */
EW_KERNEL void ew_conv2d_3x3_q8__mve(const void *restrict x, const void *restrict w, void *restrict scratch,
                                     void *restrict y, const ew_conv2d_3x3_q8__mve_params *p)
{
    const int32_t chunks = (p->in_c + 15) / 16;
    const int32_t columns = EW_CONV2D_3X3_COLUMNS__MVE(p->out_w, p->stride);
    const int32_t pixel_step = chunks <= 2 ? 16 * chunks : 16;
    const int32_t chunk_step = chunks <= 2 ? 16 : 16 * columns;
    const int32_t row_bytes = 16 * columns * chunks;
    const int32_t right = columns - p->pad_left < p->in_w ? columns - p->pad_left : p->in_w; /* of x, not included */
    ew_conv2d_3x3_job__mve job;
    job.chunk_step = chunk_step;
    job.chunks_step = chunk_step * chunks;
    job.w = w;
    job.w_end = (const uint8_t *)w + p->out_c / 2 * (16 + 288 * chunks);
    job.tile_step = 4 * p->stride * pixel_step;
    job.out_c = p->out_c;
    job.round = ew_mve_round(&p->out);
    job.zero = p->out.y_zero;
    if (p->out.way == EW_MVE_ANY) {
        for (int32_t i = 0; i < 4; ++i) {
            job.lo[i] = p->out.act_min;
            job.hi[i] = p->out.act_max;
        }
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        const int8_t *image = (const int8_t *)x + n * p->in_h * p->in_w * p->in_c;
        int8_t *slot[3] = {scratch, (int8_t *)scratch + row_bytes, (int8_t *)scratch + 2 * row_bytes};
        for (int32_t i = 0; i < 3; ++i) { /* the columns beside x stay as they are */
            ew_conv2d_3x3_fill__mve(slot[i], NULL, columns, p->in_c, pixel_step, chunk_step, p->x_zero);
        }
        int32_t iy = -p->pad_top; /* the next row to fill */
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            for (; iy <= oy * p->stride - p->pad_top + 2; ++iy) {
                int8_t *oldest = slot[0];
                slot[0] = slot[1];
                slot[1] = slot[2];
                slot[2] = oldest;
                ew_conv2d_3x3_fill__mve(oldest + p->pad_left * pixel_step,
                                        iy >= 0 && iy < p->in_h ? image + iy * p->in_w * p->in_c : NULL, right, p->in_c,
                                        pixel_step, chunk_step, p->x_zero);
            }
            int8_t *row = (int8_t *)y + (n * p->out_h + oy) * p->out_w * p->out_c;
            job.row[0] = slot[0];
            job.row[1] = slot[1];
            job.row[2] = slot[2];
            job.y = row;
            job.tiles = p->out_w / 4;
            ew_conv2d_3x3_call__mve(&job, p->stride, chunks, p->out.way);
            if (p->out_w % 4) { /* the last four outputs, some of them a second time */
                const int32_t ox = p->out_w - 4;
                job.row[0] = slot[0] + ox * p->stride * pixel_step;
                job.row[1] = slot[1] + ox * p->stride * pixel_step;
                job.row[2] = slot[2] + ox * p->stride * pixel_step;
                job.y = row + ox * p->out_c;
                job.tiles = 1;
                ew_conv2d_3x3_call__mve(&job, p->stride, chunks, p->out.way);
            }
        }
    }
    ew_mve_finish(y, p->batch * p->out_h * p->out_w * p->out_c, &p->out);
}

#endif
#endif
