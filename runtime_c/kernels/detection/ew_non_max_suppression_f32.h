/* Boxes picked by score, without those that overlap a better one, float32. */
#ifndef EW_NON_MAX_SUPPRESSION_F32_H
#define EW_NON_MAX_SUPPRESSION_F32_H

#include "ew_base.h"

#include <math.h>

typedef struct {
    int32_t batch, classes, boxes;
    int32_t most;    /* boxes that are picked of one class of one image, at most; 1..boxes */
    int32_t centred; /* 1: a box is the x and y of its centre, width, height; 0: y, x of two opposite corners */
    int32_t has_score_threshold;
    float iou_threshold, score_threshold;
} ew_non_max_suppression_f32_params;

typedef struct {
    float left, top, right, bottom;
} ew_box;

EW_INLINE ew_box ew_box_at(const float *box, int32_t centred)
{
    if (centred) {
        const float half_w = box[2] / 2.0f, half_h = box[3] / 2.0f;
        return (ew_box){box[0] - half_w, box[1] - half_h, box[0] + half_w, box[1] + half_h};
    }
    return (ew_box){fminf(box[1], box[3]), fminf(box[0], box[2]), fmaxf(box[1], box[3]), fmaxf(box[0], box[2])};
}

/* Whether the area that two boxes share is more than this part of what they cover together. */
EW_INLINE int ew_box_overlaps(ew_box a, ew_box b, float iou_threshold)
{
    const float width = fminf(a.right, b.right) - fmaxf(a.left, b.left);
    const float height = fminf(a.bottom, b.bottom) - fmaxf(a.top, b.top);
    if (!(width > 0.0f && height > 0.0f)) {
        return 0;
    }
    const float shared = width * height;
    const float area_a = (a.right - a.left) * (a.bottom - a.top), area_b = (b.right - b.left) * (b.bottom - b.top);
    const float together = area_a + area_b - shared;
    return area_a > 0.0f && area_b > 0.0f && together > 0.0f && shared / together > iou_threshold;
}

/* picked: [batch * classes * most][3], the image, the class and the number of each box that is picked, by falling score
 * in each class; the rows behind the last one are -1. Of equal scores the first box comes first.
 * boxes: [batch][boxes][4], scores: [batch][classes][boxes]; scratch holds `boxes` bytes. Buffers do not overlap. */
EW_KERNEL void ew_non_max_suppression_f32(const float *restrict boxes, const float *restrict scores,
                                          void *restrict scratch, int64_t *restrict picked,
                                          const ew_non_max_suppression_f32_params *p)
{
    unsigned char *done = (unsigned char *)scratch;
    int64_t *row = picked;
    for (int32_t n = 0; n < p->batch; ++n) {
        const float *image_boxes = boxes + n * p->boxes * 4;
        for (int32_t c = 0; c < p->classes; ++c) {
            const float *score = scores + (n * p->classes + c) * p->boxes;
            const int64_t *first = row;
            for (int32_t i = 0; i < p->boxes; ++i) {
                done[i] = p->has_score_threshold && !(score[i] > p->score_threshold);
            }
            while (row < first + 3 * p->most) {
                int32_t best = -1;
                for (int32_t i = 0; i < p->boxes; ++i) {
                    if (!done[i] && (best < 0 || score[i] > score[best])) {
                        best = i;
                    }
                }
                if (best < 0) {
                    break;
                }
                done[best] = 1;
                const ew_box box = ew_box_at(image_boxes + best * 4, p->centred);
                int is_free = 1;
                for (const int64_t *other = first; is_free && other < row; other += 3) {
                    const ew_box better = ew_box_at(image_boxes + (int32_t)other[2] * 4, p->centred);
                    is_free = !ew_box_overlaps(box, better, p->iou_threshold);
                }
                if (is_free) {
                    row[0] = n;
                    row[1] = c;
                    row[2] = best;
                    row += 3;
                }
            }
        }
    }
    while (row < picked + 3 * p->batch * p->classes * p->most) {
        *row++ = -1;
    }
}

#endif
