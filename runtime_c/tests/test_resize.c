/* The resizing kernels against their definitions: nearest and integers bit for bit, float32 in double precision. */
#include "ew_resize_linear_f32.h"
#include "ew_resize_linear_q.h"
#include "ew_resize_nearest.h"
#include "ew_resize_weighted_f32.h"
#include "ew_test.h"

#define SIZE_MAX_OUT 24

typedef struct {
    uint16_t from[2][SIZE_MAX_OUT];
    float part[2][SIZE_MAX_OUT];
    uint16_t part_q[2][SIZE_MAX_OUT];
} tables;

/* Random positions; `reach` elements are read from each. */
static void fill(tables *t, int32_t axis, int32_t in, int32_t out, int32_t reach)
{
    for (int32_t i = 0; i < out; ++i) {
        const int32_t last = in > reach ? in - reach : 0;
        t->from[axis][i] = (uint16_t)(i > 0 && test_int(0, 2) == 0 ? t->from[axis][i - 1] : test_int(0, last));
        t->part[axis][i] = in == 1 ? 0.0f : (float)test_int(0, 8) / 8.0f;
        t->part_q[axis][i] = (uint16_t)(in == 1 ? 0 : test_int(0, 3) ? test_int(0, 2048) : 2048);
    }
}

static ew_resize_params random_sizes(int32_t inner)
{
    ew_resize_params p = {test_int(1, 3), test_int(1, 6), test_int(1, 9), 1, 1, 1, inner};
    if (test_int(0, 3)) {
        p.mid = test_int(1, 3);
        p.b_in = test_int(1, 6);
        p.b_out = test_int(1, 9);
    }
    return p;
}

/* Offset of an element of x. */
static int32_t at_x(const ew_resize_params *p, int32_t o, int32_t a, int32_t m, int32_t b, int32_t i)
{
    return (((o * p->a_in + a) * p->mid + m) * p->b_in + b) * p->inner + i;
}

#define FOR_ALL(p)                                            \
    for (int32_t o = 0; o < (p)->outer; ++o)                  \
        for (int32_t a = 0; a < (p)->a_out; ++a)              \
            for (int32_t m = 0; m < (p)->mid; ++m)            \
                for (int32_t b = 0; b < (p)->b_out; ++b)      \
                    for (int32_t i = 0; i < (p)->inner; ++i)

static int32_t x_count(const ew_resize_params *p)
{
    return p->outer * p->a_in * p->mid * p->b_in * p->inner;
}

static int32_t y_count(const ew_resize_params *p)
{
    return p->outer * p->a_out * p->mid * p->b_out * p->inner;
}

static int single(const ew_resize_params *p)
{
    return p->b_in == 1 && p->b_out == 1;
}

static void check_nearest(void)
{
    const ew_resize_params p = random_sizes(test_int(1, 7));
    tables t;
    fill(&t, 0, p.a_in, p.a_out, 1);
    fill(&t, 1, p.b_in, p.b_out, 1);
    test_reset();
    uint8_t *x = (uint8_t *)test_buffer(x_count(&p) / 4 + 1), *y = (uint8_t *)test_buffer(y_count(&p) / 4 + 1);
    for (int32_t i = 0; i < x_count(&p); ++i) {
        x[i] = (uint8_t)test_int(0, 255);
    }
    ew_resize_nearest(x, t.from[0], single(&p) ? NULL : t.from[1], y, &p);
    test_guards();
    int bad = 0;
    const uint8_t *got = y;
    FOR_ALL(&p)
    {
        bad += *got++ != x[at_x(&p, o, t.from[0][a], m, single(&p) ? 0 : t.from[1][b], i)];
    }
    TEST_CHECK(bad == 0, "%d bytes", bad);
}

static void check_linear(void)
{
    const ew_resize_params p = random_sizes(test_int(1, 4));
    tables t;
    fill(&t, 0, p.a_in, p.a_out, 2);
    fill(&t, 1, p.b_in, p.b_out, 2);
    test_reset();
    float *x = test_random_buffer(x_count(&p)), *y = test_buffer(y_count(&p));
    const int one = single(&p);
    ew_resize_linear_f32(x, t.from[0], t.part[0], one ? NULL : t.from[1], one ? NULL : t.part[1], y, &p);
    test_guards();
    int bad = 0;
    const float *got = y;
    FOR_ALL(&p)
    {
        double want = 0.0;
        for (int32_t k = 0; k < 4; ++k) {
            const double part_a = k & 1 ? (double)t.part[0][a] : 1.0 - (double)t.part[0][a];
            const double part_b = one ? !(k & 2) : k & 2 ? (double)t.part[1][b] : 1.0 - (double)t.part[1][b];
            const int32_t a_at = t.from[0][a] + (k & 1), b_at = one ? 0 : t.from[1][b] + (k >> 1);
            if (a_at < p.a_in && b_at < p.b_in) {
                want += part_a * part_b * (double)x[at_x(&p, o, a_at, m, b_at, i)];
            }
        }
        bad += !test_close(*got++, want, 1e-6);
    }
    TEST_CHECK(bad == 0, "%d elements", bad);
}

