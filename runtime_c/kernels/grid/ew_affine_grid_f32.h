/* The grid that an affine map makes for sampling, float32. */
#ifndef EW_AFFINE_GRID_F32_H
#define EW_AFFINE_GRID_F32_H

#include "ew_base.h"

typedef struct {
    int32_t batch;    /* >= 1 */
    int32_t rank;     /* of the image: 2, or 3 */
    int32_t sizes[3]; /* depth (1 in an image), height, width; >= 1 */
    float first[3];   /* coordinate of the first element on each of these axes */
    float step[3];    /* to the next one */
} ew_affine_grid_f32_params;

/* grid[n, z, y, x] = theta[n] times the column (x, y, z, 1), or (x, y, 1), of coordinates.
 * theta: [batch][rank][rank + 1], grid: [batch][sizes][rank]. Buffers do not overlap. */
EW_KERNEL void ew_affine_grid_f32(const float *restrict theta, float *restrict grid, const ew_affine_grid_f32_params *p)
{
    for (int32_t n = 0; n < p->batch; ++n) {
        const float *map = theta + n * p->rank * (p->rank + 1);
        for (int32_t z = 0; z < p->sizes[0]; ++z) {
            for (int32_t y = 0; y < p->sizes[1]; ++y) {
                for (int32_t x = 0; x < p->sizes[2]; ++x) {
                    const float at[3] = {p->first[2] + (float)x * p->step[2], p->first[1] + (float)y * p->step[1],
                                         p->first[0] + (float)z * p->step[0]};
                    for (int32_t row = 0; row < p->rank; ++row) {
                        const float *factors = map + row * (p->rank + 1);
                        float sum = factors[p->rank];
                        for (int32_t k = 0; k < p->rank; ++k) {
                            sum += factors[k] * at[k];
                        }
                        *grid++ = sum;
                    }
                }
            }
        }
    }
}

#endif
