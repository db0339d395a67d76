/* How the n-dimensional kernels walk an index: last dimension fastest, offsets in the caller's unit. */
#ifndef EW_INDEX_H
#define EW_INDEX_H

#include "ew_base.h"
#include "ew_float.h" /* EW_UNROLL */

/* Steps `index` to the next position in row-major order. Returns 0 after the last one (index is then all zero). Rank 0
 * has one position. */
EW_INLINE int32_t ew_index_next(int32_t rank, const int32_t *dims, int32_t *index)
{
    EW_UNROLL
    for (int32_t axis = rank - 1; axis >= 0; --axis) {
        if (++index[axis] < dims[axis]) {
            return 1;
        }
        index[axis] = 0;
    }
    return 0;
}

/* The offset of `index` in a tensor with these strides. */
EW_INLINE int32_t ew_index_offset(int32_t rank, const int32_t *index, const int32_t *strides)
{
    int32_t offset = 0;
    EW_UNROLL
    for (int32_t axis = 0; axis < rank; ++axis) {
        offset += index[axis] * strides[axis];
    }
    return offset;
}

#endif
