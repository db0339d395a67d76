/* Two-dimensional convolution of 8-bit activations, one group, for Arm DSP cores.
 *
 * Outputs are made in pairs (ew_gemm_q8__dsp.h). Their windows are cut from columns: for a row of outputs, each input
 * column that they see is widened once into [column][kernel_h][in_c], all rows of the kernel together, so that a window
 * is kernel_w columns in one piece, and neighbours share all but the new ones. Padding is columns and rows of x's zero
 * point. */
#ifndef EW_CONV2D_Q8__DSP_H
#define EW_CONV2D_Q8__DSP_H

#include "ew_gemm_q8__dsp.h"
#include "ew_widen_q8__dsp.h"
#include "ew_window.h"

/* Layouts: x [batch][in_h][in_w][in_c], y [batch][out_h][out_w][out_c], 8 bits an element, at any address. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t x_zero;       /* what padding holds, x's zero point, in x's type */
    int32_t x_signed;     /* 1: x is int8; 0: uint8 */
    int32_t pair_h;       /* 1: a pixel's partner is the one below; 0: the one half a row to the right */
    int32_t run;          /* pairs whose columns are made together; 1 where dilation_w > 1 and kernel_w > 1 */
    int32_t stream_bytes; /* of weights_stream */
} ew_conv2d_q8_dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* Words of a column of both pixels, which are halfwords of one: each row's in_c, in all an even number. */
EW_INLINE int32_t ew_conv2d_column_q8__dsp(const ew_conv2d_q8_dsp_params *p)
{
    return (p->kernel_h * p->in_c + 1) / 2 * 2;
}

/* Columns from a window to the next, and how many a run of windows sees. */
EW_INLINE int32_t ew_conv2d_advance_q8__dsp(const ew_conv2d_q8_dsp_params *p)
{
    return p->kernel_w == 1 ? 1 : p->stride_w;
}

EW_INLINE int32_t ew_conv2d_columns_of_q8__dsp(int32_t pairs, const ew_conv2d_q8_dsp_params *p)
{
    return (pairs - 1) * ew_conv2d_advance_q8__dsp(p) + p->kernel_w;
}

/* Where a pixel's halfword k of a column is, in halfwords. */
EW_INLINE int32_t ew_paired_q8__dsp(int32_t k)
{
    return k / 2 * 4 + k % 2;
}

/* Copies part of a row of x, `columns` columns `x_step` bytes apart, into columns from `to` on, at halfword `at` of
 * each. */
typedef void ew_conv2d_row_function_q8(const uint8_t *x, uint32_t *to, int32_t columns, int32_t x_step, int32_t at,
                                       const ew_conv2d_q8_dsp_params *p);

/* in_c is a multiple of 4. */
EW_INLINE void ew_conv2d_words_q8__dsp(const uint8_t *x, uint32_t *to, int32_t columns, int32_t x_step, int32_t at,
                                       const ew_conv2d_q8_dsp_params *p, ew_widen_function_q8 *widen)
{
    const int32_t in_c = p->in_c, column = ew_conv2d_column_q8__dsp(p), one_piece = column == in_c && x_step == in_c;
    const int32_t piece = one_piece ? columns * in_c : in_c;
    const ew_widen_q8 what = {
        piece / 16, piece / 4 % 4, (column - in_c) * 4, x_step - in_c, one_piece ? 1 : columns,
    };
    widen(to + at, x, &what);
}

EW_DSP_SHARED void ew_conv2d_words_u8__dsp(const uint8_t *x, uint32_t *to, int32_t columns, int32_t x_step, int32_t at,
                                           const ew_conv2d_q8_dsp_params *p)
{
    ew_conv2d_words_q8__dsp(x, to, columns, x_step, at, p, ew_widen_pixel_u8__dsp);
}

EW_DSP_SHARED void ew_conv2d_words_s8__dsp(const uint8_t *x, uint32_t *to, int32_t columns, int32_t x_step, int32_t at,
                                           const ew_conv2d_q8_dsp_params *p)
{
    ew_conv2d_words_q8__dsp(x, to, columns, x_step, at, p, ew_widen_pixel_s8__dsp);
}

