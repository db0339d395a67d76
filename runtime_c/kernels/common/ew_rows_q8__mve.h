/* Rows of int8 dot products with packed weights, for MVE: what convolution and fully connected layers share.
 *
 * Two rows are taken at a time, four outputs of each: eight sums, in the eight even core registers that VMLADAVA can
 * add to. Rows of up to 64 elements stay in vector registers while the weights stream by; longer ones are loaded again
 * for every four outputs, 14 instructions for 8 times 16 products.
 *
 * Weight stream, made at generation (generator/kernels/mve_common.py), 16-byte aligned; outs are padded to a multiple
 * of 4 and count to one of 16, with zeros:
 *     [outs / 4] of { int32 bias[4]; int8 w[count / 16][4][16]; float scale[4]; }
 * bias[o] has the zero point of x folded in: bias[o] - x_zero * sum over i of w[o][i]. Sums fit int32. */
#ifndef EW_ROWS_Q8__MVE_H
#define EW_ROWS_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"

#if defined(__ARM_FEATURE_MVE)

#define EW_MVE_ROWS_OUTS 4
#define EW_MVE_CHUNK 16    /* elements of a vector */
#define EW_MVE_ROWS_HELD 4 /* most vectors of a row that stay in registers */

/* What the assembly reads, at fixed offsets; x, y and rows change. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t x_step, y_step; /* bytes from row to row */
    int32_t rows;           /* >= 1 */
    const void *w;
    int32_t tail;      /* bytes of a row's last vector, 1..16 */
    const void *w_end; /* where the stream of these outputs ends */
    float round;       /* ew_mve_round */
    int32_t zero;
    int32_t lanes;        /* outputs of the last four: the variants for fewer than four take one block */
    int32_t loop_bytes;   /* of a row before its last vector */
    int32_t lo[4], hi[4]; /* EW_MVE_ANY only */
} ew_rows_job__mve;

_Static_assert(offsetof(ew_rows_job__mve, rows) == 16 && offsetof(ew_rows_job__mve, zero) == 36 &&
                   offsetof(ew_rows_job__mve, lanes) == 40 && offsetof(ew_rows_job__mve, lo) == 48 &&
                   offsetof(ew_rows_job__mve, hi) == 64,
               "the assembly has these offsets");

/* clang-format off */
/* Assembly is written in phrases, each with the separator at its end. Frame of the functions: 0 w_end, 4 round, 8 zero,
 * 12 x0, 16 x1, 20 where the loop over x0 ends, 88 job. */
#define EW_MVE_ROWS_ENTER                                  \
    "push {r0, r4-r11, lr}; vpush {d8-d15}; sub sp, #24; " \
    "ldrd r2, r3, [r0, #28]; strd r2, r3, [sp]; ldr r2, [r0, #36]; str r2, [sp, #8]; "

/* The next two rows: r7, r9 are x, r3, r5 are y (the same row twice where one is left), r1 the weights. */
#define EW_MVE_ROWS_NEXT                                                   \
    "1: ldr r11, [sp, #88]; ldrd r7, r3, [r11]; ldrd r9, r5, [r11, #8]; "  \
    "add r2, r7, r9, lsl #1; add r4, r3, r5, lsl #1; strd r2, r4, [r11]; " \
    "ldr r0, [r11, #16]; subs r0, #2; str r0, [r11, #16]; "                \
    "itete ge; addge r9, r7; movlt r9, r7; addge r5, r3; movlt r5, r3; "   \
    "ldr r1, [r11, #20]; ldr r2, [r11, #24]; vctp.8 r2; "
#define EW_MVE_ROWS_LEAVE                                          \
    "ldr r11, [sp, #88]; ldr r0, [r11, #16]; cmp r0, #0; bgt 1b; " \
    "add sp, #24; vpop {d8-d15}; pop {r0, r4-r11, pc}; "
#define EW_MVE_BIAS "ldm r1, {r0, r2, r4, r6}; ldm r1!, {r8, r10, r12, lr}; "

