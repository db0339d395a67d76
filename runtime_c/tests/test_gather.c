/* Gathers and one-hot rows, exact: any number of batches and axes, blocks of every size, indices far outside. */
#include "ew_gather_elements.h"
#include "ew_gather_nd.h"
#include "ew_one_hot.h"
#include "ew_test.h"

static int64_t indices64[4096];
static int32_t indices32[4096];

/* Random indices, one in eight far outside; both arrays say the same, as far as int32_t goes. */
static void make_indices(int32_t count, int32_t size)
{
    for (int32_t i = 0; i < count; ++i) {
        const int64_t far = test_int(0, 1) ? INT64_MAX - 5 : INT64_MIN + 5;
        indices64[i] = test_int(0, 7) == 0 ? far : test_int(-size - 2, size + 2);
        indices32[i] = indices64[i] > INT32_MAX ? INT32_MAX : indices64[i] < INT32_MIN ? INT32_MIN : (int32_t)indices64[i];
    }
}

static int32_t place(int64_t index, int32_t size)
{
    index += index < 0 ? size : 0;
    return index < 0 ? 0 : index >= size ? size - 1 : (int32_t)index;
}

static void check_nd(void)
{
    static const int32_t blocks[] = {1, 2, 4, 8, 3, 12};
    ew_gather_nd_params p = {0};
    p.batches = test_int(1, 3);
    p.tuples = test_int(1, 6);
    p.shared = test_int(0, 1);
    p.depth = test_int(1, 3);
    p.block_bytes = blocks[test_int(0, 5)];
    p.index_type = test_int(0, 1) ? EW_ELEMENT_S64 : EW_ELEMENT_S32;
    p.batch_bytes = p.block_bytes;
    for (int32_t axis = p.depth - 1; axis >= 0; --axis) {
        p.sizes[axis] = test_int(1, 5);
        p.strides[axis] = p.batch_bytes;
        p.batch_bytes *= p.sizes[axis];
    }
    make_indices(p.batches * p.tuples * p.depth, 5);
    test_reset();
    unsigned char *x = (unsigned char *)test_buffer((p.batches * p.batch_bytes + 3) / 4);
    unsigned char *y = (unsigned char *)test_buffer((p.batches * p.tuples * p.block_bytes + 3) / 4);
    for (int32_t i = 0; i < p.batches * p.batch_bytes; ++i) {
        x[i] = (unsigned char)test_random();
    }
    ew_gather_nd(x, p.index_type == EW_ELEMENT_S64 ? (const void *)indices64 : (const void *)indices32, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t b = 0; b < p.batches; ++b) {
        for (int32_t t = 0; t < p.tuples; ++t) {
            int32_t at = b * p.batch_bytes;
            for (int32_t axis = 0; axis < p.depth; ++axis) {
                const int32_t from = ((p.shared ? 0 : b) * p.tuples + t) * p.depth + axis;
                at += place(indices64[from], p.sizes[axis]) * p.strides[axis];
            }
            bad += memcmp(y + (b * p.tuples + t) * p.block_bytes, x + at, (size_t)p.block_bytes) != 0;
        }
    }
    TEST_CHECK(bad == 0, "%d blocks, depth %ld, block %ld", bad, (long)p.depth, (long)p.block_bytes);
}

static void check_elements(void)
{
    const int32_t rows = test_int(1, 5), columns = test_int(1, 5), more = test_int(1, 7);
    const int32_t taken = test_int(1, rows);
    /* the second axis of [rows][columns] by indices of [taken][more] */
    const ew_gather_elements_params p = {2, {taken, more}, {columns, 0}, columns, 1, 4, EW_ELEMENT_S64};
    make_indices(taken * more, columns);
    test_reset();
    const float *x = test_random_buffer(rows * columns);
    float *y = test_buffer(taken * more);
    ew_gather_elements(x, indices64, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < taken * more; ++i) {
        bad += y[i] != x[i / more * columns + place(indices64[i], columns)];
    }
    TEST_CHECK(bad == 0, "%d elements of %ldx%ld", bad, (long)taken, (long)more);
}

static void check_one_hot(void)
{
    static const int32_t types[] = {EW_ELEMENT_F32, EW_ELEMENT_S32, EW_ELEMENT_S64};
    static float floats[64];
    const int32_t outer = test_int(1, 4), depth = test_int(1, 6), inner = test_int(1, 4);
    const ew_one_hot_params p = {outer, depth, inner, 4, types[test_int(0, 2)]};
    make_indices(outer * inner, depth);
    for (int32_t i = 0; i < outer * inner; ++i) {
        floats[i] = test_int(0, 9) == 0 ? NAN : (float)indices64[i];
    }
    test_reset();
    const float values[2] = {-1.5f, 2.5f};
    float *y = test_buffer(outer * depth * inner);
    ew_one_hot(p.index_type == EW_ELEMENT_F32   ? (const void *)floats
               : p.index_type == EW_ELEMENT_S32 ? (const void *)indices32
                                                : (const void *)indices64,
               values, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < outer * depth * inner; ++i) {
        const int32_t from = i / (depth * inner) * inner + i % inner, d = i / inner % depth;
        const int none = p.index_type == EW_ELEMENT_F32 && isnan(floats[from]);
        bad += y[i] != (!none && (indices64[from] == d || indices64[from] == d - depth) ? 2.5f : -1.5f);
    }
    TEST_CHECK(bad == 0, "%d elements, type %ld", bad, (long)p.index_type);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 300; ++i) {
        check_nd();
        check_elements();
        check_one_hot();
    }
    return test_end();
}
