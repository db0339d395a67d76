/* ew_topk, exact: by counting how many elements come before each one. */
#include "ew_test.h"
#include "ew_topk.h"

static int64_t indices[4096];
static int32_t scratch[64];

static void check(void)
{
    ew_topk_params p = {0};
    p.outer = test_int(1, 4);
    p.axis = test_int(1, 20);
    p.inner = test_int(1, 4);
    p.k = test_int(1, p.axis);
    p.largest = test_int(0, 1);
    p.type = test_int(0, 1) ? EW_ELEMENT_F32 : EW_ELEMENT_S8;
    p.element_bytes = p.type == EW_ELEMENT_F32 ? 4 : 1;
    const int32_t count = p.outer * p.axis * p.inner, kept = p.outer * p.k * p.inner, given = test_int(1, 3);
    static int numbers[4096];
    test_reset();
    void *x = test_buffer(count), *y = test_buffer(kept);
    for (int32_t i = 0; i < count; ++i) {
        numbers[i] = (int)test_int(-9, 9); /* many are equal */
        if (p.type == EW_ELEMENT_F32) {
            ((float *)x)[i] = (float)numbers[i];
        } else {
            ((int8_t *)x)[i] = (int8_t)numbers[i];
        }
    }
    ew_topk(x, scratch, given & 1 ? y : NULL, given & 2 ? indices : NULL, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t o = i / (p.axis * p.inner), at = i / p.inner % p.axis, start = o * p.axis * p.inner + i % p.inner;
        int32_t before = 0;
        for (int32_t other = 0; other < p.axis; ++other) {
            const int mine = numbers[i], theirs = numbers[start + other * p.inner];
            before += (p.largest ? theirs > mine : theirs < mine) || (theirs == mine && other < at);
        }
        if (before < p.k) {
            const int32_t to = (o * p.k + before) * p.inner + i % p.inner;
            bad += (given & 2) && indices[to] != at;
            if (given & 1) {
                bad += (p.type == EW_ELEMENT_F32 ? (int)((float *)y)[to] : ((int8_t *)y)[to]) != numbers[i];
            }
        }
    }
    TEST_CHECK(bad == 0, "%d results, k %ld of %ld", bad, (long)p.k, (long)p.axis);
}

static void check_nan_stays_inside(void)
{
    const ew_topk_params p = {1, 9, 1, 4, 1, EW_ELEMENT_F32, 4};
    test_reset();
    float *x = test_random_buffer(9), *y = test_buffer(4);
    x[test_int(0, 8)] = NAN;
    ew_topk(x, scratch, y, indices, &p);
    test_guards();
    for (int i = 0; i < 4; ++i) {
        TEST_CHECK(indices[i] >= 0 && indices[i] < 9, "index %ld", (long)indices[i]);
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 500; ++i) {
        check();
        check_nan_stays_inside();
    }
    return test_end();
}
