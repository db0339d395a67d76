/* ew_gru_f32 against the definition in double precision. */
#include "ew_gru_f32.h"
#include "ew_test.h"

#define HIDDEN_MAX 12

static double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

typedef struct {
    const float *x, *w, *r, *bias, *initial_h;
    const int32_t *lengths;
    float *y, *y_h;
} buffers;

/* What x and, apart from it, h add up for a row, with their biases. */
static double sum_of_x(const ew_recurrent_f32_params *p, const buffers *b, int32_t d, int32_t row, const float *x)
{
    double sum = b->bias ? (double)b->bias[d * 6 * p->hidden + row] : 0.0;
    for (int32_t i = 0; i < p->input; ++i) {
        sum += (double)b->w[(d * 3 * p->hidden + row) * p->input + i] * (double)x[i];
    }
    return sum;
}

static double sum_of_h(const ew_recurrent_f32_params *p, const buffers *b, int32_t d, int32_t row, const double *h)
{
    const int32_t n = p->hidden;
    double sum = b->bias ? (double)b->bias[d * 6 * n + 3 * n + row] : 0.0;
    for (int32_t j = 0; j < n; ++j) {
        sum += (double)b->r[(d * 3 * n + row) * n + j] * h[j];
    }
    return sum;
}

/* The new state from the old one. */
static void step(const ew_recurrent_f32_params *p, const buffers *b, int32_t d, const float *x, double *h)
{
    const int32_t n = p->hidden;
    double update[HIDDEN_MAX], reset[HIDDEN_MAX], held[HIDDEN_MAX], next[HIDDEN_MAX];
    for (int32_t j = 0; j < n; ++j) {
        const double u = sum_of_x(p, b, d, j, x) + sum_of_h(p, b, d, j, h);
        const double r = sum_of_x(p, b, d, n + j, x) + sum_of_h(p, b, d, n + j, h);
        update[j] = logistic(test_clamp(u, -p->clip, p->clip));
        reset[j] = logistic(test_clamp(r, -p->clip, p->clip));
        held[j] = reset[j] * h[j];
    }
    for (int32_t j = 0; j < n; ++j) {
        const double more = p->linear_before_reset ? reset[j] * sum_of_h(p, b, d, 2 * n + j, h)
                                                   : sum_of_h(p, b, d, 2 * n + j, held);
        const double g = tanh(test_clamp(sum_of_x(p, b, d, 2 * n + j, x) + more, -p->clip, p->clip));
        next[j] = (1.0 - update[j]) * g + update[j] * h[j];
    }
    memcpy(h, next, (size_t)n * sizeof *h);
}

/* Runs one direction of one batch; returns how many outputs are off. */
static int check_one(const ew_recurrent_f32_params *p, const buffers *b, int32_t d, int32_t batch)
{
    const int32_t n = p->hidden, state = d * p->h_direction + batch * p->h_batch;
    double h[HIDDEN_MAX];
    const int32_t wanted = b->lengths ? b->lengths[batch] : p->steps;
    const int32_t length = wanted < 0 ? 0 : wanted < p->steps ? wanted : p->steps;
    int bad = 0;
    for (int32_t j = 0; j < n; ++j) {
        h[j] = b->initial_h && length ? (double)b->initial_h[state + j] : 0.0;
    }
    for (int32_t t = length; b->y && t < p->steps; ++t) {
        for (int32_t j = 0; j < n; ++j) {
            bad += b->y[t * p->y_step + d * p->y_direction + batch * p->y_batch + j] != 0.0f;
        }
    }
    for (int32_t s = 0; s < length; ++s) {
        const int32_t t = (d ? 1 : p->backwards) ? length - 1 - s : s;
        step(p, b, d, b->x + t * p->x_step + batch * p->x_batch, h);
        for (int32_t j = 0; j < n; ++j) {
            bad += b->y && !test_close(b->y[t * p->y_step + d * p->y_direction + batch * p->y_batch + j], h[j], 2e-5);
        }
    }
    for (int32_t j = 0; j < n; ++j) {
        bad += b->y_h && !test_close(b->y_h[state + j], h[j], 2e-5);
    }
    return bad;
}

