/* Batched matrix multiplication of two integer activations. */
#ifndef EW_MATMUL_Q_H
#define EW_MATMUL_Q_H

#include "ew_base.h"
#include "ew_float.h" /* EW_UNROLL */
#include "ew_index.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

typedef struct {
    int32_t batch_rank;                   /* 0..EW_MAX_RANK; 0: one product */
    int32_t batch_dims[EW_MAX_RANK];      /* >= 1 */
    int32_t a_batch_strides[EW_MAX_RANK]; /* elements; 0: the same matrix for all of this dimension */
    int32_t b_batch_strides[EW_MAX_RANK];
    int32_t m, k, n;                /* >= 1 */
    int32_t a_type, b_type, y_type; /* ew_qtype */
    int32_t wide;                   /* 1: sums of 64 bits */
    int32_t a_zero, b_zero, y_zero;
    float scale;              /* > 0 */
    int32_t act_min, act_max; /* in the domain of y, within its type */
} ew_matmul_q_params;

#define EW_MATMUL_Q_ROWS 2
#define EW_MATMUL_Q_COLUMNS 4

/* `rows` x `columns` outputs; a, b and y at the first of each. */
EW_INLINE void ew_matmul_q_tile(const void *a, const void *b, void *y, const ew_matmul_q_params *p, int32_t rows,
                                int32_t columns)
{
    const ew_scale by = ew_scale_of(p->scale);
    int32_t sum[EW_MATMUL_Q_ROWS][EW_MATMUL_Q_COLUMNS] = {{0}};
    for (int32_t l = 0; l < p->k; ++l) {
        int32_t a_l[EW_MATMUL_Q_ROWS];
        EW_UNROLL
        for (int32_t r = 0; r < rows; ++r) {
            a_l[r] = ew_load_q(p->a_type, a, r * p->k + l) - p->a_zero;
        }
        EW_UNROLL
        for (int32_t c = 0; c < columns; ++c) {
            const int32_t b_l = ew_load_q(p->b_type, b, l * p->n + c) - p->b_zero;
            EW_UNROLL
            for (int32_t r = 0; r < rows; ++r) {
                sum[r][c] += a_l[r] * b_l;
            }
        }
    }
    EW_UNROLL
    for (int32_t r = 0; r < rows; ++r) {
        EW_UNROLL
        for (int32_t c = 0; c < columns; ++c) {
            ew_store_q(p->y_type, y, r * p->n + c,
                       ew_requantize_by(sum[r][c], by, p->y_zero, p->act_min, p->act_max));
        }
    }
}

EW_INLINE void ew_matmul_q_wide(const void *a, const void *b, void *y, const ew_matmul_q_params *p)
{
    int64_t sum = 0;
    for (int32_t l = 0; l < p->k; ++l) {
        sum += (int64_t)(ew_load_q(p->a_type, a, l) - p->a_zero) * (ew_load_q(p->b_type, b, l * p->n) - p->b_zero);
    }
    ew_store_q(p->y_type, y, 0, ew_requantize_wide(sum, p->scale, p->y_zero, p->act_min, p->act_max));
}

/* All columns of `rows` rows. */
EW_INLINE void ew_matmul_q_rows(const void *a, const void *b, void *y, const ew_matmul_q_params *p, int32_t rows)
{
    const int32_t tiled = p->n - p->n % EW_MATMUL_Q_COLUMNS;
    for (int32_t c = 0; c < tiled; c += EW_MATMUL_Q_COLUMNS) {
        ew_matmul_q_tile(a, ew_at_q(p->b_type, b, c), ew_out_at_q(p->y_type, y, c), p, rows, EW_MATMUL_Q_COLUMNS);
    }
    for (int32_t c = tiled; c < p->n; ++c) {
        ew_matmul_q_tile(a, ew_at_q(p->b_type, b, c), ew_out_at_q(p->y_type, y, c), p, rows, 1);
    }
}

EW_INLINE void ew_matmul_q_product(const void *a, const void *b, void *y, const ew_matmul_q_params *p)
{
    if (p->wide) {
        for (int32_t i = 0; i < p->m * p->n; ++i) {
            ew_matmul_q_wide(ew_at_q(p->a_type, a, i / p->n * p->k), ew_at_q(p->b_type, b, i % p->n),
                             ew_out_at_q(p->y_type, y, i), p);
        }
        return;
    }
    const int32_t tiled = p->m - p->m % EW_MATMUL_Q_ROWS;
    for (int32_t r = 0; r < tiled; r += EW_MATMUL_Q_ROWS) {
        ew_matmul_q_rows(ew_at_q(p->a_type, a, r * p->k), b, ew_out_at_q(p->y_type, y, r * p->n), p, EW_MATMUL_Q_ROWS);
    }
    for (int32_t r = tiled; r < p->m; ++r) {
        ew_matmul_q_rows(ew_at_q(p->a_type, a, r * p->k), b, ew_out_at_q(p->y_type, y, r * p->n), p, 1);
    }
}

/* y[batch,i,j] = clamp(rint(float32(sum) * scale) + y_zero), the sum over l of (a[batch,i,l] - a_zero) *
 * (b[batch,l,j] - b_zero). Each a [m][k], each b [k][n], y [batch][m][n] dense. Unless `wide` is set, no sum leaves
 * int32. Buffers do not overlap. */
EW_KERNEL void ew_matmul_q(const void *restrict a, const void *restrict b, void *restrict y,
                           const ew_matmul_q_params *p)
{
    int32_t index[EW_MAX_RANK] = {0};
    do {
        ew_matmul_q_product(ew_at_q(p->a_type, a, ew_index_offset(p->batch_rank, index, p->a_batch_strides)),
                            ew_at_q(p->b_type, b, ew_index_offset(p->batch_rank, index, p->b_batch_strides)), y, p);
        y = ew_out_at_q(p->y_type, y, p->m * p->n);
    } while (ew_index_next(p->batch_rank, p->batch_dims, index));
}

#endif
