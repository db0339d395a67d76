/* Kernel functions between rows and support vectors, float32: what support vector machines sum up. */
#ifndef EW_SUPPORT_F32_H
#define EW_SUPPORT_F32_H

#include "ew_base.h"

#include <math.h>

typedef enum ew_support_kind { EW_SUPPORT_POLY = 0, EW_SUPPORT_RBF = 1, EW_SUPPORT_SIGMOID = 2 } ew_support_kind;

typedef struct {
    int32_t rows, vectors, features; /* >= 1 */
    int32_t kind;                    /* ew_support_kind */
    float gamma, constant, degree;
} ew_support_f32_params;

/* y[row, v] of x [rows][features] and vectors [vectors][features]: poly: (gamma * dot + constant)^degree; rbf:
 * exp(-gamma * |x - v|^2); sigmoid: tanh(gamma * dot + constant). Buffers do not overlap. */
EW_KERNEL void ew_support_f32(const float *restrict x, const float *restrict vectors, float *restrict y,
                              const ew_support_f32_params *p)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        const float *vector = vectors;
        for (int32_t v = 0; v < p->vectors; ++v) {
            float sum = 0.0f;
            for (int32_t i = 0; i < p->features; ++i) {
                const float distance = x[i] - vector[i];
                sum += p->kind == EW_SUPPORT_RBF ? distance * distance : x[i] * vector[i];
            }
            if (p->kind == EW_SUPPORT_RBF) {
                *y++ = expf(-p->gamma * sum);
            } else if (p->kind == EW_SUPPORT_SIGMOID) {
                *y++ = tanhf(p->gamma * sum + p->constant);
            } else {
                *y++ = powf(p->gamma * sum + p->constant, p->degree);
            }
            vector += p->features;
        }
        x += p->features;
    }
}

#endif
