/* What the resizing kernels share: how a tensor is seen as two axes to resize, and what is around them. */
#ifndef EW_RESIZE_H
#define EW_RESIZE_H

#include "ew_base.h"

/* x is [outer][a_in][mid][b_in][inner], y [outer][a_out][mid][b_out][inner], sizes >= 1. Where one axis is resized, it
 * is a, and mid, b_in and b_out are 1. */
typedef struct {
    int32_t outer;
    int32_t a_in, a_out;
    int32_t mid;
    int32_t b_in, b_out;
    int32_t inner; /* elements; in ew_resize_nearest: bytes */
} ew_resize_params;

#endif
