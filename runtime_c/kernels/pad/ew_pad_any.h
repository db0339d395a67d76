/* Padding and cropping, elements of any type. */
#ifndef EW_PAD_ANY_H
#define EW_PAD_ANY_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_pad.h"

#include <string.h>

typedef struct {
    int32_t rank;                     /* 1..EW_MAX_RANK */
    int32_t in_dims[EW_MAX_RANK];     /* >= 1 */
    int32_t out_dims[EW_MAX_RANK];    /* >= 1; what is padded or cropped at the end follows from it */
    int32_t pads_before[EW_MAX_RANK]; /* elements put in front; negative: dropped */
    int32_t mode;                     /* ew_pad_mode */
    int32_t element_bytes;            /* 1, 2, 4 or 8 */
} ew_pad_any_params;

/* y[o] = x[o - pads_before], with positions outside x filled as `mode` says (the whole of x, cropped elements included,
 * is what is mirrored or repeated). `value` is one element, or NULL unless EW_PAD_CONSTANT. Buffers are dense and do not
 * overlap. */
EW_KERNEL void ew_pad_any(const void *restrict x, const void *restrict value, void *restrict y,
                          const ew_pad_any_params *p)
{
    const int32_t last = p->rank - 1;
    unsigned char *y_bytes = (unsigned char *)y;
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const int32_t row = ew_pad_row(last, p->in_dims, p->pads_before, p->mode, index);
        for (int32_t o = 0; o < p->out_dims[last]; ++o) {
            const int32_t source = ew_pad_source(o - p->pads_before[last], p->in_dims[last], p->mode);
            const void *from = row >= 0 && source >= 0
                                   ? (const unsigned char *)x + (row + source) * p->element_bytes
                                   : (const unsigned char *)value;
            memcpy(y_bytes, from, (size_t)p->element_bytes);
            y_bytes += p->element_bytes;
        }
    } while (ew_index_next(last, p->out_dims, index));
}

#endif
