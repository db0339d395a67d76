/* ew_copy_nd, exact: permuted, reversed and repeated dimensions, blocks of every size. */
#include "ew_copy_nd.h"
#include "ew_test.h"

static void check(void)
{
    static const int32_t blocks[] = {1, 2, 4, 8, 3, 5, 12, 16};
    ew_copy_nd_params p = {0};
    p.rank = test_int(0, 5);
    p.block_bytes = blocks[test_int(0, 7)];
    int32_t order[5] = {0, 1, 2, 3, 4};
    int32_t blocks_out = 1, x_bytes = p.block_bytes, y_bytes = p.block_bytes;
    for (int32_t axis = p.rank - 1; axis >= 0; --axis) {
        p.dims[axis] = test_int(1, 4);
        p.y_strides[axis] = y_bytes;
        y_bytes *= p.dims[axis];
        blocks_out *= p.dims[axis];
        const int32_t other = test_int(axis, p.rank - 1), kept = order[axis]; /* a random permutation */
        order[axis] = order[other];
        order[other] = kept;
    }
    for (int32_t i = 0; i < p.rank; ++i) {
        const int32_t axis = order[i], kind = test_int(0, 3);
        p.x_strides[axis] = kind == 0 ? 0 : kind == 1 ? -x_bytes : x_bytes;
        p.x_offset += kind == 1 ? x_bytes * (p.dims[axis] - 1) : 0;
        x_bytes *= kind == 0 ? 1 : p.dims[axis];
    }
    p.y_offset = p.block_bytes * test_int(0, 2);
    y_bytes += p.y_offset + 8;
    p.x_offset += p.block_bytes;
    x_bytes += p.block_bytes;

    test_reset();
    unsigned char *x = (unsigned char *)test_buffer((x_bytes + 3) / 4);
    unsigned char *y = (unsigned char *)test_buffer((y_bytes + 3) / 4);
    for (int32_t i = 0; i < x_bytes; ++i) {
        x[i] = (unsigned char)test_random();
    }
    memset(y, 0x5a, (size_t)y_bytes);
    ew_copy_nd(x, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < blocks_out; ++i) {
        int32_t rest = i, x_at = p.x_offset, y_at = p.y_offset;
        for (int32_t axis = p.rank - 1; axis >= 0; --axis) {
            x_at += rest % p.dims[axis] * p.x_strides[axis];
            y_at += rest % p.dims[axis] * p.y_strides[axis];
            rest /= p.dims[axis];
        }
        for (int32_t b = 0; b < p.block_bytes; ++b) {
            bad += y[y_at + b] != x[x_at + b];
        }
    }
    for (int32_t i = 0; i < y_bytes; ++i) { /* nothing before or after the blocks was touched */
        bad += (i < p.y_offset || i >= p.y_offset + blocks_out * p.block_bytes) && y[i] != 0x5a;
    }
    TEST_CHECK(bad == 0, "%d bytes, rank %ld, block %ld", bad, (long)p.rank, (long)p.block_bytes);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 600; ++i) {
        check();
    }
    return test_end();
}
