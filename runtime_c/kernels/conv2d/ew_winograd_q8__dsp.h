/* 3x3 convolution, stride 1, 8 bits, by Winograd's F(2x2, 3x3) and F(4x4, 3x3), exact in integers, for Arm DSP cores
 * with FPU.
 *
 * A tile is m by m outputs, of the m + 2 by m + 2 inputs that they see. Inputs are transformed into halfwords, and the
 * weights were when they were packed, so that 16 products a channel and tile do what 36 did, or 36 what 144 did. Tiles
 * are done in pairs: for each position a product of matrices, four output channels by two tiles at a time, whose eight
 * sums go to the stack; then the sums of each channel and tile are transformed back.
 *
 * Outputs are A^T ((G w G^T) . (B^T x B)) A. With m = 2:
 *   B^T = (1 0 -1 0, 0 1 1 0, 0 -1 1 0, 0 1 0 -1), G = (2 0 0, 1 1 1, 1 -1 1, 0 0 2), A^T = (1 1 1 0, 0 1 -1 -1),
 * which gives 4 times the sums; |B^T x B| <= 1020, |G w G^T| <= 9 * 128. With m = 4:
 *   B^T = (4 0 -5 0 1 0, 0 -4 -4 1 1 0, 0 4 -4 -1 1 0, 0 -2 -1 2 1 0, 0 2 -1 -2 1 0, 0 4 0 -5 0 1),
 *   G = (6 0 0, -4 -4 -4, -4 4 -4, 1 2 4, 1 -2 4, 0 0 3),
 *   A^T = (1 1 1 1 1 0, 0 1 -1 2 -2 0, 0 1 1 4 4 0, 0 1 -1 8 -8 8),
 * which gives 576 times the sums; |B^T x B| <= 68 * 255, |G w G^T| <= 144 * 128. The requantization divides by 4 or 576;
 * all that is on the way is right modulo 2^32, and only what it starts from has to be in 32 bits.
 *
 * Positions of a column share accumulators: what goes to the stack after each is the sum of the column's positions so
 * far, in the order 1 2 0 3 or 1 2 3 4 0 5, because the last but one of these sums is then a result already. With m = 2
 * the weights of the four corners are as they were, but for a factor 4; two output channels share a halfword there. */
#ifndef EW_WINOGRAD_Q8__DSP_H
#define EW_WINOGRAD_Q8__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_quantized.h"
#include "ew_winograd_input_q8__dsp.h"
#include "ew_winograd_tiles_q8__dsp.h"

#include <string.h>

/* x [batch][in_h][in_w][in_c], int8 or uint8; y [batch][out_h][out_w][out_c], uint8, clamped to 0..255 only.
 * in_c and out_c are multiples of 4. What is padded below
 * and right follows from out_h and out_w. Buffers do not overlap. */
typedef struct {
    int32_t batch;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t pad_top, pad_left;
    int32_t x_type; /* EW_QS8 or EW_QU8 */
    int32_t x_zero; /* in the domain of x */
} ew_winograd_q8__dsp_params;

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* A function that no layer gets a copy of. */
#if defined(__clang__)
#define EW_WG_ONCE static __attribute__((noinline, unused))
#else
#define EW_WG_ONCE static __attribute__((noinline, noclone, unused))
#endif

#define EW_WG_DEPTH 16 /* input channels that one turn of the inner loop takes; packed weights are filled up to that */

#define EW_WG_POSITION_BYTES(in_c) (4 * (((in_c) + EW_WG_DEPTH - 1) / EW_WG_DEPTH * EW_WG_DEPTH) + 4)

/* Zeros where channels are filled up, and the marks. Tiles of 2: two columns of four positions, two of their inner two,
 * then the corners apart; of 4: six columns of six. */
EW_WG_ONCE void ew_wg_prepare(uint8_t *v, int32_t side, int32_t position)
{
    const uint32_t last = side == 4 ? 1u << 11 | 1u << 15 : 0, clear = side == 4 ? 1u << 3 | 1u << 7 | 1u << 9 : 0;
    memset(v, 0, (size_t)(side * side * position));
    for (int32_t i = 0; i < side * side; ++i) {
        uint32_t mark = EW_WG_MARK;
        if (side == 4 ? last >> i & 1 : i == 35) {
            mark |= EW_WG_MARK_LAST;
        } else if (side == 4 ? clear >> i & 1 : i % 6 == 5) {
            mark |= EW_WG_MARK_CLEAR;
        }
        v += position;
        ew_dsp_store4(v - 4, mark);
    }
}

/* The window of side by side pixels from (top, left) on as a dense block of uint8, zero points where there is no pixel.
 * Words of four channels: `from` is x's first pixel. */