/* A vector of both rows times those of four outputs. Loads stand between products: the two overlap. */
#define EW_MVE_MAC(acc, x, w) "vmladava.s8 " acc ", " x ", " w "; "
#define EW_MVE_WEIGHTS(q) "vldrw.u32 " q ", [r1], #16; "
#define EW_MVE_TIMES_4(x0, x1, wa, wb)                                    \
    EW_MVE_WEIGHTS(wa) EW_MVE_MAC("r0", x0, wa) EW_MVE_MAC("r8", x1, wa)  \
    EW_MVE_WEIGHTS(wb) EW_MVE_MAC("r2", x0, wb) EW_MVE_MAC("r10", x1, wb) \
    EW_MVE_WEIGHTS(wa) EW_MVE_MAC("r4", x0, wa) EW_MVE_MAC("r12", x1, wa) \
    EW_MVE_WEIGHTS(wb) EW_MVE_MAC("r6", x0, wb) EW_MVE_MAC("lr", x1, wb)

/* Rows in registers: what is loaded once for two rows, and the products of four outputs. The last vector is loaded as
 * far as the row goes: behind it may be the end of x. */
#define EW_MVE_LOAD(q, from) "vldrb.8 " q ", [" from "], #16; "
#define EW_MVE_LOAD_LAST(q0, q1) "vpstt; vldrbt.8 " q0 ", [r7]; vldrbt.8 " q1 ", [r9]; "
#define EW_MVE_LOADS_1 EW_MVE_LOAD_LAST("q0", "q3")
#define EW_MVE_LOADS_2 EW_MVE_LOAD("q0", "r7") EW_MVE_LOAD("q3", "r9") EW_MVE_LOAD_LAST("q1", "q4")
#define EW_MVE_LOADS_3                                                                              \
    EW_MVE_LOAD("q0", "r7") EW_MVE_LOAD("q3", "r9") EW_MVE_LOAD("q1", "r7") EW_MVE_LOAD("q4", "r9") \
    EW_MVE_LOAD_LAST("q2", "q5")
#define EW_MVE_PRODUCTS_1 EW_MVE_TIMES_4("q0", "q3", "q6", "q7")
#define EW_MVE_PRODUCTS_2 EW_MVE_PRODUCTS_1 EW_MVE_TIMES_4("q1", "q4", "q6", "q7")
#define EW_MVE_PRODUCTS_3 EW_MVE_PRODUCTS_2 EW_MVE_TIMES_4("q2", "q5", "q6", "q7")
/* Four vectors: the first two of the first row do not fit, and are loaded for every four outputs. */
#define EW_MVE_LOADS_4                                                      \
    EW_MVE_LOAD("q2", "r9") EW_MVE_LOAD("q3", "r9") EW_MVE_LOAD("q4", "r9") \
    "vldrb.8 q0, [r7, #32]; adds r7, #48; " EW_MVE_LOAD_LAST("q1", "q5") "subs r7, #48; "
#define EW_MVE_PRODUCTS_4                                            \
    "vldrb.8 q7, [r7]; " EW_MVE_TIMES_4("q7", "q2", "q6", "q6")      \
    "vldrb.8 q7, [r7, #16]; " EW_MVE_TIMES_4("q7", "q3", "q6", "q6") \
    EW_MVE_TIMES_4("q0", "q4", "q6", "q7") EW_MVE_TIMES_4("q1", "q5", "q6", "q7")

/* Longer rows: all vectors but the last in a loop of two; the first one before it where they are odd. */
#define EW_MVE_LOADS_N "ldr r2, [r11, #44]; add r2, r7; strd r7, r9, [sp, #12]; str r2, [sp, #20]; "
#define EW_MVE_LOADS_ODD EW_MVE_LOADS_N
#define EW_MVE_LOADS_EVEN EW_MVE_LOADS_N
#define EW_MVE_PRODUCTS_1_OF_N                                                      \
    EW_MVE_LOAD("q0", "r7") EW_MVE_WEIGHTS("q6") EW_MVE_MAC("r0", "q0", "q6")       \
    EW_MVE_LOAD("q1", "r9") EW_MVE_MAC("r8", "q1", "q6")                            \
    EW_MVE_WEIGHTS("q7") EW_MVE_MAC("r2", "q0", "q7") EW_MVE_MAC("r10", "q1", "q7") \
    EW_MVE_WEIGHTS("q6") EW_MVE_MAC("r4", "q0", "q6") EW_MVE_MAC("r12", "q1", "q6") \
    EW_MVE_WEIGHTS("q7") EW_MVE_MAC("r6", "q0", "q7") EW_MVE_MAC("lr", "q1", "q7")
