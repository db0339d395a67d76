/* Depthwise convolution of any kernel of up to 64 taps, int8, for MVE.
 *
 * One column of outputs at a time. The columns of x that it reads are turned, for each of 16 channels, into a strip
 * kernel_w wide: then a window is one run of kernel_h * kernel_w bytes, which one to four vectors hold, and the windows
 * of the outputs below follow at a fixed distance. Four sums are requantized together. */
#ifndef EW_DEPTHWISE_CONV2D_Q8__MVE_H
#define EW_DEPTHWISE_CONV2D_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_planes_q8__mve.h"
#include "ew_window.h"

typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w; /* kernel_h * kernel_w <= 64 */
    int32_t stride_h, stride_w;
    int32_t dilation_w; /* there is none along the height */
    int32_t pad_top, pad_left;
    int32_t x_zero;
    int32_t band; /* rows of outputs made from one strip, >= 1 */
    ew_mve_output out;
} ew_depthwise_conv2d_q8__mve_params;

/* Bytes of a strip, with what its last windows and the last of four read behind it; of scratch. */
#define EW_DEPTHWISE_STRIP__MVE(band, stride_h, kernel_h, kernel_w) \
    (((((band) + 2) * (stride_h) + (kernel_h)) * (kernel_w) + 17) / 2 * 2)
#define EW_DEPTHWISE_SCRATCH__MVE(band, stride_h, kernel_h, kernel_w) \
    (EW_PLANES_CHANNELS__MVE * EW_DEPTHWISE_STRIP__MVE(band, stride_h, kernel_h, kernel_w))

#if defined(__ARM_FEATURE_MVE)

typedef struct {
    const int8_t *strip; /* this, y and w move on */
    int8_t *y;
    const uint8_t *w;
    int32_t strip_bytes;
    int32_t taps;
    int32_t row_bytes; /* of y */
    int32_t step;      /* bytes from a window to the one below */
    int32_t rows;
    int32_t channels;
    float round;
    int32_t zero;
    int32_t tail;         /* taps in the last vector */
    int32_t lo[4], hi[4]; /* EW_MVE_ANY only */
} ew_depthwise_job__mve;

_Static_assert(offsetof(ew_depthwise_job__mve, rows) == 28 && offsetof(ew_depthwise_job__mve, round) == 36 &&
                   offsetof(ew_depthwise_job__mve, tail) == 44 && offsetof(ew_depthwise_job__mve, lo) == 48,
               "the assembly has these offsets");

/* clang-format off */
/* r1 window, r3 y, r5 four rows of y in bytes, r7 bias, r9 scale, r11 round, r8 zero, r10 bytes to the next window, r12
 * rows left; q0-q3 weights, q4 taps of the window, q7 where four outputs go. Frame: 0-15 offsets; 96 job. */
#define EW_MVE_DW_MAC(a, acc, q) "vmladav" a ".s8 " acc ", q4, " q "; "
#define EW_MVE_DW_TAPS(at) "vldrb.8 q4, [r1, #" at "]; "
#define EW_MVE_DW_SUM_1(acc) EW_MVE_DW_TAPS("0") EW_MVE_DW_MAC("", acc, "q0")
#define EW_MVE_DW_SUM_2(acc) EW_MVE_DW_SUM_1(acc) EW_MVE_DW_TAPS("16") EW_MVE_DW_MAC("a", acc, "q1")
#define EW_MVE_DW_SUM_3(acc) EW_MVE_DW_SUM_2(acc) EW_MVE_DW_TAPS("32") EW_MVE_DW_MAC("a", acc, "q2")
#define EW_MVE_DW_SUM_4(acc) EW_MVE_DW_SUM_3(acc) EW_MVE_DW_TAPS("48") EW_MVE_DW_MAC("a", acc, "q3")
#define EW_MVE_DW_W(q) "vldrb.8 " q ", [r2], #16; "
#define EW_MVE_DW_W_LAST(q) "vpst; vldrbt.8 " q ", [r2]; "
#define EW_MVE_DW_WEIGHTS_1 EW_MVE_DW_W_LAST("q0")
#define EW_MVE_DW_WEIGHTS_2 EW_MVE_DW_W("q0") EW_MVE_DW_W_LAST("q1")
#define EW_MVE_DW_WEIGHTS_3 EW_MVE_DW_W("q0") EW_MVE_DW_W("q1") EW_MVE_DW_W_LAST("q2")
#define EW_MVE_DW_WEIGHTS_4 EW_MVE_DW_W("q0") EW_MVE_DW_W("q1") EW_MVE_DW_W("q2") EW_MVE_DW_W_LAST("q3")
#define EW_MVE_DW_FAST "vadd.f32 q6, q6, r11; vqmovnb.s16 q6, q6; "
#define EW_MVE_DW_ODD "vadd.f32 q6, q6, r11; vadd.i16 q6, q6, r8; vqmovnb.s16 q6, q6; "
#define EW_MVE_DW_ANY                                                 \
    "vcvtn.s32.f32 q6, q6; vqadd.s32 q6, q6, r8; ldr r0, [sp, #96]; " \
    "vldrw.u32 q4, [r0, #48]; vldrw.u32 q5, [r0, #64]; vmax.s32 q6, q6, q4; vmin.s32 q6, q6, q5; "

