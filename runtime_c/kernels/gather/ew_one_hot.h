/* Rows of one "on" among "off" values, for any element type. */
#ifndef EW_ONE_HOT_H
#define EW_ONE_HOT_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef struct {
    int32_t outer, depth, inner; /* >= 1; y is [outer][depth][inner], the indices [outer][inner] */
    int32_t element_bytes;
    int32_t index_type; /* ew_element_type */
} ew_one_hot_params;

/* y[o, d, i] = values[1] where d is indices[o, i], else values[0]. A negative index counts from the end; where it is
 * outside [-depth, depth), all are values[0]. Buffers do not overlap. */
EW_KERNEL void ew_one_hot(const void *restrict indices, const void *restrict values, void *restrict y,
                          const ew_one_hot_params *p)
{
    const unsigned char *off = (const unsigned char *)values;
    unsigned char *element = (unsigned char *)y;
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t d = 0; d < p->depth; ++d) {
            for (int32_t i = 0; i < p->inner; ++i) {
                const int32_t index = ew_load_index(p->index_type, indices, o * p->inner + i);
                const int32_t on = ew_index_position(index, p->depth) == d ? p->element_bytes : 0;
                memcpy(element, off + on, (size_t)p->element_bytes);
                element += p->element_bytes;
            }
        }
    }
}

#endif
