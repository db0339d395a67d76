/* ew_reduce_mean_f32 against the definition in double precision: any split of the dimensions into kept and reduced. */
#include "ew_reduce_mean_f32.h"
#include "ew_test.h"

static void check(void)
{
    int32_t dims[5], strides[5], kept[5];
    const int32_t rank = test_int(1, 5);
    int32_t count = 1, results = 1;
    ew_reduce_mean_f32_params p = {0};
    for (int32_t axis = rank - 1; axis >= 0; --axis) {
        dims[axis] = test_int(1, 6);
        strides[axis] = count;
        count *= dims[axis];
        kept[axis] = axis != 0 && test_int(0, 1); /* at least the first is reduced */
    }
    for (int32_t axis = 0; axis < rank; ++axis) {
        if (kept[axis]) {
            p.outer_dims[p.outer_rank] = dims[axis];
            p.outer_strides[p.outer_rank++] = strides[axis];
            results *= dims[axis];
        } else {
            p.reduce_dims[p.reduce_rank] = dims[axis];
            p.reduce_strides[p.reduce_rank++] = strides[axis];
        }
    }
    test_reset();
    float *x = test_random_buffer(count);
    float *y = test_buffer(results);
    test_maybe_nan(x, count);
    ew_reduce_mean_f32(x, y, &p);
    test_guards();

    static test_sum sums[7776];
    memset(sums, 0, sizeof sums);
    for (int32_t i = 0; i < count; ++i) {
        int32_t result = 0;
        for (int32_t axis = 0; axis < rank; ++axis) {
            result = kept[axis] ? result * dims[axis] + i / strides[axis] % dims[axis] : result;
        }
        test_add(&sums[result], (double)x[i]);
    }
    int bad = 0;
    for (int32_t r = 0; r < results; ++r) {
        const int n = sums[r].terms;
        bad += !test_close(y[r], sums[r].value / n, test_sum_error(&sums[r]) / n + 0x1p-24 * fabs(sums[r].value / n));
    }
    TEST_CHECK(bad == 0, "%d of %ld results, rank %ld, kept %ld", bad, (long)results, (long)rank, (long)p.outer_rank);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        check();
    }
    return test_end();
}
