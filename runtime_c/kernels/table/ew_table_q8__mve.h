/* A function of one 8-bit element by table, for MVE: 16 look-ups an instruction. */
#ifndef EW_TABLE_Q8__MVE_H
#define EW_TABLE_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"

typedef struct {
    int32_t count; /* elements */
} ew_table_q8__mve_params;

#if defined(__ARM_FEATURE_MVE)

/* y[i] = table[x[i] as unsigned]: a table of int8 is turned by 128 at generation. Any address; y may be x, and
 * otherwise does not overlap it. */
EW_KERNEL void ew_table_q8__mve(const void *x, const void *table, void *y, const ew_table_q8__mve_params *p)
{
    const uint8_t *from = x;
    uint8_t *to = y;
    __asm__ volatile("wlstp.8 lr, %[count], 2f; 1: vldrb.u8 q0, [%[x]], #16; vldrb.u8 q1, [%[table], q0]; "
                     "vstrb.8 q1, [%[y]], #16; letp lr, 1b; 2:"
                     : [x] "+r"(from), [y] "+r"(to)
                     : [count] "r"(p->count), [table] "r"(table)
                     : "lr", "q0", "q1", "memory");
}

#endif
#endif
