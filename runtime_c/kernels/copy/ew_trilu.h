/* The upper or lower triangle of matrices, zeros elsewhere, for any element type. */
#ifndef EW_TRILU_H
#define EW_TRILU_H

#include "ew_base.h"

#include <string.h>

typedef struct {
    int32_t matrices, rows, columns; /* >= 1; x and y are [matrices][rows][columns] */
    int32_t k;                       /* the diagonal: column - row; in [-rows, columns] */
    int32_t upper;                   /* 1: keep the diagonal and what is right of it; 0: and what is left */
    int32_t element_bytes;
} ew_trilu_params;

/* y may be x, and otherwise does not overlap it. */
EW_KERNEL void ew_trilu(const void *x, void *y, const ew_trilu_params *p)
{
    const unsigned char *x_row = (const unsigned char *)x;
    unsigned char *y_row = (unsigned char *)y;
    const size_t row_bytes = (size_t)p->columns * (size_t)p->element_bytes;
    for (int32_t row = 0; row < p->matrices * p->rows; ++row) {
        const int32_t edge = row % p->rows + p->k + (p->upper ? 0 : 1); /* of the columns that are kept */
        const int32_t inside = edge < 0 ? 0 : edge < p->columns ? edge : p->columns;
        const size_t left = (size_t)inside * (size_t)p->element_bytes;
        if (x != y) {
            memcpy(y_row, x_row, row_bytes);
        }
        if (p->upper) {
            memset(y_row, 0, left);
        } else {
            memset(y_row + left, 0, row_bytes - left);
        }
        x_row += row_bytes;
        y_row += row_bytes;
    }
}

#endif
