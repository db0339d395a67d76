/* ew_matmul_f32 against the definition in double precision, with broadcast batches. */
#include "ew_matmul_f32.h"
#include "ew_test.h"

/* Dense strides of a batch with some dimensions broadcast; returns the number of matrices stored. */
static int32_t random_strides(const ew_matmul_f32_params *p, int32_t matrix, int32_t *strides)
{
    int32_t stored = 1;
    for (int32_t axis = p->batch_rank - 1; axis >= 0; --axis) {
        const int broadcast = test_int(0, 2) == 0;
        strides[axis] = broadcast ? 0 : stored * matrix;
        stored *= broadcast ? 1 : p->batch_dims[axis];
    }
    return stored;
}

static void check(ew_matmul_f32_params *p)
{
    int32_t batches = 1;
    for (int32_t axis = 0; axis < p->batch_rank; ++axis) {
        batches *= p->batch_dims[axis];
    }
    test_reset();
    const int32_t a_count = random_strides(p, p->m * p->k, p->a_batch_strides) * p->m * p->k;
    const int32_t b_count = random_strides(p, p->k * p->n, p->b_batch_strides) * p->k * p->n;
    float *a = test_random_buffer(a_count);
    float *b = test_random_buffer(b_count);
    float *y = test_buffer(batches * p->m * p->n);
    test_maybe_nan(a, a_count);
    ew_matmul_f32(a, b, y, p);
    test_guards();
    int bad = 0;
    for (int32_t at = 0; at < batches * p->m * p->n; ++at) {
        const int32_t i = at / p->n % p->m, j = at % p->n;
        int32_t rest = at / p->n / p->m, a_at = 0, b_at = 0;
        for (int32_t axis = p->batch_rank - 1; axis >= 0; --axis) {
            a_at += rest % p->batch_dims[axis] * p->a_batch_strides[axis];
            b_at += rest % p->batch_dims[axis] * p->b_batch_strides[axis];
            rest /= p->batch_dims[axis];
        }
        test_sum sum = {0};
        for (int32_t l = 0; l < p->k; ++l) {
            test_add(&sum, (double)a[a_at + i * p->k + l] * (double)b[b_at + l * p->n + j]);
        }
        bad += !test_close(y[at], sum.value, test_sum_error(&sum));
    }
    TEST_CHECK(bad == 0, "%d outputs; batch rank %ld, %ldx%ldx%ld", bad, (long)p->batch_rank, (long)p->m, (long)p->k,
               (long)p->n);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        ew_matmul_f32_params p = {0};
        p.batch_rank = test_int(0, 3);
        for (int32_t axis = 0; axis < p.batch_rank; ++axis) {
            p.batch_dims[axis] = test_int(1, 3);
        }
        p.m = test_int(1, 9);
        p.k = test_int(1, 17);
        p.n = test_int(1, 11);
        check(&p);
    }
    return test_end();
}
