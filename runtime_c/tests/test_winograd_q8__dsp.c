/* The Winograd convolutions for Arm DSP cores against sums in plain loops. Lines are random here: what is compared is
 * their formula; tests of the generator prove that lines are the definition. */
#include "ew_test_dsp.h"
#include "ew_test_q.h"
#include "ew_winograd_q8__dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define IN_MAX 36
#define OUT_MAX 12
#define WORDS_MAX (OUT_MAX * (36 * 24 + 16))

typedef struct {
    int32_t weights[3][3][IN_MAX];
    int32_t bias; /* x's zero point not folded in */
    float scale;
    int32_t by_line, multiplier, offset, addend;
} channel;

/* One size of tiles: G, and positions in the kernel's order, those that are shared last. */
typedef struct {
    int32_t m, gain, float_gain, shift, shared;
    int32_t rows[6][3];
    uint8_t positions[36]; /* 16 * row + column */
} transform;

static const transform TILES_2 = {
    2, 4, 4, 8, 4, {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}},
    {0x11, 0x21, 0x01, 0x31, 0x12, 0x22, 0x02, 0x32, 0x10, 0x20, 0x13, 0x23, 0x00, 0x30, 0x03, 0x33},
};
static const transform TILES_4 = {
    4, 576, 64, 16, 0, {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 3}},
    {0x11, 0x21, 0x31, 0x41, 0x01, 0x51, 0x12, 0x22, 0x32, 0x42, 0x02, 0x52, 0x13, 0x23, 0x33, 0x43, 0x03, 0x53,
     0x14, 0x24, 0x34, 0x44, 0x04, 0x54, 0x10, 0x20, 0x30, 0x40, 0x00, 0x50, 0x15, 0x25, 0x35, 0x45, 0x05, 0x55},
};

static channel channels[OUT_MAX];
static uint32_t words[WORDS_MAX];

/* Calls keep out of the compiler's sight: see TEST_OPAQUE. */
static TEST_OPAQUE void run(int32_t m, const void *x, void *scratch, void *y, const ew_winograd_q8__dsp_params *p)
{
    if (m == 2) {
        ew_winograd_2_q8__dsp(x, words, scratch, y, p);
    } else {
        ew_winograd_4_q8__dsp(x, words, scratch, y, p);
    }
}

/* G w G^T of one input channel at a position; 0 for those that are filled up. */
static int32_t transformed(const channel *c, int32_t position, int32_t i, int32_t in_c, const transform *t)
{
    int32_t sum = 0;
    for (int32_t ky = 0; ky < 3; ++ky) {
        for (int32_t kx = 0; kx < 3; ++kx) {
            sum += i < in_c ? t->rows[position / 16][ky] * c->weights[ky][kx][i] * t->rows[position % 16][kx] : 0;
        }
    }
    return sum;
}

static uint32_t *write_words(const ew_winograd_q8__dsp_params *p, const transform *t)
{
    static const int32_t order[4] = {0, 2, 1, 3};
    const int32_t positions = (t->m + 2) * (t->m + 2), depth = (p->in_c + 15) / 16 * 16;
    const int32_t zero = p->x_zero + (p->x_type == EW_QS8 ? 128 : 0);
    uint32_t *to = words;
    for (int32_t o = 0; o < p->out_c; o += 4) {
        for (const channel *c = channels + o; c < channels + o + 4; ++c) {
            int32_t folded = c->bias;
            for (int32_t k = 0; k < 9 * IN_MAX; ++k) {
                folded -= k % IN_MAX < p->in_c ? zero * (&c->weights[0][0][0])[k] : 0;
            }
            *to++ = (uint32_t)(t->gain * folded + (c->by_line ? c->addend : 0));
        }
        for (int32_t n = 0; n < positions; ++n) {
            for (int32_t i = 0; i < depth; i += 2) {
                const int32_t a = i / 4 * 4 + order[i % 4], b = i / 4 * 4 + order[i % 4 + 1];
                for (int32_t k = 0; k < 4; ++k) {
                    const channel *c = channels + o + k;
                    const int32_t low = transformed(c, t->positions[n], a, p->in_c, t);
                    const int32_t high = transformed(c, t->positions[n], b, p->in_c, t);
                    if (n < positions - t->shared) {
                        *to++ = halves(low, high);
                    } else if (k % 2 == 0) {
                        *to++ = halves(64 * low + transformed(c + 1, t->positions[n], a, p->in_c, t) / 4,
                                       64 * high + transformed(c + 1, t->positions[n], b, p->in_c, t) / 4);
                    }
                }
            }
        }
        for (const channel *c = channels + o; c < channels + o + 4; ++c) {
            *to++ = c->by_line ? 0 : 1;
            *to++ = c->by_line ? (uint32_t)c->multiplier : ew_float_bits(c->scale / (float)t->float_gain);
            *to++ = (uint32_t)(c->by_line ? c->offset : 100);
        }
    }
    return to;
}

