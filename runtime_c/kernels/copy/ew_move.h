/* A block of bytes to another place, which may overlap the first: rows of a band that the next one reads again. */
#ifndef EW_MOVE_H
#define EW_MOVE_H

#include "ew_base.h"

#include <string.h>

typedef struct {
    int32_t bytes; /* >= 1 */
} ew_move_params;

EW_KERNEL void ew_move(const void *x, void *y, const ew_move_params *p)
{
    memmove(y, x, (size_t)p->bytes);
}

#endif
