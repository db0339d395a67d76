/* Elements put back where indices say, zeros elsewhere: MaxUnpool. */
#ifndef EW_UNPOOL_H
#define EW_UNPOOL_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef struct {
    int32_t count;         /* elements of x; >= 1 */
    int32_t size;          /* elements of y; >= 1 */
    int32_t element_bytes; /* of both */
    int32_t index_type;    /* ew_element_type; an integer */
} ew_unpool_params;

/* y[indices[i]] = x[i], one after the other, and 0 elsewhere; an index outside y is left out. Buffers do not overlap. */
EW_KERNEL void ew_unpool(const void *restrict x, const void *restrict indices, void *restrict y,
                         const ew_unpool_params *p)
{
    memset(y, 0, (size_t)p->size * (size_t)p->element_bytes);
    for (int32_t i = 0; i < p->count; ++i) {
        const int32_t at = ew_load_index(p->index_type, indices, i);
        if (at >= 0 && at < p->size) {
            memcpy((unsigned char *)y + at * p->element_bytes, (const unsigned char *)x + i * p->element_bytes,
                   (size_t)p->element_bytes);
        }
    }
}

#endif
