/* Two-dimensional convolution of few channels of 8-bit activations, one group, for Arm DSP cores: first layers.
 *
 * As ew_conv2d_q8__dsp.h, but each window is gathered by itself, a row's kernel_w * in_c bytes as words at any address:
 * with few channels there is little that neighbours could share, and channels do not fill words. Rows are copied with
 * their padding first. Sizes are literals here, so that a window is gathered without a loop. */
#ifndef EW_CONV2D_FEW_Q8__DSP_H
#define EW_CONV2D_FEW_Q8__DSP_H

#include "ew_conv2d_q8__dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#if defined(__clang__)
#define EW_FEW_UNROLL _Pragma("clang loop unroll_count(16)")
#else
#define EW_FEW_UNROLL _Pragma("GCC unroll 16")
#endif

/* Four activations, of which `count` are there, as two words of a pixel. */
EW_INLINE void ew_conv2d_few_put_q8__dsp(uint32_t v, uint32_t *to, const ew_conv2d_q8_dsp_params *p)
{
    to[0] = p->x_signed ? ew_dsp_sxtb16(v) : ew_dsp_uxtb16(v);
    to[2] = p->x_signed ? ew_dsp_sxtb16_ror8(v) : ew_dsp_uxtb16_ror8(v);
}

/* The window that starts at x, its rows `pitch` bytes apart: first the words of each row, then what is left of each,
 * one after the other. */
EW_INLINE void ew_conv2d_few_window_q8__dsp(const uint8_t *x, int32_t pitch, uint32_t *to,
                                            const ew_conv2d_q8_dsp_params *p)
{
    const int32_t bytes = p->kernel_w * p->in_c, words = bytes / 4;
    EW_FEW_UNROLL
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        EW_FEW_UNROLL
        for (int32_t i = 0; i < words; ++i) {
            ew_conv2d_few_put_q8__dsp(ew_dsp_load4(x + ky * pitch + 4 * i), to + (ky * words + i) * 4, p);
        }
    }
    uint32_t v = 0;
    int32_t at = 0;
    uint32_t *rest = to + p->kernel_h * words * 4;
    EW_FEW_UNROLL
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        EW_FEW_UNROLL
        for (int32_t i = 4 * words; i < bytes; ++i) {
            v |= (uint32_t)x[ky * pitch + i] << (8 * (at % 4));
            if (++at % 4 == 0) {
                ew_conv2d_few_put_q8__dsp(v, rest + at - 4, p);
                v = 0;
            }
        }
    }
    if (at % 4 != 0) {
        ew_conv2d_few_put_q8__dsp(v, rest + at / 4 * 4, p);
    }
}

/* Row iy of an image as windows see it: from column -pad_left, `pitch` bytes. */
EW_INLINE void ew_conv2d_few_row_q8__dsp(const uint8_t *x, int32_t iy, uint8_t *to, int32_t pitch,
                                         const ew_conv2d_q8_dsp_params *p)
{
    const int32_t left = p->pad_left * p->in_c < pitch ? p->pad_left * p->in_c : pitch;
    const int32_t there = p->in_w * p->in_c < pitch - left ? p->in_w * p->in_c : pitch - left;
    if (iy < 0 || iy >= p->in_h) {
        memset(to, p->x_zero, (size_t)pitch);
        return;
    }
    for (int32_t i = 0; i < left; ++i) {
        to[i] = (uint8_t)p->x_zero;
    }
    memcpy(to + left, x + iy * p->in_w * p->in_c, (size_t)there);
    for (int32_t i = left + there; i < pitch; ++i) {
        to[i] = (uint8_t)p->x_zero;
    }
}

/* y and the stream as ew_conv2d_q8__dsp, but that windows are in the order [kernel_h][kernel_w * in_c / 4 * 4], then
 * the rest of each row, zeros up to a multiple of 4; each four in the order 0, 2, 1, 3.
 * Requires dilations of 1 and pads that are not negative. Scratch, k being a window's halfwords: 4 * run * k bytes,
 * then kernel_h + (pair_h ? stride_h : 0) rows of ((out_w - 1) * stride_w + kernel_w) * in_c bytes, rounded up to a
 * multiple of 4, then as there. */
EW_KERNEL void ew_conv2d_few_q8__dsp(const void *x, const uint32_t *weights_stream, void *scratch, void *y,
                                     const ew_conv2d_q8_dsp_params *p)
{
    const int32_t half = p->pair_h ? 0 : (p->out_w + 1) / 2, pixels = p->pair_h ? p->out_w : half;
    const int32_t bytes = p->kernel_w * p->in_c;
    const int32_t window = (p->kernel_h * (bytes / 4 * 4) + (p->kernel_h * (bytes % 4) + 3) / 4 * 4);
    const int32_t pitch = ((p->out_w - 1) * p->stride_w + p->kernel_w) * p->in_c;
    const int32_t rows = p->kernel_h + (p->pair_h ? p->stride_h : 0);
    const int32_t y_step = (p->pair_h ? p->out_w : half) * p->out_c, x_step = p->stride_w * p->in_c;
    const int32_t partner = p->pair_h ? p->stride_h * pitch : half * x_step;
    uint32_t *windows = scratch;
    uint8_t *row = (uint8_t *)(windows + p->run * window), *spare = row + (rows * pitch + 3) / 4 * 4;
    ew_gemm_q8 run;
    run.weights = weights_stream;
    run.weights_end = (const uint8_t *)(const void *)weights_stream + p->stream_bytes;
    run.x_advance = window * 4;
    for (int32_t n = 0; n < p->batch; ++n) {
        const uint8_t *image = (const uint8_t *)x + n * p->in_h * p->in_w * p->in_c;
        for (int32_t oy = 0; oy < p->out_h; oy += 1 + p->pair_h) {
            for (int32_t r = 0; r < rows; ++r) {
                ew_conv2d_few_row_q8__dsp(image, oy * p->stride_h - p->pad_top + r, row + r * pitch, pitch, p);
            }
            for (int32_t ox = 0; ox < pixels; ox += p->run) {
                const int32_t pairs = p->run < pixels - ox ? p->run : pixels - ox;
                const int32_t whole = p->pair_h ? (oy + 1 < p->out_h ? pairs : 0)
                                                : (ox + pairs + half <= p->out_w ? pairs : pairs - 1);
                uint8_t *y_run = (uint8_t *)y + ((n * p->out_h + oy) * p->out_w + ox) * p->out_c;
                for (int32_t i = 0; i < pairs + whole; ++i) {
                    const int32_t pair = i < pairs ? i : i - pairs;
                    ew_conv2d_few_window_q8__dsp(row + (ox + pair) * x_step + (i < pairs ? 0 : partner), pitch,
                                                 windows + pair * window + (i < pairs ? 0 : 1), p);
                }
                run.x = windows;
                run.x_end = windows + window;
                if (whole > 0) {
                    ew_conv2d_run_q8__dsp(&run, whole, y_run, y_step, p->out_c, spare, ew_gemm_q8__dsp);
                }
                if (whole < pairs) {
                    run.x = windows + whole * window;
                    run.x_end = windows + (whole + 1) * window;
                    ew_conv2d_run_q8__dsp(&run, pairs - whole, y_run + whole * p->out_c, 0, p->out_c, spare,
                                          ew_gemm_q8__dsp);
                }
            }
        }
    }
}

#endif
#endif
