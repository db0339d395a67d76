/* Elements written one by one along an axis, over a copy of x: ScatterElements. */
#ifndef EW_SCATTER_ELEMENTS_H
#define EW_SCATTER_ELEMENTS_H

#include "ew_base.h"
#include "ew_elements.h"
#include "ew_index.h"
#include "ew_scatter.h"

#include <string.h>

/* Strides are in elements of y. */
typedef struct {
    int32_t elements;               /* of x and of y */
    int32_t rank;                   /* of the indices; 0..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK];      /* of the indices and of the updates; >= 1 */
    int32_t y_strides[EW_MAX_RANK]; /* 0 for the axis */
    int32_t size, stride;           /* of the axis in y */
    int32_t element_bytes;
    int32_t index_type; /* ew_element_type; an integer */
    int32_t reduction;  /* ew_scatter_reduction */
    int32_t type;       /* ew_element_type of x where there is a reduction: see ew_scatter_block */
} ew_scatter_elements_params;

/* y = x, and then, in row-major order, y[i, indices[i, j, k], k] is updated by updates[i, j, k] for the middle axis, and
 * likewise for others. A negative index counts from the end; one that is outside the axis updates nothing. y may be x,
 * and otherwise does not overlap it. */
EW_KERNEL void ew_scatter_elements(const void *x, const void *restrict indices, const void *restrict updates, void *y,
                                   const ew_scatter_elements_params *p)
{
    if (x != y) {
        memcpy(y, x, (size_t)p->elements * (size_t)p->element_bytes);
    }
    int32_t index[EW_MAX_RANK] = {0};
    int32_t at = 0;
    do {
        const int32_t position = ew_index_position(ew_load_index(p->index_type, indices, at), p->size);
        if (position >= 0) {
            const int32_t target = ew_index_offset(p->rank, index, p->y_strides) + position * p->stride;
            ew_scatter_block(p->reduction, p->type, updates, at * p->element_bytes, y, target * p->element_bytes,
                             p->element_bytes);
        }
        ++at;
    } while (ew_index_next(p->rank, p->dims, index));
}

#endif
