/* Where a sliding kernel window meets the input: the ranges that convolution and pooling loops run over, so that no tap
 * needs a bounds test. One axis at a time. */
#ifndef EW_WINDOW_H
#define EW_WINDOW_H

#include "ew_base.h"

typedef struct {
    int32_t begin, end; /* end is not included */
} ew_range;

/* ceil(a / b) for b > 0, and 0 where a is negative. */
EW_INLINE int32_t ew_ceil_div_or_0(int32_t a, int32_t b)
{
    return a > 0 ? (a + b - 1) / b : 0;
}

/* The taps k in [0, kernel) with low <= start + k * dilation < high. `start` is the window's first input position. */
EW_INLINE ew_range ew_window_taps(int32_t start, int32_t kernel, int32_t dilation, int32_t low, int32_t high)
{
    const int32_t begin = ew_ceil_div_or_0(low - start, dilation);
    const int32_t stop = ew_ceil_div_or_0(high - start, dilation);
    const int32_t end = stop < kernel ? stop : kernel;
    return begin < end ? (ew_range){begin, end} : (ew_range){0, 0};
}

/* The outputs in [0, out) whose windows lie wholly inside [0, in): there no tap needs clipping. */
EW_INLINE ew_range ew_window_interior(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t dilation,
                                      int32_t pad)
{
    const int32_t slack = in + pad - ((kernel - 1) * dilation + 1); /* largest inside start, plus pad */
    const int32_t end = slack < 0 ? 0 : slack / stride + 1;
    return (ew_range){ew_ceil_div_or_0(pad, stride), end < out ? end : out};
}

/* In a transposed convolution: the input position that tap k of the kernel brings to output position `out`, or -1. */
EW_INLINE int32_t ew_conv_transpose_source(int32_t out, int32_t k, int32_t in, int32_t stride, int32_t dilation,
                                           int32_t pad)
{
    const int32_t scaled = out + pad - k * dilation;
    if (scaled < 0 || scaled % stride != 0 || scaled / stride >= in) {
        return -1;
    }
    return scaled / stride;
}

#endif