/* Any in_c, channels in their order. */
EW_DSP_SHARED void ew_conv2d_bytes_q8__dsp(const uint8_t *x, uint32_t *to, int32_t columns, int32_t x_step, int32_t at,
                                           const ew_conv2d_q8_dsp_params *p)
{
    const int32_t step = 2 * ew_conv2d_column_q8__dsp(p), sign = p->x_signed ? 128 : 0;
    for (int32_t c = 0; c < p->in_c; ++c) {
        uint16_t *out = (uint16_t *)(void *)to + ew_paired_q8__dsp(at + c);
        const uint8_t *from = x + c;
        for (int32_t i = 0; i < columns; ++i) {
            *out = (uint16_t)((*from ^ sign) - sign);
            out += step;
            from += x_step;
        }
    }
}

/* A row of padding. */
EW_DSP_SHARED void ew_conv2d_pad_q8__dsp(uint32_t *to, int32_t columns, int32_t at, const ew_conv2d_q8_dsp_params *p)
{
    const int32_t column = ew_conv2d_column_q8__dsp(p), end = at + p->in_c;
    const uint32_t zero = (uint32_t)p->x_zero & 0xffffu, zeros = zero | zero << 16;
    for (; columns > 0; --columns, to += column) {
        int32_t k = at;
        if (k % 2 != 0) {
            ((uint16_t *)(void *)to)[ew_paired_q8__dsp(k++)] = (uint16_t)zero;
        }
        for (; k + 1 < end; k += 2) {
            to[k] = zeros;
        }
        if (k < end) {
            ((uint16_t *)(void *)to)[ew_paired_q8__dsp(k)] = (uint16_t)zero;
        }
    }
}

/* All columns of a run of windows, for one of the two pixels; iy, ix: where its first window starts in x. */
EW_DSP_SHARED void ew_conv2d_columns_q8__dsp(const uint8_t *x, uint32_t *to, int32_t iy, int32_t ix, int32_t columns,
                                             ew_conv2d_row_function_q8 *row, const ew_conv2d_q8_dsp_params *p)
{
    const int32_t step = p->kernel_w == 1 ? p->stride_w : p->dilation_w; /* columns of x between two of ours */
    const int32_t column = ew_conv2d_column_q8__dsp(p);
    const ew_range inside = ew_window_taps(ix, columns, step, 0, p->in_w);
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, iy += p->dilation_h) {
        const int32_t at = ky * p->in_c;
        if (iy < 0 || iy >= p->in_h || inside.begin == inside.end) {
            ew_conv2d_pad_q8__dsp(to, columns, at, p);
            continue;
        }
        if (inside.begin > 0) {
            ew_conv2d_pad_q8__dsp(to, inside.begin, at, p);
        }
        if (inside.end < columns) {
            ew_conv2d_pad_q8__dsp(to + inside.end * column, columns - inside.end, at, p);
        }
        row(x + (iy * p->in_w + ix + inside.begin * step) * p->in_c, to + inside.begin * column,
            inside.end - inside.begin, step * p->in_c, at, p);
    }
}

/* Some pairs of a row, from their columns or windows: `pairs` pixels that start at y, and their partners `y_step`
 * bytes on (none where it is 0). `run` has x, x_end, x_advance and the stream. Where out_c is no multiple of 4 whole
 * blocks of channels go to `spare`, and from there what there really is. */
EW_DSP_SHARED void ew_conv2d_run_q8__dsp(ew_gemm_q8 *run, int32_t pairs, uint8_t *y, int32_t y_step, int32_t out_c,
                                         uint8_t *spare, ew_gemm_function_q8 *gemm)
{
    const int32_t made = (out_c + 3) / 4 * 4;
    run->pairs = pairs;
    run->y = made == out_c ? y : spare;
    run->y_step = made == out_c || y_step == 0 ? y_step : pairs * made;
    run->y_advance = 0;
    gemm(run);
    if (made == out_c) {
        return;
    }
    for (int32_t i = 0; i < (y_step ? 2 * pairs : pairs); ++i) {
        uint8_t *to = i < pairs ? y + i * out_c : y + y_step + (i - pairs) * out_c;
        memcpy(to, spare + i * made, (size_t)out_c);
    }
}

