/* The batch memory, and the requests that fill it, run samples and read results. For the files of the link itself. */
#ifndef EW_LINK_BATCH_H
#define EW_LINK_BATCH_H

#include <stdint.h>

#include "ew_link_frame.h"

typedef struct {
    uint32_t capacity;     /* samples that fit */
    uint32_t memory_bytes; /* for them */
    uint32_t runs;         /* inferences since boot */
} ew_link_batches;

extern ew_link_batches ew_link_batch;

/* Shares out the batch memory. */
void ew_link_batch_start(const ew_link_model *model);

/* Ends all RUNs without an answer: a new session has begun. */
void ew_link_batch_forget(void);

void ew_link_on_load(const ew_link_request *req);
void ew_link_on_run(const ew_link_request *req);
void ew_link_on_read(const ew_link_request *req);

/* Does what was asked to RUN; answers requests in between. */
void ew_link_run_waiting(void);

#endif
