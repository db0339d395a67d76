/* From float32 to integers. */
#ifndef EW_QUANTIZE_Q_H
#define EW_QUANTIZE_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

typedef struct {
    int32_t count; /* elements of x and of y */
    int32_t y_type;
    float scale; /* > 0 */
    int32_t zero;
    int32_t act_min, act_max; /* in the domain of y, within its type */
} ew_quantize_q_params;

/* y[i] = clamp(rint(x[i] / scale) + zero, act_min, act_max), the quotient in float32. NaN counts as 0; infinities
 * saturate. Buffers do not overlap. */
EW_KERNEL void ew_quantize_q(const float *restrict x, void *restrict y, const ew_quantize_q_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const float steps = x[i] == x[i] ? x[i] / p->scale : 0.0f;
        ew_store_q(p->y_type, y, i, ew_round_q(steps, p->zero, p->act_min, p->act_max));
    }
}

#endif
