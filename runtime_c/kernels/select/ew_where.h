/* Choice between two operands by a third, all broadcast: ew_where_SUFFIX. */
#ifndef EW_WHERE_H
#define EW_WHERE_H

#include "ew_base.h"
#include "ew_index.h"
#include "ew_types.h"

/* y is dense in row-major order of dims; the operands are read by their strides in elements, 0 where broadcast. */
typedef struct {
    int32_t rank;              /* 1..EW_MAX_RANK */
    int32_t dims[EW_MAX_RANK]; /* >= 1 */
    int32_t c_strides[EW_MAX_RANK];
    int32_t a_strides[EW_MAX_RANK];
    int32_t b_strides[EW_MAX_RANK];
} ew_where_params;

/* y = c ? a : b, element by element; any byte of c but 0 is true. Operands may be one buffer; y may be one of them where
 * that is not broadcast and has elements of y's size, and otherwise overlaps none. */
#define EW_WHERE_KERNEL(S, T, U)                                                                                   \
    EW_KERNEL void ew_where_##S(const uint8_t *c, const T *a, const T *b, T *y, const ew_where_params *p)          \
    {                                                                                                              \
        const int32_t outer = p->rank - 1;                                                                         \
        const int32_t count = p->dims[outer];                                                                      \
        int32_t index[EW_MAX_RANK] = {0};                                                                          \
        do {                                                                                                       \
            const uint8_t *c_row = c + ew_index_offset(outer, index, p->c_strides);                                \
            const T *a_row = a + ew_index_offset(outer, index, p->a_strides);                                      \
            const T *b_row = b + ew_index_offset(outer, index, p->b_strides);                                      \
            for (int32_t i = 0; i < count; ++i) {                                                                  \
                const T yes = a_row[i * p->a_strides[outer]], no = b_row[i * p->b_strides[outer]];                 \
                y[i] = c_row[i * p->c_strides[outer]] != 0 ? yes : no;                                             \
            }                                                                                                      \
            y += count;                                                                                            \
        } while (ew_index_next(outer, p->dims, index));                                                            \
    }

EW_INTEGER_TYPES(EW_WHERE_KERNEL)
EW_WHERE_KERNEL(f32, float, )
EW_WHERE_KERNEL(f64, double, )
EW_WHERE_KERNEL(f16, uint16_t, )
EW_WHERE_KERNEL(b8, uint8_t, )

#endif
