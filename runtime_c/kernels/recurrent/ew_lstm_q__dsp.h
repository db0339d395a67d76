/* Long short-term memory, integers, Arm DSP. */
#ifndef EW_LSTM_Q__DSP_H
#define EW_LSTM_Q__DSP_H

#include "ew_base.h"
#include "ew_lstm_q.h"
#include "ew_recurrent_q__dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* As ew_lstm_q, with the weights of ew_recurrent_rows_q__dsp. */
EW_KERNEL void ew_lstm_q__dsp(const void *restrict x, const int8_t *restrict weights,
                              const int32_t *restrict multipliers, const int64_t *restrict bias,
                              const uint16_t *restrict table, const void *restrict initial_h,
                              const float *restrict initial_c, void *restrict scratch, void *restrict y,
                              void *restrict y_h, float *restrict y_c, const ew_recurrent_q_params *p)
{
    ew_lstm_layer_q(ew_recurrent_rows_q__dsp, x, weights, multipliers, bias, table, initial_h, initial_c, scratch, y,
                    y_h, y_c, p);
}

#endif
#endif
