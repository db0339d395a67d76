/* What the tests of the MVE kernels share: random layers, their weight streams, and outputs of all three ways. */
#ifndef EW_TEST_MVE_H
#define EW_TEST_MVE_H

#include "ew_mve.h"
#include "ew_test_q.h"

#if defined(__ARM_FEATURE_MVE)

/* GCC 12.2 mistakes parameters that were just written (see ew_test_dsp.h): calls go through functions it cannot see
 * through. In generated code they are constants. */
#define TEST_OPAQUE __attribute__((noipa))

#define TEST_WEIGHTS_MAX 40000
#define TEST_OUTS_MAX 128
#define TEST_STREAM_MAX 80000
#define TEST_SCRATCH_MAX 40000
#define TEST_SCRATCH_GUARD 64

static int8_t test_weights[TEST_WEIGHTS_MAX]; /* [outs][taps] */
static int32_t test_bias[TEST_OUTS_MAX];
static float test_scale[TEST_OUTS_MAX];
static EW_ALIGN(16) uint8_t test_stream[TEST_STREAM_MAX];
static EW_ALIGN(16) uint8_t test_scratch_pool[TEST_SCRATCH_MAX + TEST_SCRATCH_GUARD];
static int32_t test_stream_used;

/* Random weights, biases, scales and output of a layer; x_zero in the domain of int8. Each of the three ways comes, and
 * fast ones go to the limit of what the generator allows. */
static inline ew_mve_output test_mve_layer(int32_t outs, int32_t taps, int32_t x_zero)
{
    ew_mve_output out = {test_int(EW_MVE_FAST, EW_MVE_ANY), test_q_zero(EW_QS8), -128, 127, 0};
    if (outs > TEST_OUTS_MAX || outs * taps > TEST_WEIGHTS_MAX) {
        printf("the test's weights are too few\n");
        exit(2);
    }
    if (out.way == EW_MVE_FAST) {
        out.y_zero &= ~1;
    }
    if (out.way == EW_MVE_ANY) {
        test_q_activation(EW_QS8, &out.act_min, &out.act_max);
    }
    const int32_t extreme = test_int(0, 7) == 0;
    for (int32_t o = 0; o < outs; ++o) {
        test_bias[o] = test_int(-30000, 30000);
        double low = test_bias[o], high = test_bias[o];
        for (int32_t t = 0; t < taps; ++t) {
            const int32_t w = extreme ? (test_int(0, 1) ? 127 : -128) : test_q_value(EW_QS8);
            test_weights[o * taps + t] = (int8_t)w;
            low += fmin(w * (-128.0 - x_zero), w * (127.0 - x_zero));
            high += fmax(w * (-128.0 - x_zero), w * (127.0 - x_zero));
        }
        const double reach = fmax(fabs(low), fabs(high)) + 1.0;
        const double steps = test_int(0, 3) ? test_int(50, 2000) : 32766.0 - abs((int)out.y_zero);
        test_scale[o] = (float)(steps / reach * (1.0 - 0x1p-20));
        if (out.way == EW_MVE_ANY && test_int(0, 3) == 0) { /* halves, and what saturates */
            test_scale[o] = test_int(0, 1) ? 0x1p-7f : ldexpf(1.0f, test_int(-90, 90));
        }
    }
    return out;
}

static inline void test_put(const void *bytes, int32_t count)
{
    if (test_stream_used + count > TEST_STREAM_MAX) {
        printf("the test's stream is too short\n");
        exit(2);
    }
    memcpy(test_stream + test_stream_used, bytes, (size_t)count);
    test_stream_used += count;
}

/* The bias with the zero point folded in. */
static inline int32_t test_folded(int32_t o, int32_t taps, int32_t x_zero)
{
    uint32_t bias = (uint32_t)test_bias[o];
    for (int32_t t = 0; t < taps; ++t) {
        bias -= (uint32_t)(x_zero * test_weights[o * taps + t]);
    }
    return (int32_t)bias;
}

