/* The depthwise convolution for Arm DSP cores against the definition, bit for bit. Lines are random here: what is
 * compared is their formula; tests of the generator prove that lines are the definition. */
#include "ew_depthwise_3x3_q8__dsp.h"
#include "ew_test_dsp.h"
#include "ew_test_q.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define CHANNELS_MAX 9
#define WORDS_MAX (12 * EW_DW3_CHANNEL_WORDS + 3)

typedef struct {
    int32_t weights[3][3];
    int32_t bias;
    float scale;
    int32_t by_line, shift, multiplier, offset; /* of sums times 2^(7 + shift), without the bias */
} channel;

static channel channels[CHANNELS_MAX];
static uint32_t words[WORDS_MAX];

/* Calls keep out of the compiler's sight: see TEST_OPAQUE. */
static TEST_OPAQUE void run(const void *x, void *scratch, void *y, const ew_depthwise_3x3_q8__dsp_params *p)
{
    ew_depthwise_3x3_q8__dsp(x, words, scratch, y, p);
}

/* The sum of one output, without the bias. */
static int32_t sum_of(const void *x, int32_t n, int32_t oy, int32_t ox, int32_t c,
                      const ew_depthwise_3x3_q8__dsp_params *p)
{
    int32_t sum = 0;
    for (int32_t ky = 0; ky < 3; ++ky) {
        for (int32_t kx = 0; kx < 3; ++kx) {
            const int32_t iy = oy * p->stride - p->pad_top + ky, ix = ox * p->stride - p->pad_left + kx;
            if (iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w) {
                const int32_t at = ((n * p->in_h + iy) * p->in_w + ix) * p->channels + c;
                sum += (test_q_get(p->x_type, x, at) - p->x_zero) * channels[c].weights[ky][kx];
            }
        }
    }
    return sum;
}

static void random_channels_of(const ew_depthwise_3x3_q8__dsp_params *p)
{
    for (channel *c = channels; c < channels + p->channels; ++c) {
        for (int32_t k = 0; k < 9; ++k) {
            c->weights[k / 3][k % 3] = test_int(0, 7) ? test_int(-127, 127) : test_int(0, 1) ? -128 : 127;
        }
        c->bias = test_int(-20000, 20000);
        c->scale = (float)test_int(1, 1000) / 200.0f / (9.0f * 127.0f);
        c->by_line = p->lines || test_int(0, 1);
        c->shift = test_int(0, 5); /* sums stay in 32 bits */
        c->multiplier = test_int(1 << 20, 0x7fffffff >> (c->shift + 2));
        c->offset = test_int(-(1 << 23), 1 << 23);
    }
}

static void write_words(const ew_depthwise_3x3_q8__dsp_params *p)
{
    uint32_t *to = words;
    for (int32_t group = 0; group < p->channels; group += 4) {
        const channel *four = channels + (group + 4 <= p->channels ? group : p->channels - 4);
        if (!p->lines) {
            *to++ = (uint32_t)(four[0].by_line | four[1].by_line << 1 | four[2].by_line << 2 | four[3].by_line << 3);
        }
        for (const channel *c = four; c < four + 4; ++c) {
            const int32_t gain = 1 << (c->by_line ? c->shift : 0);
            for (int32_t row = 0; row < 3; ++row) {
                *to++ = halves(c->weights[row][0] * gain, c->weights[row][1] * gain);
            }
            *to++ = halves(c->weights[0][2] * gain, c->weights[1][2] * gain);
            *to++ = halves(c->weights[2][2] * gain, 0);
            *to++ = c->by_line ? (uint32_t)c->multiplier : ew_float_bits(c->scale / 128.0f);
            *to++ = (uint32_t)(c->by_line ? c->offset : c->bias * 128);
        }
    }
}

static void check(void)
{
    ew_depthwise_3x3_q8__dsp_params p = {0};
    p.batch = test_int(1, 2);
    p.channels = test_int(4, CHANNELS_MAX);
    p.out_h = test_int(2, 20);
    p.out_w = test_int(1, 12);
    p.stride = test_int(1, 2);
    p.pad_top = test_int(0, 1);
    p.pad_left = test_int(0, 1);
    /* What the last row and column see may be padding; with stride 2, a row or column may be left over. */
    p.in_h = (p.out_h - 1) * p.stride + 3 - p.pad_top + test_int(-1, p.stride - 1);
    p.in_w = (p.out_w - 1) * p.stride + 3 - p.pad_left + test_int(-1, p.stride - 1);
    p.x_type = test_int(0, 1) ? EW_QU8 : EW_QS8;
    p.x_zero = test_q_zero(p.x_type);
    p.y_zero = test_q_zero(EW_QU8);
    p.lines = test_int(0, 2) == 0;
    p.block_rows = test_int(2, p.out_h);
    if (p.out_h % p.block_rows == 1) {
        p.block_rows = p.out_h;
    }
    if (p.in_h < 2 || p.in_w < 1) {
        return;
    }
    random_channels_of(&p);
    write_words(&p);
    test_q_reset();
    const int32_t count = p.batch * p.out_h * p.out_w * p.channels;
    const void *x = test_q_tensor(p.x_type, p.batch * p.in_h * p.in_w * p.channels);
    void *y = test_q_output(EW_QU8, count);
    void *scratch = test_q_bytes(EW_DW3_ROW_BYTES * (p.block_rows * p.stride + 2), 4);
    run(x, scratch, y, &p);
    test_q_guards();
    int bad = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t c = i % p.channels, ox = i / p.channels % p.out_w, row = i / p.channels / p.out_w;
        const channel *one = &channels[c];
        const int32_t sum = sum_of(x, row / p.out_h, row % p.out_h, ox, c, &p);
        int32_t want = test_q_requantize((int64_t)sum + one->bias, one->scale, p.y_zero, 0, 255);
        if (one->by_line) {
            const int64_t line = (((int64_t)sum << (7 + one->shift)) * one->multiplier >> 32) + one->offset;
            want = test_q_clamp((double)(line >> 16), 0, 255);
        }
        bad += test_q_get(EW_QU8, y, i) != want;
    }
    TEST_CHECK(bad == 0, "%d of %ld; in %ldx%ldx%ld out %ldx%ld stride %ld pad %ld,%ld type %ld zero %ld block %ld", bad,
               (long)count, (long)p.in_h, (long)p.in_w, (long)p.channels, (long)p.out_h, (long)p.out_w, (long)p.stride,
               (long)p.pad_top, (long)p.pad_left, (long)p.x_type, (long)p.x_zero, (long)p.block_rows);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        check();
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
