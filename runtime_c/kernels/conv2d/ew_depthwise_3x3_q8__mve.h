/* Depthwise 3x3 convolution, int8, for MVE: stride 1 or 2, any padding.
 *
 * Two columns of outputs at a time. The four (stride 2: five) columns of x that they need are turned into a strip for
 * each of 16 channels, pixels row by row, so that a load of 16 bytes holds all that two rows of outputs (stride 2: one)
 * need, and a weight vector with the nine taps where they belong makes an output of it. Four sums are requantized
 * together. */
#ifndef EW_DEPTHWISE_3X3_Q8__MVE_H
#define EW_DEPTHWISE_3X3_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_planes_q8__mve.h"
#include "ew_window.h"

typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w;      /* >= 2 */
    int32_t stride;            /* 1 or 2 */
    int32_t pad_top, pad_left; /* what is padded below and right follows from out_h and out_w */
    int32_t x_zero;
    int32_t band;   /* rows of outputs made at a time, 2..out_h */
    int32_t strips; /* made at a time, 1..out_w / 2 */
    ew_mve_output out;
} ew_depthwise_3x3_q8__mve_params;

/* Bytes of a strip, of all strips of a channel, and of scratch. */
#define EW_DEPTHWISE_3X3_STRIP__MVE(band, stride) ((((band) - 1) * (stride) + 3) * (3 + (stride)))
#define EW_DEPTHWISE_3X3_PLANE__MVE(band, strips, stride) \
    (((strips) * EW_DEPTHWISE_3X3_STRIP__MVE(band, stride) + 2) / 2 * 2)
#define EW_DEPTHWISE_3X3_SCRATCH__MVE(band, strips, stride) \
    (EW_PLANES_CHANNELS__MVE * EW_DEPTHWISE_3X3_PLANE__MVE(band, strips, stride))

#if defined(__ARM_FEATURE_MVE)

typedef struct {
    const int8_t *plane; /* this, y and w move on */
    int8_t *y;
    const uint8_t *w;
    int32_t plane_bytes;
    int32_t in_c;
    int32_t row_bytes;          /* of y */
    int32_t strips, pairs, odd; /* pairs of rows of a strip, and 1 where a row is left over */
    int32_t channels;
    float round;
    int32_t zero;
    const uint8_t *taps;
    int32_t not_used[3];
    int32_t lo[4], hi[4]; /* EW_MVE_ANY only */
} ew_depthwise_3x3_job__mve;

_Static_assert(offsetof(ew_depthwise_3x3_job__mve, strips) == 24 && offsetof(ew_depthwise_3x3_job__mve, round) == 40 &&
                   offsetof(ew_depthwise_3x3_job__mve, taps) == 48 && offsetof(ew_depthwise_3x3_job__mve, lo) == 64,
               "the assembly has these offsets");

/* Which weight each of the 16 bytes is for; the tenth is 0. Stride 1: outputs (0,0), (0,1), (1,0), (1,1) of a strip
 * four wide. Stride 2: the two of a row of a strip five wide. */
static const uint8_t ew_depthwise_3x3_taps_s1__mve[4][16] EW_ALIGN(4)
    __attribute__((unused)) = {{0, 1, 2, 9, 3, 4, 5, 9, 6, 7, 8, 9, 9, 9, 9, 9},
                               {9, 0, 1, 2, 9, 3, 4, 5, 9, 6, 7, 8, 9, 9, 9, 9},
                               {9, 9, 9, 9, 0, 1, 2, 9, 3, 4, 5, 9, 6, 7, 8, 9},
                               {9, 9, 9, 9, 9, 0, 1, 2, 9, 3, 4, 5, 9, 6, 7, 8}};
static const uint8_t ew_depthwise_3x3_taps_s2__mve[2][16] EW_ALIGN(4) __attribute__((unused)) = {
    {0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9, 9, 9}, {9, 9, 0, 1, 2, 9, 9, 3, 4, 5, 9, 9, 6, 7, 8, 9}};

/* clang-format off */
/* r1 strip, r3 y, r5 two rows of y in bytes, r7 bias, r9 scale, r11 round, r8 zero, r10 strips left, r12 y of the
 * strip; q0-q3 weights, q4 pixels, q7 where four outputs go. Frame: 0-15 offsets at first; then 0 pairs, 4 odd, 8 two
 * pixels of y; 96 job. */
