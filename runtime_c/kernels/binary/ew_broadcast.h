/* Functions of two elements of broadcast operands, of any types: parameters and the loop that all of them share. */
#ifndef EW_BROADCAST_H
#define EW_BROADCAST_H

#include "ew_base.h"
#include "ew_index.h"

/* y is dense in row-major order of dims; a and b are read by their strides in elements, 0 where broadcast. Callers merge
 * adjacent dimensions where both operands allow it. */
typedef struct {
    int32_t rank;              /* 1..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK]; /* >= 1 */
    int32_t a_strides[EW_MAX_RANK];
    int32_t b_strides[EW_MAX_RANK];
} ew_broadcast_params;

/* y = formula(a, b), element by element. a and b may be the same buffer; y may be one of them where that is not
 * broadcast and has elements of y's size, and otherwise overlaps neither. */
#define EW_BROADCAST_KERNEL(name, A, B, Y, formula)                                    \
    EW_KERNEL void name(const A *a, const B *b, Y *y, const ew_broadcast_params *p)    \
    {                                                                                  \
        const int32_t outer = p->rank - 1;                                             \
        const int32_t count = p->dims[outer];                                          \
        const int32_t a_step = p->a_strides[outer];                                    \
        const int32_t b_step = p->b_strides[outer];                                    \
        int32_t index[EW_MAX_RANK] = {0};                                              \
        do {                                                                           \
            const A *a_row = a + ew_index_offset(outer, index, p->a_strides);          \
            const B *b_row = b + ew_index_offset(outer, index, p->b_strides);          \
            for (int32_t i = 0; i < count; ++i) {                                      \
                y[i] = formula(a_row[i * a_step], b_row[i * b_step]);                  \
            }                                                                          \
            y += count;                                                                \
        } while (ew_index_next(outer, p->dims, index));                                \
    }

#endif