EW_DSP_SHARED void ew_conv2d_pairs_q8__dsp(const uint8_t *x, const uint32_t *stream, uint32_t *scratch, uint8_t *y,
                                           ew_conv2d_row_function_q8 *row, ew_gemm_function_q8 *gemm,
                                           const ew_conv2d_q8_dsp_params *p)
{
    const int32_t half = p->pair_h ? 0 : (p->out_w + 1) / 2;
    const int32_t pixels = p->pair_h ? p->out_w : half; /* of a row, without partners */
    const int32_t column = ew_conv2d_column_q8__dsp(p), advance = ew_conv2d_advance_q8__dsp(p);
    const int32_t y_step = (p->pair_h ? p->out_w : half) * p->out_c;
    uint8_t *spare = (uint8_t *)(scratch + ew_conv2d_columns_of_q8__dsp(p->run, p) * column);
    ew_gemm_q8 run;
    run.weights = stream;
    run.weights_end = (const uint8_t *)(const void *)stream + p->stream_bytes;
    run.x_advance = advance * column * 4;
    for (int32_t n = 0; n < p->batch; ++n, x += p->in_h * p->in_w * p->in_c) {
        for (int32_t oy = 0; oy < p->out_h; oy += 1 + p->pair_h) {
            const int32_t iy = oy * p->stride_h - p->pad_top;
            for (int32_t ox = 0; ox < pixels; ox += p->run) {
                const int32_t pairs = p->run < pixels - ox ? p->run : pixels - ox;
                const int32_t ix = ox * p->stride_w - p->pad_left, columns = ew_conv2d_columns_of_q8__dsp(pairs, p);
                /* How many have a partner: not those of the last row, or the last of a row, where that is odd. */
                const int32_t whole = p->pair_h ? (oy + 1 < p->out_h ? pairs : 0)
                                                : (ox + pairs + half <= p->out_w ? pairs : pairs - 1);
                uint8_t *y_run = y + ((n * p->out_h + oy) * p->out_w + ox) * p->out_c;
                ew_conv2d_columns_q8__dsp(x, scratch, iy, ix, columns, row, p);
                run.x = scratch;
                run.x_end = scratch + p->kernel_w * column;
                if (whole > 0) {
                    ew_conv2d_columns_q8__dsp(x, scratch + 1, iy + p->pair_h * p->stride_h, ix + half * p->stride_w,
                                              columns, row, p);
                    ew_conv2d_run_q8__dsp(&run, whole, y_run, y_step, p->out_c, spare, gemm);
                }
                if (whole < pairs) {
                    run.x = scratch + whole * advance * column;
                    run.x_end = scratch + (whole * advance + p->kernel_w) * column;
                    ew_conv2d_run_q8__dsp(&run, pairs - whole, y_run + whole * p->out_c, 0, p->out_c, spare, gemm);
                }
            }
        }
    }
}

EW_INLINE ew_conv2d_row_function_q8 *ew_conv2d_row_of_q8__dsp(const ew_conv2d_q8_dsp_params *p)
{
    return p->in_c % 4 ? ew_conv2d_bytes_q8__dsp : p->x_signed ? ew_conv2d_words_s8__dsp : ew_conv2d_words_u8__dsp;
}

/* y = requantized(bias + sum over the window of (x - x_zero) * weight), the generator having folded zero points,
 * scales and clamps into weights_stream (ew_gemm_q8__dsp.h), whose windows are in the order [kernel_w][kernel_h][in_c];
 * where in_c is a multiple of 4, each four channels are in the order 0, 2, 1, 3.
 * Scratch: 4 * columns of a run * halfwords of a column bytes; where out_c is no multiple of 4, 2 * run * (out_c
 * rounded up to one) more.
 * Buffers do not overlap, but y may be x where the window is one pixel, unpadded, of stride 1, and both have one shape. */
EW_KERNEL void ew_conv2d_q8__dsp(const void *x, const uint32_t *weights_stream, void *scratch, void *y,
                                 const ew_conv2d_q8_dsp_params *p)
{
    ew_conv2d_pairs_q8__dsp(x, weights_stream, scratch, y, ew_conv2d_row_of_q8__dsp(p), ew_gemm_q8__dsp, p);
}

/* The same with weights of 16 bits in the stream, for layers whose weights cannot share halfwords. */
EW_KERNEL void ew_conv2d_q8_wide__dsp(const void *x, const uint32_t *weights_stream, void *scratch, void *y,
                                      const ew_conv2d_q8_dsp_params *p)
{
    ew_conv2d_pairs_q8__dsp(x, weights_stream, scratch, y, ew_conv2d_row_of_q8__dsp(p), ew_gemm_q8_wide__dsp, p);
}

#endif
#endif
