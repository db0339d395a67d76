/* Padding and cropping, float32. */
#ifndef EW_PAD_F32_H
#define EW_PAD_F32_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_pad.h"

typedef struct {
    int32_t rank;                     /* 1..EW_MAX_RANK */
    int32_t in_dims[EW_MAX_RANK];     /* >= 1 */
    int32_t out_dims[EW_MAX_RANK];    /* >= 1; what is padded or cropped at the end follows from it */
    int32_t pads_before[EW_MAX_RANK]; /* elements put in front; negative: dropped */
    int32_t mode;                     /* ew_pad_mode */
    float value;                      /* EW_PAD_CONSTANT only */
} ew_pad_f32_params;

/* y[o] = x[o - pads_before], with positions outside x filled as `mode` says (the whole of x, cropped elements included,
 * is what is mirrored or repeated). Buffers are dense and do not overlap. */
EW_KERNEL void ew_pad_f32(const float *restrict x, float *restrict y, const ew_pad_f32_params *p)
{
    const int32_t last = p->rank - 1;
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const int32_t row = ew_pad_row(last, p->in_dims, p->pads_before, p->mode, index);
        for (int32_t o = 0; o < p->out_dims[last]; ++o) {
            const int32_t source = ew_pad_source(o - p->pads_before[last], p->in_dims[last], p->mode);
            y[o] = row >= 0 && source >= 0 ? x[row + source] : p->value;
        }
        y += p->out_dims[last];
    } while (ew_index_next(last, p->out_dims, index));
}

#endif