static void check_linear_q(void)
{
    static const int32_t low[] = {-128, 0}, high[] = {127, 255};
    ew_resize_linear_q_params p = {.sizes = random_sizes(test_int(1, 4)),
                                   .x_type = test_int(0, 1),
                                   .y_type = test_int(0, 1)};
    const ew_resize_params *s = &p.sizes;
    p.x_zero = test_int(low[p.x_type], high[p.x_type]);
    p.y_zero = test_int(low[p.y_type], high[p.y_type]);
    p.act_min = low[p.y_type];
    p.act_max = high[p.y_type];
    p.scale = 0x1p-22f * (test_int(0, 1) ? 1.0f : 1.0f + 0.5f * test_float());
    tables t;
    fill(&t, 0, s->a_in, s->a_out, 2);
    fill(&t, 1, s->b_in, s->b_out, 2);
    test_reset();
    uint8_t *x = (uint8_t *)test_buffer(x_count(s) / 4 + 1), *y = (uint8_t *)test_buffer(y_count(s) / 4 + 1);
    for (int32_t i = 0; i < x_count(s); ++i) {
        ew_store_q(p.x_type, x, i, test_int(low[p.x_type], high[p.x_type]));
    }
    const int one = single(s);
    ew_resize_linear_q(x, t.from[0], t.part_q[0], one ? NULL : t.from[1], one ? NULL : t.part_q[1], y, &p);
    test_guards();
    int bad = 0;
    int32_t at = 0;
    FOR_ALL(s)
    {
        int64_t sum = 0;
        for (int32_t k = 0; k < 4; ++k) {
            const int64_t part_a = k & 1 ? t.part_q[0][a] : 2048 - t.part_q[0][a];
            const int64_t part_b = one ? (k & 2 ? 0 : 2048) : k & 2 ? t.part_q[1][b] : 2048 - t.part_q[1][b];
            const int32_t a_at = t.from[0][a] + (k & 1), b_at = one ? 0 : t.from[1][b] + (k >> 1);
            if (a_at < s->a_in && b_at < s->b_in) {
                sum += part_a * part_b * (ew_load_q(p.x_type, x, at_x(s, o, a_at, m, b_at, i)) - p.x_zero);
            }
        }
        const float product = (float)sum * p.scale;
        const double steps = nearbyint((double)product) + p.y_zero;
        const double want = steps < p.act_min ? p.act_min : steps > p.act_max ? p.act_max : steps;
        bad += ew_load_q(p.y_type, y, at++) != (int32_t)want;
    }
    TEST_CHECK(bad == 0, "%d elements", bad);
}

static void check_weighted(void)
{
    const ew_resize_weighted_f32_params p = {test_int(1, 3), test_int(1, 8), test_int(1, 9), test_int(1, 4), 5, 7.0f};
    uint16_t firsts[9], counts[9];
    test_reset();
    float *x = test_random_buffer(p.outer * p.in * p.inner), *weights = test_random_buffer(p.out * p.taps);
    float *y = test_buffer(p.outer * p.out * p.inner);
    for (int32_t j = 0; j < p.out; ++j) {
        counts[j] = (uint16_t)test_int(0, p.in < p.taps ? p.in : p.taps);
        firsts[j] = (uint16_t)test_int(0, counts[j] ? p.in - counts[j] : 0);
    }
    ew_resize_weighted_f32(x, firsts, counts, weights, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < p.outer * p.out * p.inner; ++i) {
        const int32_t j = i / p.inner % p.out, o = i / (p.inner * p.out);
        test_sum sum = {0};
        for (int32_t t = 0; t < counts[j]; ++t) {
            const float value = x[(o * p.in + firsts[j] + t) * p.inner + i % p.inner];
            test_add(&sum, (double)weights[j * p.taps + t] * (double)value);
        }
        bad += !test_close(y[i], counts[j] ? sum.value : 7.0, test_sum_error(&sum));
    }
    TEST_CHECK(bad == 0, "%d weighted", bad);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 200; ++i) {
        check_nearest();
        check_linear();
        check_linear_q();
        check_weighted();
    }
    return test_end();
}
