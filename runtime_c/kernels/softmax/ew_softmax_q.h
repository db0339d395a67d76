/* Softmax along the last dimension, 8-bit integers in, exponentials by table. */
#ifndef EW_SOFTMAX_Q_H
#define EW_SOFTMAX_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

typedef struct {
    int32_t rows, axis; /* x and y [rows][axis], both >= 1 */
    int32_t x_type;     /* EW_QS8 or EW_QU8 */
    int32_t y_type;
    float y_scale; /* > 0 */
    int32_t y_zero;
    int32_t act_min, act_max; /* in the domain of y, within its type */
} ew_softmax_q_params;

/* With d[i] = largest x of the row - x[i]: y[i] = clamp(rint((table[d[i]] / sum) / y_scale) + y_zero), in float32; the
 * sum is that of all table[d[i]] of the row, added in the order of i. table[0] is 1, so the sum is at least that. y may
 * be x where y has 8 bits; otherwise they do not overlap. */
EW_KERNEL void ew_softmax_q(const void *x, const float *restrict table, void *y, const ew_softmax_q_params *p)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        const void *x_row = ew_at_q(p->x_type, x, row * p->axis);
        void *y_row = ew_out_at_q(p->y_type, y, row * p->axis);
        int32_t largest = ew_load_q(p->x_type, x_row, 0);
        for (int32_t i = 1; i < p->axis; ++i) {
            const int32_t x_i = ew_load_q(p->x_type, x_row, i);
            largest = x_i > largest ? x_i : largest;
        }
        float sum = 0.0f;
        for (int32_t i = 0; i < p->axis; ++i) {
            sum += table[largest - ew_load_q(p->x_type, x_row, i)];
        }
        for (int32_t i = 0; i < p->axis; ++i) {
            const float share = table[largest - ew_load_q(p->x_type, x_row, i)] / sum;
            ew_store_q(p->y_type, y_row, i, ew_round_q(share / p->y_scale, p->y_zero, p->act_min, p->act_max));
        }
    }
}

#endif
