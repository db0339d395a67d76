/* Where an element of a padded tensor comes from, and the loop: shared by the kernels for padding and cropping. */
#ifndef EW_PAD_H
#define EW_PAD_H

#include "ew_base.h"
#include "ew_index.h"

#include <string.h>

typedef enum ew_pad_mode {
    EW_PAD_CONSTANT = 0, /* `value` */
    EW_PAD_EDGE = 1,     /* the nearest element: a a [a b c] c c */
    EW_PAD_REFLECT = 2,  /* mirrored at the edge element, which is not repeated: c b [a b c] b a */
    EW_PAD_WRAP = 3      /* repeated: b c [a b c] a b */
} ew_pad_mode;

/* The element of a dimension of size `in` that position `at` shows (at < 0 or at >= in: padding), or -1: the constant.
 */
EW_INLINE int32_t ew_pad_source(int32_t at, int32_t in, int32_t mode)
{
    if (at >= 0 && at < in) {
        return at;
    }
    if (mode == EW_PAD_CONSTANT) {
        return -1;
    }
    if (mode == EW_PAD_EDGE || in == 1) {
        return at < 0 ? 0 : in - 1;
    }
    const int32_t period = mode == EW_PAD_REFLECT ? 2 * (in - 1) : in;
    const int32_t phase = (at % period + period) % period;
    return phase < in ? phase : period - phase;
}

/* Where the row of x starts, in elements, that the output's row `index` (on the axes before `last`) shows; -1 if none:
 * the row is all constant. */
EW_INLINE int32_t ew_pad_row(int32_t last, const int32_t in_dims[EW_MAX_RANK], const int32_t pads_before[EW_MAX_RANK],
                             int32_t mode, const int32_t index[EW_MAX_RANK])
{
    int32_t row = 0;
    int32_t stride = in_dims[last];
    int32_t inside = 1;
    EW_UNROLL
    for (int32_t axis = last - 1; axis >= 0; --axis) {
        const int32_t source = ew_pad_source(index[axis] - pads_before[axis], in_dims[axis], mode);
        inside = inside && source >= 0;
        row += inside ? source * stride : 0;
        stride *= in_dims[axis];
    }
    return inside ? row : -1;
}

/* y[o] = x[o - pads_before], with positions outside x filled as `mode` says (the whole of x, cropped elements included,
 * is what is mirrored or repeated). `value` is one element; only EW_PAD_CONSTANT reads it. Buffers are dense and do not
 * overlap. */
EW_INLINE void ew_pad_elements(const void *restrict x, const void *restrict value, void *restrict y, int32_t rank,
                               const int32_t in_dims[EW_MAX_RANK], const int32_t out_dims[EW_MAX_RANK],
                               const int32_t pads_before[EW_MAX_RANK], int32_t mode, int32_t element_bytes)
{
    const int32_t last = rank - 1;
    const unsigned char *x_bytes = x;
    unsigned char *y_bytes = y;
    int32_t index[EW_MAX_RANK] = {0};
    do {
        const int32_t row = ew_pad_row(last, in_dims, pads_before, mode, index);
        for (int32_t o = 0; o < out_dims[last]; ++o) {
            const int32_t source = ew_pad_source(o - pads_before[last], in_dims[last], mode);
            const void *from = row >= 0 && source >= 0 ? x_bytes + (row + source) * element_bytes : value;
            memcpy(y_bytes, from, (size_t)element_bytes);
            y_bytes += element_bytes;
        }
    } while (ew_index_next(last, out_dims, index));
}

#endif