#define EW_MVE_DW3_MAC(acc, w) "vmladav.s8 " acc ", q4, " w "; "
#define EW_MVE_DW3_SUMS_S1                                                         \
    "vldrb.8 q4, [r1], #8; " EW_MVE_DW3_MAC("r0", "q0") EW_MVE_DW3_MAC("r2", "q1") \
    EW_MVE_DW3_MAC("r4", "q2") EW_MVE_DW3_MAC("r6", "q3")
#define EW_MVE_DW3_SUMS_S2                                                          \
    "vldrb.8 q4, [r1], #10; " EW_MVE_DW3_MAC("r0", "q0") EW_MVE_DW3_MAC("r2", "q1") \
    "vldrb.8 q4, [r1], #10; " EW_MVE_DW3_MAC("r4", "q0") EW_MVE_DW3_MAC("r6", "q1")
#define EW_MVE_DW3_FAST "vadd.f32 q6, q6, r11; vqmovnb.s16 q6, q6; "
#define EW_MVE_DW3_ODD "vadd.f32 q6, q6, r11; vadd.i16 q6, q6, r8; vqmovnb.s16 q6, q6; "
#define EW_MVE_DW3_ANY                                                \
    "vcvtn.s32.f32 q6, q6; vqadd.s32 q6, q6, r8; ldr r0, [sp, #96]; " \
    "vldrw.u32 q4, [r0, #64]; vldrw.u32 q5, [r0, #80]; vmax.s32 q6, q6, q4; vmin.s32 q6, q6, q5; "
#define EW_MVE_DW3_TILE(sums, round)                                              \
    sums                                                                          \
    "vmov q6[2], q6[0], r0, r4; vmov q6[3], q6[1], r2, r6; vadd.i32 q6, q6, r7; " \
    "vcvt.f32.s32 q6, q6; vmul.f32 q6, q6, r9; " round "vstrb.32 q6, [r3, q7]; add r3, r5; "
#define EW_MVE_DW3_WEIGHTS(q) "vldrw.u32 q6, [r4], #16; vldrb.u8 " q ", [r2, q6]; "
#define EW_MVE_DW3_WEIGHTS_S2 EW_MVE_DW3_WEIGHTS("q0") EW_MVE_DW3_WEIGHTS("q1")
#define EW_MVE_DW3_WEIGHTS_S1 EW_MVE_DW3_WEIGHTS_S2 EW_MVE_DW3_WEIGHTS("q2") EW_MVE_DW3_WEIGHTS("q3")

/* `back`: bytes from the row that is left over to the one before; `gap`: from the end of a strip's last pair to the
 * next strip. */
#define EW_DEPTHWISE_3X3_FUNCTION__MVE(name, weights, sums, back, gap, round)                                      \
    EW_MVE_NAKED void name(ew_depthwise_3x3_job__mve *job __attribute__((unused)))                                 \
    {                                                                                                              \
        __asm__ volatile(                                                                                          \
            "push {r0, r4-r11, lr}; vpush {d8-d15}; sub sp, #32; "                                                 \
            "ldrd r5, r6, [r0, #16]; movs r4, #0; add r7, r5, r6; strd r4, r5, [sp]; strd r6, r7, [sp, #8]; "      \
            "mov r1, sp; vldrw.u32 q7, [r1]; "                                                                     \
            "ldrd r1, r2, [r0, #28]; strd r1, r2, [sp]; lsls r3, r5, #1; str r3, [sp, #8]; lsls r5, r6, #1; "      \
            "ldrd r11, r8, [r0, #40]; "                                                                            \
            "1: " /* a channel */                                                                                  \
            "ldr r0, [sp, #96]; ldrd r1, r12, [r0]; ldr r2, [r0, #12]; add r2, r1; add r4, r12, #1; "              \
            "strd r2, r4, [r0]; ldr r2, [r0, #8]; ldr r7, [r2], #4; ldr r9, [r2], #4; ldr r4, [r0, #48]; " weights \
            "adds r2, #10; str r2, [r0, #8]; ldr r10, [r0, #24]; "                                                 \
            "2: " /* a strip */                                                                                    \
            "mov r3, r12; ldr r0, [sp]; wls lr, r0, 4f; "                                                          \
            "3: " EW_MVE_DW3_TILE(sums, round) "le lr, 3b; "                                                       \
            "4: ldr r0, [sp, #4]; cmp r0, #0; beq 5f; "                                                            \
            "subs r1, #" back "; sub r3, r3, r5, lsr #1; " EW_MVE_DW3_TILE(sums, round)                            \
            "5: ldr r0, [sp, #8]; adds r1, #" gap "; add r12, r0; subs r10, #1; bne 2b; "                          \
            "ldr r0, [sp, #96]; ldr r2, [r0, #36]; subs r2, #1; str r2, [r0, #36]; bne 1b; "                       \
            "add sp, #32; vpop {d8-d15}; pop {r0, r4-r11, pc}; ");                                                 \
    }
