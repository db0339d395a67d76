/* Rows written at a place that is given for each item of a batch, over a copy of x: a cache of keys or values. */
#ifndef EW_TENSOR_SCATTER_H
#define EW_TENSOR_SCATTER_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef struct {
    int32_t bytes;       /* of x and of y */
    int32_t batch, outer; /* items, and dimensions between them and the axis; >= 1 */
    int32_t size, count; /* of the axis in x and in the update; count <= size */
    int32_t row_bytes;   /* behind the axis */
    int32_t index_type;  /* ew_element_type; an integer */
    int32_t circular;    /* 1: the place behind the last is the first */
} ew_tensor_scatter_params;

/* y = x, and then y[b, o, indices[b] + i] = updates[b, o, i] for i < count, with indices NULL for 0. A place outside the
 * axis is taken modulo its size where `circular`; else nothing is written there. y may be x, and otherwise does not
 * overlap it. */
EW_KERNEL void ew_tensor_scatter(const void *x, const void *restrict updates, const void *restrict indices, void *y,
                                 const ew_tensor_scatter_params *p)
{
    if (x != y) {
        memcpy(y, x, (size_t)p->bytes);
    }
    const unsigned char *update = (const unsigned char *)updates;
    unsigned char *lines = (unsigned char *)y;
    for (int32_t b = 0; b < p->batch; ++b) {
        int32_t first = indices ? ew_load_index(p->index_type, indices, b) : 0;
        if (p->circular) {
            first %= p->size;
            first += first < 0 ? p->size : 0;
        }
        for (int32_t o = 0; o < p->outer; ++o) {
            for (int32_t i = 0; i < p->count; ++i) {
                const int64_t at = (int64_t)first + i;
                const int64_t place = p->circular && at >= p->size ? at - p->size : at;
                if (place >= 0 && place < p->size) {
                    memcpy(lines + place * p->row_bytes, update, (size_t)p->row_bytes);
                }
                update += p->row_bytes;
            }
            lines += p->size * p->row_bytes;
        }
    }
}

#endif
