/* ew_tfidf on rows whose counts are known. */
#include "ew_tfidf.h"
#include "ew_test.h"

int main(int argc, char **argv)
{
    static const int64_t x[12] = {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8};
    static const int32_t pool[10] = {2, 3, 5, 4, 5, 6, 7, 8, 6, 7};
    static const int32_t table[14] = {1, 0, 1, 1, 1, 2, 1, 3, 2, 4, 2, 5, 2, 6};
    static const float weights[7] = {1.0f, 2.0f, 3.0f, 4.0f, 0.5f, 0.25f, 1.5f};
    static const float counts[14] = {0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1};
    static const float once[7] = {0, 2, 0, 0, 0, 0, 0};
    static const ew_tfidf_params plain = {2, 6, 7, 7, 5, 0, EW_ELEMENT_S64}, idf = {1, 6, 7, 7, 0, 1, EW_ELEMENT_S64};
    test_begin(argc, argv);
    test_reset();
    float *y = test_buffer(14);
    ew_tfidf(x, pool, table, NULL, y, &plain);
    TEST_CHECK(memcmp(y, counts, sizeof counts) == 0, "counts");
    ew_tfidf(x, pool, table, weights, y, &idf);
    TEST_CHECK(memcmp(y, once, sizeof once) == 0, "found or not");
    test_guards();
    return test_end();
}
