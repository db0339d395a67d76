/* Padding and cropping, float32. */
#ifndef EW_PAD_F32_H
#define EW_PAD_F32_H

#include "ew_base.h"
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
    ew_pad_elements(x, &p->value, y, p->rank, p->in_dims, p->out_dims, p->pads_before, p->mode, (int32_t)sizeof p->value);
}

#endif
