/* One row of int8 dot products with packed weights, for MVE: fully connected layers of one sample.
 *
 * Eight outputs at a time, in the eight even core registers that VMLADAVA can add to; a weight is read once, so the
 * stream of weights is what it costs. A row of up to 128 elements stays in vector registers, or nearly.
 *
 * Weight stream, made at generation (generator/kernels/mve_common.py), 16-byte aligned; outs are padded to a multiple
 * of 8 and count to one of 16, with zeros:
 *     [outs / 8] of { int32 bias[8]; int8 w[count / 16][8][16]; float scale[8]; }
 * bias[o] has the zero point of x folded in: bias[o] - x_zero * sum over i of w[o][i]. Sums fit int32. */
#ifndef EW_ROW_Q8__MVE_H
#define EW_ROW_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_rows_q8__mve.h"

#if defined(__ARM_FEATURE_MVE)

#define EW_MVE_ROW_OUTS 8
#define EW_MVE_ROW_HELD 8 /* vectors of a row with a function of its own */

/* clang-format off */
/* r1 weights, r5 y, r7 x; the same job and frame as for rows. */
#define EW_MVE_ROW_ENTER \
    EW_MVE_ROWS_ENTER "mov r11, r0; ldrd r7, r5, [r11]; ldr r1, [r11, #20]; ldr r2, [r11, #24]; vctp.8 r2; "
#define EW_MVE_ROW_LEAVE "add sp, #24; vpop {d8-d15}; pop {r0, r4-r11, pc}; "
#define EW_MVE_ROW_BIAS "ldm r1!, {r0, r2, r4, r6, r8, r10, r12, lr}; "
#define EW_MVE_ROW_TIMES_2(a0, a1, x, wa, wb) \
    EW_MVE_WEIGHTS(wa) EW_MVE_MAC(a0, x, wa) EW_MVE_WEIGHTS(wb) EW_MVE_MAC(a1, x, wb)
#define EW_MVE_ROW_TIMES_8(x, wa, wb)                                                   \
    EW_MVE_ROW_TIMES_2("r0", "r2", x, wa, wb) EW_MVE_ROW_TIMES_2("r4", "r6", x, wa, wb) \
    EW_MVE_ROW_TIMES_2("r8", "r10", x, wa, wb) EW_MVE_ROW_TIMES_2("r12", "lr", x, wa, wb)

/* Up to six vectors are loaded once, the last one as far as the row goes; a seventh and an eighth for every eight
 * outputs. */
#define EW_MVE_ROW_HOLD(q, at) "vldrb.8 " q ", [r7, #" at "]; "
#define EW_MVE_ROW_HOLD_LAST(q, at) "vpst; vldrbt.8 " q ", [r7, #" at "]; "
#define EW_MVE_ROW_LOADS_1 EW_MVE_ROW_HOLD_LAST("q0", "0")
#define EW_MVE_ROW_FIRST_1 EW_MVE_ROW_HOLD("q0", "0")
#define EW_MVE_ROW_LOADS_2 EW_MVE_ROW_FIRST_1 EW_MVE_ROW_HOLD_LAST("q1", "16")
#define EW_MVE_ROW_FIRST_2 EW_MVE_ROW_FIRST_1 EW_MVE_ROW_HOLD("q1", "16")
#define EW_MVE_ROW_LOADS_3 EW_MVE_ROW_FIRST_2 EW_MVE_ROW_HOLD_LAST("q2", "32")
#define EW_MVE_ROW_FIRST_3 EW_MVE_ROW_FIRST_2 EW_MVE_ROW_HOLD("q2", "32")
#define EW_MVE_ROW_LOADS_4 EW_MVE_ROW_FIRST_3 EW_MVE_ROW_HOLD_LAST("q3", "48")
#define EW_MVE_ROW_FIRST_4 EW_MVE_ROW_FIRST_3 EW_MVE_ROW_HOLD("q3", "48")
#define EW_MVE_ROW_LOADS_5 EW_MVE_ROW_FIRST_4 EW_MVE_ROW_HOLD_LAST("q4", "64")
#define EW_MVE_ROW_FIRST_5 EW_MVE_ROW_FIRST_4 EW_MVE_ROW_HOLD("q4", "64")
#define EW_MVE_ROW_LOADS_6 EW_MVE_ROW_FIRST_5 EW_MVE_ROW_HOLD_LAST("q5", "80")
#define EW_MVE_ROW_LOADS_7 "adds r7, #16; " EW_MVE_ROW_LOADS_6 "subs r7, #16; "
#define EW_MVE_ROW_LOADS_8 "adds r7, #32; " EW_MVE_ROW_LOADS_6 "subs r7, #32; "
#define EW_MVE_ROW_PRODUCTS_1 EW_MVE_ROW_TIMES_8("q0", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_2 EW_MVE_ROW_PRODUCTS_1 EW_MVE_ROW_TIMES_8("q1", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_3 EW_MVE_ROW_PRODUCTS_2 EW_MVE_ROW_TIMES_8("q2", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_4 EW_MVE_ROW_PRODUCTS_3 EW_MVE_ROW_TIMES_8("q3", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_5 EW_MVE_ROW_PRODUCTS_4 EW_MVE_ROW_TIMES_8("q4", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_6 EW_MVE_ROW_PRODUCTS_5 EW_MVE_ROW_TIMES_8("q5", "q6", "q7")
#define EW_MVE_ROW_PRODUCTS_7 EW_MVE_ROW_HOLD("q6", "0") EW_MVE_ROW_TIMES_8("q6", "q7", "q7") EW_MVE_ROW_PRODUCTS_6
#define EW_MVE_ROW_PRODUCTS_8                                       \
    EW_MVE_ROW_HOLD("q6", "0") EW_MVE_ROW_TIMES_8("q6", "q7", "q7") \
    EW_MVE_ROW_HOLD("q6", "16") EW_MVE_ROW_TIMES_8("q6", "q7", "q7") EW_MVE_ROW_PRODUCTS_6