#define EW_MVE_PRODUCTS_LOOP                                                    \
    "3: " EW_MVE_PRODUCTS_1_OF_N EW_MVE_PRODUCTS_1_OF_N "cmp r7, r11; bne 3b; " \
    EW_MVE_LOAD_LAST("q0", "q1") EW_MVE_TIMES_4("q0", "q1", "q6", "q7")
#define EW_MVE_PRODUCTS_EVEN "ldrd r7, r9, [sp, #12]; ldr r11, [sp, #20]; " EW_MVE_PRODUCTS_LOOP
#define EW_MVE_PRODUCTS_ODD "ldrd r7, r9, [sp, #12]; ldr r11, [sp, #20]; " EW_MVE_PRODUCTS_1_OF_N EW_MVE_PRODUCTS_LOOP

/* Four sums of one row to outputs; q7 is the scale, `free` one of the sums' registers. */
#define EW_MVE_GATHER(a0, a1, a2, a3)                                        \
    "vmov q6[2], q6[0], " a0 ", " a2 "; vmov q6[3], q6[1], " a1 ", " a3 "; " \
    "vcvt.f32.s32 q6, q6; vmul.f32 q6, q6, q7; "
#define EW_MVE_STORE_4(y, free) "vstrb.32 q6, [" y "], #4; "
#define EW_MVE_STORE_FEWER(y, free) \
    "ldr " free ", [sp, #88]; ldr " free ", [" free ", #40]; vctp.32 " free "; vpst; vstrbt.32 q6, [" y "]; "

#define EW_MVE_CONSTANTS_FAST "ldrd r11, r9, [sp]; "
#define EW_MVE_REQUANTIZE_FAST(a0, a1, a2, a3, y, store) \
    EW_MVE_GATHER(a0, a1, a2, a3) "vadd.f32 q6, q6, r9; vqmovnb.s16 q6, q6; " store(y, a0)
#define EW_MVE_NEXT_FAST "cmp r1, r11; bne 2b; "

#define EW_MVE_CONSTANTS_ODD "ldrd r9, r11, [sp, #4]; "
#define EW_MVE_REQUANTIZE_ODD(a0, a1, a2, a3, y, store) \
    EW_MVE_GATHER(a0, a1, a2, a3) "vadd.f32 q6, q6, r9; vadd.i16 q6, q6, r11; vqmovnb.s16 q6, q6; " store(y, a0)
#define EW_MVE_NEXT_ODD "ldr r0, [sp]; cmp r1, r0; bne 2b; "

#define EW_MVE_CONSTANTS_ANY "ldr r11, [sp]; "
#define EW_MVE_REQUANTIZE_ANY(a0, a1, a2, a3, y, store)                                                    \
    EW_MVE_GATHER(a0, a1, a2, a3)                                                                          \
    "vcvtn.s32.f32 q6, q6; ldr " a0 ", [sp, #8]; vqadd.s32 q6, q6, " a0 "; ldr " a0 ", [sp, #88]; "        \
    "vldrw.u32 q7, [" a0 ", #48]; vmax.s32 q6, q6, q7; vldrw.u32 q7, [" a0 ", #64]; vmin.s32 q6, q6, q7; " \
    "vldrw.u32 q7, [r1, #-16]; " store(y, a0)
#define EW_MVE_NEXT_ANY EW_MVE_NEXT_FAST

/* ew_rows_N_WAY(job): all outputs of all rows; ew_rows_N_WAY_tail(job): the last one to three outputs. N: vectors of a
 * row. */
