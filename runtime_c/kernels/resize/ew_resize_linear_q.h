/* Resizing by lines between neighbours, 8-bit integers. */
#ifndef EW_RESIZE_LINEAR_Q_H
#define EW_RESIZE_LINEAR_Q_H

#include "ew_base.h"
#include "ew_quantized.h"
#include "ew_requantize.h"
#include "ew_resize.h"

#define EW_RESIZE_Q_ONE 2048 /* a whole part; two of them and 8 bits stay below 2^31 */

typedef struct {
    ew_resize_params sizes;
    int32_t x_type, y_type; /* EW_QS8 or EW_QU8 */
    int32_t x_zero, y_zero, act_min, act_max;
    float scale; /* from sums to steps of y, > 0 */
} ew_resize_linear_q_params;

EW_INLINE int32_t ew_between_q(int32_t type, const void *x, int32_t at, int32_t step, int32_t part)
{
    const int32_t first = ew_load_q(type, x, at) * (EW_RESIZE_Q_ONE - part);
    return step ? first + ew_load_q(type, x, at + step) * part : first;
}

/* y[o][a][m][b][i] = clamp(rint(float32(sum) * scale) + y_zero), where sum adds up (x - x_zero) * part * part over four
 * neighbours: a_from[a] with EW_RESIZE_Q_ONE - a_part[a], a_from[a] + 1 with a_part[a], and likewise b.
 * a_from, a_part [a_out]: a_from <= max(a_in - 2, 0), a_part in 0..EW_RESIZE_Q_ONE, 0 where a_in is 1; b_from, b_part
 * [b_out], or NULL where b_in and b_out are 1. Buffers do not overlap. */
EW_KERNEL void ew_resize_linear_q(const void *restrict x, const uint16_t *restrict a_from,
                                  const uint16_t *restrict a_part, const uint16_t *restrict b_from,
                                  const uint16_t *restrict b_part, void *restrict y,
                                  const ew_resize_linear_q_params *p)
{
    const ew_resize_params *s = &p->sizes;
    const int32_t row = s->mid * s->b_in * s->inner;
    const int32_t down = s->a_in > 1 ? row : 0, right = s->b_in > 1 ? s->inner : 0;
    const int32_t zero = p->x_zero * (EW_RESIZE_Q_ONE * EW_RESIZE_Q_ONE);
    const ew_scale scale = ew_scale_of(p->scale);
    int32_t to = 0;
    for (int32_t o = 0; o < s->outer; ++o) {
        for (int32_t a = 0; a < s->a_out; ++a) {
            int32_t from = (o * s->a_in + a_from[a]) * row;
            for (int32_t m = 0; m < s->mid; ++m) {
                for (int32_t b = 0; b < s->b_out; ++b) {
                    const int32_t at = from + (b_from ? b_from[b] * s->inner : 0);
                    const int32_t part = b_part ? b_part[b] : 0;
                    for (int32_t i = 0; i < s->inner; ++i) {
                        int32_t sum = ew_between_q(p->x_type, x, at + i, right, part) * (EW_RESIZE_Q_ONE - a_part[a]);
                        if (down) {
                            sum += ew_between_q(p->x_type, x, at + i + down, right, part) * a_part[a];
                        }
                        ew_store_q(p->y_type, y, to++,
                                   ew_requantize_by(sum - zero, scale, p->y_zero, p->act_min, p->act_max));
                    }
                }
                from += s->b_in * s->inner;
            }
        }
    }
}

#endif
