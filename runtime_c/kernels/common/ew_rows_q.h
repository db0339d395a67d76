/* Rows of integer dot products with packed weights: what convolution (over gathered windows) and fully connected layers
 * share, one copy a combination of types in a program.
 *
 * A row has `count` elements; all its `outs` outputs are computed. Two rows are taken at a time, four outputs of each,
 * so that a weight serves two rows and an element four outputs; a single row takes eight outputs. On a core without
 * SIMD that is all that can be saved: 1.75 instructions a product for two rows, and what the loop takes.
 *
 * Weight stream, made at generation: `block` outputs (8 where rows come singly, else 4) interleaved, element by
 * element: [outs / block][count][block]; then what is left over, output by output: [outs % block][count]. EW_QS4 has
 * two of these in a byte, and each output left over starts a byte.
 *
 * `bias` has the zero point of x folded in: bias[o] - x_zero * sum over i of w[o][i].
 * |bias[o]| + (largest |x| of its type) * sum of |w[o]| < 2^31, and 2^-24 <= scale[o] < 32: whoever chooses these
 * kernels has proven it, or asks for `wide`, which takes everything. */
#ifndef EW_ROWS_Q_H
#define EW_ROWS_Q_H

#include "ew_base.h"
#include "ew_float.h" /* EW_UNROLL */
#include "ew_mac_q.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

#define EW_ROWS_Q_BLOCK 4
#define EW_ROW_Q_BLOCK 8
#define EW_ROWS_Q_STEP 4 /* elements a turn of the inner loop */

typedef struct {
    int32_t count, outs;              /* >= 1 */
    int32_t x_zero;                   /* wide only */
    int32_t y_zero, act_min, act_max; /* in the domain of y */
} ew_rows_q_params;

/* Bytes of the stream of `outs` outputs. */
EW_INLINE int32_t ew_rows_q_bytes(int32_t w_type, int32_t block, int32_t count, int32_t outs)
{
    return ew_bytes_q(w_type, count * (outs - outs % block)) + outs % block * ew_bytes_q(w_type, count);
}

/* Two weights of a stream, which advances. */
EW_INLINE void ew_next_pair_q(int32_t type, const void **w, int32_t *first, int32_t *second)
{
    if (type == EW_QS4) {
        const int32_t both = ew_next_q(EW_QS8, w);
        *first = ew_low_half_q(both);
        *second = both >> 4;
    } else {
        *first = ew_next_q(type, w);
        *second = ew_next_q(type, w);
    }
}

/* sum[r][o] += x[r] * w[o] for the next element of each row and its `outs` weights, an even number; x and w advance. */
EW_INLINE void ew_rows_q_step(int32_t sum[2][EW_ROW_Q_BLOCK], int32_t rows, int32_t outs, int32_t x_type,
                              int32_t w_type, const void **x0, const void **x1, const void **w)
{
    const int32_t a = ew_next_q(x_type, x0);
    const int32_t b = rows > 1 ? ew_next_q(x_type, x1) : 0;
    EW_UNROLL
    for (int32_t o = 0; o < outs; o += 2) {
        int32_t first, second;
        if (rows > 1 && w_type != EW_QS4) { /* no register left to load two weights ahead */
            first = ew_next_q(w_type, w);
            EW_MLA(sum[0][o], a, first);
            EW_MLA(sum[1][o], b, first);
            second = ew_next_q(w_type, w);
            EW_MLA(sum[0][o + 1], a, second);
            EW_MLA(sum[1][o + 1], b, second);
        } else {
            ew_next_pair_q(w_type, w, &first, &second);
            EW_MLA(sum[0][o], a, first);
            EW_MLA(sum[0][o + 1], a, second);
            if (rows > 1) {
                EW_MLA(sum[1][o], b, first);
                EW_MLA(sum[1][o + 1], b, second);
            }
        }
    }
}

/* What advances from one tile to the next. */
typedef struct {
    const uint8_t *w;
    const int32_t *bias;
    const float *scale;
    void *y0, *y1;
} ew_rows_q_place;

/* Requantizes and stores `outs` sums of `rows` rows. The loop stays rolled, for its size: on a core without FPU an
 * output takes about 30 instructions, and a product 2. */
