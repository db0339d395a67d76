/* Depthwise 3x3 convolution of planes five wide, int8, for MVE: stride 1, padding 1 on every side. Keyword spotting has
 * such planes.
 *
 * Channels are turned into planes, 16 at a time. A load of 16 bytes then holds the three rows that a row of outputs
 * needs, and five weight vectors, one a column, with zeros where a tap falls outside, make five outputs of it. */
#ifndef EW_DEPTHWISE_5WIDE_Q8__MVE_H
#define EW_DEPTHWISE_5WIDE_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_planes_q8__mve.h"

typedef struct {
    int32_t batch, in_h, in_c; /* in_w is 5; y has the same shape; in_h < 800, in_c * 4 < 2^31 */
    int32_t x_zero;
    ew_mve_output out;
} ew_depthwise_5wide_q8__mve_params;

/* A plane: a row of padding, the rows, a row of padding, and a byte that the last load reads. One more
 * before it puts the first pixel at an even address; the size is even too. */
#define EW_DEPTHWISE_5WIDE_PLANE__MVE(in_h) ((((in_h) + 2) * 5 + 3) / 2 * 2)

#if defined(__ARM_FEATURE_MVE)

typedef struct {
    const int8_t *plane;
    int8_t *y; /* the first channel's */
    const void *w;
    int32_t plane_bytes, in_c, in_h, channels;
    float round;
    int32_t zero;
    const uint8_t *taps;
    int32_t x_zero;
    int32_t not_used;
    int32_t lo[4], hi[4]; /* EW_MVE_ANY only */
} ew_depthwise_5wide_job__mve;

_Static_assert(offsetof(ew_depthwise_5wide_job__mve, taps) == 36 && offsetof(ew_depthwise_5wide_job__mve, lo) == 48 &&
                   offsetof(ew_depthwise_5wide_job__mve, hi) == 64,
               "the assembly has these offsets");

/* Which weight each of the 16 bytes is for, for each column; the tenth is 0. */
static const uint8_t ew_depthwise_5wide_taps__mve[5][16] EW_ALIGN(4)
    __attribute__((unused)) = {{1, 2, 9, 9, 9, 4, 5, 9, 9, 9, 7, 8, 9, 9, 9, 9},
                               {0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9, 9, 9},
                               {9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9, 9},
                               {9, 9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9},
                               {9, 9, 9, 0, 1, 9, 9, 9, 3, 4, 9, 9, 9, 6, 7, 9}};

/* clang-format off */
/* r1 row of the plane, r3 y, r5 four pixels of y in bytes, r7 where the biases of the five columns stand, r9 scale,
 * r11 round, lr rows / 4; q0-q4 weights of the columns, q5 three rows, q7 offsets of four pixels of y. Even registers
 * are sums. Frame: 0 biases, 20 w, 24 zero, 28 nothing, 96 job; 0 to 15 offsets before that. */
#define EW_MVE_5WIDE_ROW(sums) "vldrb.8 q5, [r1], #5; ldm r7, {" sums "}; "
#define EW_MVE_5WIDE_SUM(acc, column) "vmladava.s8 " acc ", q5, " column "; "
#define EW_MVE_5WIDE_SUMS_4(a0, a1, a2, a3) \
    EW_MVE_5WIDE_SUM(a0, "q0") EW_MVE_5WIDE_SUM(a1, "q1") EW_MVE_5WIDE_SUM(a2, "q2") EW_MVE_5WIDE_SUM(a3, "q3")
#define EW_MVE_5WIDE_SUMS(a0, a1, a2, a3, a4)            \
    EW_MVE_5WIDE_ROW(a0 ", " a1 ", " a2 ", " a3 ", " a4) \
    EW_MVE_5WIDE_SUMS_4(a0, a1, a2, a3) EW_MVE_5WIDE_SUM(a4, "q4")
#define EW_MVE_5WIDE_SCALE "vcvt.f32.s32 q6, q6; vmul.f32 q6, q6, r9; "
#define EW_MVE_5WIDE_ROUND_FAST(free) "vadd.f32 q6, q6, r11; vqmovnb.s16 q6, q6; "
#define EW_MVE_5WIDE_ROUND_ODD(free) \
    "ldr " free ", [sp, #24]; vadd.f32 q6, q6, r11; vadd.i16 q6, q6, " free "; vqmovnb.s16 q6, q6; "
