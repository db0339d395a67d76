/* Mean over any set of dimensions, float32. */
#ifndef EW_REDUCE_MEAN_F32_H
#define EW_REDUCE_MEAN_F32_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_index.h"

/* Strides are in elements of x. y is dense, in row-major order of outer_dims. */
typedef struct {
    int32_t outer_rank; /* 0..EW_MAX_RANK; 0: one result */
    int32_t outer_dims[EW_MAX_RANK];
    int32_t outer_strides[EW_MAX_RANK];
    int32_t reduce_rank; /* 1..EW_MAX_RANK */
    int32_t reduce_dims[EW_MAX_RANK];
    int32_t reduce_strides[EW_MAX_RANK];
} ew_reduce_mean_f32_params;

/* y[outer] = (sum of x[outer, reduced]) / number of reduced elements, summed in float32. All dims >= 1. Buffers do not
 * overlap. */
EW_KERNEL void ew_reduce_mean_f32(const float *restrict x, float *restrict y, const ew_reduce_mean_f32_params *p)
{
    const int32_t last = p->reduce_rank - 1;
    const int32_t step = p->reduce_strides[last];
    int32_t reduced = 1;
    EW_UNROLL
    for (int32_t axis = 0; axis < p->reduce_rank; ++axis) {
        reduced *= p->reduce_dims[axis];
    }
    int32_t outer[EW_MAX_RANK] = {0};
    do {
        const float *x_outer = x + ew_index_offset(p->outer_rank, outer, p->outer_strides);
        float sum = 0.0f;
        int32_t inner[EW_MAX_RANK] = {0};
        do {
            const float *row = x_outer + ew_index_offset(last, inner, p->reduce_strides);
            for (int32_t from = 0; from < p->reduce_dims[last]; from += EW_SUM_BLOCK) {
                const int32_t left = p->reduce_dims[last] - from;
                const int32_t to = from + (left < EW_SUM_BLOCK ? left : EW_SUM_BLOCK);
                float part = 0.0f;
                for (int32_t i = from; i < to; ++i) {
                    part += row[i * step];
                }
                sum += part;
            }
        } while (ew_index_next(last, p->reduce_dims, inner));
        *y++ = sum / (float)reduced;
    } while (ew_index_next(p->outer_rank, p->outer_dims, outer));
}

#endif