EW_WG_ONCE void ew_wg_patch(const uint8_t *from, uint8_t *to, int32_t side, int32_t top, int32_t left,
                            const ew_winograd_q8__dsp_params *p)
{
    const uint32_t flip = p->x_type == EW_QS8 ? 0x80808080u : 0, zero = ((uint32_t)p->x_zero & 0xff) * 0x01010101u;
    const int32_t before = left < 0 ? -left : 0, after = left + side > p->in_w ? left + side - p->in_w : 0;
    for (int32_t row = top; row < top + side; ++row) {
        const int32_t there = row >= 0 && row < p->in_h && before + after < side;
        const int32_t first = there ? before * p->in_c : side * p->in_c, end = (side - after) * p->in_c;
        const uint8_t *x = from + (row * p->in_w + left) * p->in_c;
        int32_t at = 0;
        for (; at < first; at += 4) {
            ew_dsp_store4(to + at, zero ^ flip);
        }
        for (; at < end; at += 4) {
            ew_dsp_store4(to + at, ew_dsp_load4(x + at) ^ flip);
        }
        to += at;
        for (; at < side * p->in_c; at += 4, to += 4) {
            ew_dsp_store4(to, zero ^ flip);
        }
    }
}

/* All tiles of m by m outputs. */
EW_WG_ONCE void ew_wg_all(const void *x, const uint32_t *weights, void *scratch, void *y,
                         const ew_winograd_q8__dsp_params *p, int32_t m, void (*input)(const ew_wg_window *),
                         void (*products)(const ew_wg_tiles *))
{
    const int32_t side = m + 2, position = EW_WG_POSITION_BYTES(p->in_c), pixel = p->in_c;
    uint8_t *const v = scratch, *const patch = v + side * side * position;
    uint8_t *const nowhere = patch + side * side * pixel;
    uint8_t *to[2 * 4 * 4];
    const ew_wg_tiles pair = {v, weights, p->out_c / 4, 0, to};
    uint8_t **next = to;
    ew_wg_window window = {NULL, v, pixel / 4, 0, pixel, side * position, position};
    ew_wg_prepare(v, side, position);
    const uint8_t *from = x;
    for (int32_t image = 0; image < p->batch; ++image, from += p->in_h * p->in_w * pixel) {
        for (int32_t row = 0; row < p->out_h; row += m) {
            for (int32_t column = 0; column < p->out_w; column += m) {
                const int32_t top = row - p->pad_top, left = column - p->pad_left;
                window.x = from + (top * p->in_w + left) * pixel;
                window.row = p->in_w * pixel;
                if (p->x_type == EW_QS8 || top < 0 || left < 0 || top + side > p->in_h || left + side > p->in_w) {
                    ew_wg_patch(from, patch, side, top, left, p);
                    window.x = patch;
                    window.row = side * pixel;
                }
                input(&window);
                for (int32_t i = row; i < row + m; ++i) {
                    for (int32_t j = column; j < column + m; ++j) {
                        uint8_t *place = (uint8_t *)y + ((image * p->out_h + i) * p->out_w + j) * p->out_c;
                        *next++ = i < p->out_h && j < p->out_w ? place : nowhere;
                    }
                }
                window.v += 4;
                if (next == to + 2 * m * m) {
                    products(&pair);
                    next = to;
                    window.v = v;
                }
            }
        }
    }
    if (next != to) { /* an odd number of tiles: the last one is alone */
        while (next != to + 2 * m * m) {
            *next++ = nowhere;
        }
        products(&pair);
    }
}

/* weights: for each four output channels, input channels filled up to EW_WG_DEPTH: 4 words, 4 * bias (x's zero point
 * folded in, plus what a line needs); for positions (row, column) 11 21 01 31, 12 22 02 32, 10 20, 13 23 and two
 * channels (0 and 2, 1 and 3 of each four) a word for each of the four; for positions 00 30 03 33 and two channels two
 * words, 256 * weight of an even channel + weight of the next; for each of the four 0, multiplier and offset of its line
 * (shift 8), or 1, scale / 4 as float32 and zero.
 * scratch: 16 * (EW_WG_POSITION_BYTES(in_c) + in_c) + out_c bytes. */
EW_KERNEL void ew_winograd_2_q8__dsp(const void *x, const uint32_t *weights, void *scratch, void *y,
                                     const ew_winograd_q8__dsp_params *p)
{
    ew_wg_all(x, weights, scratch, y, p, 2, ew_wg_input_2, ew_wg_tiles_2);
}

/* With tiles of 4x4 outputs: 576 * bias; positions (row, column) 11 21 31 41 01 51, 12 ..., 13, 14, 10, 15, none shared;
 * shift 16, scale / 64.
 * scratch: 36 * (EW_WG_POSITION_BYTES(in_c) + in_c) + out_c bytes. */
EW_KERNEL void ew_winograd_4_q8__dsp(const void *x, const uint32_t *weights, void *scratch, void *y,
                                     const ew_winograd_q8__dsp_params *p)
{
    ew_wg_all(x, weights, scratch, y, p, 4, ew_wg_input_4, ew_wg_tiles_4);
}

#endif
#endif
