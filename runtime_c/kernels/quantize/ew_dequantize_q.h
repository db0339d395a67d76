/* From integers to float32. */
#ifndef EW_DEQUANTIZE_Q_H
#define EW_DEQUANTIZE_Q_H

#include "ew_base.h"
#include "ew_quantized.h"

typedef struct {
    int32_t count; /* elements of x and of y */
    int32_t x_type;
    float scale;
    int32_t zero;
} ew_dequantize_q_params;

/* y[i] = float32(x[i] - zero) * scale. Buffers do not overlap. */
EW_KERNEL void ew_dequantize_q(const void *restrict x, float *restrict y, const ew_dequantize_q_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)(ew_load_q(p->x_type, x, i) - p->zero) * p->scale;
    }
}

#endif