#define EW_DEPTHWISE_FUNCTION__MVE(name, n, round)                                                              \
    EW_MVE_NAKED void name(ew_depthwise_job__mve *job __attribute__((unused)))                                  \
    {                                                                                                           \
        __asm__ volatile(                                                                                       \
            "push {r0, r4-r11, lr}; vpush {d8-d15}; sub sp, #32; "                                              \
            "ldrd r6, r10, [r0, #20]; movs r4, #0; add r5, r6, r6; strd r4, r6, [sp]; add r4, r5, r6; "         \
            "strd r5, r4, [sp, #8]; mov r1, sp; vldrw.u32 q7, [r1]; lsls r5, r6, #2; ldrd r11, r8, [r0, #36]; " \
            "1: " /* a channel */                                                                               \
            "ldr r0, [sp, #96]; ldrd r1, r3, [r0]; ldrd r2, r4, [r0, #8]; add r4, r1; adds r6, r3, #1; "        \
            "strd r4, r6, [r0]; ldr r4, [r0, #16]; adds r4, #8; add r4, r2; str r4, [r0, #8]; "                 \
            "ldr r7, [r2], #4; ldr r9, [r2], #4; ldr r4, [r0, #44]; vctp.8 r4; " EW_MVE_DW_WEIGHTS_##n          \
            "ldr r12, [r0, #28]; "                                                                              \
            "2: " /* four rows */                                                                               \
            EW_MVE_DW_SUM_##n("r0") "add r1, r10; " EW_MVE_DW_SUM_##n("r2") "add r1, r10; "                     \
            EW_MVE_DW_SUM_##n("r4") "add r1, r10; " EW_MVE_DW_SUM_##n("r6") "add r1, r10; "                     \
            "vmov q6[2], q6[0], r0, r4; vmov q6[3], q6[1], r2, r6; vadd.i32 q6, q6, r7; "                       \
            "vcvt.f32.s32 q6, q6; vmul.f32 q6, q6, r9; " round                                                  \
            "vctp.32 r12; vpst; vstrbt.32 q6, [r3, q7]; add r3, r5; subs r12, #4; bgt 2b; "                     \
            "ldr r0, [sp, #96]; ldr r2, [r0, #32]; subs r2, #1; str r2, [r0, #32]; bne 1b; "                    \
            "add sp, #32; vpop {d8-d15}; pop {r0, r4-r11, pc}; ");                                              \
    }
/* clang-format on */