typedef void kernel(const buffers *b, void *scratch, const ew_recurrent_f32_params *p);

static void run_any(const buffers *b, void *scratch, const ew_recurrent_f32_params *p)
{
    ew_gru_f32(b->x, b->w, b->r, b->bias, b->initial_h, b->lengths, scratch, b->y, b->y_h, p);
}

static float *maybe(int32_t count)
{
    return test_int(0, 1) ? test_random_buffer(count) : NULL;
}

static void check(const ew_recurrent_f32_params *p, kernel *run)
{
    static int32_t lengths[3];
    const int32_t n = p->hidden, d = p->directions, states = d * p->batch * n;
    test_reset();
    buffers b = {
        .x = test_random_buffer(p->steps * p->batch * p->input),
        .w = test_random_buffer(d * 3 * n * p->input),
        .r = test_random_buffer(d * 3 * n * n),
        .bias = maybe(d * 6 * n),
        .initial_h = maybe(states),
    };
    for (int32_t batch = 0; batch < p->batch; ++batch) {
        lengths[batch] = test_int(-1, p->steps + 1);
    }
    b.lengths = test_int(0, 2) ? NULL : lengths;
    b.y = test_int(0, 3) ? test_buffer(p->steps * states) : NULL;
    b.y_h = !b.y || test_int(0, 1) ? test_buffer(states) : NULL;
    run(&b, test_buffer(5 * n), p);
    test_guards();
    int bad = 0;
    for (int32_t direction = 0; direction < d; ++direction) {
        for (int32_t batch = 0; batch < p->batch; ++batch) {
            bad += check_one(p, &b, direction, batch);
        }
    }
    TEST_CHECK(bad == 0, "%d outputs; %ld steps, batch %ld, %ld to %ld, %ld directions", bad, (long)p->steps,
               (long)p->batch, (long)p->input, (long)n, (long)d);
}

/* The strides of layout 0 or 1 for sizes that are set. */
static void set_strides(ew_recurrent_f32_params *p, int32_t batch_first)
{
    const int32_t n = p->hidden, d = p->directions;
    p->x_step = batch_first ? p->input : p->batch * p->input;
    p->x_batch = batch_first ? p->steps * p->input : p->input;
    p->y_step = batch_first ? d * n : d * p->batch * n;
    p->y_direction = batch_first ? n : p->batch * n;
    p->y_batch = batch_first ? p->steps * d * n : n;
    p->h_direction = batch_first ? n : p->batch * n;
    p->h_batch = batch_first ? d * n : n;
}

/* Literal parameters, as the generated code has them: 3 steps, 5 to 8, forward. */
static const ew_recurrent_f32_params literal_p = {3, 1, 5, 8, 1, 0, 5, 5, 8, 8, 8, 8, 8, INFINITY, 0, 1,
                                                 0, {0, 1, 0, 0, 1, 0}, {0}, {0}};

static void literal(const buffers *b, void *scratch, const ew_recurrent_f32_params *p)
{
    (void)p;
    ew_gru_f32(b->x, b->w, b->r, b->bias, b->initial_h, b->lengths, scratch, b->y, b->y_h, &literal_p);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 150; ++i) {
        ew_recurrent_f32_params p = {.steps = test_int(1, 5),
                                     .batch = test_int(1, 3),
                                     .input = test_int(1, 9),
                                     .hidden = test_int(1, HIDDEN_MAX),
                                     .directions = test_int(1, 2),
                                     .backwards = test_int(0, 1),
                                     .clip = test_int(0, 3) ? INFINITY : 0.5f,
                                     .linear_before_reset = test_int(0, 1)};
        if (p.directions == 2) {
            p.backwards = 0;
        }
        memcpy(p.activations, literal_p.activations, sizeof p.activations);
        set_strides(&p, test_int(0, 1));
        check(&p, run_any);
    }
    for (int i = 0; i < 6; ++i) {
        check(&literal_p, literal);
    }
    return test_end();
}
