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
    int32_t second_set;           /* 3: the second direction has activations of its own; 0: those of the first */
    int32_t activations[6];       /* ew_recurrent_activation; three a direction, in ONNX's order (f, g, h) */
    float alphas[6], betas[6];    /* of the activations; what one does not have is not read */
} ew_recurrent_f32_params;

typedef enum ew_recurrent_activation {
    EW_RECURRENT_SIGMOID = 0,
    EW_RECURRENT_TANH = 1,
    EW_RECURRENT_RELU = 2,
    EW_RECURRENT_AFFINE = 3,
    EW_RECURRENT_LEAKY_RELU = 4,
    EW_RECURRENT_THRESHOLDED_RELU = 5,
    EW_RECURRENT_SCALED_TANH = 6,
    EW_RECURRENT_HARD_SIGMOID = 7,
    EW_RECURRENT_ELU = 8,
    EW_RECURRENT_SOFTSIGN = 9,
    EW_RECURRENT_SOFTPLUS = 10
} ew_recurrent_activation;

/* Activation number `which` of the parameters. Source: ONNX RNN-22. */
EW_INLINE float ew_recurrent_activation_f32(float x, int32_t which, const ew_recurrent_f32_params *p)
{
    const float alpha = p->alphas[which], beta = p->betas[which];
    switch (p->activations[which]) {
    case EW_RECURRENT_TANH:
        return tanhf(x);
    case EW_RECURRENT_RELU:
        return x < 0.0f ? 0.0f : x;
    case EW_RECURRENT_AFFINE:
        return alpha * x + beta;
    case EW_RECURRENT_LEAKY_RELU:
        return x < 0.0f ? alpha * x : x;
    case EW_RECURRENT_THRESHOLDED_RELU:
        return x >= alpha ? x : 0.0f;
    case EW_RECURRENT_SCALED_TANH:
        return alpha * tanhf(beta * x);
    case EW_RECURRENT_HARD_SIGMOID:
        return ew_clamp_value_f32(alpha * x + beta, 0.0f, 1.0f);
    case EW_RECURRENT_ELU:
        return x < 0.0f ? alpha * expm1f(x) : x;
    case EW_RECURRENT_SOFTSIGN:
        return x / (1.0f + fabsf(x));
    case EW_RECURRENT_SOFTPLUS:
        return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
    default:
        return 1.0f / (1.0f + expf(-x)); /* exp may overflow to infinity, which gives the limit, 0 */
    }
}

/* The same of an argument that is clamped before. */
EW_INLINE float ew_recurrent_clipped_f32(float x, int32_t which, const ew_recurrent_f32_params *p)
{
    return ew_recurrent_activation_f32(ew_clamp_value_f32(x, -p->clip, p->clip), which, p);
}

/* The steps that sequence `batch` has: lengths [batch] or NULL (all steps); what lies outside is brought inside. */
EW_INLINE int32_t ew_recurrent_length(const int32_t *lengths, int32_t batch, int32_t steps)
{
    const int32_t length = lengths ? lengths[batch] : steps;
    return length < 0 ? 0 : length < steps ? length : steps;
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

/* A state before the first step: 0 where there is no initial one, and for a sequence without steps. */
EW_INLINE void ew_recurrent_start_f32(float *state, const float *initial, int32_t hidden, int32_t length)
{
    if (initial && length > 0) {
        memcpy(state, initial, (size_t)hidden * sizeof *state);
    } else {
        memset(state, 0, (size_t)hidden * sizeof *state);
    }
}

EW_INLINE void ew_recurrent_copy_f32(float *restrict to, const float *restrict state, int32_t hidden)
{
    memcpy(to, state, (size_t)hidden * sizeof *state);
}

/* Zero rows of y behind the end of sequence `batch`, of direction d. */
EW_INLINE void ew_recurrent_rest_f32(float *y, int32_t length, int32_t d, int32_t batch,
                                     const ew_recurrent_f32_params *p)
{
    for (int32_t t = length; t < p->steps; ++t) {
        memset(y + t * p->y_step + d * p->y_direction + batch * p->y_batch, 0, (size_t)p->hidden * sizeof *y);
    }
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
