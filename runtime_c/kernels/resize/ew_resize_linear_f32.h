/* Resizing by lines between neighbours, float32. */
#ifndef EW_RESIZE_LINEAR_F32_H
#define EW_RESIZE_LINEAR_F32_H

#include "ew_base.h"
#include "ew_resize.h"

/* The element at a place between two of x, `inner` apart. */
EW_INLINE float ew_between_f32(const float *x, int32_t step, float part)
{
    return step ? x[0] + part * (x[step] - x[0]) : x[0];
}

/* y[o][a][m][b][i] lies between the elements a_from[a] and a_from[a] + 1 of x, a_part[a] of the way, and likewise b.
 * a_from, a_part [a_out]: a_from <= max(a_in - 2, 0), a_part in 0..1; b_from, b_part [b_out], or NULL where b_in and
 * b_out are 1. Buffers do not overlap. */
EW_KERNEL void ew_resize_linear_f32(const float *restrict x, const uint16_t *restrict a_from,
                                    const float *restrict a_part, const uint16_t *restrict b_from,
                                    const float *restrict b_part, float *restrict y, const ew_resize_params *p)
{
    const int32_t row = p->mid * p->b_in * p->inner;
    const int32_t down = p->a_in > 1 ? row : 0, right = p->b_in > 1 ? p->inner : 0;
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t a = 0; a < p->a_out; ++a) {
            const float *from = x + (o * p->a_in + a_from[a]) * row;
            for (int32_t m = 0; m < p->mid; ++m) {
                for (int32_t b = 0; b < p->b_out; ++b) {
                    const float *at = from + (b_from ? b_from[b] * p->inner : 0);
                    const float part = b_part ? b_part[b] : 0.0f;
                    for (int32_t i = 0; i < p->inner; ++i) {
                        const float above = ew_between_f32(at + i, right, part);
                        const float below = down ? ew_between_f32(at + i + down, right, part) : above;
                        *y++ = down ? above + a_part[a] * (below - above) : above;
                    }
                }
                from += p->b_in * p->inner;
            }
        }
    }
}

#endif
