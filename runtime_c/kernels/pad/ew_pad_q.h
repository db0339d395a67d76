/* Padding and cropping, integers of 8 or 16 bits. */
#ifndef EW_PAD_Q_H
#define EW_PAD_Q_H

#include "ew_base.h"
#include "ew_index.h"
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
    const int32_t last = p->rank - 1;
    int32_t index[EW_MAX_RANK] = {0};
    int32_t written = 0;
    do {
        const int32_t row = ew_pad_row(last, p->in_dims, p->pads_before, p->mode, index);
        for (int32_t o = 0; o < p->out_dims[last]; ++o) {
            const int32_t source = ew_pad_source(o - p->pads_before[last], p->in_dims[last], p->mode);
            ew_store_q(p->type, y, written + o, row >= 0 && source >= 0 ? ew_load_q(p->type, x, row + source) : p->value);
        }
        written += p->out_dims[last];
    } while (ew_index_next(last, p->out_dims, index));
}

#endif
