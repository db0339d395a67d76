/* What the scatter kernels share: how an update joins an element. */
#ifndef EW_SCATTER_H
#define EW_SCATTER_H

#include "ew_base.h"
#include "ew_elements.h"

#include <string.h>

typedef enum ew_scatter_reduction {
    EW_SCATTER_NONE = 0, /* the update takes the element's place */
    EW_SCATTER_ADD = 1,
    EW_SCATTER_MUL = 2,
    EW_SCATTER_MAX = 3, /* the element where neither is larger */
    EW_SCATTER_MIN = 4
} ew_scatter_reduction;

EW_INLINE float ew_scatter_value_f32(int32_t reduction, float y, float update)
{
    switch (reduction) {
    case EW_SCATTER_ADD:
        return y + update;
    case EW_SCATTER_MUL:
        return y * update;
    case EW_SCATTER_MAX:
        return update > y ? update : y;
    default:
        return update < y ? update : y;
    }
}

/* Sums and products of integers wrap around. */
EW_INLINE int64_t ew_scatter_value_s64(int32_t reduction, int64_t y, int64_t update)
{
    switch (reduction) {
    case EW_SCATTER_ADD:
        return (int64_t)((uint64_t)y + (uint64_t)update);
    case EW_SCATTER_MUL:
        return (int64_t)((uint64_t)y * (uint64_t)update);
    case EW_SCATTER_MAX:
        return update > y ? update : y;
    default:
        return update < y ? update : y;
    }
}

EW_INLINE int32_t ew_scatter_value_s32(int32_t reduction, int32_t y, int32_t update)
{
    switch (reduction) {
    case EW_SCATTER_ADD:
        return (int32_t)((uint32_t)y + (uint32_t)update);
    case EW_SCATTER_MUL:
        return (int32_t)((uint32_t)y * (uint32_t)update);
    case EW_SCATTER_MAX:
        return update > y ? update : y;
    default:
        return update < y ? update : y;
    }
}

/* `bytes` of updates, from byte `from` on, join those from byte `to` on. `type`: EW_ELEMENT_F32, _S32 or _S64; of no
 * meaning for EW_SCATTER_NONE. */
EW_INLINE void ew_scatter_block(int32_t reduction, int32_t type, const void *restrict updates, int32_t from, void *y,
                                int32_t to, int32_t bytes)
{
    if (reduction == EW_SCATTER_NONE) {
        memcpy((unsigned char *)y + to, (const unsigned char *)updates + from, (size_t)bytes);
    } else if (type == EW_ELEMENT_F32) {
        const float *source = (const float *)updates + from / 4;
        float *target = (float *)y + to / 4;
        for (int32_t i = 0; i < bytes / 4; ++i) {
            target[i] = ew_scatter_value_f32(reduction, target[i], source[i]);
        }
    } else if (type == EW_ELEMENT_S32) {
        const int32_t *source = (const int32_t *)updates + from / 4;
        int32_t *target = (int32_t *)y + to / 4;
        for (int32_t i = 0; i < bytes / 4; ++i) {
            target[i] = ew_scatter_value_s32(reduction, target[i], source[i]);
        }
    } else {
        const int64_t *source = (const int64_t *)updates + from / 8;
        int64_t *target = (int64_t *)y + to / 8;
        for (int32_t i = 0; i < bytes / 8; ++i) {
            target[i] = ew_scatter_value_s64(reduction, target[i], source[i]);
        }
    }
}

#endif
