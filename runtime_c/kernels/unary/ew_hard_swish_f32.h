/* Hard swish, element by element, float32. */
#ifndef EW_HARD_SWISH_F32_H
#define EW_HARD_SWISH_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
} ew_hard_swish_f32_params;

/* y = x * max(0, min(1, x / 6 + 0.5)). Source: ONNX HardSwish-14.
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_hard_swish_f32(const float *x, float *y, const ew_hard_swish_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = x[i] * ew_clamp_value_f32(x[i] * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    }
}

#endif