EW_INLINE void ew_rows_q_store(int32_t rows, int32_t outs, int32_t y_type, int32_t sum[2][EW_ROW_Q_BLOCK],
                               ew_rows_q_place *at, const ew_rows_q_params *p)
{
    int32_t kept[2 * EW_ROW_Q_BLOCK]; /* in memory, so that `sum` can live in registers */
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        kept[o * rows] = sum[0][o];
        kept[o * rows + rows - 1] = sum[rows - 1][o];
    }
    const int32_t zero = p->y_zero, lo = p->act_min, hi = p->act_max;
    EW_ROLLED
    for (const int32_t *next = kept; next != kept + outs * rows; next += rows) {
        const ew_scale by = ew_usual_scale_of(*at->scale++);
        const int32_t first = ew_requantize_by(next[0], by, zero, lo, hi);
        if (rows > 1) {
            ew_store_q(y_type, at->y1, 0, ew_requantize_by(next[1], by, zero, lo, hi));
            at->y1 = ew_out_at_q(y_type, at->y1, 1);
        }
        ew_store_q(y_type, at->y0, 0, first);
        at->y0 = ew_out_at_q(y_type, at->y0, 1);
    }
}

/* `outs` outputs of `rows` rows. Row 0 ends at `end` and, in whole steps, at `stop`. */
EW_INLINE void ew_rows_q_tile(int32_t rows, int32_t outs, int32_t x_type, int32_t w_type, int32_t y_type,
                              const void *x0, const void *x1, const void *stop, const void *end, ew_rows_q_place *at,
                              const ew_rows_q_params *p)
{
    int32_t sum[2][EW_ROW_Q_BLOCK];
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        sum[0][o] = sum[1][o] = at->bias[o];
    }
    at->bias += outs;
    const void *w = at->w;
    if (outs == 1) {
        for (int32_t i = 0; x0 != end; ++i) {
            const int32_t w_i = ew_load_q(w_type, w, i);
            sum[0][0] += ew_next_q(x_type, &x0) * w_i;
            sum[1][0] += rows > 1 ? ew_next_q(x_type, &x1) * w_i : 0;
        }
        w = (const uint8_t *)w + ew_bytes_q(w_type, p->count);
    } else {
        while (x0 != stop) {
            ew_rows_q_step(sum, rows, outs, x_type, w_type, &x0, &x1, &w);
            ew_rows_q_step(sum, rows, outs, x_type, w_type, &x0, &x1, &w);
            ew_rows_q_step(sum, rows, outs, x_type, w_type, &x0, &x1, &w);
            ew_rows_q_step(sum, rows, outs, x_type, w_type, &x0, &x1, &w);
        }
        while (x0 != end) {
            ew_rows_q_step(sum, rows, outs, x_type, w_type, &x0, &x1, &w);
        }
    }
    at->w = (const uint8_t *)w;
    ew_rows_q_store(rows, outs, y_type, sum, at, p);
}

/* All outputs of `rows` rows, `block` at a time. */
EW_INLINE void ew_rows_q_all(int32_t rows, int32_t block, int32_t x_type, int32_t w_type, int32_t y_type,
                             const void *x0, const void *x1, const void *w, const int32_t *bias, const float *scale,
                             void *y0, void *y1, const ew_rows_q_params *p)
{
    ew_rows_q_place at = {(const uint8_t *)w, bias, scale, y0, y1};
    const void *stop = ew_at_q(x_type, x0, p->count & -EW_ROWS_Q_STEP);
    const void *end = ew_at_q(x_type, x0, p->count);
    for (int32_t left = p->outs / block; left > 0; --left) {
        ew_rows_q_tile(rows, block, x_type, w_type, y_type, x0, x1, stop, end, &at, p);
    }
    for (int32_t left = p->outs % block; left > 0; --left) {
        ew_rows_q_tile(rows, 1, x_type, w_type, y_type, x0, x1, stop, end, &at, p);
    }
}

/* One row with 64-bit sums, four outputs at a time. `bias` has no zero point folded in. */
EW_INLINE void ew_row_wide_q(int32_t x_type, int32_t w_type, int32_t y_type, const void *x, const void *w,
                             const int32_t *bias, const float *scale, void *y, const ew_rows_q_params *p)
{
    for (int32_t o = 0; o < p->outs;) {
        const int32_t outs = o + EW_ROWS_Q_BLOCK <= p->outs ? EW_ROWS_Q_BLOCK : 1;
        int64_t sum[EW_ROWS_Q_BLOCK] = {0};
        if (outs == EW_ROWS_Q_BLOCK) {
            for (int32_t i = 0; i < p->count; ++i) {
                const int64_t x_i = ew_load_q(x_type, x, i) - p->x_zero;
                EW_UNROLL
                for (int32_t j = 0; j < EW_ROWS_Q_BLOCK; ++j) {
                    sum[j] += x_i * ew_load_q(w_type, w, i * EW_ROWS_Q_BLOCK + j);
                }
            }
        } else {
            for (int32_t i = 0; i < p->count; ++i) {
                sum[0] += (int64_t)(ew_load_q(x_type, x, i) - p->x_zero) * ew_load_q(w_type, w, i);
            }
        }
        EW_ROLLED
        for (int32_t j = 0; j < outs; ++j) {
            ew_store_q(y_type, y, o + j,
                       ew_requantize_wide(sum[j] + bias[o + j], scale[o + j], p->y_zero, p->act_min, p->act_max));
        }
        w = (const uint8_t *)w + ew_bytes_q(w_type, p->count * outs);
        o += outs;
    }
}

