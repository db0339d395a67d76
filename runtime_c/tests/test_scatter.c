/* Scatters, exact: every reduction and type, in place too, indices far outside. */
#include "ew_scatter_elements.h"
#include "ew_scatter_nd.h"
#include "ew_test.h"

#define SIZE_MAX_ELEMS 64

static int64_t indices[SIZE_MAX_ELEMS];

static void make_indices(int32_t count, int32_t size)
{
    for (int32_t i = 0; i < count; ++i) {
        const int64_t far = test_int(0, 1) ? INT64_MAX - 5 : INT64_MIN + 5;
        indices[i] = test_int(0, 7) == 0 ? far : test_int(-size - 2, size + 2);
    }
}

/* -1 for what is outside. */
static int32_t place(int64_t index, int32_t size)
{
    index += index < 0 ? size : 0;
    return index < 0 || index >= size ? -1 : (int32_t)index;
}

/* Numbers that are exact in all three types. */
static void store(int32_t type, void *buffer, int32_t at, int32_t number)
{
    if (type == EW_ELEMENT_F32) {
        ((float *)buffer)[at] = (float)number;
    } else if (type == EW_ELEMENT_S32) {
        ((int32_t *)buffer)[at] = number;
    } else {
        ((int64_t *)buffer)[at] = number;
    }
}

static int32_t load(int32_t type, const void *buffer, int32_t at)
{
    return type == EW_ELEMENT_F32   ? (int32_t)((const float *)buffer)[at]
           : type == EW_ELEMENT_S32 ? ((const int32_t *)buffer)[at]
                                    : (int32_t)((const int64_t *)buffer)[at];
}

static int32_t joined(int32_t reduction, int32_t y, int32_t update)
{
    switch (reduction) {
    case EW_SCATTER_ADD:
        return y + update;
    case EW_SCATTER_MUL:
        return y * update;
    case EW_SCATTER_MAX:
        return update > y ? update : y;
    case EW_SCATTER_MIN:
        return update < y ? update : y;
    default:
        return update;
    }
}

/* [rows][columns], and at most 4 updates an element: products stay below 2^24. */
static void check(void)
{
    static const int32_t types[] = {EW_ELEMENT_F32, EW_ELEMENT_S32, EW_ELEMENT_S64};
    static int32_t want[SIZE_MAX_ELEMS];
    const int32_t rows = test_int(1, 5), columns = test_int(1, 5), updates = test_int(1, 4);
    const int32_t type = types[test_int(0, 2)], reduction = test_int(EW_SCATTER_NONE, EW_SCATTER_MIN);
    const int32_t bytes = type == EW_ELEMENT_S64 ? 8 : 4;
    const int32_t kind = test_int(0, 2); /* rows or elements by tuples, or elements along the second axis */
    const int32_t height = kind == 0 ? 0 : test_int(1, rows);
    const int32_t given = kind == 0 ? updates * columns : kind == 1 ? updates : height * updates;
    test_reset();
    void *x = test_buffer(rows * columns * 2), *y = test_buffer(rows * columns * 2), *u = test_buffer(given * 2);
    for (int32_t i = 0; i < rows * columns; ++i) {
        want[i] = test_int(-9, 9);
        store(type, x, i, want[i]);
    }
    for (int32_t i = 0; i < given; ++i) {
        store(type, u, i, test_int(-9, 9));
    }
    make_indices(kind == 1 ? 2 * updates : given, 5);
    for (int32_t i = 0; i < given; ++i) {
        int32_t at;
        if (kind == 0) {
            const int32_t row = place(indices[i / columns], rows);
            at = row < 0 ? -1 : row * columns + i % columns;
        } else if (kind == 1) {
            const int32_t row = place(indices[2 * i], rows), column = place(indices[2 * i + 1], columns);
            at = row < 0 || column < 0 ? -1 : row * columns + column;
        } else {
            const int32_t column = place(indices[i], columns);
            at = column < 0 ? -1 : i / updates * columns + column;
        }
        if (at >= 0) {
            want[at] = joined(reduction, want[at], load(type, u, i));
        }
    }
    void *result = test_int(0, 1) ? x : y; /* in place, or not */
    if (kind == 2) {
        const ew_scatter_elements_params p = {rows * columns, 2, {height, updates}, {columns, 0}, columns, 1, bytes,
                                              EW_ELEMENT_S64, reduction, type};
        ew_scatter_elements(x, indices, u, result, &p);
    } else {
        const int32_t block = kind == 0 ? columns * bytes : bytes;
        const ew_scatter_nd_params p = {rows * columns * bytes, updates, kind + 1, {rows, columns},
                                        {columns * bytes, bytes}, block, EW_ELEMENT_S64, reduction, type};
        ew_scatter_nd(x, indices, u, result, &p);
    }
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < rows * columns; ++i) {
        bad += load(type, result, i) != want[i];
    }
    TEST_CHECK(bad == 0, "%d elements, kind %ld, reduction %ld, type %ld", bad, (long)kind, (long)reduction, (long)type);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 1000; ++i) {
        check();
    }
    return test_end();
}
