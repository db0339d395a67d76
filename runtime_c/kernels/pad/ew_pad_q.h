/* Padding and cropping, integers of 8 or 16 bits. */
#ifndef EW_PAD_Q_H
#define EW_PAD_Q_H

#include "ew_base.h"
#include "ew_pad.h"
#include "ew_quantized.h"

typedef struct {
    int32_t rank;                     /* 1..EW_MAX_RANK */
    int32_t in_dims[EW_MAX_RANK];     /* >= 1 */
    int32_t out_dims[EW_MAX_RANK];    /* >= 1; what is padded or cropped at the end follows from it */
    int32_t pads_before[EW_MAX_RANK]; /* elements put in front; negative: dropped */
    int32_t mode;                     /* ew_pad_mode */
    int32_t value;                    /* EW_PAD_CONSTANT only */
    int32_t type;                     /* of x and y: EW_QS8, EW_QU8, EW_QS16 */
} ew_pad_q_params;

/* y[o] = x[o - pads_before], with positions outside x filled as `mode` says (the whole of x, cropped elements included,
 * is what is mirrored or repeated). Buffers are dense and do not overlap. */
EW_KERNEL void ew_pad_q(const void *restrict x, void *restrict y, const ew_pad_q_params *p)
{
    int16_t value = 0; /* large enough for every type */
    ew_store_q(p->type, &value, 0, p->value);
    ew_pad_elements(x, &value, y, p->rank, p->in_dims, p->out_dims, p->pads_before, p->mode,
                    p->type == EW_QS16 ? 2 : 1);
}

#endif
