/* Local response normalization across channels, float32. */
#ifndef EW_LRN_F32_H
#define EW_LRN_F32_H

#include "ew_base.h"
#include "ew_float.h"

typedef struct {
    int32_t outer, channels, inner; /* >= 1; x and y are [outer][channels][inner] */
    int32_t before, after;          /* channels of the window beside its own; >= 0 */
    float alpha;                    /* over the window's size */
    float beta, bias;
} ew_lrn_f32_params;

/* y[o, c, i] = x[o, c, i] / (bias + alpha * sum of x[o, d, i]^2 over c - before <= d <= c + after)^beta. Buffers do not
 * overlap. */
EW_KERNEL void ew_lrn_f32(const float *restrict x, float *restrict y, const ew_lrn_f32_params *p)
{
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t c = 0; c < p->channels; ++c) {
            const int32_t first = c > p->before ? c - p->before : 0;
            const int32_t stop = c + p->after < p->channels ? c + p->after + 1 : p->channels;
            for (int32_t i = 0; i < p->inner; ++i) {
                float sum = 0.0f;
                for (int32_t d = first; d < stop; ++d) {
                    const float value = x[(o * p->channels + d) * p->inner + i];
                    sum += value * value;
                }
                const float base = p->bias + p->alpha * sum;
                const int32_t at = (o * p->channels + c) * p->inner + i;
                y[at] = x[at] / (p->beta == 0.75f ? sqrtf(base) * sqrtf(sqrtf(base)) : powf(base, p->beta));
            }
        }
    }
}

#endif
