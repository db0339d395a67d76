/* ew_lstm_q and ew_gru_q, and their twins where the processor has them, against docs/ARITHMETIC.md, bit for bit. */
#include "ew_gru_q.h"
#include "ew_lstm_q.h"
#include "ew_test.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)
#define TEST_DSP
#include "ew_gru_q__dsp.h"
#include "ew_lstm_q__dsp.h"
#endif

#define HIDDEN_MAX 21
#define INPUT_MAX 530

static uint16_t table[385];

/* What a layer is made of, before packing. Zero points count as the definition says, not folded into the bias. */
typedef struct {
    ew_recurrent_q_params p;
    int32_t gates, x_zero;
    int8_t *w, *r;                  /* [directions][gates * hidden][input or hidden] */
    int32_t *multipliers;           /* [directions][gates * hidden][2] */
    int64_t *bias;                  /* [directions][4 * hidden] */
    void *x, *y, *y_h, *initial_h;  /* initial_h: a GRU's is float */
    float *initial_c, *y_exact;
    void *scratch;
} layer;

/* A buffer of bytes out of the pool, at an odd address if `odd`. */
static void *bytes(int32_t count, int32_t odd)
{
    return (uint8_t *)test_buffer(count / 4 + 2) + (odd ? 1 : 0);
}

static int64_t shifted_down(int64_t value, int32_t shift) /* rounded half up */
{
    const int64_t unit = (int64_t)1 << shift, more = value + unit / 2;
    return more >= 0 ? more / unit : -((-more + unit - 1) / unit);
}

static int64_t tanh_of(int64_t u)
{
    const int64_t size = u < 0 ? -u : u;
    const int64_t at = size / 1024, rest = size % 1024;
    const int64_t value = size >= 6 * 65536 ? 65536 : table[at] + shifted_down((table[at + 1] - table[at]) * rest, 10);
    return u < 0 ? -value : value;
}

static int64_t logistic_of(int64_t u)
{
    return 65536 + tanh_of(u);
}

static int64_t state_of(float value)
{
    const double scaled = (double)value * 1048576.0;
    return isnan(value) ? 0 : scaled < -0x1p30 ? -(1 << 30) : scaled > 0x1p30 ? 1 << 30 : (int64_t)nearbyint(scaled);
}

