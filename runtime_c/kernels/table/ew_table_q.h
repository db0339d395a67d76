/* Any function of one 8-bit element, by a table made at generation. */
#ifndef EW_TABLE_Q_H
#define EW_TABLE_Q_H

#include "ew_base.h"
#include "ew_quantized.h"

typedef struct {
    int32_t count;  /* elements of x and of y */
    int32_t x_type; /* EW_QS8 or EW_QU8 */
    int32_t y_type;
} ew_table_q_params;

/* y[i] = table[x[i] - lowest value of x's type]; table: 256 elements of y's type. y may be x where y has 8 bits;
 * otherwise they do not overlap. */
EW_KERNEL void ew_table_q(const void *x, const void *restrict table, void *y, const ew_table_q_params *p)
{
    const int32_t lowest = p->x_type == EW_QS8 ? -128 : 0;
    for (int32_t i = 0; i < p->count; ++i) {
        ew_store_q(p->y_type, y, i, ew_load_q(p->y_type, table, ew_load_q(p->x_type, x, i) - lowest));
    }
}

#endif