#define EW_MVE_5WIDE_ROUND_ANY(free)                                                                           \
    "ldr " free ", [sp, #24]; vcvtn.s32.f32 q6, q6; vqadd.s32 q6, q6, " free "; ldr " free ", [sp, #96]; "     \
    "vldrw.u32 q5, [" free ", #48]; vmax.s32 q6, q6, q5; vldrw.u32 q5, [" free ", #64]; vmin.s32 q6, q6, q5; " \
    "vldrb.8 q5, [r1, #-5]; "
#define EW_MVE_5WIDE_FOUR(round, a0, a1, a2, a3)                                                          \
    "vmov q6[2], q6[0], " a0 ", " a2 "; vmov q6[3], q6[1], " a1 ", " a3 "; " EW_MVE_5WIDE_SCALE round(a0) \
    "vstrb.32 q6, [r3, q7]; add r3, r5; "
#define EW_MVE_5WIDE_ONE(round, a0)                                    \
    "vmov q6[2], q6[0], " a0 ", " a0 "; " EW_MVE_5WIDE_SCALE round(a0) \
    "vpst; vstrbt.32 q6, [r3, q7]; add r3, r3, r5, lsr #2; "
#define EW_MVE_5WIDE_TAPS(column) "vldrw.u32 q6, [r2], #16; vldrb.u8 " column ", [r12, q6]; "

#define EW_DEPTHWISE_5WIDE_FUNCTION__MVE(name, round)                                                               \
    EW_MVE_NAKED void name(ew_depthwise_5wide_job__mve *job __attribute__((unused)))                                \
    {                                                                                                               \
        __asm__ volatile(                                                                                           \
            "push {r0, r4-r11, lr}; vpush {d8-d15}; sub sp, #32; "                                                  \
            "ldr r5, [r0, #16]; movs r1, #0; add r2, r5, r5; add r3, r2, r5; strd r1, r5, [sp]; "                   \
            "strd r2, r3, [sp, #8]; mov r7, sp; vldrw.u32 q7, [r7]; lsls r5, #2; movs r1, #1; vctp.32 r1; "         \
            "ldr r11, [r0, #28]; ldr r12, [r0, #8]; ldr r2, [r0, #32]; str r2, [sp, #24]; "                         \
            "1: " /* a channel: its weights by column, its bias by column with the zero point folded in */          \
            "ldr r0, [sp, #96]; ldrd r1, r3, [r0]; ldr r2, [r0, #12]; add r2, r1; adds r4, r3, #1; "                \
            "strd r2, r4, [r0]; ldrd r2, r10, [r0, #36]; ldr lr, [r12], #4; ldr r9, [r12], #4; "                    \
            EW_MVE_5WIDE_TAPS("q0") EW_MVE_5WIDE_TAPS("q1") EW_MVE_5WIDE_TAPS("q2") EW_MVE_5WIDE_TAPS("q3")         \
            EW_MVE_5WIDE_TAPS("q4") "add r12, #10; str r12, [sp, #20]; "                                            \
            "vaddv.s8 r0, q0; vaddv.s8 r2, q1; vaddv.s8 r8, q4; "                                                   \
            "mls r0, r0, r10, lr; mls r2, r2, r10, lr; mls r8, r8, r10, lr; mov r4, r2; mov r6, r2; "               \
            "stm r7, {r0, r2, r4, r6, r8}; ldr r0, [sp, #96]; ldr r0, [r0, #20]; lsrs r0, #2; wls lr, r0, 3f; "     \
            "2: " /* four rows, 20 outputs */                                                                       \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r8") EW_MVE_5WIDE_FOUR(round, "r0", "r2", "r4", "r6")        \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r10") EW_MVE_5WIDE_FOUR(round, "r8", "r0", "r2", "r4")       \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r8", "r12") EW_MVE_5WIDE_FOUR(round, "r6", "r10", "r0", "r2")      \
            EW_MVE_5WIDE_ROW("r0, r2, r6, r10") EW_MVE_5WIDE_SUMS_4("r0", "r2", "r6", "r10")                        \
            EW_MVE_5WIDE_FOUR(round, "r4", "r8", "r12", "r0")                                                       \
            "ldr r4, [r7, #16]; " EW_MVE_5WIDE_SUM("r4", "q4") EW_MVE_5WIDE_FOUR(round, "r2", "r6", "r10", "r4")    \
            "le lr, 2b; "                                                                                           \
            "3: " /* rows left over, one by one */                                                                  \
            "ldr r0, [sp, #96]; ldr r0, [r0, #20]; ands r0, #3; wls lr, r0, 5f; "                                   \
            "4: " EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r8") EW_MVE_5WIDE_FOUR(round, "r0", "r2", "r4", "r6")  \
            EW_MVE_5WIDE_ONE(round, "r8") "le lr, 4b; "                                                             \
            "5: ldr r0, [sp, #96]; ldr r12, [sp, #20]; ldr r2, [r0, #24]; subs r2, #1; str r2, [r0, #24]; bne 1b; " \
            "add sp, #32; vpop {d8-d15}; pop {r0, r4-r11, pc}; ");                                                  \
    }
/* clang-format on */

EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_fast__mve, EW_MVE_5WIDE_ROUND_FAST)
EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_odd__mve, EW_MVE_5WIDE_ROUND_ODD)
EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_any__mve, EW_MVE_5WIDE_ROUND_ANY)

