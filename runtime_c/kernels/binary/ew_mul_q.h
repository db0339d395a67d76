/* Multiplication of two broadcast integer operands. */
#ifndef EW_MUL_Q_H
#define EW_MUL_Q_H

#include "ew_binary_q.h"

/* y = clamp(rint(float32((a - a_zero) * (b - b_zero)) * scale) + y_zero), element by element. Shapes and strides:
 * ew_binary_q.h. a and b may be the same buffer; y may be one of them where that is not broadcast and has elements of
 * y's size. */
EW_KERNEL void ew_mul_q(const void *a, const void *b, void *y, const ew_binary_q_params *p)
{
    ew_binary_q(EW_BINARY_Q_PRODUCT, a, b, y, p);
}

#endif
