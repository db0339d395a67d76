/* Softmax, its logarithm and hardmax along one dimension: ew_softmax_SUFFIX (float32 has a header of its own),
 * ew_log_softmax_SUFFIX, ew_hardmax_SUFFIX. float16 and bfloat16 are computed in float32, and rounded after each
 * step of ONNX's definition (difference, exp, sum, quotient); bfloat16 after each addition, too, as in ml_dtypes. */
#ifndef EW_SOFTMAX_H
#define EW_SOFTMAX_H

#include "ew_base.h"
#include "ew_small_float.h"
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

#define EW_SUM_OF_POWERS(V, F, load, rounded, added)                                      \
    EW_LARGEST(V, load)                                                            \
    V sum = 0;                                                                     \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        sum = added(sum + rounded(F(exp)(rounded(load(line[a * p->inner]) - largest)))); \
    }                                                                              \
    sum = rounded(sum);

#define EW_SOFTMAX_LINE(V, F, load, store, rounded, added)                                \
    EW_SUM_OF_POWERS(V, F, load, rounded, added)                                                  \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        const V power = rounded(F(exp)(rounded(load(line[a * p->inner]) - largest))); \
        out[a * p->inner] = store(power / sum);                                    \
    }

#define EW_LOG_SOFTMAX_LINE(V, F, load, store, rounded, added)                            \
    EW_SUM_OF_POWERS(V, F, load, rounded, added)                                          \
    const V log_sum = rounded(F(log)(sum));                                        \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        out[a * p->inner] = store(rounded(load(line[a * p->inner]) - largest) - log_sum); \
    }

/* 1 at the first of the largest elements, 0 elsewhere. */
#define EW_HARDMAX_LINE(V, F, load, store, rounded, added)                                \
    EW_LARGEST(V, load)                                                            \
    int32_t found = 0;                                                             \
    for (int32_t a = 0; a < p->axis; ++a) {                                        \
        const int32_t is_first = !found && load(line[a * p->inner]) == largest;    \
        out[a * p->inner] = store((V)is_first);                                    \
        found |= is_first;                                                         \
    }

#define EW_SOFTMAX_PLAIN(value) (value)
#define EW_SOFTMAX_HALF(value) ew_half_to_float(ew_float_to_half(value))
#define EW_SOFTMAX_BFLOAT(value) ew_bfloat_to_float(ew_float_to_bfloat(value))
#define EW_F32_LINE(kind) \
    kind(float, EW_F32_FUNCTION, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN)
#define EW_F64_LINE(kind) \
    kind(double, EW_F64_FUNCTION, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN, EW_SOFTMAX_PLAIN)
#define EW_F16_LINE(kind) \
    kind(float, EW_F32_FUNCTION, ew_half_to_float, ew_float_to_half, EW_SOFTMAX_HALF, EW_SOFTMAX_PLAIN)
#define EW_BF16_LINE(kind) \
    kind(float, EW_F32_FUNCTION, ew_bfloat_to_float, ew_float_to_bfloat, EW_SOFTMAX_BFLOAT, EW_SOFTMAX_BFLOAT)

EW_SOFTMAX_LINES(ew_softmax_f64, double, EW_F64_LINE(EW_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_softmax_f16, uint16_t, EW_F16_LINE(EW_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_softmax_bf16, uint16_t, EW_BF16_LINE(EW_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f32, float, EW_F32_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f64, double, EW_F64_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_f16, uint16_t, EW_F16_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_log_softmax_bf16, uint16_t, EW_BF16_LINE(EW_LOG_SOFTMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f32, float, EW_F32_LINE(EW_HARDMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f64, double, EW_F64_LINE(EW_HARDMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_f16, uint16_t, EW_F16_LINE(EW_HARDMAX_LINE))
EW_SOFTMAX_LINES(ew_hardmax_bf16, uint16_t, EW_BF16_LINE(EW_HARDMAX_LINE))

#endif
