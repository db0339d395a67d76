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
static const uint8_t ew_depthwise_5wide_taps__mve[5][16] EW_ALIGN(4) __attribute__((unused)) = {
    {1, 2, 9, 9, 9, 4, 5, 9, 9, 9, 7, 8, 9, 9, 9, 9}, {0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9, 9, 9},
    {9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9, 9}, {9, 9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9},
    {9, 9, 9, 0, 1, 9, 9, 9, 3, 4, 9, 9, 9, 6, 7, 9}};

/* r1 row of the plane, r3 y, r5 four pixels of y in bytes, r7 where the biases of the five columns stand, r9 scale,
 * r11 round, lr rows / 4; q0-q4 weights of the columns, q5 three rows, q7 offsets of four pixels of y. Even registers are
 * sums. Frame: 0 biases, 20 w, 24 zero, 28 nothing, 96 job; 0 to 15 offsets before that. */
#define EW_MVE_5WIDE_ROW(sums) "vldrb.8 q5, [r1], #5\n\tldm r7, {" sums "}\n\t"
#define EW_MVE_5WIDE_SUM(acc, column) "vmladava.s8 " acc ", q5, " column "\n\t"
#define EW_MVE_5WIDE_SUMS_4(a0, a1, a2, a3) \
    EW_MVE_5WIDE_SUM(a0, "q0") EW_MVE_5WIDE_SUM(a1, "q1") EW_MVE_5WIDE_SUM(a2, "q2") EW_MVE_5WIDE_SUM(a3, "q3")
#define EW_MVE_5WIDE_SUMS(a0, a1, a2, a3, a4) \
    EW_MVE_5WIDE_ROW(a0 ", " a1 ", " a2 ", " a3 ", " a4) EW_MVE_5WIDE_SUMS_4(a0, a1, a2, a3) EW_MVE_5WIDE_SUM(a4, "q4")
#define EW_MVE_5WIDE_SCALE "vcvt.f32.s32 q6, q6\n\tvmul.f32 q6, q6, r9\n\t"
#define EW_MVE_5WIDE_ROUND_FAST(free) "vadd.f32 q6, q6, r11\n\tvqmovnb.s16 q6, q6\n\t"
#define EW_MVE_5WIDE_ROUND_ODD(free) \
    "ldr " free ", [sp, #24]\n\tvadd.f32 q6, q6, r11\n\tvadd.i16 q6, q6, " free "\n\tvqmovnb.s16 q6, q6\n\t"
#define EW_MVE_5WIDE_ROUND_ANY(free)                                                                         \
    "ldr " free ", [sp, #24]\n\tvcvtn.s32.f32 q6, q6\n\tvqadd.s32 q6, q6, " free "\n\tldr " free             \
    ", [sp, #96]\n\tvldrw.u32 q5, [" free ", #48]\n\tvmax.s32 q6, q6, q5\n\tvldrw.u32 q5, [" free            \
    ", #64]\n\tvmin.s32 q6, q6, q5\n\tvldrb.8 q5, [r1, #-5]\n\t"
#define EW_MVE_5WIDE_FOUR(round, a0, a1, a2, a3)                                                          \
    "vmov q6[2], q6[0], " a0 ", " a2 "\n\tvmov q6[3], q6[1], " a1 ", " a3 "\n\t" EW_MVE_5WIDE_SCALE       \
    round(a0) "vstrb.32 q6, [r3, q7]\n\tadd r3, r5\n\t"
#define EW_MVE_5WIDE_ONE(round, a0)                                                                       \
    "vmov q6[2], q6[0], " a0 ", " a0 "\n\t" EW_MVE_5WIDE_SCALE round(a0) "vpst\n\tvstrbt.32 q6, [r3, q7]\n\t" \
    "add r3, r3, r5, lsr #2\n\t"
#define EW_MVE_5WIDE_TAPS(column) "vldrw.u32 q6, [r2], #16\n\tvldrb.u8 " column ", [r12, q6]\n\t"

