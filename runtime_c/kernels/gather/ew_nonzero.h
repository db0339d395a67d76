/* Where the elements are that are not zero: ew_nonzero_SUFFIX for every element type. */
#ifndef EW_NONZERO_H
#define EW_NONZERO_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_types.h"

typedef struct {
    int32_t rank;              /* 1..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK]; /* of x; >= 1 */
    int32_t count;             /* elements of x */
} ew_nonzero_params;

/* y[axis][k] = the place on that axis of the k-th element of x that is not zero, in row-major order; -1 behind the last
 * one. y: [rank][count]. A NaN is not zero. Buffers do not overlap. */
#define EW_NONZERO_KERNEL(name, T, load)                                                          \
    EW_KERNEL void name(const T *restrict x, int64_t *restrict y, const ew_nonzero_params *p)     \
    {                                                                                             \
        int32_t index[EW_MAX_RANK] = {0}, found = 0, at = 0;                                      \
        do {                                                                                      \
            if (load(x[at]) != 0) {                                                               \
                for (int32_t axis = 0; axis < p->rank; ++axis) {                                  \
                    y[axis * p->count + found] = index[axis];                                     \
                }                                                                                 \
                ++found;                                                                          \
            }                                                                                     \
            ++at;                                                                                 \
        } while (ew_index_next(p->rank, p->dims, index));                                         \
        for (int32_t axis = 0; axis < p->rank; ++axis) {                                          \
            for (int32_t k = found; k < p->count; ++k) {                                          \
                y[axis * p->count + k] = -1;                                                      \
            }                                                                                     \
        }                                                                                         \
    }

#define EW_NONZERO_PLAIN(value) (value)
#define EW_NONZERO_TYPE(S, T, U) EW_NONZERO_KERNEL(ew_nonzero_##S, T, EW_NONZERO_PLAIN)

EW_INTEGER_TYPES(EW_NONZERO_TYPE)
EW_FLOAT_TYPES(EW_NONZERO_TYPE)
EW_NONZERO_KERNEL(ew_nonzero_b8, uint8_t, EW_NONZERO_PLAIN)
EW_NONZERO_KERNEL(ew_nonzero_f16, uint16_t, ew_half_to_float)

#endif
