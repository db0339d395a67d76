/* The sum of overlapping blocks, float32: Col2Im. */
#ifndef EW_COL2IM_F32_H
#define EW_COL2IM_F32_H

#include "ew_base.h"
#include "ew_window.h"

/* Sizes are depth, height, width; sizes, strides and dilations are >= 1, pads >= 0. */
typedef struct {
    int32_t planes;                             /* channels of all samples */
    int32_t out[3];                             /* of the image */
    int32_t blocks[3];                          /* how many blocks there are along each axis */
    int32_t block[3], stride[3], dilation[3];   /* of a block, and how blocks and their elements follow each other */
    int32_t pad[3];                             /* at the beginning of each axis */
} ew_col2im_f32_params;

/* y[plane, place] = the sum of the elements of all blocks that lie there: element k of block b on an axis lies at
 * b * stride + k * dilation - pad, and those outside the image count nowhere.
 * x: [planes][block][blocks], y: [planes][out]. Buffers do not overlap. */
EW_KERNEL void ew_col2im_f32(const float *restrict x, float *restrict y, const ew_col2im_f32_params *p)
{
    const int32_t count = p->blocks[0] * p->blocks[1] * p->blocks[2];
    const int32_t elements = p->block[0] * p->block[1] * p->block[2];
    for (int32_t plane = 0; plane < p->planes; ++plane, x += elements * count) {
        for (int32_t z = 0; z < p->out[0]; ++z) {
            for (int32_t r = 0; r < p->out[1]; ++r) {
                for (int32_t c = 0; c < p->out[2]; ++c) {
                    float sum = 0.0f;
                    for (int32_t k = 0; k < elements; ++k) {
                        const int32_t kz = k / (p->block[1] * p->block[2]), ky = k / p->block[2] % p->block[1];
                        const int32_t kx = k % p->block[2];
                        const int32_t bz = ew_conv_transpose_source(z, kz, p->blocks[0], p->stride[0], p->dilation[0],
                                                                    p->pad[0]);
                        const int32_t by = ew_conv_transpose_source(r, ky, p->blocks[1], p->stride[1], p->dilation[1],
                                                                    p->pad[1]);
                        const int32_t bx = ew_conv_transpose_source(c, kx, p->blocks[2], p->stride[2], p->dilation[2],
                                                                    p->pad[2]);
                        if (bz >= 0 && by >= 0 && bx >= 0) {
                            sum += x[k * count + (bz * p->blocks[1] + by) * p->blocks[2] + bx];
                        }
                    }
                    *y++ = sum;
                }
            }
        }
    }
}

#endif
