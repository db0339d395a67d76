/* Logistic function, element by element, float32. */
#ifndef EW_SIGMOID_F32_H
#define EW_SIGMOID_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
} ew_sigmoid_f32_params;

/* y = 1 / (1 + exp(-x)). exp(-x) overflows to infinity for x < -88.7, which gives the limit, 0.
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_sigmoid_f32(const float *x, float *y, const ew_sigmoid_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = 1.0f / (1.0f + expf(-x[i]));
    }
}

#endif
