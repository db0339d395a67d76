/* A table of keys and values: LabelEncoder. */
#ifndef EW_LOOKUP_H
#define EW_LOOKUP_H

#include "ew_base.h"

#include <string.h>

typedef struct {
    int32_t count;       /* elements of x; >= 1 */
    int32_t keys;        /* >= 0 */
    int32_t value_bytes; /* of an element of y */
} ew_lookup_params;

/* y[i] = the value of key x[i]. keys [keys], rising and no NaN; values [keys + 1], the last one of what is not found.
 * Buffers do not overlap. */
#define EW_LOOKUP_KERNEL(name, T)                                                                                   \
    EW_KERNEL void name(const T *restrict x, const T *restrict keys, const void *restrict values, void *restrict y, \
                        const ew_lookup_params *p)                                                                  \
    {                                                                                                               \
        for (int32_t i = 0; i < p->count; ++i) {                                                                    \
            int32_t low = 0, high = p->keys; /* the first key that is not less than x[i] */                         \
            while (low < high) {                                                                                    \
                const int32_t middle = low + (high - low) / 2;                                                      \
                const int32_t is_less = keys[middle] < x[i];                                                        \
                low = is_less ? middle + 1 : low;                                                                   \
                high = is_less ? high : middle;                                                                     \
            }                                                                                                       \
            const int32_t place = low < p->keys && keys[low] == x[i] ? low : p->keys;                               \
            memcpy((unsigned char *)y + i * p->value_bytes, (const unsigned char *)values + place * p->value_bytes, \
                   (size_t)p->value_bytes);                                                                         \
        }                                                                                                           \
    }

EW_LOOKUP_KERNEL(ew_lookup_s16, int16_t)
EW_LOOKUP_KERNEL(ew_lookup_s32, int32_t)
EW_LOOKUP_KERNEL(ew_lookup_s64, int64_t)
EW_LOOKUP_KERNEL(ew_lookup_f32, float)
EW_LOOKUP_KERNEL(ew_lookup_f64, double)

#endif
