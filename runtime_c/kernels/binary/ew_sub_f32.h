/* Subtraction of two broadcast operands, float32. */
#ifndef EW_SUB_F32_H
#define EW_SUB_F32_H

#include "ew_binary.h"

/* y = clamp(a - b), element by element. Shapes and strides: ew_binary.h. a and b may be the same buffer; y may be one
 * of them where that is not broadcast, and otherwise overlaps neither. */
EW_KERNEL void ew_sub_f32(const float *a, const float *b, float *y, const ew_binary_f32_params *p)
{
    ew_binary_f32(EW_BINARY_SUB, a, b, y, p);
}

#endif
