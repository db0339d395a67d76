/* Determinants of square matrices, float32. */
#ifndef EW_DET_F32_H
#define EW_DET_F32_H

#include "ew_base.h"

#include <math.h>
#include <string.h>

typedef struct {
    int32_t count; /* matrices; >= 1 */
    int32_t size;  /* rows of each; >= 1 */
} ew_det_f32_params;

/* y[i] = det(x[i]), by elimination with the largest pivot of each column. x [count][size][size], y [count]; scratch
 * size * size floats. Buffers do not overlap. */
EW_KERNEL void ew_det_f32(const float *restrict x, void *restrict scratch, float *restrict y,
                          const ew_det_f32_params *p)
{
    const int32_t n = p->size;
    float *a = (float *)scratch;
    for (int32_t i = 0; i < p->count; ++i) {
        memcpy(a, x + i * n * n, (size_t)(n * n) * sizeof *a);
        float product = 1.0f;
        for (int32_t column = 0; column < n; ++column) {
            int32_t best = column;
            for (int32_t row = column + 1; row < n; ++row) {
                best = fabsf(a[row * n + column]) > fabsf(a[best * n + column]) ? row : best;
            }
            const float pivot = a[best * n + column];
            product *= best == column ? pivot : -pivot;
            if (pivot == 0.0f) {
                break;
            }
            for (int32_t j = column; j < n && best != column; ++j) {
                const float moved = a[column * n + j];
                a[column * n + j] = a[best * n + j];
                a[best * n + j] = moved;
            }
            for (int32_t row = column + 1; row < n; ++row) {
                const float factor = a[row * n + column] / pivot;
                for (int32_t j = column + 1; j < n; ++j) {
                    a[row * n + j] -= factor * a[column * n + j];
                }
            }
        }
        y[i] = product;
    }
}

#endif
