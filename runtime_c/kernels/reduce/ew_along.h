/* Along one dimension: positions of the largest and smallest element (ew_argmax_SUFFIX, ew_argmin_SUFFIX), running sums
 * and products (ew_cumsum_SUFFIX, ew_cumprod_SUFFIX). */
#ifndef EW_ALONG_H
#define EW_ALONG_H

#include "ew_base.h"
#include "ew_types.h"

#include <math.h>

/* x is [outer, axis, inner], dense; all >= 1. */
typedef struct {
    int32_t outer, axis, inner;
    int32_t last; /* of equal elements, the position of the last: 1; of the first: 0 */
} ew_arg_params;

/* y[outer, inner] = a position on the axis. The first NaN (with `last` the last) is larger and smaller than all numbers.
 * Buffers do not overlap. */
#define EW_ARG_KERNEL(name, T, V, load, beats)                                                               \
    EW_KERNEL void name(const T *restrict x, int64_t *restrict y, const ew_arg_params *p)                    \
    {                                                                                                        \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t i = 0; i < p->inner; ++i) {                                                         \
                const T *line = x + o * p->axis * p->inner + i;                                              \
                V best = load(line[0]);                                                                      \
                int32_t place = 0;                                                                           \
                for (int32_t a = 1; a < p->axis; ++a) {                                                      \
                    const V value = load(line[a * p->inner]);                                                \
                    const int is_nan = value != value, best_is_nan = best != best;                           \
                    const int same = is_nan ? best_is_nan : value == best;                                   \
                    if (same ? p->last : !best_is_nan && (is_nan || value beats best)) {                     \
                        best = value;                                                                        \
                        place = a;                                                                           \
                    }                                                                                        \
                }                                                                                            \
                *y++ = place;                                                                                \
            }                                                                                                \
        }                                                                                                    \
    }

/* x and y are [outer, axis, inner], dense; all >= 1. */
typedef struct {
    int32_t outer, axis, inner;
    int32_t exclusive; /* 1: without the element itself */
    int32_t reverse;   /* 1: from the end of the axis */
} ew_cumulate_params;

/* y[outer, a, inner] = x[outer, 0, inner] op .. op x[outer, a, inner]. V is the type of the totals. y may be x, and
 * otherwise does not overlap it. */
#define EW_CUMULATE_KERNEL(name, T, V, load, store, first, sign)                                             \
    EW_KERNEL void name(const T *x, T *y, const ew_cumulate_params *p)                                       \
    {                                                                                                        \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t i = 0; i < p->inner; ++i) {                                                         \
                V total = first;                                                                             \
                for (int32_t a = 0; a < p->axis; ++a) {                                                      \
                    const int32_t along = p->reverse ? p->axis - 1 - a : a;                                  \
                    const int32_t at = (o * p->axis + along) * p->inner + i;                                 \
                    const V before = total;                                                                  \
                    total = total sign load(x[at]);                                                          \
                    y[at] = store(p->exclusive ? before : total);                                            \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

#define EW_ALONG_PLAIN(value) (value)

#define EW_ARG_TYPE(S, T, U)                               \
    EW_ARG_KERNEL(ew_argmax_##S, T, T, EW_ALONG_PLAIN, >)     \
    EW_ARG_KERNEL(ew_argmin_##S, T, T, EW_ALONG_PLAIN, <)

EW_INTEGER_TYPES(EW_ARG_TYPE)
EW_ARG_TYPE(f32, float, )
EW_ARG_TYPE(f64, double, )
EW_ARG_KERNEL(ew_argmax_f16, uint16_t, float, ew_half_to_float, >)
EW_ARG_KERNEL(ew_argmin_f16, uint16_t, float, ew_half_to_float, <)

#define EW_CUMULATE_TYPE(S, T, U)                                  \
    EW_CUMULATE_KERNEL(ew_cumsum_##S, T, U, (U), (T), 0, +)           \
    EW_CUMULATE_KERNEL(ew_cumprod_##S, T, U, (U), (T), 1, *)

EW_WIDE_TYPES(EW_CUMULATE_TYPE)
EW_CUMULATE_TYPE(f32, float, float)
EW_CUMULATE_TYPE(f64, double, double)
EW_CUMULATE_KERNEL(ew_cumsum_f16, uint16_t, float, ew_half_to_float, ew_float_to_half, 0, +)
EW_CUMULATE_KERNEL(ew_cumprod_f16, uint16_t, float, ew_half_to_float, ew_float_to_half, 1, *)

#endif
