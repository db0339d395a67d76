/* Blocks of bytes picked by indices, for any element type: Gather, GatherND. */
#ifndef EW_GATHER_ND_H
#define EW_GATHER_ND_H

#include "ew_base.h"
#include "ew_elements.h"
#include "ew_float.h"

#include <string.h>

typedef struct {
    int32_t batches;               /* >= 1 */
    int32_t batch_bytes;           /* of x */
    int32_t tuples;                /* indices, or tuples of indices, a batch; >= 1 */
    int32_t shared;                /* 1: all batches read the same ones */
    int32_t depth;                 /* numbers a tuple; 1..EW_MAX_RANK */
    int32_t sizes[EW_MAX_RANK];    /* of the dimensions that a tuple indexes, in x */
    int32_t strides[EW_MAX_RANK];  /* of these, in bytes */
    int32_t block_bytes;           /* what a tuple picks; >= 1 */
    int32_t index_type;            /* ew_element_type; an integer */
} ew_gather_nd_params;

/* y[batch, tuple] = x[batch, indices[batch, tuple]], a block each. A negative index counts from the end; one that is
 * outside the dimension picks the nearest element. Buffers do not overlap. */
EW_KERNEL void ew_gather_nd(const void *restrict x, const void *restrict indices, void *restrict y,
                            const ew_gather_nd_params *p)
{
    const unsigned char *x_batch = (const unsigned char *)x;
    unsigned char *y_block = (unsigned char *)y;
    for (int32_t batch = 0; batch < p->batches; ++batch) {
        int32_t at = p->shared ? 0 : batch * p->tuples * p->depth;
        for (int32_t tuple = 0; tuple < p->tuples; ++tuple) {
            int32_t offset = 0;
            EW_UNROLL
            for (int32_t axis = 0; axis < p->depth; ++axis) {
                const int32_t index = ew_load_index(p->index_type, indices, at + axis);
                offset += ew_index_nearest(index, p->sizes[axis]) * p->strides[axis];
            }
            memcpy(y_block, x_batch + offset, (size_t)p->block_bytes);
            y_block += p->block_bytes;
            at += p->depth;
        }
        x_batch += p->batch_bytes;
    }
}

#endif