/* Longer rows: all vectors but the last in a loop of four, those that are too many before it. */
#define EW_MVE_ROW_PART EW_MVE_LOAD("q0", "r3") EW_MVE_ROW_TIMES_8("q0", "q6", "q7")
#define EW_MVE_ROW_LOOP                                                                                               \
    "ldr r11, [sp, #20]; 3: " EW_MVE_ROW_PART EW_MVE_ROW_PART EW_MVE_ROW_PART EW_MVE_ROW_PART "cmp r3, r11; bne 3b; " \
    "vpst; vldrbt.8 q0, [r3]; " EW_MVE_ROW_TIMES_8("q0", "q6", "q7")
#define EW_MVE_ROW_LOADS_N0 "ldr r2, [r11, #44]; add r2, r7; str r2, [sp, #20]; "
#define EW_MVE_ROW_LOADS_N1 EW_MVE_ROW_LOADS_N0
#define EW_MVE_ROW_LOADS_N2 EW_MVE_ROW_LOADS_N0
#define EW_MVE_ROW_LOADS_N3 EW_MVE_ROW_LOADS_N0
#define EW_MVE_ROW_PRODUCTS_N0 "mov r3, r7; " EW_MVE_ROW_LOOP
#define EW_MVE_ROW_PRODUCTS_N1 "mov r3, r7; " EW_MVE_ROW_PART EW_MVE_ROW_LOOP
#define EW_MVE_ROW_PRODUCTS_N2 "mov r3, r7; " EW_MVE_ROW_PART EW_MVE_ROW_PART EW_MVE_ROW_LOOP
#define EW_MVE_ROW_PRODUCTS_N3 "mov r3, r7; " EW_MVE_ROW_PART EW_MVE_ROW_PART EW_MVE_ROW_PART EW_MVE_ROW_LOOP

#define EW_MVE_ROW_FUNCTION(name, loads, products, constants, requantize, next)                        \
    EW_MVE_NAKED void name(ew_rows_job__mve *job __attribute__((unused)))                              \
    {                                                                                                  \
        __asm__ volatile(EW_MVE_ROW_ENTER loads                                                        \
                         "2: " EW_MVE_ROW_BIAS products EW_MVE_WEIGHTS("q7") constants                 \
                         requantize("r0", "r2", "r4", "r6", "r5", EW_MVE_STORE_4) EW_MVE_WEIGHTS("q7") \
                         requantize("r8", "r10", "r12", "lr", "r5", EW_MVE_STORE_4)                    \
                         next EW_MVE_ROW_LEAVE);                                                       \
    }
/* clang-format on */

