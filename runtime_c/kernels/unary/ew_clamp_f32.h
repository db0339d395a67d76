/* Clamp to a range (Relu, Relu6, Clip), element by element, float32. */
#ifndef EW_CLAMP_F32_H
#define EW_CLAMP_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
    float min, max;
} ew_clamp_f32_params;

/* y = x < min ? min : (x > max ? max : x). NaN passes through; -INFINITY, INFINITY: no bound.
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_clamp_f32(const float *x, float *y, const ew_clamp_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_clamp_value_f32(x[i], p->min, p->max);
    }
}

#endif
