/* The beginnings of sequences backwards, each of its own length, for any element type. */
#ifndef EW_REVERSE_SEQUENCE_H
#define EW_REVERSE_SEQUENCE_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef struct {
    int32_t batch, time;               /* sequences, and their length in x; >= 1 */
    int32_t batch_bytes, time_bytes;   /* strides */
    int32_t block_bytes;               /* of a sequence at a time; >= 1 */
    int32_t length_type;               /* ew_element_type; an integer */
} ew_reverse_sequence_params;

/* y[b, t] = x[b, lengths[b] - 1 - t] for t < lengths[b], and x[b, t] behind. A length outside [0, time] counts as the
 * nearest of these. Buffers do not overlap. */
EW_KERNEL void ew_reverse_sequence(const void *restrict x, const void *restrict lengths, void *restrict y,
                                   const ew_reverse_sequence_params *p)
{
    for (int32_t b = 0; b < p->batch; ++b) {
        const int32_t given = ew_load_index(p->length_type, lengths, b);
        const int32_t length = given < p->time ? given : p->time;
        for (int32_t t = 0; t < p->time; ++t) {
            const int32_t source = t < length ? length - 1 - t : t;
            memcpy((unsigned char *)y + (b * p->batch_bytes + t * p->time_bytes),
                   (const unsigned char *)x + (b * p->batch_bytes + source * p->time_bytes), (size_t)p->block_bytes);
        }
    }
}

#endif