/* One copy of each in a program, of those it uses. Bytes are bytes: S8 stands for U8 in y. */
#define EW_ROWS_Q(x, w, y, x_type, w_type, y_type)                                                                     \
    EW_SHARED void ew_two_rows_##x##_##w##_##y(const void *x0, const void *x1, const void *weights,                    \
                                               const int32_t *bias, const float *scale, void *y0, void *y1,            \
                                               const ew_rows_q_params *p)                                              \
    {                                                                                                                  \
        ew_rows_q_all(2, EW_ROWS_Q_BLOCK, x_type, w_type, y_type, x0, x1, weights, bias, scale, y0, y1, p);            \
    }                                                                                                                  \
    EW_SHARED void ew_one_row_##x##_##w##_##y(const void *x0, const void *weights, const int32_t *bias,                \
                                              const float *scale, void *y0, const ew_rows_q_params *p)                 \
    {                                                                                                                  \
        ew_rows_q_all(1, EW_ROW_Q_BLOCK, x_type, w_type, y_type, x0, x0, weights, bias, scale, y0, y0, p);             \
    }
#define EW_ROWS_Q_ALL(use)                                                                                             \
    use(s8, s8, s8, EW_QS8, EW_QS8, EW_QS8) use(s8, s8, s16, EW_QS8, EW_QS8, EW_QS16)                                  \
    use(s8, s4, s8, EW_QS8, EW_QS4, EW_QS8) use(s8, s4, s16, EW_QS8, EW_QS4, EW_QS16)                                  \
    use(s8, s16, s8, EW_QS8, EW_QS16, EW_QS8) use(s8, s16, s16, EW_QS8, EW_QS16, EW_QS16)                              \
    use(u8, s8, s8, EW_QU8, EW_QS8, EW_QS8) use(u8, s8, s16, EW_QU8, EW_QS8, EW_QS16)                                  \
    use(u8, s4, s8, EW_QU8, EW_QS4, EW_QS8) use(u8, s4, s16, EW_QU8, EW_QS4, EW_QS16)                                  \
    use(u8, s16, s8, EW_QU8, EW_QS16, EW_QS8) use(u8, s16, s16, EW_QU8, EW_QS16, EW_QS16)                              \
    use(s16, s8, s8, EW_QS16, EW_QS8, EW_QS8) use(s16, s8, s16, EW_QS16, EW_QS8, EW_QS16)                              \
    use(s16, s4, s8, EW_QS16, EW_QS4, EW_QS8) use(s16, s4, s16, EW_QS16, EW_QS4, EW_QS16)                              \
    use(s16, s16, s8, EW_QS16, EW_QS16, EW_QS8) use(s16, s16, s16, EW_QS16, EW_QS16, EW_QS16)

EW_ROWS_Q_ALL(EW_ROWS_Q)

/* Types are literals: one call remains. */
EW_INLINE void ew_two_rows_q(int32_t x_type, int32_t w_type, int32_t y_type, const void *x0, const void *x1,
                             const void *weights, const int32_t *bias, const float *scale, void *y0, void *y1,
                             const ew_rows_q_params *p)
{
    const int32_t y_bytes = y_type == EW_QU8 ? EW_QS8 : y_type;
#define EW_TWO_ROWS_Q(x, w, y, of_x, of_w, of_y)                                                                       \
    if (x_type == of_x && w_type == of_w && y_bytes == of_y) {                                                         \
        ew_two_rows_##x##_##w##_##y(x0, x1, weights, bias, scale, y0, y1, p);                                          \
    }
    EW_ROWS_Q_ALL(EW_TWO_ROWS_Q)
#undef EW_TWO_ROWS_Q
}

EW_INLINE void ew_one_row_q(int32_t x_type, int32_t w_type, int32_t y_type, const void *x0, const void *weights,
                            const int32_t *bias, const float *scale, void *y0, const ew_rows_q_params *p)
{
    const int32_t y_bytes = y_type == EW_QU8 ? EW_QS8 : y_type;
#define EW_ONE_ROW_Q(x, w, y, of_x, of_w, of_y)                                                                        \
    if (x_type == of_x && w_type == of_w && y_bytes == of_y) {                                                         \
        ew_one_row_##x##_##w##_##y(x0, weights, bias, scale, y0, p);                                                   \
    }
    EW_ROWS_Q_ALL(EW_ONE_ROW_Q)
#undef EW_ONE_ROW_Q
}

#endif
