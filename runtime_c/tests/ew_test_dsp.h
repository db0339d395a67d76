/* What the tests of the Arm DSP convolutions share: guarded bytes at any address, and weight streams.
 *
 * A stream's results are by line or by float, block by block, as the generator would choose. Here lines are random:
 * what is compared is the formula of ew_dsp.h, while tests of the generator prove lines equal to the definition. */
#ifndef EW_TEST_DSP_H
#define EW_TEST_DSP_H

#include "ew_dsp.h"
#include "ew_requantize.h"
#include "ew_test.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

/* GCC 12.2 propagates an address into kernels in the place of a parameter that was just written, a difference with that
 * address: calls go through a function that it does not look through. Parameters of generated code are constants. */
#if defined(__clang__)
#define TEST_OPAQUE __attribute__((noinline))
#else
#define TEST_OPAQUE __attribute__((noipa))
#endif

#define GUARD_BYTES 32
#define GUARD 0xA5

/* `bytes` bytes at an odd address or another, between guards; `pool` has GUARD_BYTES * 2 + 4 more. */
static inline uint8_t *guarded(uint8_t *pool, int32_t bytes)
{
    uint8_t *start = pool + GUARD_BYTES + test_int(0, 3);
    memset(pool, GUARD, (size_t)(bytes + 2 * GUARD_BYTES + 4));
    return start;
}

static inline void check_guards(const uint8_t *pool, const uint8_t *start, int32_t bytes, const char *what)
{
    int spoilt = 0;
    for (const uint8_t *at = pool; at < pool + bytes + 2 * GUARD_BYTES + 4; ++at) {
        spoilt += (at < start || at >= start + bytes) && *at != GUARD;
    }
    TEST_CHECK(spoilt == 0, "%d bytes around %s were written", spoilt, what);
}

/* A random byte; one of the extremes often. */
static inline uint8_t random_byte(void)
{
    static const uint8_t extremes[4] = {0, 127, 128, 255};
    return test_int(0, 3) ? (uint8_t)test_int(0, 255) : extremes[test_int(0, 3)];
}

/* How one output channel goes from its sum to a byte. */
typedef struct {
    int32_t bias;
    int32_t by_line, multiplier, offset;
    float scale;
    int32_t zero, lo, hi; /* in uint8's domain */
    int32_t flip;         /* 128: the output is int8 */
} test_channel;

typedef struct {
    int32_t out, taps; /* taps is even: halfwords of a window */
    int32_t wide;      /* a halfword for each weight */
    int32_t line_shift;
    int32_t one_line;  /* results by the lines of channels 0 and 1, which are not in the stream */
    const int16_t *weights; /* [out][taps] */
    const test_channel *channels;
} test_layer;

/* The byte for a sum. */
static inline uint8_t test_result(int32_t sum, int32_t o, const test_layer *layer)
{
    const test_channel *c = &layer->channels[o];
    if (!c->by_line) {
        return (uint8_t)(ew_requantize_float(sum, c->scale, c->zero, c->lo, c->hi) ^ c->flip);
    }
    const int32_t of_256 = !layer->wide && o % 2 == 0;
    const int64_t operand = of_256 ? 256 * (int64_t)sum : sum;
    const int64_t line = (operand * c->multiplier >> 32) + c->offset;
    const int64_t value = line >> (layer->line_shift + (of_256 ? 8 : 0));
    return (uint8_t)((value < 0 ? 0 : value > 255 ? 255 : value) ^ c->flip);
}

/* Channels whose sums reach about `reach`. Blocks of four go by line or by float together. */
static inline void random_channels(test_channel *channels, int32_t out, int32_t reach, int32_t lines_only)
{
    const int32_t flip = test_int(0, 1) * 128, zero = test_int(0, 255), clamps = test_int(0, 3) == 0;
    const int32_t lo = clamps ? test_int(0, 100) : 0, hi = clamps ? test_int(100, 255) : 255;
    int32_t by_line = 0;
    for (int32_t o = 0; o < out; ++o) {
        test_channel *c = &channels[o];
        by_line = o % 4 ? by_line : test_int(0, 1);
        c->by_line = by_line || lines_only;
        c->bias = test_int(-reach, reach);
        c->scale = (float)test_int(1, 1000) / 500.0f * 128.0f / (float)reach;
        c->multiplier = test_int(1, 1 << 28);
        c->offset = test_int(-(1 << 12), 1 << 12);
        c->zero = zero;
        c->lo = lo;
        c->hi = hi;
        c->flip = c->by_line ? 0 : flip;
    }
}

static inline uint32_t halves(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
}

/* Writes the stream (ew_gemm_q8__dsp.h, ew_fully_connected_q8__dsp.h) and returns its end. */
static inline uint32_t *write_stream(const test_layer *layer, uint32_t *to)
{
    for (int32_t o = 0; o < layer->out; o += 4) {
        static const test_channel none = {0};
        const test_channel *c[4];
        const int16_t *w[4];
        for (int32_t i = 0; i < 4; ++i) {
            c[i] = o + i < layer->out ? &layer->channels[o + i] : &none;
            w[i] = o + i < layer->out ? layer->weights + (o + i) * layer->taps : NULL;
        }
#define TEST_WEIGHT(i, k) (w[i] ? w[i][k] : 0)
        for (int32_t i = 0; i < 4; i += layer->wide ? 1 : 2) {
            if (layer->wide) {
                *to++ = (uint32_t)c[i]->bias;
            } else {
                *to++ = 256u * (uint32_t)c[i]->bias + (uint32_t)c[i + 1]->bias;
                *to++ = (uint32_t)c[i + 1]->bias;
            }
        }
        for (int32_t k = 0; k < layer->taps; k += 2) {
            for (int32_t i = 0; i < 4; i += layer->wide ? 1 : 2) {
                *to++ = layer->wide ? halves(TEST_WEIGHT(i, k), TEST_WEIGHT(i, k + 1))
                                    : halves(256 * TEST_WEIGHT(i, k) + TEST_WEIGHT(i + 1, k),
                                             256 * TEST_WEIGHT(i, k + 1) + TEST_WEIGHT(i + 1, k + 1));
            }
        }
        if (layer->one_line) {
            continue;
        }
        if (c[0]->by_line) {
            for (int32_t i = 0; i < 4; ++i) {
                *to++ = (uint32_t)c[i]->multiplier;
                *to++ = (uint32_t)c[i]->offset;
            }
            continue;
        }
        const ew_dsp_clamp clamp = ew_dsp_clamp_of(c[0]->lo, c[0]->hi, c[0]->flip != 0);
        *to++ = 0;
        for (int32_t i = 0; i < 4; ++i) {
            *to++ = ew_float_bits(!layer->wide && i % 2 == 0 ? c[i]->scale / 256.0f : c[i]->scale);
            if (i == 0) {
                *to++ = (uint32_t)c[0]->zero;
            }
        }
        *to++ = clamp.raise;
        *to++ = clamp.lower;
        *to++ = clamp.shift;
    }
    return to;
}

/* A window's place of halfword k, where each four are in the order 0, 2, 1, 3. */
static inline int32_t in_fours(int32_t k)
{
    static const int32_t order[4] = {0, 2, 1, 3};
    return k / 4 * 4 + order[k % 4];
}

#endif
#endif
