/* Two-dimensional convolution of any kernel, int8, for MVE: first layers with few channels, and what has no kernel of
 * its own.
 *
 * For one column of outputs, the columns of x that it reads are copied side by side, with padding: then a window is one
 * run of kernel_h * kernel_w * in_c bytes, the windows of the outputs below follow at a fixed distance, and the product
 * is one of rows. Each byte of x is copied about kernel_w / stride_w times. */
#ifndef EW_CONV2D_Q8__MVE_H
#define EW_CONV2D_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"
#include "ew_rows_q8__mve.h"
#include "ew_window.h"

typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_w; /* there is none along the height */
    int32_t pad_top, pad_left;
    int32_t x_flip; /* 1: x is uint8; x_zero is 128 less */
    int32_t x_zero;
    int32_t band; /* rows of outputs made from one copy, >= 1: scratch follows from it */
    ew_mve_output out;
} ew_conv2d_q8__mve_params;

/* Bytes of scratch. */
#define EW_CONV2D_SCRATCH__MVE(band, stride_h, kernel_h, kernel_w, in_c) \
    ((((band) - 1) * (stride_h) + (kernel_h)) * (kernel_w) * (in_c))

#if defined(__ARM_FEATURE_MVE)

/* Copies `rows` runs of `run` bytes; with `flip`, from uint8 to int8. */
EW_INLINE void ew_copy_runs_q8__mve(const int8_t *x, int32_t x_step, int8_t *y, int32_t y_step, int32_t rows,
                                    int32_t run, int32_t flip)
{
    if (run <= 16) {
        const mve_pred16_t there = vctp8q((uint32_t)run);
        for (; rows > 0; --rows) {
            const int8x16_t value = vldrbq_z_s8(x, there);
            vstrbq_p_s8(y, flip ? veorq_s8(value, vdupq_n_s8(-128)) : value, there);
            x += x_step;
            y += y_step;
        }
        return;
    }
    for (; rows > 0; --rows) {
        if (flip) {
            ew_mve_flip(x, y, run);
        } else {
            ew_mve_copy(x, y, run);
        }
        x += x_step;
        y += y_step;
    }
}

/* y[n,oy,ox,o] = clamp(rint(f32(sum) * scale[o]) + y_zero), sum = bias[o] + sum over ky,kx,i of
 * (x[n, oy*stride_h - pad_top + ky, ox*stride_w - pad_left + kx*dilation_w, i] - x_zero) * w[o,ky,kx,i]; taps outside x
 * count 0. w: the stream of ew_rows_q8__mve.h, of rows of kernel_h * kernel_w * in_c, x_zero in its bias. scratch:
 * EW_CONV2D_SCRATCH__MVE bytes. x and y may lie at any address, and do not overlap. */
EW_KERNEL void ew_conv2d_q8__mve(const void *restrict x, const void *restrict w, void *restrict scratch,
                                 void *restrict y, const ew_conv2d_q8__mve_params *p)
{
    const int32_t row = p->kernel_w * p->in_c; /* bytes of a window in one row of x */
    int8_t *copy = scratch;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t begin = 0; begin < p->out_h; begin += p->band) {
            const int32_t outs = p->out_h - begin < p->band ? p->out_h - begin : p->band;
            const int32_t rows = (outs - 1) * p->stride_h + p->kernel_h;
            const int32_t iy = begin * p->stride_h - p->pad_top;
            const ew_range inside = ew_window_taps(iy, rows, 1, 0, p->in_h);
            for (int32_t ox = 0; ox < p->out_w; ++ox) {
                const int32_t ix = ox * p->stride_w - p->pad_left;
                const ew_range taps = ew_window_taps(ix, p->kernel_w, p->dilation_w, 0, p->in_w);
                if (taps.end - taps.begin < p->kernel_w || inside.end - inside.begin < rows) {
                    ew_mve_fill(copy, p->x_zero, rows * row);
                }
                const int32_t joined = p->dilation_w == 1 ? taps.end - taps.begin : 1; /* taps of one run */
                for (int32_t kx = taps.begin; kx < taps.end && inside.begin < inside.end; kx += joined) {
                    const int32_t from =
                        ((n * p->in_h + iy + inside.begin) * p->in_w + ix + kx * p->dilation_w) * p->in_c;
                    ew_copy_runs_q8__mve((const int8_t *)x + from, p->in_w * p->in_c,
                                         copy + inside.begin * row + kx * p->in_c, row, inside.end - inside.begin,
                                         joined * p->in_c, p->x_flip);
                }
                ew_rows_q8__mve(copy, p->stride_h * row,
                                (int8_t *)y + ((n * p->out_h + begin) * p->out_w + ox) * p->out_c, p->out_w * p->out_c,
                                outs, w, p->kernel_h * row, p->out_c, &p->out);
            }
        }
    }
    ew_mve_finish(y, p->batch * p->out_h * p->out_w * p->out_c, &p->out);
}

#endif
#endif
