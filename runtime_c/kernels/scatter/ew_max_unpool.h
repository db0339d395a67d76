/* Elements put back where a maximum pooling found them, for any element type: MaxUnpool. */
#ifndef EW_MAX_UNPOOL_H
#define EW_MAX_UNPOOL_H

#include "ew_base.h"

#include <string.h>

typedef struct {
    int32_t count; /* elements of x, and indices */
    int32_t out;   /* elements of y */
    int32_t element_bytes;
} ew_max_unpool_params;

/* y = zeros, and then y[indices[i]] = x[i], one after the other; an index outside y puts nothing. Buffers do not
 * overlap. */
EW_KERNEL void ew_max_unpool(const void *restrict x, const int64_t *restrict indices, void *restrict y,
                             const ew_max_unpool_params *p)
{
    memset(y, 0, (size_t)p->out * (size_t)p->element_bytes);
    for (int32_t i = 0; i < p->count; ++i) {
        if (indices[i] >= 0 && indices[i] < p->out) {
            memcpy((unsigned char *)y + (int32_t)indices[i] * p->element_bytes,
                   (const unsigned char *)x + i * p->element_bytes, (size_t)p->element_bytes);
        }
    }
}

#endif
