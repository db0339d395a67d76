/* Batched matrix multiplication of two activations, float32. */
#ifndef EW_MATMUL_F32_H
#define EW_MATMUL_F32_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_tile_f32.h"

typedef struct {
    int32_t batch_rank;                   /* 0..EW_MAX_RANK; 0: one product */
    int32_t batch_dims[EW_MAX_RANK];      /* >= 1 */
    int32_t a_batch_strides[EW_MAX_RANK]; /* elements; 0: the same matrix for all of this dimension */
    int32_t b_batch_strides[EW_MAX_RANK];
    int32_t m, k, n; /* >= 1 */
} ew_matmul_f32_params;

/* y[batch,i,j] = sum over l of a[batch,i,l] * b[batch,l,j].
 * Each a [m][k], each b [k][n], y [batch][m][n] dense. Buffers do not overlap. */
EW_KERNEL void ew_matmul_f32(const float *restrict a, const float *restrict b, float *restrict y,
                             const ew_matmul_f32_params *p)
{
    const ew_product_f32_params product = {.rows = p->m,
                                           .outs = p->n,
                                           .count = p->k,
                                           .x_row = p->k,
                                           .x_step = 1,
                                           .w_out = 1,
                                           .w_step = p->n,
                                           .act_min = -INFINITY,
                                           .act_max = INFINITY};
    int32_t index[EW_MAX_RANK] = {0};
    do {
        ew_product_f32(a + ew_index_offset(p->batch_rank, index, p->a_batch_strides),
                       b + ew_index_offset(p->batch_rank, index, p->b_batch_strides), NULL, y, &product);
        y += p->m * p->n;
    } while (ew_index_next(p->batch_rank, p->batch_dims, index));
}

#endif
