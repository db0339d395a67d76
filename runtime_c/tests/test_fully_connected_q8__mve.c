/* The MVE fully connected layer against the definition, bit for bit: sums in plain loops. */
#include "ew_fully_connected_q8__mve.h"
#include "ew_test_mve.h"

#if defined(__ARM_FEATURE_MVE)

static TEST_OPAQUE void run(const void *x, void *scratch, void *y, const ew_fully_connected_q8__mve_params *p)
{
    ew_fully_connected_q8__mve(x, test_stream, scratch, y, p);
}

static void check(const ew_fully_connected_q8__mve_params *given)
{
    ew_fully_connected_q8__mve_params p = *given;
    const int32_t x_zero = test_q_zero(EW_QS8);
    const int32_t x_type = p.x_flip ? EW_QU8 : EW_QS8;
    p.out = test_mve_layer(p.outs, p.count, x_zero);
    p.out.flip = test_int(0, 3) == 0;
    const int32_t y_type = p.out.flip ? EW_QU8 : EW_QS8;
    test_pack_rows(p.outs, p.count, x_zero, p.rows == 1 ? 8 : 4);
    test_q_reset();
    const void *x = test_island(test_q_tensor(x_type, p.rows * p.count), p.rows * p.count);
    void *y = test_q_output(y_type, p.rows * p.outs);
    const int32_t bytes = p.x_flip ? p.rows * p.count : 0;
    run(x, test_scratch(bytes), y, &p);
    test_scratch_guard(bytes);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < p.rows * p.outs; ++i) {
        const int32_t o = i % p.outs, r = i / p.outs;
        int64_t sum = test_bias[o];
        for (int32_t k = 0; k < p.count; ++k) {
            sum += (test_q_get(x_type, x, r * p.count + k) - 128 * p.x_flip - x_zero) * test_weights[o * p.count + k];
        }
        bad += test_q_get(y_type, y, i) != test_mve_want(sum, o, &p.out);
    }
    TEST_CHECK(bad == 0, "%d; rows %ld count %ld outs %ld way %ld flips %ld %ld", bad, (long)p.rows, (long)p.count,
               (long)p.outs, (long)p.out.way, (long)p.x_flip, (long)p.out.flip);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int32_t count = 1; count <= 400; count += count < 150 ? 1 : 7) { /* each number of vectors, each tail */
        for (int32_t i = 0; i < 3; ++i) {
            const ew_fully_connected_q8__mve_params p = {
                i == 2 ? test_int(2, 5) : 1, count, test_int(1, count > 150 ? 40 : 70), test_int(0, 4) == 0, {0}};
            check(&p);
        }
    }
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no MVE\n");
    return 0;
}

#endif
