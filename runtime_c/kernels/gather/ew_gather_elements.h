/* Elements picked one by one along an axis, for any element type: GatherElements. */
#ifndef EW_GATHER_ELEMENTS_H
#define EW_GATHER_ELEMENTS_H

#include "ew_base.h"
#include "ew_elements.h"
#include "ew_index.h"

#include <string.h>

/* Strides are in elements of x. */
typedef struct {
    int32_t rank;                   /* of the indices; 0..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK];      /* of the indices and of y; >= 1 */
    int32_t x_strides[EW_MAX_RANK]; /* 0 for the axis */
    int32_t size, stride;           /* of the axis in x */
    int32_t element_bytes;
    int32_t index_type; /* ew_element_type; an integer */
} ew_gather_elements_params;

/* y[i, j, k] = x[i, indices[i, j, k], k] for the middle axis, and likewise for others. A negative index counts from the
 * end; one that is outside the axis picks the nearest element. Buffers do not overlap. */
EW_KERNEL void ew_gather_elements(const void *restrict x, const void *restrict indices, void *restrict y,
                                  const ew_gather_elements_params *p)
{
    int32_t index[EW_MAX_RANK] = {0};
    int32_t at = 0;
    do {
        const int32_t position = ew_index_nearest(ew_load_index(p->index_type, indices, at), p->size);
        const int32_t source = ew_index_offset(p->rank, index, p->x_strides) + position * p->stride;
        memcpy((unsigned char *)y + at * p->element_bytes, (const unsigned char *)x + source * p->element_bytes,
               (size_t)p->element_bytes);
        ++at;
    } while (ew_index_next(p->rank, p->dims, index));
}

#endif
