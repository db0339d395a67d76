/* A small harness for the kernel tests: seeded random numbers, guarded buffers, checks. One program a test file.
 *
 * Every failed check prints one line; test_end() returns the exit status. Buffers come from one static pool (the tests
 * run on boards without a heap), filled with +infinity before, between and after them: a read outside a buffer spoils
 * the result, a write outside it is found by test_guards(). */
#ifndef EW_TEST_H
#define EW_TEST_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_SEED_DEFAULT 20240607u
#define TEST_POOL_ELEMS 150000
#define TEST_GUARD_ELEMS 64
#define TEST_BUFFERS_MAX 16

static uint32_t test_state;
static int test_checks, test_failures;
static float test_pool[TEST_POOL_ELEMS];
static struct {
    int start, count;
} test_buffers[TEST_BUFFERS_MAX];
static int test_buffers_used;

#define TEST_CHECK(condition, ...)                                         \
    do {                                                                   \
        ++test_checks;                                                     \
        if (!(condition) && ++test_failures <= 20) {                       \
            printf("%s:%d: failed: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                           \
            printf("\n");                                                  \
        }                                                                  \
    } while (0)

/* Takes the seed from the command line, where there is one. */
static inline void test_begin(int argc, char **argv)
{
    const uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : TEST_SEED_DEFAULT;
    test_state = seed * 2654435761u + 1u;
    printf("seed %lu\n", (unsigned long)seed);
}

static inline int test_end(void)
{
    printf("%d checks, %d failed\n", test_checks, test_failures);
    return test_checks == 0 || test_failures != 0; /* a test that checked nothing has failed */
}

/* xorshift32 (Marsaglia 2003). */
static inline uint32_t test_random(void)
{
    test_state = test_state ? test_state : 1u;
    test_state ^= test_state << 13;
    test_state ^= test_state >> 17;
    test_state ^= test_state << 5;
    return test_state;
}

/* Uniform in [low, high], both included. */
static inline int32_t test_int(int32_t low, int32_t high)
{
    return low + (int32_t)((test_random() >> 4) % (uint32_t)(high - low + 1));
}

/* Uniform in [-1, 1). */
static inline float test_float(void)
{
    return (float)(int32_t)(test_random() >> 8) / 8388608.0f - 1.0f;
}

/* Forgets all buffers. */
static inline void test_reset(void)
{
    test_buffers_used = 0;
    for (int i = 0; i < TEST_POOL_ELEMS; ++i) {
        test_pool[i] = INFINITY;
    }
}

/* A guarded buffer of `count` floats, all +infinity: 8-byte aligned, for other types too. */
static inline float *test_buffer(int32_t count)
{
    const int i = test_buffers_used;
    const int start = i == 0 ? TEST_GUARD_ELEMS
                             : (test_buffers[i - 1].start + test_buffers[i - 1].count + TEST_GUARD_ELEMS + 1) / 2 * 2;
    if (i == TEST_BUFFERS_MAX || start + count + TEST_GUARD_ELEMS > TEST_POOL_ELEMS) {
        printf("the test pool is too small for %ld more elements\n", (long)count);
        exit(2);
    }
    test_buffers[i].start = start;
    test_buffers[i].count = (int)count;
    ++test_buffers_used;
    return test_pool + start;
}

static inline float *test_random_buffer(int32_t count)
{
    float *buffer = test_buffer(count);
    for (int32_t i = 0; i < count; ++i) {
        buffer[i] = test_float();
    }
    return buffer;
}

/* Checks that nothing was written outside the buffers. */
static inline void test_guards(void)
{
    int at = 0, spoilt = 0;
    for (int i = 0; i <= test_buffers_used; ++i) {
        const int end = i < test_buffers_used
                            ? test_buffers[i].start
                            : test_buffers[i - 1].start + test_buffers[i - 1].count + TEST_GUARD_ELEMS;
        for (; at < end; ++at) {
            spoilt += test_pool[at] != INFINITY;
        }
        at = i < test_buffers_used ? test_buffers[i].start + test_buffers[i].count : at;
    }
    TEST_CHECK(spoilt == 0, "%d elements outside the buffers were written", spoilt);
}

/* A double-precision sum and what a float32 sum of the same terms may differ from it by: each of n terms takes part in
 * at most n roundings of its product and partial sums, so the error is at most (n + 2) * 2^-24 * sum |term|. */
typedef struct {
    double value, magnitude;
    int terms;
} test_sum;

static inline void test_add(test_sum *sum, double term)
{
    sum->value += term;
    sum->magnitude += fabs(term);
    ++sum->terms;
}

static inline double test_sum_error(const test_sum *sum)
{
    return (sum->terms + 2) * 0x1p-24 * sum->magnitude;
}

/* The definition of the fused activation. */
static inline double test_clamp(double v, float lo, float hi)
{
    return v < (double)lo ? (double)lo : (v > (double)hi ? (double)hi : v);
}

/* NaN equals NaN; everything else differs by at most `error`. */
static inline int test_close(float got, double want, double error)
{
    if (isnan(want) || isnan(got)) {
        return isnan(want) && isnan(got);
    }
    return (double)got == want || fabs((double)got - want) <= error;
}

/* A random activation: none, ReLU, or a narrow range that clips often. */
static inline void test_activation(float *lo, float *hi)
{
    const int32_t kind = test_int(0, 2);
    *lo = kind == 0 ? -INFINITY : kind == 1 ? 0.0f : -0.25f;
    *hi = kind == 2 ? 0.5f : INFINITY;
}

/* In one case of eight, one element becomes NaN. */
static inline void test_maybe_nan(float *buffer, int32_t count)
{
    if (test_int(0, 7) == 0) {
        buffer[test_int(0, count - 1)] = NAN;
    }
}

#endif