#define EW_MVE_ROWS_FUNCTION(name, n, loads_constants, block_constants, requantize, next, store) \
    EW_MVE_NAKED void name(ew_rows_job__mve *job __attribute__((unused)))                        \
    {                                                                                            \
        __asm__ volatile(EW_MVE_ROWS_ENTER EW_MVE_ROWS_NEXT n(LOADS) loads_constants             \
                         "2: " EW_MVE_BIAS n(PRODUCTS) EW_MVE_WEIGHTS("q7") block_constants      \
                         requantize("r0", "r2", "r4", "r6", "r3", store)                         \
                         requantize("r8", "r10", "r12", "lr", "r5", store)                       \
                         next EW_MVE_ROWS_LEAVE);                                                \
    }
#define EW_MVE_N1(what) EW_MVE_##what##_1
#define EW_MVE_N2(what) EW_MVE_##what##_2
#define EW_MVE_N3(what) EW_MVE_##what##_3
#define EW_MVE_N4(what) EW_MVE_##what##_4
#define EW_MVE_NODD(what) EW_MVE_##what##_ODD
#define EW_MVE_NEVEN(what) EW_MVE_##what##_EVEN
/* clang-format on */

#define EW_MVE_ROWS_WAYS(name, n, outside, inside)                                                                   \
    EW_MVE_ROWS_FUNCTION(name##_fast, n, outside(FAST), inside(FAST), EW_MVE_REQUANTIZE_FAST, EW_MVE_NEXT_FAST,      \
                         EW_MVE_STORE_4)                                                                             \
    EW_MVE_ROWS_FUNCTION(name##_odd, n, outside(ODD), inside(ODD), EW_MVE_REQUANTIZE_ODD, EW_MVE_NEXT_ODD,           \
                         EW_MVE_STORE_4)                                                                             \
    EW_MVE_ROWS_FUNCTION(name##_any, n, outside(ANY), inside(ANY), EW_MVE_REQUANTIZE_ANY, EW_MVE_NEXT_ANY,           \
                         EW_MVE_STORE_4)                                                                             \
    EW_MVE_ROWS_FUNCTION(name##_fast_tail, n, outside(FAST), inside(FAST), EW_MVE_REQUANTIZE_FAST, EW_MVE_NEXT_FAST, \
                         EW_MVE_STORE_FEWER)                                                                         \
    EW_MVE_ROWS_FUNCTION(name##_odd_tail, n, outside(ODD), inside(ODD), EW_MVE_REQUANTIZE_ODD, EW_MVE_NEXT_ODD,      \
                         EW_MVE_STORE_FEWER)                                                                         \
    EW_MVE_ROWS_FUNCTION(name##_any_tail, n, outside(ANY), inside(ANY), EW_MVE_REQUANTIZE_ANY, EW_MVE_NEXT_ANY,      \
                         EW_MVE_STORE_FEWER)
#define EW_MVE_CONSTANTS(way) EW_MVE_CONSTANTS_##way
#define EW_MVE_NOTHING(way) ""

EW_MVE_ROWS_WAYS(ew_rows_1__mve, EW_MVE_N1, EW_MVE_CONSTANTS, EW_MVE_NOTHING)
EW_MVE_ROWS_WAYS(ew_rows_2__mve, EW_MVE_N2, EW_MVE_CONSTANTS, EW_MVE_NOTHING)
EW_MVE_ROWS_WAYS(ew_rows_3__mve, EW_MVE_N3, EW_MVE_CONSTANTS, EW_MVE_NOTHING)
EW_MVE_ROWS_WAYS(ew_rows_4__mve, EW_MVE_N4, EW_MVE_CONSTANTS, EW_MVE_NOTHING)
EW_MVE_ROWS_WAYS(ew_rows_odd__mve, EW_MVE_NODD, EW_MVE_NOTHING, EW_MVE_CONSTANTS)
EW_MVE_ROWS_WAYS(ew_rows_even__mve, EW_MVE_NEVEN, EW_MVE_NOTHING, EW_MVE_CONSTANTS)

