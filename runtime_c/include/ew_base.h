/* What every generated file and every kernel shares: status codes, linkage and alignment. No code. */
#ifndef EW_BASE_H
#define EW_BASE_H

#include <stddef.h>
#include <stdint.h>

/* What the functions of a generated model return. */
typedef enum ew_status {
    EW_OK = 0,
    EW_BAD_ARGUMENT = 1 /* a buffer is NULL or not aligned for its type; nothing was written */
} ew_status;

/* Linkage of a kernel. By default its body is inlined into each layer, where every shape is a literal and the
 * compiler folds it. A library build (SConstruct) defines EW_KERNEL to nothing, for external linkage. */
#ifndef EW_KERNEL
#define EW_KERNEL static inline __attribute__((always_inline))
#endif

#define EW_INLINE static inline __attribute__((always_inline, unused))
#define EW_ARENA_ALIGN 16 /* bytes; the widest load of any kernel */
#define EW_ALIGN(n_bytes) __attribute__((aligned(n_bytes)))
#define EW_SECTION(name) __attribute__((section(name))) /* where the linker script puts an arena, or weights */

/* Highest rank that the n-dimensional kernels take. */
#define EW_MAX_RANK 8

#endif
