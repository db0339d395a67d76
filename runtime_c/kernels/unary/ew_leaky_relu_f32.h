/* Leaky rectifier, element by element, float32. */
#ifndef EW_LEAKY_RELU_F32_H
#define EW_LEAKY_RELU_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
    float alpha;
} ew_leaky_relu_f32_params;

/* y = x < 0 ? alpha * x : x.
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_leaky_relu_f32(const float *x, float *y, const ew_leaky_relu_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = x[i] < 0.0f ? p->alpha * x[i] : x[i];
    }
}

#endif