static int64_t clamped(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static int64_t to_y(const ew_recurrent_q_params *p, int64_t state)
{
    const float product = (float)state * p->y_scale;
    const double steps = nearbyint((double)product) + p->y_zero;
    return (int64_t)(steps < p->act_min ? p->act_min : steps > p->act_max ? p->act_max : steps);
}

/* Exact sums; `x` or `h` may be NULL. */
static int64_t sum_of(const layer *l, int32_t d, int32_t row, const int64_t *x, const int64_t *h, int64_t bias)
{
    const int32_t at = d * l->gates * l->p.hidden + row;
    int64_t of_x = 0, of_h = 0;
    for (int32_t i = 0; x && i < l->p.input; ++i) {
        of_x += x[i] * l->w[at * l->p.input + i];
    }
    for (int32_t j = 0; h && j < l->p.hidden; ++j) {
        of_h += h[j] * l->r[at * l->p.hidden + j];
    }
    return shifted_down(of_x * l->multipliers[2 * at] + of_h * l->multipliers[2 * at + 1] + bias, l->p.shift);
}

/* One step; h holds y's integers less the zero point, c the cell or a GRU's state. */
static void lstm_step(const layer *l, int32_t d, const int64_t *x, int64_t *h, int64_t *c)
{
    const int32_t n = l->p.hidden;
    int64_t next[HIDDEN_MAX];
    for (int32_t j = 0; j < n; ++j) {
        int64_t u[4];
        for (int32_t g = 0; g < 4; ++g) {
            u[g] = sum_of(l, d, g * n + j, x, h, l->bias[d * 4 * n + g * n + j]);
        }
        const int64_t cell = shifted_down(logistic_of(u[2]) * c[j] + logistic_of(u[0]) * tanh_of(u[3]) * 16, 17);
        c[j] = clamped(cell, -(1 << 30), 1 << 30);
        next[j] = to_y(&l->p, shifted_down(logistic_of(u[1]) * tanh_of(shifted_down(c[j], 4)), 11)) - l->p.y_zero;
    }
    memcpy(h, next, (size_t)n * sizeof *h);
}

static void gru_step(const layer *l, int32_t d, const int64_t *x, int64_t *h, int64_t *c)
{
    const int32_t n = l->p.hidden;
    const int64_t *bias = l->bias + d * 4 * n;
    int64_t update[HIDDEN_MAX], reset[HIDDEN_MAX], held[HIDDEN_MAX], next[HIDDEN_MAX];
    for (int32_t j = 0; j < n; ++j) {
        update[j] = logistic_of(sum_of(l, d, j, x, h, bias[j]));
        reset[j] = logistic_of(sum_of(l, d, n + j, x, h, bias[n + j]));
        held[j] = l->p.linear_before_reset ? 0 : shifted_down(reset[j] * h[j], l->p.reset_shift);
    }
    for (int32_t j = 0; j < n; ++j) {
        int64_t u;
        if (l->p.linear_before_reset) {
            u = sum_of(l, d, 2 * n + j, x, NULL, bias[2 * n + j]) +
                shifted_down(reset[j] * sum_of(l, d, 2 * n + j, NULL, h, bias[3 * n + j]), 17);
        } else {
            u = sum_of(l, d, 2 * n + j, x, held, bias[2 * n + j]);
        }
        const int64_t state = shifted_down(update[j] * c[j] + (131072 - update[j]) * tanh_of(u) * 16, 17);
        c[j] = clamped(state, -(1 << 30), 1 << 30);
        next[j] = to_y(&l->p, c[j]) - l->p.y_zero;
    }
    memcpy(h, next, (size_t)n * sizeof *h);
}

static int check_one(const layer *l, int32_t d, int32_t batch)
{
    const ew_recurrent_q_params *p = &l->p;
    const int32_t n = p->hidden, state = d * p->h_direction + batch * p->h_batch;
    static int64_t x[INPUT_MAX];
    int64_t h[HIDDEN_MAX], c[HIDDEN_MAX];
    int bad = 0;
    for (int32_t j = 0; j < n; ++j) {
        if (l->gates == 4) {
            h[j] = l->initial_h ? ew_load_q(p->y_type, l->initial_h, state + j) - p->y_zero : 0;
            c[j] = l->initial_c ? state_of(l->initial_c[state + j]) : 0;
        } else {
            c[j] = l->initial_h ? state_of(((const float *)l->initial_h)[state + j]) : 0;
            h[j] = to_y(p, c[j]) - p->y_zero;
        }
    }
    for (int32_t s = 0; s < p->steps; ++s) {
        const int32_t t = (d ? 1 : p->backwards) ? p->steps - 1 - s : s;
        for (int32_t i = 0; i < p->input; ++i) {
            x[i] = ew_load_q(p->x_type, l->x, t * p->x_step + batch * p->x_batch + i) - l->x_zero;
        }
        if (l->gates == 4) {
            lstm_step(l, d, x, h, c);
        } else {
            gru_step(l, d, x, h, c);
        }
        const int32_t at = t * p->y_step + d * p->y_direction + batch * p->y_batch;
        for (int32_t j = 0; l->y && j < n; ++j) {
            bad += ew_load_q(p->y_type, l->y, at + j) != h[j] + p->y_zero;
        }
    }
    for (int32_t j = 0; j < n; ++j) {
        bad += l->y_h && ew_load_q(p->y_type, l->y_h, state + j) != h[j] + p->y_zero;
        bad += l->y_exact && l->y_exact[state + j] != (float)c[j] / 1048576.0f;
    }
    return bad;
}

/* Packing, as generator/kernels/recurrent.py does it. */
static int8_t *packed_rows(int8_t *to, const int8_t *rows, int32_t count, int32_t outs, int32_t lanes)
{
    static const int32_t order[] = {0, 2, 1, 3};
    for (int32_t i = 0; i < count; i += lanes) {
        for (int32_t o = 0; o < outs; ++o) {
            for (int32_t lane = 0; lane < lanes; ++lane) {
                const int32_t at = i + (lanes == 4 ? order[lane] : lane);
                *to++ = at < count ? rows[o * count + at] : (int8_t)0;
            }
        }
    }
    return to;
}

static int8_t *packed(int8_t *to, const int8_t *w, int32_t input, const int8_t *r, int32_t hidden, int32_t rows,
                      int32_t dsp)
{
    for (int32_t row = 0; row < rows;) {
        const int32_t block = dsp ? 4 : 8, outs = row + block <= rows ? block : 1;
        to = packed_rows(to, w + row * input, input, outs, dsp ? 4 : 1);
        to = packed_rows(to, r + row * hidden, hidden, outs, dsp ? 4 : 1);
        row += outs;
    }
    return to;
}

/* What kernels take in place of weights and bias. */
static void run(layer *l, int32_t dsp)
{
    ew_recurrent_q_params *p = &l->p;
    const int32_t n = p->hidden, rows = l->gates * n, d_count = p->directions;
    int8_t *stream = (int8_t *)bytes(d_count * (rows + 8) * (p->input + n + 8), 0), *to = stream;
    int64_t *bias = (int64_t *)(void *)test_buffer(d_count * 8 * n);
    for (int32_t d = 0; d < d_count; ++d) {
        const int8_t *w = l->w + d * rows * p->input, *r = l->r + d * rows * n;
        if (l->gates == 4) {
            to = packed(to, w, p->input, r, n, rows, dsp);
        } else {
            to = packed(to, w, p->input, r, n, 2 * n, dsp);
            w += 2 * n * p->input;
            r += 2 * n * n;
            to = packed(to, w, p->input, r, p->linear_before_reset ? 0 : n, n, dsp);
            to = p->linear_before_reset ? packed(to, w, 0, r, n, n, dsp) : to;
        }
        p->weights_direction = d ? p->weights_direction : (int32_t)(to - stream);
        for (int32_t row = 0; row < 4 * n; ++row) {
            const int32_t at = d * rows + (row < rows ? row : row - n); /* a GRU's last part: h alone */
            int64_t sum_w = 0, sum_r = 0;
            for (int32_t i = 0; row < rows && i < p->input; ++i) {
                sum_w += l->w[at * p->input + i];
            }
            const int32_t candidate = l->gates == 3 && row >= 2 * n && row < rows;
            for (int32_t j = 0; !candidate && j < n; ++j) {
                sum_r += l->r[at * n + j];
            }
            bias[d * 4 * n + row] = l->bias[d * 4 * n + row] + ((int64_t)1 << (p->shift - 1)) -
                                    l->x_zero * sum_w * l->multipliers[2 * at] -
                                    p->y_zero * sum_r * l->multipliers[2 * at + 1];
        }
    }
    void *scratch = test_buffer(5 * n + (p->input + 7) / 8 * 4 + (n + 7) / 8 * 8);
#ifdef TEST_DSP
    if (dsp && l->gates == 4) {
        ew_lstm_q__dsp(l->x, stream, l->multipliers, bias, table, l->initial_h, l->initial_c, scratch, l->y, l->y_h,
                       l->y_exact, p);
    } else if (dsp) {
        ew_gru_q__dsp(l->x, stream, l->multipliers, bias, table, (const float *)l->initial_h, scratch, l->y, l->y_h,
                      l->y_exact, p);
    } else
#endif
        if (l->gates == 4) {
        ew_lstm_q(l->x, stream, l->multipliers, bias, table, l->initial_h, l->initial_c, scratch, l->y, l->y_h,
                  l->y_exact, p);
    } else {
        ew_gru_q(l->x, stream, l->multipliers, bias, table, (const float *)l->initial_h, scratch, l->y, l->y_h,
                 l->y_exact, p);
    }
}

static void random_type(int32_t type, void *to, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        const int32_t low = type == EW_QU8 ? 0 : type == EW_QS8 ? -128 : -32768;
        const int32_t high = type == EW_QU8 ? 255 : type == EW_QS8 ? 127 : 32767;
        ew_store_q(type, to, i, test_int(0, 9) ? test_int(low, high) : test_int(0, 1) ? low : high);
    }
}

