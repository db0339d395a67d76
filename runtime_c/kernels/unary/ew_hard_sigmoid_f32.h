/* Hard sigmoid, element by element, float32. */
#ifndef EW_HARD_SIGMOID_F32_H
#define EW_HARD_SIGMOID_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t count; /* elements */
    float alpha, beta;
} ew_hard_sigmoid_f32_params;

/* y = max(0, min(1, alpha * x + beta)); NaN passes through. Source: ONNX HardSigmoid-6.
 * x and y hold count elements; y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_hard_sigmoid_f32(const float *x, float *y, const ew_hard_sigmoid_f32_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_clamp_value_f32(p->alpha * x[i] + p->beta, 0.0f, 1.0f);
    }
}

#endif
