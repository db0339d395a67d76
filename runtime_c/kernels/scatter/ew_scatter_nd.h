/* Blocks written where tuples of indices say, over a copy of x: ScatterND. */
#ifndef EW_SCATTER_ND_H
#define EW_SCATTER_ND_H

#include "ew_base.h"
#include "ew_elements.h"
#include "ew_float.h"
#include "ew_scatter.h"

#include <string.h>

typedef struct {
    int32_t bytes;                /* of x and of y */
    int32_t tuples;               /* of indices; >= 1 */
    int32_t depth;                /* numbers a tuple; 1..EW_MAX_RANK */
    int32_t sizes[EW_MAX_RANK];   /* of the dimensions that a tuple indexes */
    int32_t strides[EW_MAX_RANK]; /* of these, in bytes */
    int32_t block_bytes;          /* of an update; >= 1 */
    int32_t index_type;           /* ew_element_type; an integer */
    int32_t reduction;            /* ew_scatter_reduction */
    int32_t type;                 /* ew_element_type of x where there is a reduction: see ew_scatter_block */
} ew_scatter_nd_params;

/* y = x, and then, one tuple after the other, y[indices[tuple]] is updated by updates[tuple]. A negative index counts
 * from the end; a tuple with an index outside its dimension updates nothing. y may be x, and otherwise does not overlap
 * it. */
EW_KERNEL void ew_scatter_nd(const void *x, const void *restrict indices, const void *restrict updates, void *y,
                             const ew_scatter_nd_params *p)
{
    if (x != y) {
        memcpy(y, x, (size_t)p->bytes);
    }
    for (int32_t tuple = 0; tuple < p->tuples; ++tuple) {
        int32_t offset = 0;
        int32_t inside = 1;
        EW_UNROLL
        for (int32_t axis = 0; axis < p->depth; ++axis) {
            const int32_t index = ew_load_index(p->index_type, indices, tuple * p->depth + axis);
            const int32_t position = ew_index_position(index, p->sizes[axis]);
            inside = inside && position >= 0;
            offset += inside ? position * p->strides[axis] : 0;
        }
        if (inside) {
            ew_scatter_block(p->reduction, p->type, updates, tuple * p->block_bytes, y, offset, p->block_bytes);
        }
    }
}

#endif
