/* The dot-product tile under convolution, fully connected and matrix multiplication.
 *
 * A tile is a block of up to EW_TILE_ROWS rows (pixels) times EW_TILE_OUTS_MAX outputs (channels), held in registers:
 * each loaded value is used once per row or per output instead of once. All tile sizes are literals at the call, so the
 * loops over them unroll and the array becomes registers. The order of summation is not part of any contract. */
#ifndef EW_TILE_F32_H
#define EW_TILE_F32_H

#include "ew_base.h"
#include "ew_float.h"

/* 20 accumulators, 4 weights and an activation leave 7 of a Cortex-M4F's 32 registers for products; 4 x 4 and 6 x 4
 * measured slower. A single row uses each weight only once and takes more outputs at a time: eight, whose addresses
 * still fit the core registers. */
#define EW_TILE_ROWS 5
#define EW_TILE_OUTS 4
#define EW_TILE_OUTS_MAX 8

/* acc[r][o] = bias[o], or 0 where bias is NULL. */
EW_INLINE void ew_tile_start_f32(float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX], int32_t rows, int32_t outs,
                                 const float *bias)
{
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        const float start = bias ? bias[o] : 0.0f;
        EW_UNROLL
        for (int32_t r = 0; r < rows; ++r) {
            acc[r][o] = start;
        }
    }
}

/* acc[r][o] += sum over i < count of x[r * x_row + i * x_step] * w[o * w_out + i * w_step] */
EW_INLINE void ew_tile_dot_f32(float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX], int32_t rows, int32_t outs,
                               const float *restrict x, int32_t x_row, int32_t x_step, const float *restrict w,
                               int32_t w_out, int32_t w_step, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        float w_i[EW_TILE_OUTS_MAX];
        EW_UNROLL
        for (int32_t o = 0; o < outs; ++o) {
            w_i[o] = w[o * w_out];
        }
        EW_UNROLL
        for (int32_t r = 0; r < rows; ++r) {
            const float x_i = x[r * x_row];
            EW_UNROLL
            for (int32_t o = 0; o < outs; ++o) {
                acc[r][o] += x_i * w_i[o];
            }
        }
        x += x_step;
        w += w_step;
    }
}

/* y[r * y_row + o] = clamp(acc[r][o]) */
EW_INLINE void ew_tile_store_f32(float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX], int32_t rows, int32_t outs,
                                 float *restrict y, int32_t y_row, float act_min, float act_max)
{
    EW_UNROLL
    for (int32_t r = 0; r < rows; ++r) {
        EW_UNROLL
        for (int32_t o = 0; o < outs; ++o) {
            y[r * y_row + o] = ew_clamp_value_f32(acc[r][o], act_min, act_max);
        }
    }
}

/* A matrix product in tiles: y[rows][outs] = x . w + bias, with x and w addressed as in ew_tile_dot_f32. */
typedef struct {
    int32_t rows, outs, count;
    int32_t x_row, x_step, w_out, w_step;
    float act_min, act_max;
} ew_product_f32_params;

EW_INLINE void ew_product_tile_f32(const float *restrict x, const float *restrict w, const float *restrict bias,
                                   float *restrict y, const ew_product_f32_params *p, int32_t rows, int32_t outs)
{
    float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX];
    ew_tile_start_f32(acc, rows, outs, bias);
    ew_tile_dot_f32(acc, rows, outs, x, p->x_row, p->x_step, w, p->w_out, p->w_step, p->count);
    ew_tile_store_f32(acc, rows, outs, y, p->outs, p->act_min, p->act_max);
}

EW_INLINE void ew_product_rows_f32(const float *restrict x, const float *restrict w, const float *restrict bias,
                                   float *restrict y, const ew_product_f32_params *p, int32_t rows)
{
    const int32_t wide = rows == 1 ? p->outs - p->outs % EW_TILE_OUTS_MAX : 0;
    const int32_t tiled = p->outs - p->outs % EW_TILE_OUTS;
    for (int32_t o = 0; o < wide; o += EW_TILE_OUTS_MAX) {
        ew_product_tile_f32(x, w + o * p->w_out, bias ? bias + o : NULL, y + o, p, rows, EW_TILE_OUTS_MAX);
    }
    for (int32_t o = wide; o < tiled; o += EW_TILE_OUTS) {
        ew_product_tile_f32(x, w + o * p->w_out, bias ? bias + o : NULL, y + o, p, rows, EW_TILE_OUTS);
    }
    for (int32_t o = tiled; o < p->outs; ++o) {
        ew_product_tile_f32(x, w + o * p->w_out, bias ? bias + o : NULL, y + o, p, rows, 1);
    }
}

EW_INLINE void ew_product_f32(const float *restrict x, const float *restrict w, const float *restrict bias,
                              float *restrict y, const ew_product_f32_params *p)
{
    const int32_t tiled = p->rows - p->rows % EW_TILE_ROWS;
    for (int32_t r = 0; r < tiled; r += EW_TILE_ROWS) {
        ew_product_rows_f32(x + r * p->x_row, w, bias, y + r * p->outs, p, EW_TILE_ROWS);
    }
    for (int32_t r = tiled; r < p->rows; ++r) {
        ew_product_rows_f32(x + r * p->x_row, w, bias, y + r * p->outs, p, 1);
    }
}

#endif
