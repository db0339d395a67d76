/* Resizing along one axis by weighted sums, float32: cubic curves, and what filters before it makes smaller. */
#ifndef EW_RESIZE_WEIGHTED_F32_H
#define EW_RESIZE_WEIGHTED_F32_H

#include "ew_base.h"

/* x is [outer][in][inner], y [outer][out][inner]; all >= 1. */
typedef struct {
    int32_t outer, in, out, inner;
    int32_t taps; /* weights of each output; >= 1 */
    float value;  /* of outputs without weights */
} ew_resize_weighted_f32_params;

/* y[o][j][i] = sum over t < counts[j] of weights[j][t] * x[o][firsts[j] + t][i].
 * firsts, counts [out]: firsts + counts <= in, counts <= taps; weights [out][taps]. Buffers do not overlap. */
EW_KERNEL void ew_resize_weighted_f32(const float *restrict x, const uint16_t *restrict firsts,
                                      const uint16_t *restrict counts, const float *restrict weights,
                                      float *restrict y, const ew_resize_weighted_f32_params *p)
{
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t j = 0; j < p->out; ++j) {
            const float *from = x + (o * p->in + firsts[j]) * p->inner, *weight = weights + j * p->taps;
            const int32_t count = counts[j];
            for (int32_t i = 0; i < p->inner; ++i) {
                float sum = count ? 0.0f : p->value;
                for (int32_t t = 0; t < count; ++t) {
                    sum += weight[t] * from[t * p->inner + i];
                }
                *y++ = sum;
            }
        }
    }
}

#endif
