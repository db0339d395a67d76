/* From one scale and zero point to another. */
#ifndef EW_RESCALE_Q_H
#define EW_RESCALE_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

typedef struct {
    int32_t count; /* elements of x and of y */
    int32_t x_type, y_type;
    int32_t x_zero, y_zero;
    float x_scale, y_scale;   /* > 0 */
    int32_t act_min, act_max; /* in the domain of y, within its type */
} ew_rescale_q_params;

/* y[i] = clamp(rint((float32(x[i] - x_zero) * x_scale) / y_scale) + y_zero). y may be x where their types have one
 * size; otherwise they do not overlap. */
EW_KERNEL void ew_rescale_q(const void *x, void *y, const ew_rescale_q_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const float real = (float)(ew_load_q(p->x_type, x, i) - p->x_zero) * p->x_scale;
        ew_store_q(p->y_type, y, i, ew_round_q(real / p->y_scale, p->y_zero, p->act_min, p->act_max));
    }
}

#endif
