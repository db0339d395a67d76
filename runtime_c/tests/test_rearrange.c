/* Kernels that move elements of any type, exact: ew_reverse_sequence, ew_trilu, ew_pad_any. */
#include "ew_pad_any.h"
#include "ew_reverse_sequence.h"
#include "ew_test.h"
#include "ew_trilu.h"

static const int32_t sizes[] = {1, 2, 4, 8};

static unsigned char *random_bytes(int32_t count)
{
    unsigned char *bytes = (unsigned char *)test_buffer((count + 3) / 4);
    for (int32_t i = 0; i < count; ++i) {
        bytes[i] = (unsigned char)test_random();
    }
    return bytes;
}

static void check_reverse_sequence(void)
{
    static int64_t lengths[8];
    ew_reverse_sequence_params p = {test_int(1, 5), test_int(1, 6), 0, 0, test_int(1, 12), EW_ELEMENT_S64};
    const int32_t batch_first = test_int(0, 1);
    p.batch_bytes = batch_first ? p.time * p.block_bytes : p.block_bytes;
    p.time_bytes = batch_first ? p.block_bytes : p.batch * p.block_bytes;
    test_reset();
    const int32_t bytes = p.batch * p.time * p.block_bytes;
    const unsigned char *x = random_bytes(bytes);
    unsigned char *y = (unsigned char *)test_buffer((bytes + 3) / 4);
    for (int32_t b = 0; b < p.batch; ++b) {
        lengths[b] = test_int(0, 7) == 0 ? INT64_MAX - b : test_int(-2, p.time + 2);
    }
    ew_reverse_sequence(x, lengths, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t b = 0; b < p.batch; ++b) {
        const int32_t length = lengths[b] < 0 ? 0 : lengths[b] > p.time ? p.time : (int32_t)lengths[b];
        for (int32_t t = 0; t < p.time; ++t) {
            const int32_t from = t < length ? length - 1 - t : t;
            bad += memcmp(y + (b * p.batch_bytes + t * p.time_bytes), x + (b * p.batch_bytes + from * p.time_bytes),
                          (size_t)p.block_bytes) != 0;
        }
    }
    TEST_CHECK(bad == 0, "%d blocks, %ld sequences of %ld", bad, (long)p.batch, (long)p.time);
}

static void check_trilu(void)
{
    ew_trilu_params p = {test_int(1, 3), test_int(1, 6), test_int(1, 6), 0, test_int(0, 1), sizes[test_int(0, 3)]};
    p.k = test_int(-p.rows, p.columns);
    test_reset();
    const int32_t elements = p.matrices * p.rows * p.columns;
    unsigned char *x = random_bytes(elements * p.element_bytes);
    unsigned char *y = (unsigned char *)test_buffer((elements * p.element_bytes + 3) / 4);
    ew_trilu(x, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < elements; ++i) {
        const int32_t column = i % p.columns, row = i / p.columns % p.rows;
        const int kept = p.upper ? column >= row + p.k : column <= row + p.k;
        for (int32_t b = 0; b < p.element_bytes; ++b) {
            bad += y[i * p.element_bytes + b] != (kept ? x[i * p.element_bytes + b] : 0);
        }
    }
    TEST_CHECK(bad == 0, "%d bytes, k %ld of %ldx%ld", bad, (long)p.k, (long)p.rows, (long)p.columns);
    ew_trilu(x, x, &p);
    TEST_CHECK(memcmp(x, y, (size_t)elements * (size_t)p.element_bytes) == 0, "in place differs");
}

/* One axis; test_pad.c has the rest of what the pads share. */
static void check_pad(void)
{
    const int32_t in = test_int(2, 6), before = test_int(0, 2), after = test_int(0, 2), mode = test_int(0, 3);
    const int32_t bytes = sizes[test_int(0, 3)], out = before + in + (mode == EW_PAD_REFLECT && in == 2 ? 0 : after);
    const ew_pad_any_params p = {1, {in}, {out}, {mode == EW_PAD_REFLECT && in == 2 ? 0 : before}, mode, bytes};
    test_reset();
    const unsigned char *x = random_bytes(in * bytes), *value = random_bytes(bytes);
    unsigned char *y = (unsigned char *)test_buffer((out * bytes + 3) / 4);
    ew_pad_any(x, value, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < out; ++i) {
        const int32_t from = ew_pad_source(i - p.pads_before[0], in, mode);
        bad += memcmp(y + i * bytes, from < 0 ? value : x + from * bytes, (size_t)bytes) != 0;
    }
    TEST_CHECK(bad == 0, "%d elements, mode %ld", bad, (long)mode);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        check_reverse_sequence();
        check_trilu();
        check_pad();
    }
    return test_end();
}
