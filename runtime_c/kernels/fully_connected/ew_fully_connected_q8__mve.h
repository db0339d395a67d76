/* Fully connected layer, int8, for MVE. */
#ifndef EW_FULLY_CONNECTED_Q8__MVE_H
#define EW_FULLY_CONNECTED_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_row_q8__mve.h"
#include "ew_rows_q8__mve.h"

typedef struct {
    int32_t rows;   /* samples */
    int32_t count;  /* elements of a row of x */
    int32_t outs;   /* elements of a row of y */
    int32_t x_flip; /* 1: x is uint8, and is copied to scratch as int8 */
    ew_mve_output out;
} ew_fully_connected_q8__mve_params;

#if defined(__ARM_FEATURE_MVE)

/* y[r,o] = clamp(rint(f32(sum) * scale[o]) + y_zero), sum = bias[o] + sum over i of (x[r,i] - x_zero) * w[o,i].
 * w: for one row the stream of ew_row_q8__mve.h, else that of ew_rows_q8__mve.h; x_zero is in its bias. scratch:
 * rows * count bytes with x_flip, else not used. x and y may lie at any address, and do not overlap. */
EW_KERNEL void ew_fully_connected_q8__mve(const void *restrict x, const void *restrict w, void *restrict scratch,
                                          void *restrict y, const ew_fully_connected_q8__mve_params *p)
{
    const int8_t *from = x;
    if (p->x_flip) {
        ew_mve_flip(x, scratch, p->rows * p->count);
        from = scratch;
    }
    if (p->rows == 1) {
        ew_row_q8__mve(from, y, w, p->count, p->outs, &p->out);
    } else {
        ew_rows_q8__mve(from, p->count, y, p->outs, p->rows, w, p->count, p->outs, &p->out);
    }
    ew_mve_finish(y, p->rows * p->outs, &p->out);
}

#endif
#endif
