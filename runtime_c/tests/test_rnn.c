/* ew_rnn_f32 against the definition in double precision, with every activation. */
#include "ew_rnn_f32.h"
#include "ew_test.h"

#define HIDDEN_MAX 12

/* The activation of number `which`, as ONNX defines it. */
static double activation(const ew_recurrent_f32_params *p, int32_t which, double x)
{
    const double a = (double)p->alphas[which], b = (double)p->betas[which];
    switch (p->activations[which]) {
    case EW_RECURRENT_TANH:
        return tanh(x);
    case EW_RECURRENT_RELU:
        return fmax(x, 0.0);
    case EW_RECURRENT_AFFINE:
        return a * x + b;
    case EW_RECURRENT_LEAKY_RELU:
        return x >= 0.0 ? x : a * x;
    case EW_RECURRENT_THRESHOLDED_RELU:
        return x >= a ? x : 0.0;
    case EW_RECURRENT_SCALED_TANH:
        return a * tanh(b * x);
    case EW_RECURRENT_HARD_SIGMOID:
        return fmin(fmax(a * x + b, 0.0), 1.0);
    case EW_RECURRENT_ELU:
        return x >= 0.0 ? x : a * (exp(x) - 1.0);
    case EW_RECURRENT_SOFTSIGN:
        return x / (1.0 + fabs(x));
    case EW_RECURRENT_SOFTPLUS:
        return log(1.0 + exp(x));
    default:
        return 1.0 / (1.0 + exp(-x));
    }
}

/* One direction of one batch, in layout 0; returns how many outputs are off. */
static int check_one(const ew_recurrent_f32_params *p, const float *x, const float *w, const float *r,
                     const float *bias, const float *initial, int32_t length, const float *y, const float *y_h,
                     int32_t d, int32_t batch)
{
    const int32_t n = p->hidden, state = (d * p->batch + batch) * n, step = p->directions * p->batch * n;
    double h[HIDDEN_MAX], next[HIDDEN_MAX];
    int bad = 0;
    for (int32_t j = 0; j < n; ++j) {
        h[j] = length ? (double)initial[state + j] : 0.0;
    }
    for (int32_t s = 0; s < length; ++s) {
        const int32_t t = (d ? 1 : p->backwards) ? length - 1 - s : s;
        for (int32_t j = 0; j < n; ++j) {
            double sum = (double)bias[d * 2 * n + j] + (double)bias[d * 2 * n + n + j];
            for (int32_t i = 0; i < p->input; ++i) {
                sum += (double)w[(d * n + j) * p->input + i] * (double)x[(t * p->batch + batch) * p->input + i];
            }
            for (int32_t i = 0; i < n; ++i) {
                sum += (double)r[(d * n + j) * n + i] * h[i];
            }
            next[j] = activation(p, d * p->second_set, test_clamp(sum, -p->clip, p->clip));
        }
        memcpy(h, next, sizeof h);
        for (int32_t j = 0; j < n; ++j) {
            bad += !test_close(y[t * step + state + j], h[j], 2e-5 * fmax(1.0, fabs(h[j])));
        }
    }
    for (int32_t j = 0; j < n; ++j) {
        bad += !test_close(y_h[state + j], h[j], 2e-5 * fmax(1.0, fabs(h[j])));
        for (int32_t t = length; t < p->steps; ++t) {
            bad += y[t * step + state + j] != 0.0f;
        }
    }
    return bad;
}

static void check(const ew_recurrent_f32_params *p)
{
    static int32_t lengths[3];
    const int32_t n = p->hidden, states = p->directions * p->batch * n;
    test_reset();
    const float *x = test_random_buffer(p->steps * p->batch * p->input);
    const float *w = test_random_buffer(p->directions * n * p->input), *r = test_random_buffer(p->directions * n * n);
    const float *bias = test_random_buffer(p->directions * 2 * n), *initial = test_random_buffer(states);
    float *y = test_buffer(p->steps * states), *y_h = test_buffer(states), *scratch = test_buffer(2 * n);
    for (int32_t batch = 0; batch < p->batch; ++batch) {
        lengths[batch] = test_int(0, p->steps);
    }
    ew_rnn_f32(x, w, r, bias, initial, lengths, scratch, y, y_h, p);
    test_guards();
    int bad = 0;
    for (int32_t d = 0; d < p->directions; ++d) {
        for (int32_t batch = 0; batch < p->batch; ++batch) {
            bad += check_one(p, x, w, r, bias, initial, lengths[batch], y, y_h, d, batch);
        }
    }
    TEST_CHECK(bad == 0, "%d outputs; activations %ld, %ld", bad, (long)p->activations[0],
               (long)p->activations[p->second_set]);
    ew_rnn_f32(x, w, r, NULL, NULL, NULL, scratch, NULL, y_h, p);
    test_guards();
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int32_t i = 0; i < 110; ++i) {
        ew_recurrent_f32_params p = {.steps = test_int(1, 5),
                                     .batch = test_int(1, 3),
                                     .input = test_int(1, 9),
                                     .hidden = test_int(1, HIDDEN_MAX),
                                     .directions = test_int(1, 2),
                                     .clip = test_int(0, 3) ? 4.0f : 0.5f,
                                     .second_set = test_int(0, 1) ? 3 : 0};
        p.backwards = p.directions == 1 && test_int(0, 1);
        p.x_step = p.batch * p.input;
        p.x_batch = p.input;
        p.y_step = p.directions * p.batch * p.hidden;
        p.y_direction = p.h_direction = p.batch * p.hidden;
        p.y_batch = p.h_batch = p.hidden;
        for (int32_t a = 0; a < 6; ++a) {
            p.activations[a] = (i + 3 * a) % 11;
            p.alphas[a] = 0.5f + 0.25f * test_float();
            p.betas[a] = 0.5f + 0.25f * test_float();
        }
        check(&p);
    }
    return test_end();
}
