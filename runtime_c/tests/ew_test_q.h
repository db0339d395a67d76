/* What the tests of integer kernels share: guarded buffers of bytes at any address, random tensors, and the definition
 * of requantization, written without the code under test. */
#ifndef EW_TEST_Q_H
#define EW_TEST_Q_H

#include "ew_quantized.h"
#include "ew_test.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define TEST_Q_FORBID(start, bytes) __asan_poison_memory_region(start, bytes)
#define TEST_Q_ALLOW(start, bytes) __asan_unpoison_memory_region(start, bytes)
#else
#define TEST_Q_FORBID(start, bytes) (void)0
#define TEST_Q_ALLOW(start, bytes) (void)0
#endif

#define TEST_Q_POOL_BYTES 300000
#define TEST_Q_GUARD_BYTES 32

static uint64_t test_q_pool_words[TEST_Q_POOL_BYTES / 8];
static struct {
    int32_t start, bytes;
} test_q_buffers[TEST_BUFFERS_MAX];
static int32_t test_q_used;

static inline uint8_t *test_q_pool(void)
{
    return (uint8_t *)test_q_pool_words;
}

/* What an untouched byte of the pool holds. */
static inline uint8_t test_q_untouched(int32_t at)
{
    return (uint8_t)(at * 37 + 91);
}

/* Forgets all buffers. */
static inline void test_q_reset(void)
{
    TEST_Q_ALLOW(test_q_pool(), TEST_Q_POOL_BYTES);
    for (int32_t i = 0; i < TEST_Q_POOL_BYTES; ++i) {
        test_q_pool()[i] = test_q_untouched(i);
    }
    test_q_used = 0;
    TEST_Q_FORBID(test_q_pool(), TEST_Q_POOL_BYTES);
}

/* A guarded buffer at an address that is a multiple of `align_bytes` (a power of two up to 8) and, at random, of
 * nothing larger. Under the address sanitizer its surroundings must not be read either. */
static inline void *test_q_bytes(int32_t bytes, int32_t align_bytes)
{
    const int32_t last = test_q_used - 1;
    int32_t start = test_q_used == 0 ? 0 : test_q_buffers[last].start + test_q_buffers[last].bytes;
    start = (start + TEST_Q_GUARD_BYTES + 15) / 8 * 8 + test_int(0, 7) / align_bytes * align_bytes;
    if (test_q_used == TEST_BUFFERS_MAX || start + bytes + TEST_Q_GUARD_BYTES > TEST_Q_POOL_BYTES) {
        printf("the test pool is too small for %ld more bytes\n", (long)bytes);
        exit(2);
    }
    test_q_buffers[test_q_used].start = start;
    test_q_buffers[test_q_used].bytes = bytes;
    ++test_q_used;
    TEST_Q_ALLOW(test_q_pool() + start, (size_t)bytes);
    return test_q_pool() + start;
}

/* Checks that nothing was written outside the buffers. */
static inline void test_q_guards(void)
{
    TEST_Q_ALLOW(test_q_pool(), TEST_Q_POOL_BYTES);
    int spoilt = 0;
    int32_t at = 0;
    for (int32_t i = 0; i <= test_q_used; ++i) {
        const int32_t end = i < test_q_used ? test_q_buffers[i].start : at + TEST_Q_GUARD_BYTES;
        for (; at < end; ++at) {
            spoilt += test_q_pool()[at] != test_q_untouched(at);
        }
        at = i < test_q_used ? test_q_buffers[i].start + test_q_buffers[i].bytes : at;
    }
    TEST_CHECK(spoilt == 0, "%d bytes outside the buffers were written", spoilt);
}

static inline int32_t test_q_low(int32_t type)
{
    return type == EW_QS8 ? -128 : type == EW_QU8 ? 0 : type == EW_QS16 ? -32768 : -8;
}

static inline int32_t test_q_high(int32_t type)
{
    return type == EW_QS8 ? 127 : type == EW_QU8 ? 255 : type == EW_QS16 ? 32767 : 7;
}

