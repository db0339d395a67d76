/* ew_matmul_q against the definition, bit for bit, with broadcast batches. */
#include "ew_matmul_q.h"
#include "ew_test_q.h"

static void check(ew_matmul_q_params *p, int32_t a_matrices, int32_t b_matrices, int32_t batches)
{
    const int32_t y_count = batches * p->m * p->n;
    test_q_reset();
    const void *a = test_q_tensor(p->a_type, a_matrices * p->m * p->k);
    const void *b = test_q_tensor(p->b_type, b_matrices * p->k * p->n);
    void *y = test_q_output(p->y_type, y_count);
    const double reach = (p->a_type == EW_QS16 ? 65536.0 : 256.0) * (p->b_type == EW_QS16 ? 65536.0 : 256.0);
    p->wide = p->wide || reach * p->k >= 2147483647.0;
    p->scale = test_q_scale(p->y_type, reach * p->k * 0.1);
    ew_matmul_q(a, b, y, p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < y_count; ++i) {
        const int32_t column = i % p->n, row = i / p->n % p->m, batch = i / p->n / p->m;
        const int32_t outer = batch / p->batch_dims[1], inner = batch % p->batch_dims[1];
        const int32_t a_at = outer * p->a_batch_strides[0] + inner * p->a_batch_strides[1] + row * p->k;
        const int32_t b_at = outer * p->b_batch_strides[0] + inner * p->b_batch_strides[1] + column;
        int64_t sum = 0;
        for (int32_t l = 0; l < p->k; ++l) {
            sum += (int64_t)(test_q_get(p->a_type, a, a_at + l) - p->a_zero) *
                   (test_q_get(p->b_type, b, b_at + l * p->n) - p->b_zero);
        }
        bad += test_q_get(p->y_type, y, i) != test_q_requantize(sum, p->scale, p->y_zero, p->act_min, p->act_max);
    }
    TEST_CHECK(bad == 0, "%d of %ld outputs; %ldx%ldx%ld types %ld %ld %ld wide %ld", bad, (long)y_count, (long)p->m,
               (long)p->k, (long)p->n, (long)p->a_type, (long)p->b_type, (long)p->y_type, (long)p->wide);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        ew_matmul_q_params p = {.batch_rank = 2};
        p.m = test_int(1, 6);
        p.k = test_int(1, 20);
        p.n = test_int(1, 11);
        p.batch_dims[0] = test_int(1, 3);
        p.batch_dims[1] = test_int(1, 3);
        const int32_t a_outer = test_int(0, 1), b_outer = test_int(0, 1); /* 0: the same matrix for all of it */
        p.a_batch_strides[0] = a_outer * p.m * p.k * p.batch_dims[1];
        p.a_batch_strides[1] = p.m * p.k;
        p.b_batch_strides[0] = b_outer * p.k * p.n;
        p.b_batch_strides[1] = 0;
        p.a_type = test_q_type();
        p.b_type = test_q_type();
        p.y_type = test_q_type();
        p.wide = test_int(0, 4) == 0;
        p.a_zero = test_q_zero(p.a_type);
        p.b_zero = test_q_zero(p.b_type);
        p.y_zero = test_q_zero(p.y_type);
        test_q_activation(p.y_type, &p.act_min, &p.act_max);
        check(&p, (a_outer ? p.batch_dims[0] : 1) * p.batch_dims[1], b_outer ? p.batch_dims[0] : 1,
              p.batch_dims[0] * p.batch_dims[1]);
    }
    return test_end();
}
