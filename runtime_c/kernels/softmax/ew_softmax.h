/* Softmax, its logarithm and hardmax along one dimension: ew_softmax_SUFFIX (float32 has a header of its own),
 * ew_log_softmax_SUFFIX, ew_hardmax_SUFFIX. float16 is computed in float32. */
#ifndef EW_SOFTMAX_H
#define EW_SOFTMAX_H

#include "ew_base.h"
#include "ew_types.h"

#include <math.h>

/* x and y are [outer, axis, inner], dense; all >= 1. */
typedef struct {
    int32_t outer, axis, inner;
} ew_softmax_params;

/* The largest element of a line, subtracted before exp: nothing overflows. y may be x, and otherwise does not overlap
 * it. */
#define EW_LARGEST(V, load)                                                        \
    V largest = load(line[0]);                                                     \
    for (int32_t a = 1; a < p->axis; ++a) {                                        \
        const V value = load(line[a * p->inner]);                                  \
        largest = value > largest ? value : largest;                               \
    }

#define EW_SOFTMAX_LINES(name, T, body)                                            \
    EW_KERNEL void name(const T *x, T *y, const ew_softmax_params *p)              \
    {                                                                              \
        for (int32_t o = 0; o < p->outer; ++o) {                                   \
            for (int32_t i = 0; i < p->inner; ++i) {                               \
                const T *line = x + o * p->axis * p->inner + i;                    \
                T *out = y + o * p->axis * p->inner + i;                           \
                body                                                               \
            }                                                                      \
        }                                                                          \
    }

#define EW_SUM_OF_POWERS(V, F, load)                                               \
    EW_LARGEST(V, load)                                                            \
    V sum = 0;                                                                     \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        sum += F(exp)(load(line[a * p->inner]) - largest);                         \
    }

#define EW_SOFTMAX_LINE(V, F, load, store)                                         \
    EW_SUM_OF_POWERS(V, F, load)                                                   \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        out[a * p->inner] = store(F(exp)(load(line[a * p->inner]) - largest) / sum); \
    }

#define EW_LOG_SOFTMAX_LINE(V, F, load, store)                                     \
    EW_SUM_OF_POWERS(V, F, load)                                                   \
    const V log_sum = F(log)(sum);                                                 \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        out[a * p->inner] = store(load(line[a * p->inner]) - largest - log_sum);   \
    }

/* 1 at the first of the largest elements, 0 elsewhere. */
#define EW_HARDMAX_LINE(V, F, load, store)                                         \
    EW_LARGEST(V, load)                                                            \
    int32_t found = 0;                                                             \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        const int32_t is_first = !found && load(line[a * p->inner]) == largest;    \
        out[a * p->inner] = store((V)is_first);                                    \
        found |= is_first;                                                         \
    }

#define EW_SOFTMAX_PLAIN(value) (value)
#define EW_F32_LINE(kind) kind(float, EW_F32_FUNCTION, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN)
#define EW_F64_LINE(kind) kind(double, EW_F64_FUNCTION, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN)
#define EW_F16_LINE(kind) kind(float, EW_F32_FUNCTION, ew_half_to_float, ew_float_to_half)

EW_SOFTMAX_LINES(ew_softmax_f64, double, EW_F64_LINE(EW_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_softmax_f16, uint16_t, EW_F16_LINE(EW_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f32, float, EW_F32_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f64, double, EW_F64_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f16, uint16_t, EW_F16_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f32, float, EW_F32_LINE(EW_HARDMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f64, double, EW_F64_LINE(EW_HARDMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f16, uint16_t, EW_F16_LINE(EW_HARDMAX_LINE))

#endif
