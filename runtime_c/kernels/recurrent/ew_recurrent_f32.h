/* What the float32 recurrent layers share: parameters, products with the input and with the state, gates. */
#ifndef EW_RECURRENT_F32_H
#define EW_RECURRENT_F32_H

#include "ew_base.h"
#include "ew_tile_f32.h"

#include <string.h>

/* Sizes are >= 1, strides in elements. Where a layer has two directions, the second one runs from the last step to the
 * first; `backwards` is about the first (or only) direction. */
typedef struct {
    int32_t steps, batch, input, hidden;
    int32_t directions; /* 1 or 2 */
    int32_t backwards;  /* 1: the first direction runs from the last step to the first */
    int32_t x_step, x_batch;
    int32_t y_step, y_direction, y_batch;
    int32_t h_direction, h_batch; /* of initial and last states */
    float clip;                   /* > 0; arguments of activations are clamped to [-clip, clip]; INFINITY: not */
    int32_t input_forget;         /* LSTM: 1: the forget gate is 1 - the input gate */
    int32_t linear_before_reset;  /* GRU: 1: the reset gate is applied behind the product */
} ew_recurrent_f32_params;

EW_INLINE float ew_sigmoid_value_f32(float x)
{
    return 1.0f / (1.0f + expf(-x)); /* exp may overflow to infinity, which gives the limit, 0 */
}

/* The row of a state or of a bias, NULL where there is none. */
EW_INLINE const float *ew_row_or_null_f32(const float *rows, int32_t at)
{
    return rows ? rows + at : NULL;
}

EW_INLINE float ew_or_zero_f32(const float *values, int32_t i)
{
    return values ? values[i] : 0.0f;
}

EW_INLINE void ew_recurrent_start_f32(float *state, const float *initial, int32_t hidden)
{
    if (initial) {
        memcpy(state, initial, (size_t)hidden * sizeof *state);
    } else {
        memset(state, 0, (size_t)hidden * sizeof *state);
    }
}

EW_INLINE void ew_recurrent_copy_f32(float *restrict to, const float *restrict state, int32_t hidden)
{
    memcpy(to, state, (size_t)hidden * sizeof *state);
}

EW_INLINE void ew_recurrent_tile_f32(const float *restrict x, const float *restrict w, int32_t input,
                                     const float *restrict h, const float *restrict r, int32_t hidden,
                                     const float *restrict bias, float *restrict y, int32_t outs)
{
    float acc[EW_TILE_ROWS][EW_TILE_OUTS_MAX];
    ew_tile_start_f32(acc, 1, outs, bias);
    ew_tile_dot_f32(acc, 1, outs, x, 0, 1, w, input, 1, input);
    ew_tile_dot_f32(acc, 1, outs, h, 0, 1, r, hidden, 1, hidden);
    ew_tile_store_f32(acc, 1, outs, y, 0, -INFINITY, INFINITY);
}

/* y[o] = bias[o] + sum over i of x[i] * w[o,i] + sum over j of h[j] * r[o,j], for o < rows.
 * x [input], w [rows][input], h [hidden], r [rows][hidden], bias [rows] or NULL. input or hidden may be 0. */
EW_INLINE void ew_recurrent_rows_f32(const float *restrict x, const float *restrict w, int32_t input,
                                     const float *restrict h, const float *restrict r, int32_t hidden,
                                     const float *restrict bias, float *restrict y, int32_t rows)
{
    const int32_t tiled = rows - rows % EW_TILE_OUTS_MAX;
    for (int32_t o = 0; o < tiled; o += EW_TILE_OUTS_MAX) {
        ew_recurrent_tile_f32(x, w + o * input, input, h, r + o * hidden, hidden, ew_row_or_null_f32(bias, o), y + o,
                              EW_TILE_OUTS_MAX);
    }
    for (int32_t o = tiled; o < rows; ++o) {
        ew_recurrent_tile_f32(x, w + o * input, input, h, r + o * hidden, hidden, ew_row_or_null_f32(bias, o), y + o,
                              1);
    }
}

#endif
