/* Sums of gates by SMLAD, two products of halfwords at a time. */
#ifndef EW_RECURRENT_Q__DSP_H
#define EW_RECURRENT_Q__DSP_H

#include "ew_base.h"
#include "ew_dsp.h"
#include "ew_recurrent_q.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define EW_RECURRENT_Q__DSP_BLOCK 4 /* rows */

/* acc[o] += four elements of x, two in a word, times the weights of `outs` rows: a word each, bytes 0 2 1 3. */
EW_INLINE void ew_recurrent_step_q__dsp(uint32_t first, uint32_t second, const int8_t *w, int32_t outs, int32_t *acc)
{
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        const uint32_t four = ew_dsp_load4(w + 4 * o);
        acc[o] = ew_dsp_smlad(first, ew_dsp_sxtb16(four), acc[o]);
        acc[o] = ew_dsp_smlad(second, ew_dsp_sxtb16_ror8(four), acc[o]);
    }
}

EW_INLINE void ew_recurrent_dot_q__dsp(const int16_t *x, const int8_t *w, int32_t count, int32_t outs, int32_t *sum)
{
    int32_t acc[EW_RECURRENT_Q__DSP_BLOCK] = {0};
    const int16_t *const end = x + (count + 3) / 4 * 4; /* what is behind x meets weights of 0 */
    for (; x != end; x += 4) {
        ew_recurrent_step_q__dsp(ew_dsp_load4(x), ew_dsp_load4(x + 2), w, outs, acc);
        w += 4 * outs;
    }
    EW_UNROLL
    for (int32_t o = 0; o < outs; ++o) {
        sum[o] = acc[o];
    }
}

EW_SHARED void ew_recurrent_dot_block_q__dsp(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q__dsp(x, w, count, EW_RECURRENT_Q__DSP_BLOCK, sum);
}

EW_SHARED void ew_recurrent_dot_one_q__dsp(const int16_t *x, const int8_t *w, int32_t count, int32_t *sum)
{
    ew_recurrent_dot_q__dsp(x, w, count, 1, sum);
}

/* As ew_recurrent_rows_q; weights: rows in blocks of 4, then singly; for each, those of x and those of h, four elements
 * at a time: [x_count / 4][block][4], likewise h, counts rounded up to 4 with zeros; the four in the order 0 2 1 3. x
 * and h are readable up to the next multiple of 4 elements. */
EW_SHARED const int8_t *ew_recurrent_rows_q__dsp(const int16_t *x, int32_t x_count, const int16_t *h, int32_t h_count,
                                                 const int8_t *weights, const int32_t *multipliers,
                                                 const int64_t *bias, int32_t shift, int32_t rows, int32_t *u)
{
    for (int32_t block = 0; block < rows / EW_RECURRENT_Q__DSP_BLOCK; ++block) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_block_q__dsp, EW_RECURRENT_Q__DSP_BLOCK, 4, x, x_count, h,
                                           h_count, weights, multipliers, bias, shift, u);
        multipliers += 2 * EW_RECURRENT_Q__DSP_BLOCK;
        bias += EW_RECURRENT_Q__DSP_BLOCK;
        u += EW_RECURRENT_Q__DSP_BLOCK;
    }
    for (int32_t left = 0; left < rows % EW_RECURRENT_Q__DSP_BLOCK; ++left) {
        weights = ew_recurrent_some_rows_q(ew_recurrent_dot_one_q__dsp, 1, 4, x, x_count, h, h_count, weights,
                                           multipliers, bias, shift, u);
        multipliers += 2;
        ++bias;
        ++u;
    }
    return weights;
}

#endif
#endif
