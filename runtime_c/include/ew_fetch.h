/* Weights on their way from slow memory to fast, for networks generated with --stage-weights.
 *
 * Around a step, the network calls ew_fetch_begin once for each array that the next step needs, and ew_fetch_end after
 * the step. Until ew_fetch_end returns, nothing reads `dst` and nothing else writes it.
 *
 * By default ew_fetch_begin copies at once. An application with a DMA controller compiles model.c with
 * -DEW_FETCH_CUSTOM and defines both functions: begin queues a transfer, end waits for all that are queued. What caches
 * then need is its business. `dst` and `src` are aligned to 16 bytes; `n_bytes` is any number. */
#ifndef EW_FETCH_H
#define EW_FETCH_H

#include <stddef.h>

#include "ew_base.h"

#ifdef EW_FETCH_CUSTOM
void ew_fetch_begin(void *dst, const void *src, size_t n_bytes);
void ew_fetch_end(void);
#else
#include <string.h>

EW_INLINE void ew_fetch_begin(void *dst, const void *src, size_t n_bytes)
{
    memcpy(dst, src, n_bytes);
}

EW_INLINE void ew_fetch_end(void)
{
}
#endif

#endif