/* One of EW_QS8, EW_QU8, EW_QS16. */
static inline int32_t test_q_type(void)
{
    return test_int(0, 5) % 3 == 2 ? EW_QS16 : test_int(0, 1) ? EW_QS8 : EW_QU8;
}

/* A value of the type; the ends are frequent. */
static inline int32_t test_q_value(int32_t type)
{
    const int32_t kind = test_int(0, 15);
    return kind == 0 ? test_q_low(type) : kind == 1 ? test_q_high(type) : test_int(test_q_low(type), test_q_high(type));
}

/* A zero point: often an end of the type, or 0. */
static inline int32_t test_q_zero(int32_t type)
{
    const int32_t kind = test_int(0, 3);
    return kind == 0 ? test_q_low(type) : kind == 1 ? 0 : test_int(test_q_low(type), test_q_high(type));
}

/* Reads and writes elements that are not packed: not EW_QS4. */
static inline int32_t test_q_get(int32_t type, const void *x, int32_t i)
{
    int16_t wide;
    if (type == EW_QS16) {
        memcpy(&wide, (const uint8_t *)x + 2 * i, 2);
        return wide;
    }
    const int32_t byte = ((const uint8_t *)x)[i];
    return type == EW_QS8 && byte > 127 ? byte - 256 : byte;
}

static inline void test_q_set(int32_t type, void *x, int32_t i, int32_t value)
{
    const int16_t wide = (int16_t)value;
    if (type == EW_QS16) {
        memcpy((uint8_t *)x + 2 * i, &wide, 2);
    } else {
        ((uint8_t *)x)[i] = (uint8_t)(value & 0xff);
    }
}

/* A random tensor. */
static inline void *test_q_tensor(int32_t type, int32_t count)
{
    void *x = test_q_bytes(count * (type == EW_QS16 ? 2 : 1), type == EW_QS16 ? 2 : 1);
    for (int32_t i = 0; i < count; ++i) {
        test_q_set(type, x, i, test_q_value(type));
    }
    return x;
}

/* A tensor to be written. */
static inline void *test_q_output(int32_t type, int32_t count)
{
    return test_q_bytes(count * (type == EW_QS16 ? 2 : 1), type == EW_QS16 ? 2 : 1);
}

static inline int32_t test_q_clamp(double value, int32_t lo, int32_t hi)
{
    return value < (double)lo ? lo : value > (double)hi ? hi : (int32_t)value;
}

/* The definition: clamp(rint(value) + zero), half to even. */
static inline int32_t test_q_round(float value, int32_t zero, int32_t lo, int32_t hi)
{
    const double down = floor((double)value);
    const double rest = (double)value - down;
    const double even = fmod(down, 2.0) == 0.0 ? down : down + 1.0;
    const double rounded = rest < 0.5 ? down : rest > 0.5 ? down + 1.0 : even;
    return test_q_clamp(rounded + (double)zero, lo, hi);
}

/* The definition: clamp(rint(float32(sum) * scale) + zero). */
static inline int32_t test_q_requantize(int64_t sum, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    const volatile float rounded = (float)sum;
    const volatile float product = rounded * scale;
    return test_q_round(product, zero, lo, hi);
}

/* A random clamp within the type: all of it, or part. */
static inline void test_q_activation(int32_t type, int32_t *lo, int32_t *hi)
{
    *lo = test_q_low(type);
    *hi = test_q_high(type);
    if (test_int(0, 2) == 0) {
        *lo = test_int(*lo, *hi);
        *hi = test_int(*lo, *hi);
    }
}

/* A scale that brings sums of about `reach` to about the range of the type, or clips most of them. */
static inline float test_q_scale(int32_t type, double reach)
{
    const double steps = (double)(test_q_high(type) - test_q_low(type));
    return (float)(steps / (reach + 1.0) * (double)(test_int(1, 4000)) / 1000.0);
}

#endif
