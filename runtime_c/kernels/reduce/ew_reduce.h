/* Reductions over any set of dimensions: parameters and the loops that all of them share. */
#ifndef EW_REDUCE_H
#define EW_REDUCE_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_index.h"

/* Strides are in elements of x. y is dense, in row-major order of outer_dims. All dims >= 1. */
typedef struct {
    int32_t outer_rank; /* 0..EW_MAX_RANK; 0: one result */
    int32_t outer_dims[EW_MAX_RANK];
    int32_t outer_strides[EW_MAX_RANK];
    int32_t reduce_rank; /* 1..EW_MAX_RANK */
    int32_t reduce_dims[EW_MAX_RANK];
    int32_t reduce_strides[EW_MAX_RANK];
} ew_reduce_params;

/* How many elements come to one. */
EW_INLINE int32_t ew_reduce_count(const ew_reduce_params *p)
{
    int32_t count = 1;
    EW_UNROLL
    for (int32_t axis = 0; axis < p->reduce_rank; ++axis) {
        count *= p->reduce_dims[axis];
    }
    return count;
}

/* An inline function ew_NAME_fold(x, p, aside): `first`, and then by join() of blocks of at most EW_SUM_BLOCK elements,
 * each by step(part, element, aside) from `first` on. A is the type of the totals, B that of `aside`. */
#define EW_REDUCE_FOLD(name, X, A, B, first, step, join)                                                     \
    EW_INLINE A ew_##name##_fold(const X *x, const ew_reduce_params *p, B aside)                             \
    {                                                                                                        \
        const int32_t last = p->reduce_rank - 1;                                                             \
        const int32_t stride = p->reduce_strides[last];                                                      \
        A total = first;                                                                                     \
        int32_t inner[EW_MAX_RANK] = {0};                                                                    \
        (void)aside;                                                                                         \
        do {                                                                                                 \
            const X *row = x + ew_index_offset(last, inner, p->reduce_strides);                              \
            for (int32_t from = 0; from < p->reduce_dims[last]; from += EW_SUM_BLOCK) {                      \
                const int32_t left = p->reduce_dims[last] - from;                                            \
                const int32_t to = from + (left < EW_SUM_BLOCK ? left : EW_SUM_BLOCK);                       \
                A part = first;                                                                              \
                for (int32_t i = from; i < to; ++i) {                                                        \
                    part = step(part, row[i * stride], aside);                                               \
                }                                                                                            \
                total = join(total, part);                                                                   \
            }                                                                                                \
        } while (ew_index_next(last, p->reduce_dims, inner));                                                \
        return total;                                                                                        \
    }

/* The kernel: y[outer] = result(x[outer, ...], p). Buffers do not overlap. */
#define EW_REDUCE_KERNEL(name, X, result)                                                                    \
    EW_KERNEL void ew_##name(const X *restrict x, X *restrict y, const ew_reduce_params *p)                  \
    {                                                                                                        \
        int32_t outer[EW_MAX_RANK] = {0};                                                                    \
        do {                                                                                                 \
            *y++ = result(x + ew_index_offset(p->outer_rank, outer, p->outer_strides), p);                   \
        } while (ew_index_next(p->outer_rank, p->outer_dims, outer));                                        \
    }

#endif
