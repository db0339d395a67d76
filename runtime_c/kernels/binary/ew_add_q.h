/* Addition and subtraction of two broadcast integer operands. */
#ifndef EW_ADD_Q_H
#define EW_ADD_Q_H

#include "ew_binary_q.h"

/* y = clamp(rint((float32(a - a_zero) * a_scale + float32(b - b_zero) * b_scale) / y_scale) + y_zero), element by
 * element, in float32; or the same by integers, see ew_binary_q_params. Shapes and strides: there. a and b may be the
 * same buffer; y may be one of them where that is not broadcast and has elements of y's size. */
EW_KERNEL void ew_add_q(const void *a, const void *b, void *y, const ew_binary_q_params *p)
{
    ew_binary_q(EW_BINARY_Q_SUM, a, b, y, p);
}

#endif
