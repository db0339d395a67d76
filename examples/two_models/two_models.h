/* What two_models.c offers to the rest of an application. One call at a time: both use one arena. */
#ifndef TWO_MODELS_H
#define TWO_MODELS_H

#include <stddef.h>

enum { N_PIXELS = 64, N_DIGITS = 10, N_FEATURES = 490, N_WORDS = 12 };

/* Each returns 1, or 0 where a pointer is NULL or not aligned. */
int read_digit(const float image[N_PIXELS], float probabilities[N_DIGITS]);
int hear_word(const float features[N_FEATURES], float probabilities[N_WORDS]);

/* Bytes of the arena that both work in. */
size_t shared_bytes(void);

#endif
