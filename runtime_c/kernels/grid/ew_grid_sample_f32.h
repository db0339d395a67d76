/* An image, or a volume, sampled where a grid says, float32. */
#ifndef EW_GRID_SAMPLE_F32_H
#define EW_GRID_SAMPLE_F32_H

#include "ew_base.h"
#include "ew_float.h"

#define EW_GRID_AXES 3 /* spatial axes; an image has depth 1 */
#define EW_GRID_TAPS 4 /* an axis, at most */

/* What lies outside the image. */
typedef enum ew_grid_padding {
    EW_GRID_ZEROS = 0,
    EW_GRID_BORDER = 1,    /* the nearest element */
    EW_GRID_REFLECTION = 2 /* the image, mirrored at its border again and again */
} ew_grid_padding;

typedef struct {
    int32_t batch, channels;    /* >= 1 */
    int32_t rank;               /* numbers that the grid has for each point; 2 or 3 */
    int32_t sizes[EW_GRID_AXES]; /* depth, height, width; >= 1 */
    int32_t points;             /* of the grid, an image; >= 1 */
    int32_t taps;               /* an axis: 1 takes the nearest element, 2 interpolates by lines, 4 by cubic curves */
    int32_t padding;            /* ew_grid_padding */
    int32_t align_corners;      /* -1 and 1 are 1: the centres of the outermost elements; 0: their outer edges */
} ew_grid_sample_f32_params;

/* The elements along one axis that a point is made of; -1: a zero. */
typedef struct {
    int32_t index[EW_GRID_TAPS];
    float weight[EW_GRID_TAPS];
} ew_grid_taps;

/* Mirrors a coordinate at `low` and `high` until it lies between. */
EW_INLINE float ew_grid_reflect(float at, float low, float high)
{
    const float range = high - low;
    if (range <= 0.0f) {
        return low;
    }
    if (at < low) {
        const float rest = fmodf(low - at, 2.0f * range);
        return low + (rest > range ? 2.0f * range - rest : rest);
    }
    if (at > high) {
        const float rest = fmodf(at - high, 2.0f * range);
        return high - (rest > range ? 2.0f * range - rest : rest);
    }
    return at;
}

/* The element at a whole coordinate; any float is safe, NaN included. */
EW_INLINE int32_t ew_grid_index(float at, int32_t size, int32_t padding, float low, float high)
{
    const float last = (float)(size - 1);
    if (padding == EW_GRID_ZEROS) {
        return at >= 0.0f && at <= last ? (int32_t)at : -1;
    }
    const float inside = padding == EW_GRID_REFLECTION ? ew_grid_reflect(at, low, high) : at;
    return !(inside > 0.0f) ? 0 : inside < last ? (int32_t)inside : size - 1;
}

/* Keys' cubic convolution with a = -0.75: the weights of four elements, `part` of the way from the second to the third.
 */
EW_INLINE void ew_grid_cubic(float part, float *weight)
{
    const float a = -0.75f, before = part + 1.0f, back = 1.0f - part, behind = back + 1.0f;
    weight[0] = ((a * before - 5.0f * a) * before + 8.0f * a) * before - 4.0f * a;
    weight[1] = ((a + 2.0f) * part - (a + 3.0f)) * part * part + 1.0f;
    weight[2] = ((a + 2.0f) * back - (a + 3.0f)) * back * back + 1.0f;
    weight[3] = ((a * behind - 5.0f * a) * behind + 8.0f * a) * behind - 4.0f * a;
}

/* Where a number of the grid lies on an axis of `size` elements. */
EW_INLINE void ew_grid_place(float number, int32_t size, const ew_grid_sample_f32_params *p, ew_grid_taps *taps)
{
    const float low = p->align_corners ? 0.0f : -0.5f, high = (float)(size - 1) - low;
    float at = p->align_corners ? (number + 1.0f) / 2.0f * (float)(size - 1)
                                : ((number + 1.0f) * (float)size - 1.0f) / 2.0f;
    if (p->taps == 1) {
        at = rintf(at);
    }
    if (at < low || at > high) {
        if (p->padding == EW_GRID_BORDER) {
            at = at < low ? 0.0f : (float)(size - 1);
        } else if (p->padding == EW_GRID_REFLECTION) {
            at = ew_grid_reflect(at, low, high);
        }
    }
    const float floor_at = p->taps == 1 ? at : floorf(at);
    const float part = at - floor_at;
    if (p->taps == 1) {
        taps->weight[0] = 1.0f;
    } else if (p->taps == 2) {
        taps->weight[0] = 1.0f - part;
        taps->weight[1] = part;
    } else {
        ew_grid_cubic(part, taps->weight);
    }
    const float first = p->taps == 4 ? floor_at - 1.0f : floor_at;
    EW_UNROLL
    for (int32_t t = 0; t < p->taps; ++t) {
        taps->index[t] = ew_grid_index(first + (float)t, size, p->padding, low, high);
    }
}

/* x: [batch][channels][sizes], grid: [batch][points][rank], the last axis' number first, y: [batch][channels][points].
 * Numbers of -1 to 1 lie in the image. Buffers do not overlap. */
EW_KERNEL void ew_grid_sample_f32(const float *restrict x, const float *restrict grid, float *restrict y,
                                  const ew_grid_sample_f32_params *p)
{
    const int32_t row = p->sizes[2], plane = p->sizes[1] * row, volume = p->sizes[0] * plane;
    const int32_t deep = p->rank == 3 ? p->taps : 1;
    ew_grid_taps z = {{0}, {1.0f}}, v, h; /* along depth, height and width */
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t point = 0; point < p->points; ++point) {
            const float *numbers = grid + (n * p->points + point) * p->rank;
            ew_grid_place(numbers[0], p->sizes[2], p, &h);
            ew_grid_place(numbers[1], p->sizes[1], p, &v);
            if (p->rank == 3) {
                ew_grid_place(numbers[2], p->sizes[0], p, &z);
            }
            for (int32_t c = 0; c < p->channels; ++c) {
                const float *image = x + (n * p->channels + c) * volume;
                float sum = 0.0f;
                for (int32_t tz = 0; tz < deep; ++tz) {
                    for (int32_t tv = 0; tv < p->taps; ++tv) {
                        float part = 0.0f;
                        for (int32_t th = 0; th < p->taps; ++th) {
                            if (z.index[tz] >= 0 && v.index[tv] >= 0 && h.index[th] >= 0) {
                                part += h.weight[th] * image[z.index[tz] * plane + v.index[tv] * row + h.index[th]];
                            }
                        }
                        sum += z.weight[tz] * v.weight[tv] * part;
                    }
                }
                y[(n * p->channels + c) * p->points + point] = sum;
            }
        }
    }
}

#endif
