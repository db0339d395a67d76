/* Gated recurrent unit, integers, Arm MVE. */
#ifndef EW_GRU_Q__MVE_H
#define EW_GRU_Q__MVE_H

#include "ew_base.h"
#include "ew_gru_q.h"
#include "ew_recurrent_q__mve.h"

#if defined(__ARM_FEATURE_MVE)

/* As ew_gru_q, with the weights of ew_recurrent_rows_q__mve. */
EW_KERNEL void ew_gru_q__mve(const void *restrict x, const int8_t *restrict weights,
                             const int32_t *restrict multipliers, const int64_t *restrict bias,
                             const uint16_t *restrict table, const float *restrict initial_h, void *restrict scratch,
                             void *restrict y, void *restrict y_h, float *restrict y_exact,
                             const ew_recurrent_q_params *p)
{
    ew_gru_layer_q(ew_recurrent_rows_q__mve, x, weights, multipliers, bias, table, initial_h, scratch, y, y_h, y_exact,
                   p);
}

#endif
#endif
