/* What the float kernels share: the fused activation and the request to unroll a short loop. */
#ifndef EW_FLOAT_H
#define EW_FLOAT_H

#include "ew_base.h"

#include <math.h>

/* Before a loop of a few turns whose count is a literal: gcc below -O3 keeps it rolled, with its arrays on the stack.
 * Other compilers unroll such a loop without being asked. */
#if defined(__GNUC__) && !defined(__clang__)
#define EW_UNROLL _Pragma("GCC unroll 16")
#else
#define EW_UNROLL
#endif

/* Long sums are sums of partial sums of at most this many terms: the error of a plain running sum of n equal terms grows
 * with n (0.3 % at 512x512), that of the two-level one with n / EW_SUM_BLOCK + EW_SUM_BLOCK. */
#define EW_SUM_BLOCK 256

/* Clamps to [lo, hi]; a NaN passes through. Infinite bounds cost nothing where they are literals: without the tests for
 * them a compiler must keep the comparison, which may raise a floating-point exception. */
EW_INLINE float ew_clamp_value_f32(float value, float lo, float hi)
{
    if (lo != -INFINITY && value < lo) {
        return lo;
    }
    if (hi != INFINITY && value > hi) {
        return hi;
    }
    return value;
}

#endif
