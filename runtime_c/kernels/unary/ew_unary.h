/* Functions of one element: parameters and the loop that all of them share. */
#ifndef EW_UNARY_H
#define EW_UNARY_H

#include "ew_base.h"

typedef struct {
    int32_t count; /* elements of x and of y */
} ew_unary_params;

/* `alpha` and `beta` are what the function says of them; 0 where it has none. */
typedef struct {
    int32_t count; /* elements of x and of y */
    float alpha, beta;
} ew_unary_constants_params;

/* y[i] = formula(x[i]). y may be x where elements have one size, and otherwise does not overlap it. */
#define EW_UNARY_KERNEL(name, X, Y, formula)                                 \
    EW_KERNEL void name(const X *x, Y *y, const ew_unary_params *p)          \
    {                                                                        \
        for (int32_t i = 0; i < p->count; ++i) {                             \
            y[i] = formula(x[i]);                                            \
        }                                                                    \
    }

/* y[i] = formula(x[i], alpha, beta). y may be x, and otherwise does not overlap it. */
#define EW_UNARY_CONSTANTS_KERNEL(name, X, Y, formula)                       \
    EW_KERNEL void name(const X *x, Y *y, const ew_unary_constants_params *p) \
    {                                                                        \
        for (int32_t i = 0; i < p->count; ++i) {                             \
            y[i] = formula(x[i], p->alpha, p->beta);                         \
        }                                                                    \
    }

#endif