/* clang-format on */

#define EW_DEPTHWISE_3X3_WAYS__MVE(name, weights, sums, back, gap)                              \
    EW_DEPTHWISE_3X3_FUNCTION__MVE(name##_fast__mve, weights, sums, back, gap, EW_MVE_DW3_FAST) \
    EW_DEPTHWISE_3X3_FUNCTION__MVE(name##_odd__mve, weights, sums, back, gap, EW_MVE_DW3_ODD)   \
    EW_DEPTHWISE_3X3_FUNCTION__MVE(name##_any__mve, weights, sums, back, gap, EW_MVE_DW3_ANY)   \
    EW_INLINE void name##__mve(ew_depthwise_3x3_job__mve *job, int32_t way)                     \
    {                                                                                           \
        if (way == EW_MVE_FAST) {                                                               \
            name##_fast__mve(job);                                                              \
        } else if (way == EW_MVE_FAST_ODD) {                                                    \
            name##_odd__mve(job);                                                               \
        } else {                                                                                \
            name##_any__mve(job);                                                               \
        }                                                                                       \
    }

EW_DEPTHWISE_3X3_WAYS__MVE(ew_depthwise_3x3_s1, EW_MVE_DW3_WEIGHTS_S1, EW_MVE_DW3_SUMS_S1, "4", "8")
EW_DEPTHWISE_3X3_WAYS__MVE(ew_depthwise_3x3_s2, EW_MVE_DW3_WEIGHTS_S2, EW_MVE_DW3_SUMS_S2, "10", "5")

/* One column of a strip, or (pair) two: those rows of it that lie inside x. from: the column's pixel in the strip's
 * first row; it may lie outside x where clipped. */
EW_INLINE void ew_depthwise_3x3_column__mve(const int8_t *x, int32_t from, int8_t *to, ew_range rows, int32_t channels,
                                            int32_t pair, const ew_depthwise_3x3_q8__mve_params *p)
{
    const int32_t line = p->in_w * p->in_c;
    const int32_t width = 3 + p->stride;
    const ew_planes_job__mve job = {x + (from + rows.begin * line),
                                    to + rows.begin * width,
                                    EW_DEPTHWISE_3X3_PLANE__MVE(p->band, p->strips, p->stride),
                                    p->in_c,
                                    line,
                                    width,
                                    rows.end - rows.begin,
                                    channels};
    if (pair) {
        ew_planes_pairs__mve(&job);
    } else {
        ew_planes_singles__mve(&job);
    }
}

/* `count` strips, the first with outputs (oy, ox), (oy, ox + 1), ... */
EW_INLINE void ew_depthwise_3x3_strips__mve(const int8_t *x, const uint8_t *w, int8_t *scratch, int8_t *y,
                                            const ew_depthwise_3x3_q8__mve_params *p, int32_t n, int32_t oy, int32_t ox,
                                            int32_t count)
{
    const int32_t width = 3 + p->stride;
    const int32_t iy = oy * p->stride - p->pad_top;
    const int32_t ix = ox * p->stride - p->pad_left;
    const ew_range rows = ew_window_taps(iy, (p->band - 1) * p->stride + 3, 1, 0, p->in_h);
    ew_depthwise_3x3_job__mve job;
    job.plane_bytes = EW_DEPTHWISE_3X3_PLANE__MVE(p->band, p->strips, p->stride);
    job.in_c = p->in_c;
    job.row_bytes = p->out_w * p->in_c;
    job.strips = count;
    job.pairs = p->band / 2;
    job.odd = p->band % 2;
    job.round = ew_mve_round(&p->out);
    job.zero = p->out.y_zero;
    job.taps = p->stride == 1 ? ew_depthwise_3x3_taps_s1__mve[0] : ew_depthwise_3x3_taps_s2__mve[0];
    if (p->out.way == EW_MVE_ANY) {
        for (int32_t i = 0; i < 4; ++i) {
            job.lo[i] = p->out.act_min;
            job.hi[i] = p->out.act_max;
        }
    }
    ew_mve_fill(scratch, p->x_zero, EW_DEPTHWISE_3X3_SCRATCH__MVE(p->band, p->strips, p->stride));
    for (int32_t c = 0; c < p->in_c; c += EW_PLANES_CHANNELS__MVE) {
        const int32_t left = p->in_c - c;
        int8_t *strip = scratch;
        for (int32_t s = 0; s < count; ++s) {
            for (int32_t j = 0; j < width; ++j) {
                const int32_t at = ix + 2 * p->stride * s + j;
                const int32_t from = ((n * p->in_h + iy) * p->in_w + at) * p->in_c + c;
                /* Two columns at an even place of a strip of even width go together. */
                const int32_t pair = p->stride == 1 && j % 2 == 0 && at >= 0 && at + 1 < p->in_w;
                if (at >= 0 && at < p->in_w && rows.begin < rows.end) {
                    ew_depthwise_3x3_column__mve(x, from, strip + j, rows, left, pair, p);
                }
                j += pair;
            }
            strip += EW_DEPTHWISE_3X3_STRIP__MVE(p->band, p->stride);
        }
        job.plane = scratch;
        job.y = y + (((n * p->out_h + oy) * p->out_w + ox) * p->in_c + c);
        job.w = w + c * 18;
        job.channels = left < EW_PLANES_CHANNELS__MVE ? left : EW_PLANES_CHANNELS__MVE;
        if (p->stride == 1) {
            ew_depthwise_3x3_s1__mve(&job, p->out.way);
        } else {
            ew_depthwise_3x3_s2__mve(&job, p->out.way);
        }
    }
}

/* y[n,oy,ox,c] = clamp(rint(f32(sum) * scale[c]) + y_zero), sum = bias[c] + sum over ky,kx of
 * (x[n, oy*stride - pad_top + ky, ox*stride - pad_left + kx, c] - x_zero) * w[c,ky,kx]; taps outside x count 0.
 * x: [batch][in_h][in_w][in_c], y: [batch][out_h][out_w][in_c]; any address, they do not overlap. w, packed by
 * generator/kernels/mve_depthwise.py, any alignment: a channel is int32 bias (x_zero folded in), float scale, int8
 * w[9], a zero. scratch: EW_DEPTHWISE_3X3_SCRATCH__MVE bytes, at an even address. */
EW_KERNEL void ew_depthwise_3x3_q8__mve(const void *restrict x, const uint8_t *restrict w, void *restrict scratch,
                                        void *restrict y, const ew_depthwise_3x3_q8__mve_params *p)
{
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t row = 0; row < p->out_h; row += p->band) {
            /* The last band and, of an odd number, the last column are made together with some before them. */
            const int32_t oy = row + p->band <= p->out_h ? row : p->out_h - p->band;
            for (int32_t strip = 0; strip < (p->out_w + 1) / 2; strip += p->strips) {
                const int32_t whole = p->out_w / 2 - strip;
                if (whole > 0) {
                    ew_depthwise_3x3_strips__mve(x, w, scratch, y, p, n, oy, 2 * strip,
                                                 whole < p->strips ? whole : p->strips);
                }
                if (p->out_w % 2 && whole < p->strips) {
                    ew_depthwise_3x3_strips__mve(x, w, scratch, y, p, n, oy, p->out_w - 2, 1);
                }
            }
        }
    }
}

#endif
#endif