#endif

/* y[n,oy,ox,c] = clamp(rint(f32(sum) * scale[c]) + y_zero), sum = bias[c] + sum over ky,kx of
 * (x[n, oy - 1 + ky, ox - 1 + kx, c] - x_zero) * w[c,ky,kx]; taps outside x count 0. x, y: [batch][in_h][5][in_c]; any
 * address, they do not overlap. w, packed by generator/kernels/mve_depthwise.py, any alignment: a channel is int32
 * bias, float scale, int8 w[9], a zero. scratch: EW_PLANES_CHANNELS__MVE planes and a byte, at an even address. */
#if defined(__ARM_FEATURE_MVE)
EW_KERNEL void ew_depthwise_5wide_q8__mve(const void *restrict x, const uint8_t *restrict w, void *restrict scratch,
                                          void *restrict y, const ew_depthwise_5wide_q8__mve_params *p)
{
    const int32_t pixels = p->in_h * 5;
    const int32_t plane = EW_DEPTHWISE_5WIDE_PLANE__MVE(p->in_h);
    int8_t *planes = (int8_t *)scratch + 1;
    for (int32_t i = 0; i < EW_PLANES_CHANNELS__MVE; ++i) {
        for (int32_t j = 0; j < 5; ++j) {
            planes[i * plane + j] = (int8_t)p->x_zero;
            planes[i * plane + 5 + pixels + j] = (int8_t)p->x_zero;
        }
    }
    ew_depthwise_5wide_job__mve job;
    job.plane_bytes = plane;
    job.in_c = p->in_c;
    job.in_h = p->in_h;
    job.round = ew_mve_round(&p->out);
    job.zero = p->out.y_zero;
    job.x_zero = p->x_zero;
    job.taps = ew_depthwise_5wide_taps__mve[0];
    if (p->out.way == EW_MVE_ANY) {
        for (int32_t i = 0; i < 4; ++i) {
            job.lo[i] = p->out.act_min;
            job.hi[i] = p->out.act_max;
        }
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t c = 0; c < p->in_c; c += EW_PLANES_CHANNELS__MVE) {
            const int32_t image = n * pixels * p->in_c + c;
            const int32_t left = p->in_c - c;
            job.channels = left < EW_PLANES_CHANNELS__MVE ? left : EW_PLANES_CHANNELS__MVE;
            ew_planes_job__mve fill = {
                (const int8_t *)x + image, planes + 5, plane, p->in_c, 2 * p->in_c, 2, pixels / 2, left};
            ew_planes_pairs__mve(&fill);
            if (pixels % 2) {
                fill.x += (pixels - 1) * p->in_c;
                fill.first += pixels - 1;
                fill.count = 1;
                ew_planes_singles__mve(&fill);
            }
            job.plane = planes;
            job.y = (int8_t *)y + image;
            job.w = w + c * 18;
            if (p->out.way == EW_MVE_FAST) {
                ew_depthwise_5wide_fast__mve(&job);
            } else if (p->out.way == EW_MVE_FAST_ODD) {
                ew_depthwise_5wide_odd__mve(&job);
            } else {
                ew_depthwise_5wide_any__mve(&job);
            }
        }
    }
}
#endif

#endif