#define EW_DEPTHWISE_WAYS__MVE(n)                                                   \
    EW_DEPTHWISE_FUNCTION__MVE(ew_depthwise_##n##_fast__mve, n, EW_MVE_DW_FAST)     \
    EW_DEPTHWISE_FUNCTION__MVE(ew_depthwise_##n##_odd__mve, n, EW_MVE_DW_ODD)       \
    EW_DEPTHWISE_FUNCTION__MVE(ew_depthwise_##n##_any__mve, n, EW_MVE_DW_ANY)       \
    EW_INLINE void ew_depthwise_##n##__mve(ew_depthwise_job__mve *job, int32_t way) \
    {                                                                               \
        if (way == EW_MVE_FAST) {                                                   \
            ew_depthwise_##n##_fast__mve(job);                                      \
        } else if (way == EW_MVE_FAST_ODD) {                                        \
            ew_depthwise_##n##_odd__mve(job);                                       \
        } else {                                                                    \
            ew_depthwise_##n##_any__mve(job);                                       \
        }                                                                           \
    }

EW_DEPTHWISE_WAYS__MVE(1)
EW_DEPTHWISE_WAYS__MVE(2)
EW_DEPTHWISE_WAYS__MVE(3)
EW_DEPTHWISE_WAYS__MVE(4)

/* All channels of `rows` outputs below one another, the first of them (oy, ox). */
EW_INLINE void ew_depthwise_column__mve(const int8_t *x, const uint8_t *w, int8_t *scratch, int8_t *y,
                                        const ew_depthwise_conv2d_q8__mve_params *p, int32_t n, int32_t oy, int32_t ox,
                                        int32_t rows)
{
    const int32_t taps = p->kernel_h * p->kernel_w;
    const int32_t iy = oy * p->stride_h - p->pad_top;
    const int32_t lines = (rows - 1) * p->stride_h + p->kernel_h;
    const ew_range inside = ew_window_taps(iy, lines, 1, 0, p->in_h);
    const ew_range columns = ew_window_taps(ox * p->stride_w - p->pad_left, p->kernel_w, p->dilation_w, 0, p->in_w);
    ew_depthwise_job__mve job;
    ew_planes_job__mve fill;
    job.strip_bytes = EW_DEPTHWISE_STRIP__MVE(p->band, p->stride_h, p->kernel_h, p->kernel_w);
    job.taps = taps;
    job.row_bytes = p->out_w * p->in_c;
    job.step = p->stride_h * p->kernel_w;
    job.rows = rows;
    job.round = ew_mve_round(&p->out);
    job.zero = p->out.y_zero;
    job.tail = taps - (taps - 1) / 16 * 16;
    if (p->out.way == EW_MVE_ANY) {
        for (int32_t i = 0; i < 4; ++i) {
            job.lo[i] = p->out.act_min;
            job.hi[i] = p->out.act_max;
        }
    }
    fill.plane_bytes = job.strip_bytes;
    fill.next = 0;
    fill.step = p->in_w * p->in_c;
    fill.to_step = p->kernel_w;
    fill.count = inside.end - inside.begin;
    if (fill.count < lines || columns.end - columns.begin < p->kernel_w) {
        ew_mve_fill(scratch, p->x_zero, EW_PLANES_CHANNELS__MVE * job.strip_bytes);
    }
    for (int32_t c = 0; c < p->in_c; c += EW_PLANES_CHANNELS__MVE) {
        const int32_t left = p->in_c - c;
        fill.channels = left;
        for (int32_t kx = columns.begin; kx < columns.end && fill.count > 0; ++kx) {
            const int32_t ix = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
            fill.x = x + (((n * p->in_h + iy + inside.begin) * p->in_w + ix) * p->in_c + c);
            fill.first = scratch + inside.begin * p->kernel_w + kx;
            ew_planes_singles__mve(&fill);
        }
        job.strip = scratch;
        job.y = y + (((n * p->out_h + oy) * p->out_w + ox) * p->in_c + c);
        job.w = w + c * (8 + taps);
        job.channels = left < EW_PLANES_CHANNELS__MVE ? left : EW_PLANES_CHANNELS__MVE;
        if (taps <= 16) {
            ew_depthwise_1__mve(&job, p->out.way);
        } else if (taps <= 32) {
            ew_depthwise_2__mve(&job, p->out.way);
        } else if (taps <= 48) {
            ew_depthwise_3__mve(&job, p->out.way);
        } else {
            ew_depthwise_4__mve(&job, p->out.way);
        }
    }
}

/* y[n,oy,ox,c] = clamp(rint(f32(sum) * scale[c]) + y_zero), sum = bias[c] + sum over ky,kx of
 * (x[n, oy*stride_h - pad_top + ky, ox*stride_w - pad_left + kx*dilation_w, c] - x_zero) * w[c,ky,kx]; taps outside x
 * count 0. x: [batch][in_h][in_w][in_c], y: [batch][out_h][out_w][in_c]; any address, they do not overlap. w, packed by
 * generator/kernels/mve_depthwise.py, any alignment: a channel is int32 bias (x_zero folded in), float scale, int8
 * w[kernel_h * kernel_w]. scratch: EW_DEPTHWISE_SCRATCH__MVE bytes. */
EW_KERNEL void ew_depthwise_conv2d_q8__mve(const void *restrict x, const uint8_t *restrict w, void *restrict scratch,
                                           void *restrict y, const ew_depthwise_conv2d_q8__mve_params *p)
{
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t oy = 0; oy < p->out_h; oy += p->band) {
            for (int32_t ox = 0; ox < p->out_w; ++ox) {
                ew_depthwise_column__mve(x, w, scratch, y, p, n, oy, ox,
                                         p->out_h - oy < p->band ? p->out_h - oy : p->band);
            }
        }
    }
}

#endif
#endif
