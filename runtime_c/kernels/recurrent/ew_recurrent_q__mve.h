/* Sums of gates by VMLADAVA, eight products of halfwords at a time. */
#ifndef EW_RECURRENT_Q__MVE_H
#define EW_RECURRENT_Q__MVE_H

#include "ew_base.h"
#include "ew_recurrent_q.h"

#if defined(__ARM_FEATURE_MVE)

#include <arm_mve.h>

#define EW_RECURRENT_Q__MVE_BLOCK 4 /* rows */
#define EW_RECURRENT_Q__MVE_LANES 8

EW_INLINE void ew_recurrent_dot_q__mve(const int16_t *x, const int8_t *w, int32_t count, int32_t outs, int32_t *sum)
{
    int32_t acc[EW_RECURRENT_Q__MVE_BLOCK] = {0};
    for (int32_t left = (count + EW_RECURRENT_Q__MVE_LANES - 1) / EW_RECURRENT_Q__MVE_LANES; left > 0; --left) {
        const int16x8_t eight = vldrhq_s16(x); /* what is behind x meets weights of 0 */
        EW_UNROLL
        for (int32_t o = 0; o < outs; ++o) {
            acc[o] = vmladavaq_s16(acc[o], eight, vldrbq_s16(w + o * EW_RECURRENT_Q__MVE_LANES));
        }
        x += EW_RECURRENT_Q__MVE_LANES;
        w += outs * EW_RECURRENT_Q__MVE_LANES;
    }
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        sum[o] = acc[o];
    }
}

EW_SHARED void ew_recurrent_dot_block_q__mve(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q__mve(x, w, count, EW_RECURRENT_Q__MVE_BLOCK, sum);
}

EW_SHARED void ew_recurrent_dot_one_q__mve(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q__mve(x, w, count, 1, sum);
}

/* As ew_recurrent_rows_q; weights: rows in blocks of 4, then singly; for each, those of x and those of h, eight
 * elements at a time: [x_count / 8][block][8], likewise h, counts rounded up to 8 with zeros. x and h are readable up to
 * the next multiple of 8 elements. */
EW_SHARED const int8_t *ew_recurrent_rows_q__mve(const int16_t *x, int32_t x_count, const int16_t *h, int32_t h_count,
                                                 const int8_t *weights, const int32_t *multipliers,
                                                 const int64_t *bias, int32_t shift, int32_t rows, int32_t *u)
{
    for (int32_t block = 0; block < rows / EW_RECURRENT_Q__MVE_BLOCK; ++block) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_block_q__mve, EW_RECURRENT_Q__MVE_BLOCK,
                                           EW_RECURRENT_Q__MVE_LANES, x, x_count, h, h_count, weights, multipliers,
                                           bias, shift, u);
        multipliers += 2 * EW_RECURRENT_Q__MVE_BLOCK;
        bias += EW_RECURRENT_Q__MVE_BLOCK;
        u += EW_RECURRENT_Q__MVE_BLOCK;
    }
    for (int32_t left = 0; left < rows % EW_RECURRENT_Q__MVE_BLOCK; ++left) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_one_q__mve, 1, EW_RECURRENT_Q__MVE_LANES, x, x_count, h,
                                           h_count, weights, multipliers, bias, shift, u);
        multipliers += 2;
        ++bias;
        ++u;
    }
    return weights;
}

#endif
#endif
