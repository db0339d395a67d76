/* Element-wise operations on two broadcast integer operands: parameters and the loop that all of them share. */
#ifndef EW_BINARY_Q_H
#define EW_BINARY_Q_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_quantized.h"
#include "ew_requantize.h"

/* y is dense in row-major order of dims; a and b are read by their strides in elements, 0 where broadcast. The
 * innermost stride is 0 or 1. Callers merge adjacent dimensions where both operands allow it: operands of one shape
 * have rank 1. */
typedef struct {
    int32_t rank;              /* 1..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK]; /* >= 1 */
    int32_t a_strides[EW_MAX_RANK];
    int32_t b_strides[EW_MAX_RANK];
    int32_t a_type, b_type, y_type; /* ew_qtype */
    int32_t a_zero, b_zero, y_zero;
    float a_scale, b_scale, y_scale; /* sum, in floats: a_scale and y_scale > 0; b_scale < 0 subtracts */
    int32_t shift; /* sum: > 0: clamp((a * a_factor + b * b_factor + offset) >> shift), proven equal for all a and b */
    int32_t a_factor, b_factor, offset;
    float scale;              /* product: > 0 */
    int32_t wide;             /* product: 1: of 64 bits */
    int32_t act_min, act_max; /* in the domain of y, within its type */
} ew_binary_q_params;

typedef enum { EW_BINARY_Q_SUM, EW_BINARY_Q_PRODUCT } ew_binary_q_op;

/* `op` is a literal at every call, and so are the parameters. */
EW_INLINE int32_t ew_binary_q_value(ew_binary_q_op op, int32_t a, int32_t b, const ew_binary_q_params *p)
{
    if (op == EW_BINARY_Q_SUM && p->shift > 0) {
        return ew_clamp_q((a * p->a_factor + b * p->b_factor + p->offset) >> p->shift, p->act_min, p->act_max);
    }
    a -= p->a_zero;
    b -= p->b_zero;
    if (op == EW_BINARY_Q_SUM) {
        const float left = ew_product_f32_exact((float)a, p->a_scale);
        const float right = ew_product_f32_exact((float)b, p->b_scale);
        return ew_round_q((left + right) / p->y_scale, p->y_zero, p->act_min, p->act_max);
    }
    if (p->wide) {
        return ew_requantize_wide((int64_t)a * b, p->scale, p->y_zero, p->act_min, p->act_max);
    }
    return ew_requantize(a * b, p->scale, p->y_zero, p->act_min, p->act_max);
}

EW_INLINE void ew_binary_q_row(ew_binary_q_op op, const void *a, int32_t a_step, const void *b, int32_t b_step, void *y,
                               int32_t count, const ew_binary_q_params *p)
{
    for (int32_t i = 0; i < count; ++i) {
        const int32_t a_i = ew_load_q(p->a_type, a, i * a_step);
        const int32_t b_i = ew_load_q(p->b_type, b, i * b_step);
        ew_store_q(p->y_type, y, i, ew_binary_q_value(op, a_i, b_i, p));
    }
}

EW_INLINE void ew_binary_q(ew_binary_q_op op, const void *a, const void *b, void *y, const ew_binary_q_params *p)
{
    const int32_t outer = p->rank - 1;
    const int32_t count = p->dims[outer];
    const int32_t a_step = p->a_strides[outer];
    const int32_t b_step = p->b_strides[outer];
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const void *a_row = ew_at_q(p->a_type, a, ew_index_offset(outer, index, p->a_strides));
        const void *b_row = ew_at_q(p->b_type, b, ew_index_offset(outer, index, p->b_strides));
        ew_binary_q_row(op, a_row, a_step, b_row, b_step, y, count, p);
        y = ew_out_at_q(p->y_type, y, count);
    } while (ew_index_next(outer, p->dims, index));
}

#endif
