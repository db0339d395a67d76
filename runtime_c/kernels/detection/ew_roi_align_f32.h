/* Regions of images brought to one size by interpolating inside them, float32. */
#ifndef EW_ROI_ALIGN_F32_H
#define EW_ROI_ALIGN_F32_H

#include "ew_base.h"
#include "ew_float.h"

#define EW_ROI_SAMPLES_MAX 1024 /* along one side of a bin, where the number is adaptive: no region can stop the device */

typedef struct {
    int32_t batch, channels, in_h, in_w;
    int32_t regions, out_h, out_w; /* a region gives out_h x out_w bins */
    int32_t samples;               /* along each side of a bin; 0: as many as elements of the image meet it */
    int32_t half_pixel;            /* 1: coordinates are of the elements' edges, not of their centres */
    int32_t largest;               /* 1: a bin is its largest weighted element, as ONNX defines it; 0: the mean */
    float scale;                   /* of the regions' coordinates */
} ew_roi_align_f32_params;

/* Where a sample lies: four elements of an image and their weights, all 0 outside. */
typedef struct {
    int32_t at[4];
    float weight[4];
} ew_roi_sample;

EW_INLINE ew_roi_sample ew_roi_sample_at(float y, float x, int32_t in_h, int32_t in_w)
{
    const int inside = y >= -1.0f && y <= (float)in_h && x >= -1.0f && x <= (float)in_w; /* not of a NaN */
    float v = inside && y > 0.0f ? y : 0.0f, h = inside && x > 0.0f ? x : 0.0f;
    int32_t top = (int32_t)v, left = (int32_t)h, bottom = top + 1, right = left + 1;
    if (top >= in_h - 1) {
        top = bottom = in_h - 1;
        v = (float)top;
    }
    if (left >= in_w - 1) {
        left = right = in_w - 1;
        h = (float)left;
    }
    const float down = v - (float)top, along = h - (float)left, on = inside ? 1.0f : 0.0f;
    return (ew_roi_sample){
        {top * in_w + left, top * in_w + right, bottom * in_w + left, bottom * in_w + right},
        {on * (1.0f - down) * (1.0f - along), on * (1.0f - down) * along, on * down * (1.0f - along), on * down * along},
    };
}

/* How many samples a bin has along a side. */
EW_INLINE int32_t ew_roi_samples(int32_t samples, float bin)
{
    if (samples > 0) {
        return samples;
    }
    const float count = ceilf(bin);
    return count >= (float)EW_ROI_SAMPLES_MAX ? EW_ROI_SAMPLES_MAX : count >= 1.0f ? (int32_t)count : 0;
}

/* x: [batch][channels][in_h][in_w], boxes: [regions][4], left, top, right, bottom; images [regions]: which image a box
 * is of, the nearest one where there is none. y: [regions][channels][out_h][out_w]. Buffers do not overlap. */
EW_KERNEL void ew_roi_align_f32(const float *restrict x, const float *restrict boxes, const int64_t *restrict images,
                                float *restrict y, const ew_roi_align_f32_params *p)
{
    const int32_t plane = p->in_h * p->in_w, bins = p->out_h * p->out_w;
    const float offset = p->half_pixel ? 0.5f : 0.0f;
    for (int32_t r = 0; r < p->regions; ++r) {
        const int64_t number = images[r] < 0 ? 0 : images[r] < p->batch ? images[r] : p->batch - 1;
        const float *image = x + (int32_t)number * p->channels * plane, *box = boxes + r * 4;
        const float left = box[0] * p->scale - offset, top = box[1] * p->scale - offset;
        float width = box[2] * p->scale - offset - left, height = box[3] * p->scale - offset - top;
        if (!p->half_pixel) {
            width = width > 1.0f ? width : 1.0f;
            height = height > 1.0f ? height : 1.0f;
        }
        const float bin_h = height / (float)p->out_h, bin_w = width / (float)p->out_w;
        const int32_t rows = ew_roi_samples(p->samples, bin_h), columns = ew_roi_samples(p->samples, bin_w);
        const float count = rows * columns > 1 ? (float)(rows * columns) : 1.0f;
        for (int32_t bin = 0; bin < bins; ++bin) {
            float *to = y + r * p->channels * bins + bin;
            for (int32_t c = 0; c < p->channels; ++c) {
                to[c * bins] = 0.0f;
            }
            for (int32_t s = 0; s < rows * columns; ++s) {
                const float down = (float)(bin / p->out_w) * bin_h + ((float)(s / columns) + 0.5f) * bin_h / (float)rows;
                const float along =
                    (float)(bin % p->out_w) * bin_w + ((float)(s % columns) + 0.5f) * bin_w / (float)columns;
                const ew_roi_sample sample = ew_roi_sample_at(top + down, left + along, p->in_h, p->in_w);
                for (int32_t c = 0; c < p->channels; ++c) {
                    float sum = 0.0f, largest = -INFINITY;
                    for (int32_t k = 0; k < 4; ++k) {
                        const float part = sample.weight[k] * image[c * plane + sample.at[k]];
                        sum += part;
                        largest = part > largest ? part : largest;
                    }
                    if (!p->largest) {
                        to[c * bins] += sum;
                    } else if (s == 0 || largest > to[c * bins]) {
                        to[c * bins] = largest;
                    }
                }
            }
            for (int32_t c = 0; !p->largest && c < p->channels; ++c) {
                to[c * bins] /= count;
            }
        }
    }
}

#endif
