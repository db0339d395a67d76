/* The k largest or smallest elements along an axis, and where they are. */
#ifndef EW_TOPK_H
#define EW_TOPK_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef struct {
    int32_t outer, axis, inner; /* >= 1; x is [outer][axis][inner] */
    int32_t k;                  /* 1..axis; the results are [outer][k][inner] */
    int32_t largest;            /* 1: the largest first; 0: the smallest */
    int32_t type;               /* ew_element_type of x */
    int32_t element_bytes;
} ew_topk_params;

/* Whether a comes before b. A NaN comes before or behind nothing. */
#define EW_TOPK_BEFORE(c_type) \
    (largest ? ((const c_type *)x)[a] > ((const c_type *)x)[b] : ((const c_type *)x)[a] < ((const c_type *)x)[b])

EW_INLINE int32_t ew_topk_before(int32_t type, int32_t largest, const void *x, int32_t a, int32_t b)
{
    switch (type) {
    case EW_ELEMENT_F32:
        return EW_TOPK_BEFORE(float);
    case EW_ELEMENT_F64:
        return EW_TOPK_BEFORE(double);
    case EW_ELEMENT_S8:
        return EW_TOPK_BEFORE(int8_t);
    case EW_ELEMENT_U8:
        return EW_TOPK_BEFORE(uint8_t);
    case EW_ELEMENT_S16:
        return EW_TOPK_BEFORE(int16_t);
    case EW_ELEMENT_U16:
        return EW_TOPK_BEFORE(uint16_t);
    case EW_ELEMENT_S32:
        return EW_TOPK_BEFORE(int32_t);
    case EW_ELEMENT_U32:
        return EW_TOPK_BEFORE(uint32_t);
    case EW_ELEMENT_U64:
        return EW_TOPK_BEFORE(uint64_t);
    default:
        return EW_TOPK_BEFORE(int64_t);
    }
}

/* values[o, j, i] = the j-th of x[o, :, i] by size, indices[o, j, i] = its position; of equal ones the first comes
 * first. With NaN among them the order is open. `values` or `indices` may be NULL; scratch holds k int32_t. At most
 * axis * k comparisons a row. Buffers do not overlap. */
EW_KERNEL void ew_topk(const void *restrict x, void *restrict scratch, void *restrict values, int64_t *restrict indices,
                       const ew_topk_params *p)
{
    int32_t *best = (int32_t *)scratch; /* offsets of the best so far, in order */
    for (int32_t row = 0; row < p->outer * p->inner; ++row) {
        const int32_t start = row / p->inner * p->axis * p->inner + row % p->inner;
        int32_t found = 0;
        for (int32_t i = 0; i < p->axis; ++i) {
            const int32_t at = start + i * p->inner;
            if (found == p->k && !ew_topk_before(p->type, p->largest, x, at, best[found - 1])) {
                continue;
            }
            int32_t place = found < p->k ? found++ : found - 1;
            for (; place > 0 && ew_topk_before(p->type, p->largest, x, at, best[place - 1]); --place) {
                best[place] = best[place - 1];
            }
            best[place] = at;
        }
        const int32_t y_start = row / p->inner * p->k * p->inner + row % p->inner;
        for (int32_t j = 0; j < p->k; ++j) {
            const int32_t y_at = y_start + j * p->inner;
            if (values != NULL) {
                memcpy((unsigned char *)values + y_at * p->element_bytes,
                       (const unsigned char *)x + best[j] * p->element_bytes, (size_t)p->element_bytes);
            }
            if (indices != NULL) {
                indices[y_at] = (best[j] - start) / p->inner;
            }
        }
    }
}

#endif
