/* Batched matrix multiplication by simple loops, of types other than float32: ew_plain_matmul_SUFFIX. */
#ifndef EW_PLAIN_MATMUL_H
#define EW_PLAIN_MATMUL_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_types.h"

typedef struct {
    int32_t batch_rank;                   /* 0..EW_MAX_RANK; 0: one product */
    int32_t batch_dims[EW_MAX_RANK];      /* >= 1 */
    int32_t a_batch_strides[EW_MAX_RANK]; /* elements; 0: the same matrix for all of this dimension */
    int32_t b_batch_strides[EW_MAX_RANK];
    int32_t m, k, n; /* >= 1 */
} ew_plain_matmul_params;

/* y[batch,i,j] = sum over l of a[batch,i,l] * b[batch,l,j], the sum in type A. Integers wrap around.
 * Each a [m][k], each b [k][n], y [batch][m][n] dense. Buffers do not overlap. */
#define EW_PLAIN_MATMUL(S, T, A, LOAD, STORE)                                                                          \
    EW_KERNEL void ew_plain_matmul_##S(const T *restrict a, const T *restrict b, T *restrict y,                        \
                                       const ew_plain_matmul_params *p)                                                \
    {                                                                                                                  \
        int32_t index[EW_MAX_RANK] = {0};                                                                              \
        do {                                                                                                           \
            const T *left = a + ew_index_offset(p->batch_rank, index, p->a_batch_strides);                             \
            const T *right = b + ew_index_offset(p->batch_rank, index, p->b_batch_strides);                            \
            for (int32_t i = 0; i < p->m; ++i) {                                                                       \
                for (int32_t j = 0; j < p->n; ++j) {                                                                   \
                    A sum = 0;                                                                                         \
                    for (int32_t l = 0; l < p->k; ++l) {                                                               \
                        sum += LOAD(left[i * p->k + l]) * LOAD(right[l * p->n + j]);                                   \
                    }                                                                                                  \
                    y[i * p->n + j] = STORE(sum);                                                                      \
                }                                                                                                      \
            }                                                                                                          \
            y += p->m * p->n;                                                                                          \
        } while (ew_index_next(p->batch_rank, p->batch_dims, index));                                                  \
    }
#define EW_PLAIN_MATMUL_INTEGER(S, T, U) EW_PLAIN_MATMUL(S, T, U, (U), (T))

EW_WIDE_TYPES(EW_PLAIN_MATMUL_INTEGER)
EW_PLAIN_MATMUL(f64, double, double, , )
EW_PLAIN_MATMUL(f16, uint16_t, float, ew_half_to_float, ew_float_to_half)

#endif
