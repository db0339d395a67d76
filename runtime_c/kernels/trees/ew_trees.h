/* Ensembles of decision trees: ew_trees_f32, ew_trees_f64. */
#ifndef EW_TREES_H
#define EW_TREES_H

#include "ew_base.h"

typedef enum ew_trees_mode {
    EW_TREES_LEQ = 0,
    EW_TREES_LT = 1,
    EW_TREES_GTE = 2,
    EW_TREES_GT = 3,
    EW_TREES_EQ = 4,
    EW_TREES_NEQ = 5,
    EW_TREES_MIXED = 6 /* each node has its own */
} ew_trees_mode;

typedef enum ew_trees_aggregate { EW_TREES_SUM = 0, EW_TREES_MIN = 1, EW_TREES_MAX = 2 } ew_trees_aggregate;

typedef struct {
    int32_t rows, features; /* of x; >= 1 */
    int32_t trees, targets; /* >= 1 */
    int32_t mode;           /* ew_trees_mode */
    int32_t tracks;         /* 1: there are nodes at which a NaN goes on as if the comparison were true */
    int32_t aggregate;      /* ew_trees_aggregate */
} ew_trees_params;

/* A node is an entry of three tables. Inside a tree: what the feature is compared with; the feature in bits 0 to 11, its
 * comparison in bits 12 to 14, and bit 15 where a NaN counts as true; the distance to the node for "false". That for
 * "true" is the next one. A leaf has the distance 0, a vote, and in bits 0 to 14 its target; bit 15: another vote of
 * the leaf follows. */
#define EW_TREES_FEATURE 0xfffu
#define EW_TREES_TARGET 0x7fffu
#define EW_TREES_FLAG 0x8000u

/* y[row][target] = the sum, least or largest of the trees' votes for each row of x [rows][features], T the type of x, values and y. Shapes: values,
 * features, jumps [nodes]; roots [trees], the first node of each. In a tree that aggregates by least or largest each leaf
 * has a vote for every target. Buffers do not overlap. */
#define EW_TREES_TYPE(S, T)                                                                                            \
    EW_INLINE int32_t ew_trees_is_true_##S(T x, T value, int32_t mode)                                                 \
    {                                                                                                                  \
        switch (mode) {                                                                                                \
        case EW_TREES_LEQ:                                                                                             \
            return x <= value;                                                                                         \
        case EW_TREES_LT:                                                                                              \
            return x < value;                                                                                          \
        case EW_TREES_GTE:                                                                                             \
            return x >= value;                                                                                         \
        case EW_TREES_GT:                                                                                              \
            return x > value;                                                                                          \
        case EW_TREES_EQ:                                                                                              \
            return x == value;                                                                                         \
        default:                                                                                                       \
            return x != value;                                                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    EW_INLINE int32_t ew_trees_leaf_##S(const T *x, const T *values, const uint16_t *features, const uint16_t *jumps,  \
                                    int32_t at, const ew_trees_params *p)                                              \
    {                                                                                                                  \
        while (jumps[at] != 0) {                                                                                       \
            const T value = x[features[at] & EW_TREES_FEATURE];                                                        \
            const int32_t mode = p->mode == EW_TREES_MIXED ? features[at] >> 12 & 7 : p->mode;                         \
            const int32_t is_tracked = p->tracks && value != value && (features[at] & EW_TREES_FLAG) != 0;             \
            at += ew_trees_is_true_##S(value, values[at], mode) || is_tracked ? 1 : jumps[at];                         \
        }                                                                                                              \
        return at;                                                                                                     \
    }                                                                                                                  \
    EW_INLINE void ew_trees_vote_##S(T *y, T vote, int32_t is_first, const ew_trees_params *p)                         \
    {                                                                                                                  \
        if (p->aggregate == EW_TREES_SUM) {                                                                            \
            *y += vote;                                                                                                \
        } else if (is_first || (p->aggregate == EW_TREES_MIN ? vote < *y : vote > *y)) {                               \
            *y = vote;                                                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    EW_KERNEL void ew_trees_##S(const T *restrict x, const T *restrict values, const uint16_t *restrict features,      \
                                const uint16_t *restrict jumps, const int32_t *restrict roots, T *restrict y,          \
                                const ew_trees_params *p)                                                              \
    {                                                                                                                  \
        for (int32_t row = 0; row < p->rows; ++row) {                                                                  \
            for (int32_t target = 0; target < p->targets; ++target) {                                                  \
                y[target] = 0;                                                                                         \
            }                                                                                                          \
            for (int32_t tree = 0; tree < p->trees; ++tree) {                                                          \
                int32_t at = ew_trees_leaf_##S(x, values, features, jumps, roots[tree], p);                            \
                ew_trees_vote_##S(y + (features[at] & EW_TREES_TARGET), values[at], tree == 0, p);                     \
                while ((features[at] & EW_TREES_FLAG) != 0) {                                                          \
                    ++at;                                                                                              \
                    ew_trees_vote_##S(y + (features[at] & EW_TREES_TARGET), values[at], tree == 0, p);                 \
                }                                                                                                      \
            }                                                                                                          \
            x += p->features;                                                                                          \
            y += p->targets;                                                                                           \
        }                                                                                                              \
    }

EW_TREES_TYPE(f32, float)
EW_TREES_TYPE(f64, double)

#endif