#define EW_DEPTHWISE_5WIDE_FUNCTION__MVE(name, round)                                                                 \
    EW_MVE_NAKED void name(ew_depthwise_5wide_job__mve *job __attribute__((unused)))                                   \
    {                                                                                                                  \
        __asm__ volatile(                                                                                              \
            "push {r0, r4-r11, lr}\n\tvpush {d8-d15}\n\tsub sp, #32\n\t"                                               \
            "ldr r5, [r0, #16]\n\tmovs r1, #0\n\tadd r2, r5, r5\n\tstrd r1, r5, [sp]\n\tadd r3, r2, r5\n\t"            \
            "strd r2, r3, [sp, #8]\n\tmov r7, sp\n\tvldrw.u32 q7, [r7]\n\tlsls r5, #2\n\tmovs r1, #1\n\tvctp.32 r1\n\t" \
            "ldr r11, [r0, #28]\n\tldr r12, [r0, #8]\n\tldr r2, [r0, #32]\n\tstr r2, [sp, #24]\n\t"                    \
            "1:\n\t" /* a channel: its weights by column, its bias by column with the zero point folded in */          \
            "ldr r0, [sp, #96]\n\tldrd r1, r3, [r0]\n\tldr r2, [r0, #12]\n\tadd r2, r1\n\tadds r4, r3, #1\n\t"         \
            "strd r2, r4, [r0]\n\tldrd r2, r10, [r0, #36]\n\tldr lr, [r12], #4\n\tldr r9, [r12], #4\n\t"               \
            EW_MVE_5WIDE_TAPS("q0") EW_MVE_5WIDE_TAPS("q1") EW_MVE_5WIDE_TAPS("q2") EW_MVE_5WIDE_TAPS("q3")            \
            EW_MVE_5WIDE_TAPS("q4") "add r12, #10\n\tstr r12, [sp, #20]\n\t"                                           \
            "vaddv.s8 r0, q0\n\tvaddv.s8 r2, q1\n\tvaddv.s8 r8, q4\n\tmls r0, r0, r10, lr\n\tmls r2, r2, r10, lr\n\t"  \
            "mls r8, r8, r10, lr\n\tmov r4, r2\n\tmov r6, r2\n\tstm r7, {r0, r2, r4, r6, r8}\n\t"                      \
            "ldr r0, [sp, #96]\n\tldr r0, [r0, #20]\n\tlsrs r0, #2\n\twls lr, r0, 3f\n\t"                              \
            "2:\n\t" /* four rows, 20 outputs */                                                                       \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r8") EW_MVE_5WIDE_FOUR(round, "r0", "r2", "r4", "r6")           \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r10") EW_MVE_5WIDE_FOUR(round, "r8", "r0", "r2", "r4")          \
            EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r8", "r12") EW_MVE_5WIDE_FOUR(round, "r6", "r10", "r0", "r2")         \
            EW_MVE_5WIDE_ROW("r0, r2, r6, r10") EW_MVE_5WIDE_SUMS_4("r0", "r2", "r6", "r10")                           \
            EW_MVE_5WIDE_FOUR(round, "r4", "r8", "r12", "r0")                                                          \
            "ldr r4, [r7, #16]\n\t" EW_MVE_5WIDE_SUM("r4", "q4") EW_MVE_5WIDE_FOUR(round, "r2", "r6", "r10", "r4")     \
            "le lr, 2b\n\t"                                                                                            \
            "3:\n\t" /* rows left over, one by one */                                                                  \
            "ldr r0, [sp, #96]\n\tldr r0, [r0, #20]\n\tands r0, #3\n\twls lr, r0, 5f\n\t"                              \
            "4:\n\t" EW_MVE_5WIDE_SUMS("r0", "r2", "r4", "r6", "r8") EW_MVE_5WIDE_FOUR(round, "r0", "r2", "r4", "r6")  \
            EW_MVE_5WIDE_ONE(round, "r8") "le lr, 4b\n\t"                                                              \
            "5:\n\tldr r0, [sp, #96]\n\tldr r12, [sp, #20]\n\tldr r2, [r0, #24]\n\tsubs r2, #1\n\tstr r2, [r0, #24]\n\t" \
            "bne 1b\n\tadd sp, #32\n\tvpop {d8-d15}\n\tpop {r0, r4-r11, pc}\n\t");                                     \
    }

EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_fast__mve, EW_MVE_5WIDE_ROUND_FAST)
EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_odd__mve, EW_MVE_5WIDE_ROUND_ODD)
EW_DEPTHWISE_5WIDE_FUNCTION__MVE(ew_depthwise_5wide_any__mve, EW_MVE_5WIDE_ROUND_ANY)

#endif

/* y[n,oy,ox,c] = clamp(rint(f32(bias[c] + sum over ky,kx of (x[n, oy - 1 + ky, ox - 1 + kx, c] - x_zero) * w[c,ky,kx])
 *                * scale[c]) + y_zero); taps outside x count 0. x, y: [batch][in_h][5][in_c], they do not overlap.
 * w, packed by generator/kernels/mve_depthwise.py, any alignment: a channel is int32 bias, float
 * scale, int8 w[9], a zero. scratch: EW_PLANES_CHANNELS__MVE planes. */
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
