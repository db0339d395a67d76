/* Hyperbolic tangent, element by element, float32. */
#ifndef EW_TANH_F32_H
#define EW_TANH_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
} ew_tanh_f32_params;

/* y = tanh(x).
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_tanh_f32(const float *x, float *y, const ew_tanh_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = tanhf(x[i]);
    }
}

#endif