#define EW_MVE_ROW_WAYS(n)                                                                                            \
    EW_MVE_ROW_FUNCTION(ew_row_##n##_fast__mve, EW_MVE_ROW_LOADS_##n, EW_MVE_ROW_PRODUCTS_##n, EW_MVE_CONSTANTS_FAST, \
                        EW_MVE_REQUANTIZE_FAST, EW_MVE_NEXT_FAST)                                                     \
    EW_MVE_ROW_FUNCTION(ew_row_##n##_odd__mve, EW_MVE_ROW_LOADS_##n, EW_MVE_ROW_PRODUCTS_##n, EW_MVE_CONSTANTS_ODD,   \
                        EW_MVE_REQUANTIZE_ODD, EW_MVE_NEXT_ODD)                                                       \
    EW_MVE_ROW_FUNCTION(ew_row_##n##_any__mve, EW_MVE_ROW_LOADS_##n, EW_MVE_ROW_PRODUCTS_##n, EW_MVE_CONSTANTS_ANY,   \
                        EW_MVE_REQUANTIZE_ANY, EW_MVE_NEXT_ANY)                                                       \
    EW_INLINE void ew_row_##n##__mve(ew_rows_job__mve *job, int32_t way)                                              \
    {                                                                                                                 \
        if (way == EW_MVE_FAST) {                                                                                     \
            ew_row_##n##_fast__mve(job);                                                                              \
        } else if (way == EW_MVE_FAST_ODD) {                                                                          \
            ew_row_##n##_odd__mve(job);                                                                               \
        } else {                                                                                                      \
            ew_row_##n##_any__mve(job);                                                                               \
        }                                                                                                             \
    }

EW_MVE_ROW_WAYS(1)
EW_MVE_ROW_WAYS(2)
EW_MVE_ROW_WAYS(3)
EW_MVE_ROW_WAYS(4)
EW_MVE_ROW_WAYS(5)
EW_MVE_ROW_WAYS(6)
EW_MVE_ROW_WAYS(7)
EW_MVE_ROW_WAYS(8)
EW_MVE_ROW_WAYS(N0)
EW_MVE_ROW_WAYS(N1)
EW_MVE_ROW_WAYS(N2)
EW_MVE_ROW_WAYS(N3)

EW_INLINE void ew_row_call__mve(ew_rows_job__mve *job, int32_t vectors, int32_t way)
{
    switch (vectors <= EW_MVE_ROW_HELD ? vectors : EW_MVE_ROW_HELD + 1 + (vectors - 1) % 4) {
    case 1:
        ew_row_1__mve(job, way);
        return;
    case 2:
        ew_row_2__mve(job, way);
        return;
    case 3:
        ew_row_3__mve(job, way);
        return;
    case 4:
        ew_row_4__mve(job, way);
        return;
    case 5:
        ew_row_5__mve(job, way);
        return;
    case 6:
        ew_row_6__mve(job, way);
        return;
    case 7:
        ew_row_7__mve(job, way);
        return;
    case 8:
        ew_row_8__mve(job, way);
        return;
    case 9:
        ew_row_N0__mve(job, way);
        return;
    case 10:
        ew_row_N1__mve(job, way);
        return;
    case 11:
        ew_row_N2__mve(job, way);
        return;
    default:
        ew_row_N3__mve(job, way);
        return;
    }
}

/* y[o], o < outs, of the row x of `count` elements. w: the stream above. count, outs and `out` are literals where the
 * layer is compiled for them. x and y may lie at any address, and do not overlap. */
EW_INLINE void ew_row_q8__mve(const int8_t *x, int8_t *y, const void *w, int32_t count, int32_t outs,
                              const ew_mve_output *out)
{
    const int32_t vectors = (count + EW_MVE_CHUNK - 1) / EW_MVE_CHUNK;
    const int32_t blocks = outs / EW_MVE_ROW_OUTS;
    const uint8_t *last = (const uint8_t *)w + blocks * (64 + vectors * EW_MVE_ROW_OUTS * EW_MVE_CHUNK);
    int8_t rest[EW_MVE_ROW_OUTS];
    ew_rows_job__mve job;
    ew_rows_start__mve(&job, count, out);
    job.x = x;
    job.y = y;
    job.w = w;
    job.w_end = last;
    if (blocks > 0) {
        ew_row_call__mve(&job, vectors, out->way);
    }
    if (outs % EW_MVE_ROW_OUTS) {
        job.y = rest;
        job.w = last;
        job.w_end = last + 64 + vectors * EW_MVE_ROW_OUTS * EW_MVE_CHUNK;
        ew_row_call__mve(&job, vectors, out->way);
        for (int32_t o = 0; o < outs % EW_MVE_ROW_OUTS; ++o) {
            y[blocks * EW_MVE_ROW_OUTS + o] = rest[o];
        }
    }
}

#endif
#endif
