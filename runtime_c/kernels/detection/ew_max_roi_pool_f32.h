/* The largest elements of regions of images, float32. */
#ifndef EW_MAX_ROI_POOL_F32_H
#define EW_MAX_ROI_POOL_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t batch, channels, in_h, in_w;
    int32_t regions, out_h, out_w; /* a region gives out_h x out_w bins */
    float scale;                   /* of the regions' coordinates */
} ew_max_roi_pool_f32_params;

/* A coordinate as a whole number, halves away from zero; what lies far outside any image is brought nearer. */
EW_INLINE int32_t ew_roi_edge(float value)
{
    const float whole = roundf(value);
    return !(whole > -65536.0f) ? -65536 : whole < 65536.0f ? (int32_t)whole : 65536;
}

EW_INLINE int32_t ew_roi_within(int32_t value, int32_t size)
{
    return value < 0 ? 0 : value < size ? value : size;
}

/* x: [batch][channels][in_h][in_w], boxes: [regions][5]: the image (the nearest one where there is none), left, top,
 * right, bottom, the last ones included. y: [regions][channels][out_h][out_w]; a bin without elements is 0. Buffers do
 * not overlap. */
EW_KERNEL void ew_max_roi_pool_f32(const float *restrict x, const float *restrict boxes, float *restrict y,
                                   const ew_max_roi_pool_f32_params *p)
{
    for (int32_t r = 0; r < p->regions; ++r, boxes += 5) {
        const int32_t number = ew_roi_within(ew_roi_edge(boxes[0]), p->batch - 1);
        const int32_t left = ew_roi_edge(boxes[1] * p->scale), top = ew_roi_edge(boxes[2] * p->scale);
        const int32_t width = ew_roi_edge(boxes[3] * p->scale) - left + 1;
        const int32_t height = ew_roi_edge(boxes[4] * p->scale) - top + 1;
        const float bin_h = (float)(height > 1 ? height : 1) / (float)p->out_h;
        const float bin_w = (float)(width > 1 ? width : 1) / (float)p->out_w;
        for (int32_t c = 0; c < p->channels; ++c) {
            const float *plane = x + (number * p->channels + c) * p->in_h * p->in_w;
            for (int32_t v = 0; v < p->out_h; ++v) {
                const int32_t begin_y = ew_roi_within((int32_t)floorf((float)v * bin_h) + top, p->in_h);
                const int32_t end_y = ew_roi_within((int32_t)ceilf((float)(v + 1) * bin_h) + top, p->in_h);
                for (int32_t h = 0; h < p->out_w; ++h) {
                    const int32_t begin_x = ew_roi_within((int32_t)floorf((float)h * bin_w) + left, p->in_w);
                    const int32_t end_x = ew_roi_within((int32_t)ceilf((float)(h + 1) * bin_w) + left, p->in_w);
                    float largest = begin_y < end_y && begin_x < end_x ? -INFINITY : 0.0f;
                    for (int32_t iy = begin_y; iy < end_y; ++iy) {
                        for (int32_t ix = begin_x; ix < end_x; ++ix) {
                            const float value = plane[iy * p->in_w + ix];
                            largest = value > largest ? value : largest;
                        }
                    }
                    *y++ = largest;
                }
            }
        }
    }
}

#endif
