/* Pooling of volumes: the largest element, of several types, with its position; the mean and the norm, float32. Images
 * whose positions are wanted are volumes of depth 1. */
#ifndef EW_POOL3D_H
#define EW_POOL3D_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_window.h"

/* Layouts: x [planes][in], y [planes][out]; a plane is one channel of one sample. Sizes are depth, height, width; sizes,
 * strides and dilations are >= 1, pads >= 0. */
typedef struct {
    int32_t planes;
    int32_t in[3], out[3], kernel[3], stride[3], dilation[3];
    int32_t pad[3], pad_end[3];
    int32_t index_step[3];     /* ew_max_pool3d: what a step along each axis adds to a position */
    int32_t count_include_pad; /* ew_average_pool3d */
    int32_t p;                 /* of the norm, >= 1: ew_lp_pool3d */
} ew_pool3d_params;

/* The window of one output: what each axis has of it inside the input. */
typedef struct {
    int32_t start[3]; /* of the first tap; may lie outside */
    ew_range taps[3];
} ew_window3d;

EW_INLINE ew_window3d ew_window3d_at(const ew_pool3d_params *p, const int32_t *at)
{
    ew_window3d window;
    EW_UNROLL
    for (int32_t axis = 0; axis < 3; ++axis) {
        window.start[axis] = at[axis] * p->stride[axis] - p->pad[axis];
        window.taps[axis] = ew_window_taps(window.start[axis], p->kernel[axis], p->dilation[axis], 0, p->in[axis]);
    }
    return window;
}

/* How many taps of a window count for its mean. */
EW_INLINE int32_t ew_window3d_count(const ew_pool3d_params *p, const ew_window3d *window)
{
    int32_t count = 1;
    EW_UNROLL
    for (int32_t axis = 0; axis < 3; ++axis) {
        const ew_range taps =
            p->count_include_pad ? ew_window_taps(window->start[axis], p->kernel[axis], p->dilation[axis],
                                                  -p->pad[axis], p->in[axis] + p->pad_end[axis])
                                 : window->taps[axis];
        count *= taps.end - taps.begin;
    }
    return count;
}

/* Walks all outputs: their plane, place (oz, oy, ox) and number. */
#define EW_FOR_WINDOWS(p)                                                                     \
    for (int32_t plane = 0, to = 0; plane < (p)->planes; ++plane)                             \
        for (int32_t oz = 0; oz < (p)->out[0]; ++oz)                                          \
            for (int32_t oy = 0; oy < (p)->out[1]; ++oy)                                      \
                for (int32_t ox = 0; ox < (p)->out[2]; ++ox, ++to)

/* Walks the rows of taps of a window inside the input: kz, ky. */
#define EW_FOR_TAP_ROWS(window)                                                    \
    for (int32_t kz = (window).taps[0].begin; kz < (window).taps[0].end; ++kz)     \
        for (int32_t ky = (window).taps[1].begin; ky < (window).taps[1].end; ++ky)

/* Walks the taps of a row: kx. */
#define EW_FOR_ROW(window) for (int32_t kx = (window).taps[2].begin; kx < (window).taps[2].end; ++kx)

/* The element of a plane that a tap meets. */
EW_INLINE int32_t ew_window3d_element(const ew_pool3d_params *p, const ew_window3d *window, const int32_t *step,
                                      int32_t kz, int32_t ky, int32_t kx)
{
    return (window->start[0] + kz * p->dilation[0]) * step[0] + (window->start[1] + ky * p->dilation[1]) * step[1] +
           (window->start[2] + kx * p->dilation[2]) * step[2];
}

/* y = the largest element of each window, indices = its position in x, counted by index_step in each plane; of equal
 * ones the first counts. Padding never wins. A NaN may or may not reach the output. y or indices may be NULL. Buffers do
 * not overlap. */
#define EW_MAX_POOL3D(name, T)                                                                               \
    EW_KERNEL void name(const T *restrict x, T *restrict y, int64_t *restrict indices, const ew_pool3d_params *p) \
    {                                                                                                        \
        const int32_t step[3] = {p->in[1] * p->in[2], p->in[2], 1}, elements = p->in[0] * step[0];           \
        EW_FOR_WINDOWS(p)                                                                                    \
        {                                                                                                    \
            const int32_t at[3] = {oz, oy, ox};                                                              \
            const ew_window3d window = ew_window3d_at(p, at);                                                \
            int32_t best = -1, place = 0;                                                                    \
            EW_FOR_TAP_ROWS(window)                                                                          \
            EW_FOR_ROW(window)                                                                               \
            {                                                                                                \
                const int32_t from = plane * elements + ew_window3d_element(p, &window, step, kz, ky, kx);   \
                if (best < 0 || x[from] > x[best]) {                                                         \
                    best = from;                                                                             \
                    place = ew_window3d_element(p, &window, p->index_step, kz, ky, kx);                      \
                }                                                                                            \
            }                                                                                                \
            if (y) {                                                                                         \
                y[to] = x[best];                                                                             \
            }                                                                                                \
            if (indices) {                                                                                   \
                indices[to] = plane * elements + place;                                                      \
            }                                                                                                \
        }                                                                                                    \
    }

EW_MAX_POOL3D(ew_max_pool3d_f32, float)
EW_MAX_POOL3D(ew_max_pool3d_s8, int8_t)
EW_MAX_POOL3D(ew_max_pool3d_u8, uint8_t)

/* y = the sum of each window's taps inside the input / the number of those; with count_include_pad, of the taps inside
 * the padded input. Buffers do not overlap. */
EW_KERNEL void ew_average_pool3d_f32(const float *restrict x, float *restrict y, const ew_pool3d_params *p)
{
    const int32_t step[3] = {p->in[1] * p->in[2], p->in[2], 1}, elements = p->in[0] * step[0];
    EW_FOR_WINDOWS(p)
    {
        const int32_t at[3] = {oz, oy, ox};
        const ew_window3d window = ew_window3d_at(p, at);
        float sum = 0.0f;
        EW_FOR_TAP_ROWS(window)
        {
            float part = 0.0f; /* one row: see EW_SUM_BLOCK */
            EW_FOR_ROW(window)
            {
                part += x[plane * elements + ew_window3d_element(p, &window, step, kz, ky, kx)];
            }
            sum += part;
        }
        y[to] = sum / (float)ew_window3d_count(p, &window);
    }
}

/* y = (the sum of |x|^p over each window's taps inside the input)^(1/p). Buffers do not overlap. */
EW_KERNEL void ew_lp_pool3d_f32(const float *restrict x, float *restrict y, const ew_pool3d_params *p)
{
    const int32_t step[3] = {p->in[1] * p->in[2], p->in[2], 1}, elements = p->in[0] * step[0];
    EW_FOR_WINDOWS(p)
    {
        const int32_t at[3] = {oz, oy, ox};
        const ew_window3d window = ew_window3d_at(p, at);
        float sum = 0.0f;
        EW_FOR_TAP_ROWS(window)
        {
            float part = 0.0f; /* one row: see EW_SUM_BLOCK */
            EW_FOR_ROW(window)
            {
                const float value = fabsf(x[plane * elements + ew_window3d_element(p, &window, step, kz, ky, kx)]);
                part += p->p == 1 ? value : p->p == 2 ? value * value : powf(value, (float)p->p);
            }
            sum += part;
        }
        y[to] = p->p == 1 ? sum : p->p == 2 ? sqrtf(sum) : powf(sum, 1.0f / (float)p->p);
    }
}

#endif
