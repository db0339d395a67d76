/* Resizing by the nearest element, for any element type. */
#ifndef EW_RESIZE_NEAREST_H
#define EW_RESIZE_NEAREST_H

#include "ew_base.h"
#include "ew_resize.h"

#include <string.h>

/* y[o][a][m][b] = x[o][a_from[a]][m][b_from[b]], blocks of `inner` bytes. a_from [a_out], below a_in; b_from [b_out],
 * below b_in, or NULL where b_in and b_out are 1. Buffers do not overlap. */
EW_KERNEL void ew_resize_nearest(const void *restrict x, const uint16_t *restrict a_from,
                                 const uint16_t *restrict b_from, void *restrict y, const ew_resize_params *p)
{
    const size_t block = (size_t)p->inner;
    const size_t x_row = (size_t)(p->mid * p->b_in) * block, y_row = (size_t)(p->mid * p->b_out) * block;
    unsigned char *to = (unsigned char *)y;
    for (int32_t o = 0; o < p->outer; ++o) {
        const unsigned char *image = (const unsigned char *)x + (size_t)(o * p->a_in) * x_row;
        for (int32_t a = 0; a < p->a_out; ++a) {
            if (a > 0 && a_from[a] == a_from[a - 1]) {
                memcpy(to, to - y_row, y_row);
                to += y_row;
                continue;
            }
            const unsigned char *from = image + (size_t)a_from[a] * x_row;
            for (int32_t m = 0; m < p->mid; ++m) {
                for (int32_t b = 0; b < p->b_out; ++b) {
                    memcpy(to, from + (b_from ? (size_t)b_from[b] * block : 0), block);
                    to += block;
                }
                from += (size_t)p->b_in * block;
            }
        }
    }
}

#endif
