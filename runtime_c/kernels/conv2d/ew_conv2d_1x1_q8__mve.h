/* 1x1 convolution without padding, int8, for MVE. */
#ifndef EW_CONV2D_1X1_Q8__MVE_H
#define EW_CONV2D_1X1_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_rows_q8__mve.h"

typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c; /* (out - 1) * stride < in */
    int32_t stride_h, stride_w;
    ew_mve_output out;
} ew_conv2d_1x1_q8__mve_params;

#if defined(__ARM_FEATURE_MVE)

/* y[n,oy,ox,o] = clamp(rint(f32(sum) * scale[o]) + y_zero), sum = bias[o] + sum over i of
 * (x[n, oy*stride_h, ox*stride_w, i] - x_zero) * w[o,i]. w: the stream of ew_rows_q8__mve.h, x_zero in its bias. x and
 * y may lie at any address, and do not overlap. */
EW_KERNEL void ew_conv2d_1x1_q8__mve(const void *restrict x, const void *restrict w, void *restrict y,
                                     const ew_conv2d_1x1_q8__mve_params *p)
{
    if (p->stride_h == 1 && p->stride_w == 1) {
        ew_rows_q8__mve(x, p->in_c, y, p->out_c, p->batch * p->out_h * p->out_w, w, p->in_c, p->out_c, &p->out);
        ew_mve_finish(y, p->batch * p->out_h * p->out_w * p->out_c, &p->out);
        return;
    }
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t oy = 0; oy < p->out_h; ++oy) {
            ew_rows_q8__mve((const int8_t *)x + (n * p->in_h + oy * p->stride_h) * p->in_w * p->in_c,
                            p->stride_w * p->in_c, (int8_t *)y + (n * p->out_h + oy) * p->out_w * p->out_c, p->out_c,
                            p->out_w, w, p->in_c, p->out_c, &p->out);
        }
    }
    ew_mve_finish(y, p->batch * p->out_h * p->out_w * p->out_c, &p->out);
}

#endif
#endif