static void set_layout(ew_recurrent_q_params *p, int32_t batch_first)
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

static float *random_states(int32_t count)
{
    float *states = test_random_buffer(count);
    for (int32_t i = 0; i < count && test_int(0, 3) == 0; ++i) {
        static const float odd[] = {NAN, INFINITY, -INFINITY, 1023.9f, -2000.0f, 0x1p-21f, -0x1.8p-20f};
        states[i] = odd[test_int(0, 6)];
    }
    return states;
}

/* A random layer; `input` 0: a small one. */
static void check(int32_t gates, int32_t input, int32_t dsp)
{
    static const int32_t low[] = {-128, 0, -32768}, high[] = {127, 255, 32767};
    layer l = {.gates = gates};
    ew_recurrent_q_params *p = &l.p;
    p->steps = test_int(1, 4);
    p->batch = test_int(1, 2);
    p->input = input ? input : test_int(1, 20);
    p->hidden = test_int(1, input ? 9 : HIDDEN_MAX);
    p->directions = test_int(1, 2);
    p->backwards = p->directions == 1 && test_int(0, 1);
    p->linear_before_reset = gates == 3 && test_int(0, 1);
    p->x_type = test_int(0, 2);
    p->y_type = test_int(0, 2);
    l.x_zero = p->x_type == EW_QS16 ? 0 : test_int(low[p->x_type], high[p->x_type]);
    p->y_zero = p->y_type == EW_QS16 ? 0 : test_int(low[p->y_type], high[p->y_type]);
    p->act_min = low[p->y_type];
    p->act_max = high[p->y_type];
    p->y_scale = (gates == 4 ? 0x1p-22f : 0x1p-20f) * (p->y_type == EW_QS16 ? 32000.0f : 120.0f);
    p->y_scale *= 1.0f + 0.3f * test_float();
    p->reset_shift = p->y_type == EW_QS16 ? 17 : 11;
    p->shift = test_int(18, 26);
    set_layout(p, test_int(0, 1));
    const int32_t n = p->hidden, d = p->directions, states = d * p->batch * n, rows = d * gates * n;

    test_reset();
    l.w = (int8_t *)bytes(rows * p->input, 0);
    l.r = (int8_t *)bytes(rows * n, 0);
    random_type(EW_QS8, l.w, rows * p->input);
    random_type(EW_QS8, l.r, rows * n);
    l.multipliers = (int32_t *)(void *)test_buffer(2 * rows);
    const double reach_x = p->x_type == EW_QS16 ? 32768.0 : 128.0, reach_h = p->y_type == EW_QS16 ? 32768.0 : 128.0;
    for (int32_t i = 0; i < rows; ++i) {
        /* Arguments of a few units: 2^16 * 3 / (127 * reach * sqrt(count)), times 2^shift. */
        const double unit = 65536.0 * ldexp(1.0, p->shift) * 3.0 / 127.0;
        l.multipliers[2 * i] = (int32_t)(unit / reach_x / sqrt(p->input) * (1.0 + 0.5 * (double)test_float()));
        l.multipliers[2 * i + 1] = (int32_t)(unit / reach_h / sqrt(n) * (1.0 + 0.5 * (double)test_float()));
        if (gates == 3 && !p->linear_before_reset && i / n % 3 == 2) {
            l.multipliers[2 * i + 1] >>= 17 - p->reset_shift;
        }
    }
    l.bias = (int64_t *)(void *)test_buffer(2 * d * 4 * n);
    for (int32_t i = 0; i < d * 4 * n; ++i) {
        l.bias[i] = (int64_t)(65536.0f * test_float()) * ((int64_t)1 << p->shift);
    }
    const int32_t x_count = p->steps * p->batch * p->input;
    l.x = bytes(2 * x_count, p->x_type != EW_QS16 && test_int(0, 1));
    random_type(p->x_type, l.x, x_count);
    if (test_int(0, 1)) {
        l.initial_h = gates == 4 ? bytes(2 * states, 0) : (void *)random_states(states);
        if (gates == 4) {
            random_type(p->y_type, l.initial_h, states);
        }
    }
    l.initial_c = gates == 4 && test_int(0, 1) ? random_states(states) : NULL;
    l.y = test_int(0, 3) ? bytes(2 * p->steps * states, p->y_type != EW_QS16) : NULL;
    l.y_h = !l.y || test_int(0, 1) ? bytes(2 * states, 0) : NULL;
    l.y_exact = test_int(0, 1) ? test_buffer(states) : NULL;
    run(&l, dsp);
    test_guards();
    int bad = 0;
    for (int32_t direction = 0; direction < d; ++direction) {
        for (int32_t batch = 0; batch < p->batch; ++batch) {
            bad += check_one(&l, direction, batch);
        }
    }
    TEST_CHECK(bad == 0, "%d outputs; %s, dsp %d, %ld steps, batch %ld, %ld to %ld, %ld directions, types %ld %ld", bad,
               gates == 4 ? "LSTM" : "GRU", (int)dsp, (long)p->steps, (long)p->batch, (long)p->input, (long)n, (long)d,
               (long)p->x_type, (long)p->y_type);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i <= 384; ++i) {
        table[i] = (uint16_t)lrint(65536.0 * tanh(i / 64.0));
    }
#ifdef TEST_DSP
    const int32_t variants = 2;
#else
    const int32_t variants = 1;
#endif
    for (int32_t dsp = 0; dsp < variants; ++dsp) {
        for (int i = 0; i < 120; ++i) {
            check(4, 0, dsp);
            check(3, 0, dsp);
        }
        check(4, 530, dsp); /* sums of more than 32 bits */
        check(3, 530, dsp);
    }
    return test_end();
}
