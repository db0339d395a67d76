/* Softmax along one dimension, float32. */
#ifndef EW_SOFTMAX_F32_H
#define EW_SOFTMAX_F32_H

#include "ew_float.h"

typedef struct {
    int32_t outer, axis, inner; /* all >= 1; the softmax runs along the middle dimension of [outer][axis][inner] */
} ew_softmax_f32_params;

/* y[o,:,i] = exp(x[o,:,i] - max) / sum of the exps. Subtracting the largest element keeps exp from overflowing and does
 * not change the quotient. A NaN, or nothing but -infinity, along the axis gives NaN for all of it. Buffers do not
 * overlap. */
EW_KERNEL void ew_softmax_f32(const float *restrict x, float *restrict y, const ew_softmax_f32_params *p)
{
    for (int32_t row = 0; row < p->outer * p->inner; ++row) {
        const int32_t start = row / p->inner * p->axis * p->inner + row % p->inner;
        const float *x_row = x + start;
        float *y_row = y + start;

        float largest = x_row[0];
        for (int32_t i = 1; i < p->axis; ++i) {
            largest = x_row[i * p->inner] > largest ? x_row[i * p->inner] : largest;
        }
        float sum = 0.0f;
        for (int32_t from = 0; from < p->axis; from += EW_SUM_BLOCK) {
            const int32_t to = p->axis - from < EW_SUM_BLOCK ? p->axis : from + EW_SUM_BLOCK;
            float part = 0.0f;
            for (int32_t i = from; i < to; ++i) {
                const float value = expf(x_row[i * p->inner] - largest);
                y_row[i * p->inner] = value;
                part += value;
            }
            sum += part;
        }
        for (int32_t i = 0; i < p->axis; ++i) {
            y_row[i * p->inner] /= sum;
        }
    }
}

#endif
