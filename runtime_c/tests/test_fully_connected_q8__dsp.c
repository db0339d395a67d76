/* ew_fully_connected_q8__dsp against the definition: sums in plain loops. */
#include "ew_fully_connected_q8__dsp.h"
#include "ew_test_dsp.h"

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#define IN_MAX 300
#define OUT_MAX 19
#define ROW_LINE_SHIFT 1

static uint8_t x_pool[IN_MAX + 2 * GUARD_BYTES + 4], y_pool[OUT_MAX + 2 * GUARD_BYTES + 4];
static uint32_t stream[OUT_MAX * (IN_MAX + 40)];
static EW_ALIGN(16) uint8_t scratch[2 * IN_MAX + 16 + 2 * GUARD_BYTES];
static int16_t weights[OUT_MAX * (IN_MAX + 8)];

static TEST_OPAQUE void run(const uint8_t *x, uint8_t *y, const ew_fully_connected_q8_dsp_params *p)
{
    ew_fully_connected_q8__dsp(x, stream, scratch, y, p);
}

static void check(int32_t in, int32_t out, int32_t one_line)
{
    static test_channel channels[OUT_MAX];
    const int32_t taps = (in + 7) / 8 * 8;
    const test_layer layer = {out, taps, 0, ROW_LINE_SHIFT, one_line, weights, channels};
    ew_fully_connected_q8_dsp_params p = {in, out, test_int(0, 1), 0, 0, {0, 0, 0, 0}, 0};
    uint8_t *x = guarded(x_pool, in), *y = guarded(y_pool, out);
    memset(scratch, GUARD, sizeof scratch);
    for (int32_t i = 0; i < in; ++i) {
        x[i] = random_byte();
    }
    random_channels(channels, out, 200 * in, one_line);
    memset(weights, 0, sizeof weights);
    for (int32_t k = 0; k < in * out; ++k) {
        weights[k / in * taps + in_fours(k % in)] = (int16_t)(test_int(0, 7) ? test_int(-127, 127) : 127);
    }
    if (one_line) {
        p.flip = test_int(0, 1) ? 0x80808080u : 0;
        for (int32_t o = 0; o < out; ++o) {
            channels[o].multiplier = channels[o % 2].multiplier;
            channels[o].offset = channels[o % 2].offset;
            channels[o].flip = p.flip ? 128 : 0;
            p.line[o % 2 * 2] = channels[o].multiplier;
            p.line[o % 2 * 2 + 1] = channels[o].offset;
        }
    }
    test_layer whole = layer;
    whole.out = out / 4 * 4;
    p.whole_bytes = (int32_t)(write_stream(&whole, stream) - stream) * 4;
    p.stream_bytes = (int32_t)(write_stream(&layer, stream) - stream) * 4;
    run(x, y, &p);
    int bad = 0;
    for (int32_t o = 0; o < out; ++o) {
        int32_t sum = channels[o].bias;
        for (int32_t i = 0; i < in; ++i) {
            sum += (p.x_signed ? (int8_t)x[i] : x[i]) * weights[o * taps + in_fours(i)];
        }
        bad += y[o] != test_result(sum, o, &layer);
    }
    TEST_CHECK(bad == 0, "%d of %ld outputs, %ld inputs, one line %ld", bad, (long)out, (long)in, (long)one_line);
    check_guards(x_pool, x, in, "x");
    check_guards(y_pool, y, out, "y");
    check_guards(scratch, scratch, 2 * taps, "scratch");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int32_t in = 1; in <= IN_MAX; in += in < 40 ? 1 : 7) {
        check(in, test_int(1, OUT_MAX), 0);
        check(in, test_int(1, OUT_MAX), 1);
    }
    for (int32_t steps = 1; steps <= 33; ++steps) { /* of eight inputs: less than a turn of the loop, one, and more */
        check(8 * steps, 8, test_int(0, 1));
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
