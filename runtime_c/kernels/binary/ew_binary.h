/* Element-wise operations on two broadcast operands: parameters and the loop that all of them share. */
#ifndef EW_BINARY_H
#define EW_BINARY_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_index.h"

/* y is dense in row-major order of dims; a and b are read by their strides in elements, 0 where broadcast. The
 * innermost stride is 0 or 1. Callers merge adjacent dimensions where both operands allow it: operands of one shape
 * have rank 1. */
typedef struct {
    int32_t rank;              /* 1..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK]; /* >= 1 */
    int32_t a_strides[EW_MAX_RANK];
    int32_t b_strides[EW_MAX_RANK];
    float act_min, act_max; /* fused activation; -INFINITY, INFINITY: none. NaN passes through. */
} ew_binary_f32_params;

typedef enum { EW_BINARY_ADD, EW_BINARY_SUB, EW_BINARY_MUL, EW_BINARY_DIV } ew_binary_op;

/* `op` is a literal at every call: the switch folds. */
EW_INLINE float ew_binary_value_f32(ew_binary_op op, float a, float b)
{
    switch (op) {
    case EW_BINARY_ADD:
        return a + b;
    case EW_BINARY_SUB:
        return a - b;
    case EW_BINARY_MUL:
        return a * b;
    default:
        return a / b;
    }
}

EW_INLINE void ew_binary_row_f32(ew_binary_op op, const float *a, int32_t a_step, const float *b,
                                 int32_t b_step, float *y, int32_t count, float lo, float hi)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = ew_clamp_value_f32(ew_binary_value_f32(op, a[i * a_step], b[i * b_step]), lo, hi);
    }
}

EW_INLINE void ew_binary_f32(ew_binary_op op, const float *a, const float *b, float *y,
                             const ew_binary_f32_params *p)
{
    const int32_t outer = p->rank - 1;
    const int32_t count = p->dims[outer];
    const int32_t a_step = p->a_strides[outer];
    const int32_t b_step = p->b_strides[outer];
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const float *a_row = a + ew_index_offset(outer, index, p->a_strides);
        const float *b_row = b + ew_index_offset(outer, index, p->b_strides);
        /* Literal steps let the compiler keep a broadcast operand in a register, and vectorize. */
        if (a_step == 1 && b_step == 1) {
            ew_binary_row_f32(op, a_row, 1, b_row, 1, y, count, p->act_min, p->act_max);
        } else if (a_step == 1) {
            ew_binary_row_f32(op, a_row, 1, b_row, 0, y, count, p->act_min, p->act_max);
        } else if (b_step == 1) {
            ew_binary_row_f32(op, a_row, 0, b_row, 1, y, count, p->act_min, p->act_max);
        } else {
            ew_binary_row_f32(op, a_row, 0, b_row, 0, y, count, p->act_min, p->act_max);
        }
        y += count;
    } while (ew_index_next(outer, p->dims, index));
}

#endif