#define EW_MVE_ROWS_CALL(name, tail, way, job)     \
    do {                                           \
        if (tail) {                                \
            if ((way) == EW_MVE_FAST) {            \
                name##_fast_tail(job);             \
            } else if ((way) == EW_MVE_FAST_ODD) { \
                name##_odd_tail(job);              \
            } else {                               \
                name##_any_tail(job);              \
            }                                      \
        } else if ((way) == EW_MVE_FAST) {         \
            name##_fast(job);                      \
        } else if ((way) == EW_MVE_FAST_ODD) {     \
            name##_odd(job);                       \
        } else {                                   \
            name##_any(job);                       \
        }                                          \
    } while (0)

EW_INLINE void ew_rows_call__mve(ew_rows_job__mve *job, int32_t vectors, int32_t tail, int32_t way)
{
    if (vectors == 1) {
        EW_MVE_ROWS_CALL(ew_rows_1__mve, tail, way, job);
    } else if (vectors == 2) {
        EW_MVE_ROWS_CALL(ew_rows_2__mve, tail, way, job);
    } else if (vectors == 3) {
        EW_MVE_ROWS_CALL(ew_rows_3__mve, tail, way, job);
    } else if (vectors == 4) {
        EW_MVE_ROWS_CALL(ew_rows_4__mve, tail, way, job);
    } else if (vectors % 2 == 0) { /* an odd number before the last one */
        EW_MVE_ROWS_CALL(ew_rows_odd__mve, tail, way, job);
    } else {
        EW_MVE_ROWS_CALL(ew_rows_even__mve, tail, way, job);
    }
}

/* What a job has in every layer. */
EW_INLINE void ew_rows_start__mve(ew_rows_job__mve *job, int32_t count, const ew_mve_output *out)
{
    const int32_t before = (count - 1) / EW_MVE_CHUNK * EW_MVE_CHUNK;
    job->tail = count - before;
    job->loop_bytes = before;
    job->round = ew_mve_round(out);
    job->zero = out->y_zero;
    if (out->way == EW_MVE_ANY) {
        for (int32_t i = 0; i < 4; ++i) {
            job->lo[i] = out->act_min;
            job->hi[i] = out->act_max;
        }
    }
}

/* y[r * y_step + o] of `rows` rows x[r * x_step ...] of `count` elements, o < outs. w: the stream above. count, outs
 * and `out` are literals where the layer is compiled for them. Rows may overlap in x; x and y do not, and may lie at
 * any address. */
EW_INLINE void ew_rows_q8__mve(const int8_t *x, int32_t x_step, int8_t *y, int32_t y_step, int32_t rows, const void *w,
                               int32_t count, int32_t outs, const ew_mve_output *out)
{
    const int32_t vectors = (count + EW_MVE_CHUNK - 1) / EW_MVE_CHUNK;
    const int32_t block_bytes = 32 + vectors * EW_MVE_ROWS_OUTS * EW_MVE_CHUNK;
    const int32_t blocks = outs / EW_MVE_ROWS_OUTS;
    ew_rows_job__mve job;
    ew_rows_start__mve(&job, count, out);
    job.x_step = x_step;
    job.y_step = y_step;
    if (blocks > 0) {
        job.x = x;
        job.y = y;
        job.rows = rows;
        job.w = w;
        job.w_end = (const uint8_t *)w + blocks * block_bytes;
        ew_rows_call__mve(&job, vectors, 0, out->way);
    }
    if (outs % EW_MVE_ROWS_OUTS) {
        job.x = x;
        job.y = y + blocks * EW_MVE_ROWS_OUTS;
        job.rows = rows;
        job.w = (const uint8_t *)w + blocks * block_bytes;
        job.w_end = (const uint8_t *)w + (blocks + 1) * block_bytes;
        job.lanes = outs % EW_MVE_ROWS_OUTS;
        ew_rows_call__mve(&job, vectors, 1, out->way);
    }
}

#endif
#endif
