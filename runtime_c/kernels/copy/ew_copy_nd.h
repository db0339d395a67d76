/* Strided copy of blocks of bytes, for any element type: transpose, slice, split, concat, expand, depth to space. */
#ifndef EW_COPY_ND_H
#define EW_COPY_ND_H

#include "ew_base.h"
#include "ew_index.h"

#include <string.h>

/* Offsets and strides are in bytes. dims do not include the block. */
typedef struct {
    int32_t rank;                   /* 0..EW_MAX_RANK; 0: one block */
    int32_t dims[EW_MAX_RANK];      /* >= 1 */
    int32_t x_strides[EW_MAX_RANK]; /* negative: read backwards; 0: repeated */
    int32_t y_strides[EW_MAX_RANK];
    int32_t x_offset, y_offset;
    int32_t block_bytes; /* >= 1; contiguous in x and in y */
} ew_copy_nd_params;

/* `count` blocks. A literal size turns memcpy into a load and a store. */
EW_INLINE void ew_copy_row(const unsigned char *restrict x, int32_t x_stride, unsigned char *restrict y,
                           int32_t y_stride, int32_t count, size_t block_bytes)
{
    for (int32_t i = 0; i < count; ++i) {
        memcpy(y + i * y_stride, x + i * x_stride, block_bytes);
    }
}

/* y[y_offset + index . y_strides] = x[x_offset + index . x_strides], block_bytes bytes for each index. What no block
 * covers stays as it was. Buffers do not overlap. */
EW_KERNEL void ew_copy_nd(const void *restrict x, void *restrict y, const ew_copy_nd_params *p)
{
    const unsigned char *x_bytes = (const unsigned char *)x + p->x_offset;
    unsigned char *y_bytes = (unsigned char *)y + p->y_offset;
    const int32_t last = p->rank - 1;
    if (last < 0) {
        memcpy(y_bytes, x_bytes, (size_t)p->block_bytes);
        return;
    }
    const int32_t x_stride = p->x_strides[last];
    const int32_t y_stride = p->y_strides[last];
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const unsigned char *x_row = x_bytes + ew_index_offset(last, index, p->x_strides);
        unsigned char *y_row = y_bytes + ew_index_offset(last, index, p->y_strides);
        ew_copy_row(x_row, x_stride, y_row, y_stride, p->dims[last], (size_t)p->block_bytes);
    } while (ew_index_next(last, p->dims, index));
}

#endif
