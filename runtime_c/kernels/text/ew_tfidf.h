/* Counts of n-grams in rows of tokens: TfIdfVectorizer. */
#ifndef EW_TFIDF_H
#define EW_TFIDF_H

#include "ew_base.h"
#include "ew_elements.h"

typedef struct {
    int32_t rows, tokens;  /* of x; >= 1 */
    int32_t columns;       /* of y; >= 1 */
    int32_t grams;         /* >= 0 */
    int32_t skips;         /* tokens that may lie between two of an n-gram, at most */
    int32_t once;          /* 1: an n-gram counts as found or not */
    int32_t index_type;    /* ew_element_type of x; an integer */
} ew_tfidf_params;

/* How often `length` tokens of x, from row_start on, are those of a gram, `apart` from each other. */
EW_INLINE int32_t ew_tfidf_count(const void *x, int32_t row_start, const int32_t *gram, int32_t length, int32_t apart,
                                 const ew_tfidf_params *p)
{
    int32_t found = 0;
    for (int32_t at = 0; at + apart * (length - 1) < p->tokens; ++at) {
        int32_t i = 0;
        while (i < length && ew_load_index(p->index_type, x, row_start + at + i * apart) == gram[i]) {
            ++i;
        }
        found += i == length;
    }
    return found;
}

/* y[row, column] = weights[column] * the number of the column's n-grams in a row of x [rows][tokens]. pool holds the
 * n-grams' tokens, one after the other; table [grams][2] the length and the column of each; weights [columns] or NULL
 * (1). Buffers do not overlap. */
EW_KERNEL void ew_tfidf(const void *restrict x, const int32_t *restrict pool, const int32_t *restrict table,
                        const float *restrict weights, float *restrict y, const ew_tfidf_params *p)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        const int32_t *gram = pool;
        for (int32_t column = 0; column < p->columns; ++column) {
            y[column] = 0.0f;
        }
        for (int32_t g = 0; g < p->grams; ++g) {
            const int32_t length = table[2 * g], furthest = length > 1 ? p->skips + 1 : 1;
            for (int32_t apart = 1; apart <= furthest; ++apart) {
                y[table[2 * g + 1]] += (float)ew_tfidf_count(x, row * p->tokens, gram, length, apart, p);
            }
            gram += length;
        }
        for (int32_t column = 0; column < p->columns; ++column) {
            const float count = p->once && y[column] > 0.0f ? 1.0f : y[column];
            y[column] = weights ? weights[column] * count : count;
        }
        y += p->columns;
    }
}

#endif