/* The stream of ew_rows_q8__mve.h (block 4) or ew_row_q8__mve.h (block 8). */
static inline void test_pack_rows(int32_t outs, int32_t taps, int32_t x_zero, int32_t block)
{
    test_stream_used = 0;
    for (int32_t first = 0; first < outs; first += block) {
        for (int32_t o = first; o < first + block; ++o) {
            const int32_t bias = o < outs ? test_folded(o, taps, x_zero) : 0;
            test_put(&bias, 4);
        }
        for (int32_t chunk = 0; chunk < taps; chunk += 16) {
            for (int32_t o = first; o < first + block; ++o) {
                for (int32_t t = chunk; t < chunk + 16; ++t) {
                    const int8_t w = o < outs && t < taps ? test_weights[o * taps + t] : 0;
                    test_put(&w, 1);
                }
            }
        }
        for (int32_t o = first; o < first + block; ++o) {
            const float scale = o < outs ? test_scale[o] : 0.0f;
            test_put(&scale, 4);
        }
    }
}

/* The 3x3 kernel's stream. */
static inline void test_pack_3x3(int32_t outs, int32_t in_c, int32_t x_zero, int32_t stride)
{
    static const int32_t order[3] = {0, 2, 1};
    test_stream_used = 0;
    for (int32_t first = 0; first < outs; first += 2) {
        for (int32_t chunk = 0; chunk < in_c; chunk += 16) {
            for (int32_t tap = 0; tap < 18; ++tap) {
                const int32_t kx = stride == 1 ? tap / 2 % 3 : order[tap / 2 % 3];
                for (int32_t i = chunk; i < chunk + 16; ++i) {
                    const int32_t at = (((first + tap % 2) * 3 + tap / 6) * 3 + kx) * in_c + i;
                    const int8_t w = i < in_c ? test_weights[at] : 0;
                    test_put(&w, 1);
                }
            }
        }
        for (int32_t o = first; o < first + 2; ++o) {
            const int32_t bias = test_folded(o, 9 * in_c, x_zero);
            test_put(&bias, 4);
            test_put(&test_scale[o], 4);
        }
    }
}

/* The depthwise kernels' streams: `zeros` bytes behind a channel's taps. */
static inline void test_pack_depthwise(int32_t channels, int32_t taps, int32_t zeros, int32_t x_zero, int32_t folded)
{
    static const int8_t nothing[1] = {0};
    test_stream_used = 0;
    for (int32_t c = 0; c < channels; ++c) {
        const int32_t bias = folded ? test_folded(c, taps, x_zero) : test_bias[c];
        test_put(&bias, 4);
        test_put(&test_scale[c], 4);
        test_put(test_weights + c * taps, taps);
        test_put(nothing, zeros);
    }
}

/* A copy of an input where reading a byte before or behind it is a fault. */
extern uint8_t test_island_start[], test_island_end[];
static inline const void *test_island(const void *x, int32_t bytes)
{
    uint8_t *copy = test_int(0, 3) ? test_island_end - bytes : test_island_start;
    memcpy(copy, x, (size_t)bytes);
    return copy;
}

/* Scratch memory of exactly `bytes`. */
static inline void *test_scratch(int32_t bytes)
{
    if (bytes > TEST_SCRATCH_MAX) {
        printf("the test's scratch is too small\n");
        exit(2);
    }
    memset(test_scratch_pool, 0x5A, sizeof test_scratch_pool);
    return test_scratch_pool;
}

/* Checks what is behind it. */
static inline void test_scratch_guard(int32_t bytes)
{
    int spoilt = 0;
    for (int32_t i = bytes; i < bytes + TEST_SCRATCH_GUARD; ++i) {
        spoilt += test_scratch_pool[i] != 0x5A;
    }
    TEST_CHECK(spoilt == 0, "%d bytes behind the scratch memory were written", spoilt);
}

/* The definition, for an output of channel o. */
static inline int32_t test_mve_want(int64_t sum, int32_t o, const ew_mve_output *out)
{
    return test_q_requantize(sum, test_scale[o], out->y_zero, out->act_min, out->act_max) + 128 * out->flip;
}

#endif
#endif
