/* ew_unpool: indices inside and outside. */
#include "ew_unpool.h"
#include "ew_test.h"

int main(int argc, char **argv)
{
    static const int16_t x[5] = {1, 2, 3, 4, 5}, wanted[7] = {0, 4, 0, 2, 0, 0, 1};
    static const int64_t indices[5] = {6, 3, 7, 1, -1};
    static const ew_unpool_params p = {5, 7, 2, EW_ELEMENT_S64};
    int16_t y[9] = {9, 9, 9, 9, 9, 9, 9, 9, 9};
    test_begin(argc, argv);
    ew_unpool(x, indices, y + 1, &p);
    TEST_CHECK(memcmp(y + 1, wanted, sizeof wanted) == 0, "values");
    TEST_CHECK(y[0] == 9 && y[8] == 9, "outside");
    return test_end();
}
