/* Padding and cropping, elements of any type. */
#ifndef EW_PAD_ANY_H
#define EW_PAD_ANY_H

#include "ew_base.h"
#include "ew_pad.h"

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
    ew_pad_elements(x, value, y, p->rank, p->in_dims, p->out_dims, p->pads_before, p->mode, p->element_bytes);
}

#endif
