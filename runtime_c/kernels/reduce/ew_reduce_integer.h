/* Reductions of integers: ew_reduce_NAME_SUFFIX for sum, mean, prod, max, min, l1, l2, sum_square; of b8: max, min.
 *
 * Sums and products wrap around; those behind a mean or a root are kept in 64 bits. The mean is truncated toward zero,
 * the root of a sum of squares downwards. */
#ifndef EW_REDUCE_INTEGER_H
#define EW_REDUCE_INTEGER_H

#include "ew_base.h"
#include "ew_reduce.h"
#include "ew_types.h"

#include <math.h>

/* The largest integer whose square is not above v. */
EW_INLINE uint64_t ew_integer_root(uint64_t v)
{
    uint64_t root = 0;
    for (int32_t bit = 31; bit >= 0; --bit) {
        const uint64_t next = root | (uint64_t)1 << bit;
        if (next * next <= v) {
            root = next;
        }
    }
    return root;
}

#define EW_ROOT_OF(total, count) ew_integer_root(total)
#define EW_TOTAL_OF(total, count) (total)
#define EW_JOIN_TOTALS(a, b) ((a) + (b))
#define EW_JOIN_PRODUCTS(a, b) ((a) * (b))
#define EW_JOIN_LARGER(a, b) ((b) > (a) ? (b) : (a))
#define EW_JOIN_SMALLER(a, b) ((b) < (a) ? (b) : (a))

/* `value` gives the next total from the last one and x, and `finish` the result from the total and the count. */
#define EW_INTEGER_REDUCTION(name, S, T, A, first, value, join, finish)                                      \
    EW_INLINE A ew_reduce_##name##_##S##_step(A total, T x, int aside)                                       \
    {                                                                                                        \
        (void)aside;                                                                                         \
        return value;                                                                                        \
    }                                                                                                        \
    EW_REDUCE_FOLD(reduce_##name##_##S, T, A, int, first, ew_reduce_##name##_##S##_step, join)               \
    EW_INLINE T ew_reduce_##name##_##S##_of(const T *x, const ew_reduce_params *p)                           \
    {                                                                                                        \
        const A total = ew_reduce_##name##_##S##_fold(x, p, 0);                                              \
        (void)p;                                                                                             \
        return (T)finish(total, ew_reduce_count(p));                                                         \
    }                                                                                                        \
    EW_REDUCE_KERNEL(reduce_##name##_##S, T, ew_reduce_##name##_##S##_of)

#define EW_SIGNED_MEAN(total, count) ((int64_t)(total) / (count))
#define EW_UNSIGNED_MEAN(total, count) ((total) / (uint64_t)(count))

#define EW_INTEGER_SUMS(S, T, U)                                                                                     \
    EW_INTEGER_REDUCTION(sum, S, T, U, 0, total + (U)x, EW_JOIN_TOTALS, EW_TOTAL_OF)                                 \
    EW_INTEGER_REDUCTION(prod, S, T, U, 1, total * (U)x, EW_JOIN_PRODUCTS, EW_TOTAL_OF)                              \
    EW_INTEGER_REDUCTION(l1, S, T, U, 0, total + (x > 0 ? (U)x : 0 - (U)x), EW_JOIN_TOTALS, EW_TOTAL_OF)             \
    EW_INTEGER_REDUCTION(sum_square, S, T, U, 0, total + (U)x * (U)x, EW_JOIN_TOTALS, EW_TOTAL_OF)                   \
    EW_INTEGER_REDUCTION(l2, S, T, uint64_t, 0, total + (uint64_t)x * (uint64_t)x, EW_JOIN_TOTALS, EW_ROOT_OF)

EW_WIDE_TYPES(EW_INTEGER_SUMS)
EW_INTEGER_REDUCTION(mean, s32, int32_t, uint64_t, 0, total + (uint64_t)x, EW_JOIN_TOTALS, EW_SIGNED_MEAN)
EW_INTEGER_REDUCTION(mean, s64, int64_t, uint64_t, 0, total + (uint64_t)x, EW_JOIN_TOTALS, EW_SIGNED_MEAN)
EW_INTEGER_REDUCTION(mean, u32, uint32_t, uint64_t, 0, total + (uint64_t)x, EW_JOIN_TOTALS, EW_UNSIGNED_MEAN)
EW_INTEGER_REDUCTION(mean, u64, uint64_t, uint64_t, 0, total + (uint64_t)x, EW_JOIN_TOTALS, EW_UNSIGNED_MEAN)

#define EW_INTEGER_EXTREMES(S, T, least, most)                                                                       \
    EW_INTEGER_REDUCTION(max, S, T, T, least, x > total ? x : total, EW_JOIN_LARGER, EW_TOTAL_OF)                    \
    EW_INTEGER_REDUCTION(min, S, T, T, most, x < total ? x : total, EW_JOIN_SMALLER, EW_TOTAL_OF)

EW_INTEGER_EXTREMES(s8, int8_t, INT8_MIN, INT8_MAX)
EW_INTEGER_EXTREMES(u8, uint8_t, 0, UINT8_MAX)
EW_INTEGER_EXTREMES(s32, int32_t, INT32_MIN, INT32_MAX)
EW_INTEGER_EXTREMES(u32, uint32_t, 0, UINT32_MAX)
EW_INTEGER_EXTREMES(s64, int64_t, INT64_MIN, INT64_MAX)
EW_INTEGER_EXTREMES(u64, uint64_t, 0, UINT64_MAX)

EW_INTEGER_REDUCTION(max, b8, uint8_t, uint8_t, 0, x != 0 || total != 0, EW_JOIN_LARGER, EW_TOTAL_OF)
EW_INTEGER_REDUCTION(min, b8, uint8_t, uint8_t, 1, x != 0 && total != 0, EW_JOIN_SMALLER, EW_TOTAL_OF)

#endif
