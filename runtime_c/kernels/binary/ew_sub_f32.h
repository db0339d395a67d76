/* Subtraction of two broadcast operands, float32. */
#ifndef EW_SUB_F32_H
#define EW_SUB_F32_H

#include "ew_binary.h"

/* y = clamp(a - b), element by element. Shapes and strides: ew_binary.h. y overlaps neither operand; a and b may be the
 * same buffer. */
EW_KERNEL void ew_sub_f32(const float *a, const float *b, float *restrict y, const ew_binary_f32_params *p)
{
    ew_binary_f32(EW_BINARY_SUB, a, b, y, p);
}

#endif