static int32_t sum_of(const void *x, int32_t n, int32_t oy, int32_t ox, int32_t o, const ew_winograd_q8__dsp_params *p)
{
    int32_t sum = channels[o].bias;
    for (int32_t ky = 0; ky < 3; ++ky) {
        for (int32_t kx = 0; kx < 3; ++kx) {
            const int32_t iy = oy - p->pad_top + ky, ix = ox - p->pad_left + kx;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) {
                continue;
            }
            for (int32_t i = 0; i < p->in_c; ++i) {
                const int32_t at = ((n * p->in_h + iy) * p->in_w + ix) * p->in_c + i;
                sum += (test_q_get(p->x_type, x, at) - p->x_zero) * channels[o].weights[ky][kx][i];
            }
        }
    }
    return sum;
}

static void check(const transform *t)
{
    ew_winograd_q8__dsp_params p = {0};
    p.batch = test_int(1, 2);
    p.in_c = 4 * test_int(1, IN_MAX / 4);
    p.out_c = 4 * test_int(1, OUT_MAX / 4);
    p.out_h = test_int(1, 9);
    p.out_w = test_int(1, 9);
    p.pad_top = test_int(0, 2);
    p.pad_left = test_int(0, 2);
    p.in_h = p.out_h + 2 - p.pad_top - test_int(0, 2);
    p.in_w = p.out_w + 2 - p.pad_left - test_int(0, 2);
    p.x_type = test_int(0, 1) ? EW_QU8 : EW_QS8;
    p.x_zero = test_q_zero(p.x_type);
    if (p.in_h < 1 || p.in_w < 1) {
        return;
    }
    const int32_t most = t->m == 2 ? 127 : 60, reach = p.in_c * most * 300; /* 576 * reach < 2^31 with tiles of 4 */
    for (channel *c = channels; c < channels + p.out_c; ++c) {
        for (int32_t k = 0; k < 9 * IN_MAX; ++k) {
            (&c->weights[0][0][0])[k] = test_int(0, 7) ? test_int(-most, most) : test_int(0, 1) ? -most : most;
        }
        c->bias = test_int(-20000, 20000);
        c->scale = (float)test_int(1, 1000) / (float)reach;
        c->by_line = test_int(0, 3) != 0;
        c->multiplier = test_int(1, t->m == 2 ? 1 << 22 : 1 << 24);
        c->offset = test_int(-(1 << t->shift), 1 << (t->shift + 7));
        c->addend = test_int(-1000, 1000);
    }
    write_words(&p, t);
    const int32_t side = t->m + 2, count = p.batch * p.out_h * p.out_w * p.out_c;
    test_q_reset();
    const void *x = test_q_tensor(p.x_type, p.batch * p.in_h * p.in_w * p.in_c);
    void *y = test_q_output(EW_QU8, count);
    void *scratch = test_q_bytes(side * side * (EW_WG_POSITION_BYTES(p.in_c) + p.in_c) + p.out_c, 4);
    run(t->m, x, scratch, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t o = i % p.out_c, ox = i / p.out_c % p.out_w, row = i / p.out_c / p.out_w;
        const channel *c = &channels[o];
        const int32_t sum = sum_of(x, row / p.out_h, row % p.out_h, ox, o, &p);
        int32_t want = test_q_requantize(sum, c->scale, 100, 0, 255);
        if (c->by_line) {
            /* 576 times the largest sums is beyond 32 bits, where the generator takes no line */
            const int32_t gained = (int32_t)((uint32_t)t->gain * (uint32_t)sum + (uint32_t)c->addend);
            const int32_t line = (int32_t)((int64_t)gained * c->multiplier >> 32) + c->offset;
            want = test_q_clamp((double)(line >> t->shift), 0, 255);
        }
        bad += test_q_get(EW_QU8, y, i) != want;
    }
    TEST_CHECK(bad == 0, "%d of %ld; tiles of %ld, in %ldx%ldx%ld out %ldx%ldx%ld pad %ld,%ld type %ld zero %ld", bad,
               (long)count, (long)t->m, (long)p.in_h, (long)p.in_w, (long)p.in_c, (long)p.out_h, (long)p.out_w,
               (long)p.out_c, (long)p.pad_top, (long)p.pad_left, (long)p.x_type, (long)p.x_zero);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 60; ++i) {
        check(&TILES_2);
        check(&TILES_4);
    }
    return test_end();
}

#else

int main(void)
{
    printf("skipped: this core has no DSP extension with an FPU\n");
    return 0;
}

#endif
