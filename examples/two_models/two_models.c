/* Two networks in one program, and one arena for both: see README.md.
 *
 * They run one after the other, and an arena holds nothing from one inference to the next, so the larger of the two is
 * enough. The compiler knows both sizes. */
#include "two_models.h"

#include "digits/model.h"
#include "keywords/model.h"

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

static EW_ALIGN(EW_ARENA_ALIGN) uint8_t arena[LARGER(DIGITS_ARENA_BYTES, KEYWORDS_ARENA_BYTES)];

_Static_assert(sizeof arena >= DIGITS_ARENA_BYTES && sizeof arena >= KEYWORDS_ARENA_BYTES, "one arena serves both");
_Static_assert(DIGITS_PROBABILITIES_ELEMS == N_DIGITS && KEYWORDS_PROBABILITIES_ELEMS == N_WORDS, "other models");

int read_digit(const float image[N_PIXELS], float probabilities[N_DIGITS])
{
    return digits_run_in(arena, image, probabilities) == EW_OK;
}

int hear_word(const float features[N_FEATURES], float probabilities[N_WORDS])
{
    return keywords_run_in(arena, features, probabilities) == EW_OK;
}

size_t shared_bytes(void)
{
    return sizeof arena;
}
