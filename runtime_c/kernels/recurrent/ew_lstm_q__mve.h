/* Long short-term memory, integers, Arm MVE. */
#ifndef EW_LSTM_Q__MVE_H
#define EW_LSTM_Q__MVE_H

#include "ew_base.h"
#include "ew_lstm_q.h"
#include "ew_recurrent_q__mve.h"

#if defined(__ARM_FEATURE_MVE)

/* As ew_lstm_q, with the weights of ew_recurrent_rows_q__mve. */
EW_KERNEL void ew_lstm_q__mve(const void *restrict x, const int8_t *restrict weights,
                              const int32_t *restrict multipliers, const int64_t *restrict bias,
                              const uint16_t *restrict table, const void *restrict initial_h,
                              const float *restrict initial_c, void *restrict scratch, void *restrict y,
                              void *restrict y_h, float *restrict y_c, const ew_recurrent_q_params *p)
{
    ew_lstm_layer_q(ew_recurrent_rows_q__mve, x, weights, multipliers, bias, table, initial_h, initial_c, scratch, y,
                    y_h, y_c, p);
}

#endif
#endif
