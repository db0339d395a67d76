/* Normalization over any set of dimensions, float32: LayerNormalization, InstanceNormalization, GroupNormalization,
 * RMSNormalization, MeanVarianceNormalization, LpNormalization. */
#ifndef EW_NORMALIZE_F32_H
#define EW_NORMALIZE_F32_H

#include "ew_base.h"
#include "ew_float.h"
#include "ew_index.h"

typedef enum ew_normalize_kind {
    EW_NORMALIZE_VARIANCE = 0,  /* (x - mean) / sqrt(variance + epsilon) */
    EW_NORMALIZE_DEVIATION = 1, /* (x - mean) / (sqrt(variance) + epsilon) */
    EW_NORMALIZE_RMS = 2,       /* x / sqrt(mean of x^2 + epsilon) */
    EW_NORMALIZE_L1 = 3,        /* x / sum of |x|, or 0 where that is 0 */
    EW_NORMALIZE_L2 = 4         /* x / sqrt(sum of x^2), or 0 where that is 0 */
} ew_normalize_kind;

/* Strides are in elements; x and y have the same. A group, which is normalized by itself, is one position of the outer
 * dimensions and all of the inner ones. */
typedef struct {
    int32_t outer_rank; /* 0..EW_MAX_RANK; 0: one group */
    int32_t outer_dims[EW_MAX_RANK];
    int32_t outer_strides[EW_MAX_RANK];
    int32_t outer_scale_strides[EW_MAX_RANK];
    int32_t outer_bias_strides[EW_MAX_RANK];
    int32_t inner_rank; /* 1..EW_MAX_RANK */
    int32_t inner_dims[EW_MAX_RANK];
    int32_t inner_strides[EW_MAX_RANK];
    int32_t inner_scale_strides[EW_MAX_RANK];
    int32_t inner_bias_strides[EW_MAX_RANK];
    int32_t kind;  /* ew_normalize_kind */
    float epsilon; /* >= 0 */
} ew_normalize_f32_params;

typedef enum ew_normalize_term {
    EW_NORMALIZE_PLAIN,    /* x */
    EW_NORMALIZE_ABSOLUTE, /* |x| */
    EW_NORMALIZE_SQUARE    /* (x - center)^2 */
} ew_normalize_term;

/* The sum of a group's terms. `term` is a literal at every call. */
EW_INLINE float ew_normalize_sum_f32(const float *x, const ew_normalize_f32_params *p, int32_t term, float center)
{
    const int32_t last = p->inner_rank - 1;
    const int32_t step = p->inner_strides[last];
    int32_t index[EW_MAX_RANK] = {0};
    float sum = 0.0f;
    do {
        const float *row = x + ew_index_offset(last, index, p->inner_strides);
        for (int32_t from = 0; from < p->inner_dims[last]; from += EW_SUM_BLOCK) {
            const int32_t left = p->inner_dims[last] - from;
            const int32_t to = from + (left < EW_SUM_BLOCK ? left : EW_SUM_BLOCK);
            float part = 0.0f;
            for (int32_t i = from; i < to; ++i) {
                const float value = row[i * step] - center;
                part += term == EW_NORMALIZE_SQUARE ? value * value : term == EW_NORMALIZE_ABSOLUTE ? fabsf(value) : value;
            }
            sum += part;
        }
    } while (ew_index_next(last, p->inner_dims, index));
    return sum;
}

/* What the elements of a group are multiplied by; see ew_normalize_kind. */
EW_INLINE float ew_normalize_factor_f32(const float *x, const ew_normalize_f32_params *p, float mean, float count)
{
    if (p->kind == EW_NORMALIZE_L1) {
        const float norm = ew_normalize_sum_f32(x, p, EW_NORMALIZE_ABSOLUTE, 0.0f);
        return norm == 0.0f ? 0.0f : 1.0f / norm;
    }
    const float squares = ew_normalize_sum_f32(x, p, EW_NORMALIZE_SQUARE, mean);
    if (p->kind == EW_NORMALIZE_L2) {
        return squares == 0.0f ? 0.0f : 1.0f / sqrtf(squares);
    }
    if (p->kind == EW_NORMALIZE_DEVIATION) {
        return 1.0f / (sqrtf(squares / count) + p->epsilon);
    }
    return 1.0f / sqrtf(squares / count + p->epsilon);
}

/* y = normalized x * scale + bias, group by group; scale or bias may be NULL. means and factors, in row-major order of
 * the outer dimensions, get each group's mean and what x - mean was multiplied by; they may be NULL. The variance is
 * summed around the mean. y may be x; otherwise buffers do not overlap. */
EW_KERNEL void ew_normalize_f32(const float *x, const float *restrict scale, const float *restrict bias, float *y,
                                float *restrict means, float *restrict factors, const ew_normalize_f32_params *p)
{
    const int32_t last = p->inner_rank - 1;
    const int32_t step = p->inner_strides[last];
    int32_t elements = 1;
    EW_UNROLL
    for (int32_t axis = 0; axis < p->inner_rank; ++axis) {
        elements *= p->inner_dims[axis];
    }
    const float count = (float)elements;
    int32_t outer[EW_MAX_RANK] = {0};
    int32_t group = 0;
    do {
        const int32_t start = ew_index_offset(p->outer_rank, outer, p->outer_strides);
        const int32_t scale_start = ew_index_offset(p->outer_rank, outer, p->outer_scale_strides);
        const int32_t bias_start = ew_index_offset(p->outer_rank, outer, p->outer_bias_strides);
        float mean = 0.0f;
        if (p->kind == EW_NORMALIZE_VARIANCE || p->kind == EW_NORMALIZE_DEVIATION) {
            mean = ew_normalize_sum_f32(x + start, p, EW_NORMALIZE_PLAIN, 0.0f) / count;
        }
        const float factor = ew_normalize_factor_f32(x + start, p, mean, count);
        if (means != NULL) {
            means[group] = mean;
        }
        if (factors != NULL) {
            factors[group] = factor;
        }
        ++group;
        int32_t inner[EW_MAX_RANK] = {0};
        do {
            const int32_t row = start + ew_index_offset(last, inner, p->inner_strides);
            const int32_t scale_row = scale_start + ew_index_offset(last, inner, p->inner_scale_strides);
            const int32_t bias_row = bias_start + ew_index_offset(last, inner, p->inner_bias_strides);
            for (int32_t i = 0; i < p->inner_dims[last]; ++i) {
                float value = (x[row + i * step] - mean) * factor;
                if (scale != NULL) {
                    value *= scale[scale_row + i * p->inner_scale_strides[last]];
                }
                if (bias != NULL) {
                    value += bias[bias_row + i * p->inner_bias_strides[last]];
                }
                y[row + i * step] = value;
            }
        } while (ew_index_next(last, p->inner_dims, inner));
    } while (ew_index_next(p->outer_rank, p->outer_dims, outer));
}

#endif
