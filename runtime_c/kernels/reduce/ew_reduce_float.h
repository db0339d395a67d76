/* Reductions of floats: ew_reduce_NAME_SUFFIX for sum, mean, prod, max, min, l1, l2, sum_square, log_sum, log_sum_exp.
 *
 * float32 is summed in float32, float16 too. NaN in max and min gives NaN. */
#ifndef EW_REDUCE_FLOAT_H
#define EW_REDUCE_FLOAT_H

#include "ew_base.h"
#include "ew_reduce.h"
#include "ew_types.h"

#include <math.h>

#define EW_STEP_SUM(total, x, aside) ((total) + (x))
#define EW_STEP_PROD(total, x, aside) ((total) * (x))
#define EW_STEP_SQUARE(total, x, aside) ((total) + (x) * (x))
#define EW_STEP_ABSOLUTE(total, x, aside) ((total) + ((x) < 0 ? -(x) : (x)))
#define EW_STEP_MAX(total, x, aside) ((x) != (x) || (x) > (total) ? (x) : (total))
#define EW_STEP_MIN(total, x, aside) ((x) != (x) || (x) < (total) ? (x) : (total))
#define EW_JOIN_SUM(a, b) ((a) + (b))
#define EW_JOIN_PROD(a, b) ((a) * (b))
#define EW_JOIN_MAX(a, b) ((b) != (b) || (b) > (a) ? (b) : (a))
#define EW_JOIN_MIN(a, b) ((b) != (b) || (b) < (a) ? (b) : (a))

/* A NaN total stays: no comparison with it is true, and max and min then take the new element only where that is NaN. */

/* What is done to each element when it is read: `load`. R is the type of the totals, X that in memory. */
#define EW_FLOAT_REDUCTION(name, S, X, R, load, store, first, step, join, finish)                            \
    EW_INLINE R ew_reduce_##name##_##S##_step(R total, X x, int aside)                                       \
    {                                                                                                        \
        const R value = load(x);                                                                             \
        (void)aside;                                                                                         \
        return step(total, value, aside);                                                                    \
    }                                                                                                        \
    EW_REDUCE_FOLD(reduce_##name##_##S, X, R, int, first, ew_reduce_##name##_##S##_step, join)               \
    EW_INLINE X ew_reduce_##name##_##S##_of(const X *x, const ew_reduce_params *p)                           \
    {                                                                                                        \
        const R total = ew_reduce_##name##_##S##_fold(x, p, 0);                                              \
        return store(finish(total, (R)ew_reduce_count(p)));                                                  \
    }                                                                                                        \
    EW_REDUCE_KERNEL(reduce_##name##_##S, X, ew_reduce_##name##_##S##_of)

#define EW_FINISH_NONE(total, count) (total)
#define EW_FINISH_MEAN(total, count) ((total) / (count))
#define EW_FINISH_SQRT_F(total, count) sqrtf(total)
#define EW_FINISH_SQRT(total, count) sqrt(total)
#define EW_FINISH_LOG_F(total, count) logf(total)
#define EW_FINISH_LOG(total, count) log(total)
#define EW_PLAIN(value) (value)

/* log(sum(exp(x - m))) + m with m the largest element: exp does not overflow. An infinite m is left out. */
#define EW_LOG_SUM_EXP(S, X, R, F, load, store)                                                              \
    EW_INLINE R ew_reduce_exp_##S##_step(R total, X x, R largest)                                            \
    {                                                                                                        \
        return total + F(exp)(load(x) - largest);                                                            \
    }                                                                                                        \
    EW_REDUCE_FOLD(reduce_exp_##S, X, R, R, 0, ew_reduce_exp_##S##_step, EW_JOIN_SUM)                        \
    EW_INLINE X ew_reduce_log_sum_exp_##S##_of(const X *x, const ew_reduce_params *p)                        \
    {                                                                                                        \
        const R largest = ew_reduce_max_##S##_fold(x, p, 0);                                                 \
        const R shift = F(fabs)(largest) < (R)INFINITY ? largest : 0;                                        \
        return store(F(log)(ew_reduce_exp_##S##_fold(x, p, shift)) + shift);                                 \
    }                                                                                                        \
    EW_REDUCE_KERNEL(reduce_log_sum_exp_##S, X, ew_reduce_log_sum_exp_##S##_of)

#define EW_FLOAT_REDUCTIONS(S, X, R, F, load, store, SQRT, LOG)                                                       \
    EW_FLOAT_REDUCTION(sum, S, X, R, load, store, 0, EW_STEP_SUM, EW_JOIN_SUM, EW_FINISH_NONE)                        \
    EW_FLOAT_REDUCTION(mean, S, X, R, load, store, 0, EW_STEP_SUM, EW_JOIN_SUM, EW_FINISH_MEAN)                       \
    EW_FLOAT_REDUCTION(prod, S, X, R, load, store, 1, EW_STEP_PROD, EW_JOIN_PROD, EW_FINISH_NONE)                     \
    EW_FLOAT_REDUCTION(max, S, X, R, load, store, -(R)INFINITY, EW_STEP_MAX, EW_JOIN_MAX, EW_FINISH_NONE)             \
    EW_FLOAT_REDUCTION(min, S, X, R, load, store, (R)INFINITY, EW_STEP_MIN, EW_JOIN_MIN, EW_FINISH_NONE)              \
    EW_FLOAT_REDUCTION(l1, S, X, R, load, store, 0, EW_STEP_ABSOLUTE, EW_JOIN_SUM, EW_FINISH_NONE)                    \
    EW_FLOAT_REDUCTION(l2, S, X, R, load, store, 0, EW_STEP_SQUARE, EW_JOIN_SUM, SQRT)                                \
    EW_FLOAT_REDUCTION(sum_square, S, X, R, load, store, 0, EW_STEP_SQUARE, EW_JOIN_SUM, EW_FINISH_NONE)              \
    EW_FLOAT_REDUCTION(log_sum, S, X, R, load, store, 0, EW_STEP_SUM, EW_JOIN_SUM, LOG)                               \
    EW_LOG_SUM_EXP(S, X, R, F, load, store)

EW_FLOAT_REDUCTIONS(f32, float, float, EW_F32_FUNCTION, EW_PLAIN, EW_PLAIN, EW_FINISH_SQRT_F, EW_FINISH_LOG_F)
EW_FLOAT_REDUCTIONS(f64, double, double, EW_F64_FUNCTION, EW_PLAIN, EW_PLAIN, EW_FINISH_SQRT, EW_FINISH_LOG)
EW_FLOAT_REDUCTIONS(f16, uint16_t, float, EW_F32_FUNCTION, ew_half_to_float, ew_float_to_half, EW_FINISH_SQRT_F,
                    EW_FINISH_LOG_F)

#endif
