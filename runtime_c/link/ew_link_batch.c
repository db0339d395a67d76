#include "ew_link_batch.h"

#include <stdbool.h>
#include <string.h>

#include "ew_port.h"

#define REGION_ALIGN_BYTES 16u /* so that each region starts where vector loads may */
#define TICK_BYTES 8u
#define STEP_TICK_BYTES 4u
#define RUN_STEPS 32u /* in one RUN, at most: a network cut into bands may have hundreds */
#define PROGRESS_PER_SECOND 4u

_Static_assert(EW_LINK_STEPS >= 0 && EW_LINK_STEPS <= 65535, "EW_LINK_STEPS is 0 to 65,535");

ew_link_batches ew_link_batch;

typedef enum { RUN_NONE = 0, RUN_WAITS, RUN_GOES_ON, RUN_IS_DONE } run_state;

/* One RUN: what was asked and what came of it. */
typedef struct {
    run_state state;
    uint32_t number; /* the host's */
    uint16_t seq;    /* of the last request with this number: the answer repeats it */
    uint32_t first, count;
    uint32_t first_step, stop_step; /* of an inference step by step; of any other 0 */
    uint32_t status, done, runs_before;
} run;

static struct {
    const ew_link_model *model;
    uint8_t *inputs, *outputs, *ticks; /* capacity inputs, capacity outputs, capacity tick counts */

    /* The RUNs known, an even number's and an odd one's: while one goes on the next may wait. The same number again
     * gets the same answer, not the same work. */
    run known_runs[2];

#if EW_LINK_STEPS > 0
    uint32_t steps_done, sample; /* of the inference that the arena holds: the first steps are done, of this sample */
    uint8_t step_ticks[(EW_LINK_STEPS < RUN_STEPS ? EW_LINK_STEPS : RUN_STEPS) * STEP_TICK_BYTES]; /* of the last RUN */
#endif
} batch;

/* ---- the memory ---- */

static uint64_t region_end(uint64_t start, uint64_t n_bytes) {
    return (start + n_bytes + REGION_ALIGN_BYTES - 1u) / REGION_ALIGN_BYTES * REGION_ALIGN_BYTES;
}

/* Shares out the batch memory. 64-bit sums: each term is below 2^33, so nothing wraps; a region of more than
 * UINT32_MAX bytes could not be addressed on the line, so memory beyond that is left alone. */
static void share_out_memory(void) {
    const uint64_t input = batch.model->input_bytes;
    const uint64_t output = batch.model->output_bytes;
    size_t available = 0;
    uint8_t *memory = ew_port_batch_memory(&available);
    const uint64_t total = available > UINT32_MAX ? UINT32_MAX : available;
    uint64_t capacity = total / (input + output + TICK_BYTES);
    while (capacity > 0u &&
           region_end(region_end(0, capacity * input), capacity * output) + capacity * TICK_BYTES > total) {
        capacity--; /* the alignment of two regions costs at most two samples of 24 bytes */
    }
    ew_link_batch.memory_bytes = (uint32_t)total;
    ew_link_batch.capacity = memory == NULL ? 0u : (uint32_t)capacity;
    if (ew_link_batch.capacity > 0u) {
        const uint64_t outputs_at = region_end(0, capacity * input);
        batch.inputs = memory;
        batch.outputs = memory + outputs_at;
        batch.ticks = memory + region_end(outputs_at, capacity * output);
    }
}

void ew_link_batch_start(const ew_link_model *model) {
    memset(&batch, 0, sizeof batch);
    memset(&ew_link_batch, 0, sizeof ew_link_batch);
    batch.model = model;
    share_out_memory();
}

void ew_link_batch_forget(void) {
    memset(batch.known_runs, 0, sizeof batch.known_runs);
#if EW_LINK_STEPS > 0
    batch.steps_done = 0;
#endif
}

/* ---- the requests ---- */

void ew_link_on_load(const ew_link_request *req) {
    const uint32_t region_bytes = ew_link_batch.capacity * batch.model->input_bytes; /* share_out_memory bounds it */
    uint32_t offset;
    uint32_t n_bytes;
    if (req->size < 5u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    offset = ew_link_get_u32(req->body);
    n_bytes = req->size - 4u;
    if (offset > region_bytes || n_bytes > region_bytes - offset) {
        ew_link_refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    memcpy(batch.inputs + offset, req->body + 4, n_bytes);
    ew_link_reply(req, ew_link_body());
}

/* Runs one sample of the batch and notes its ticks. */
static ew_status run_sample(uint32_t index) {
    const uint8_t *input = batch.inputs + index * batch.model->input_bytes;
    uint8_t *output = batch.outputs + index * batch.model->output_bytes;
    const uint64_t before = ew_port_ticks();
    ew_status status;
    uint64_t elapsed;
#if EW_LINK_STEPS > 0
    batch.steps_done = 0;
#endif
    ew_port_roi_begin();
    status = ew_link_invoke(input, output);
    ew_port_roi_end();
    elapsed = ew_port_ticks() - before;
    ew_link_put_u32(ew_link_put_u32(batch.ticks + index * TICK_BYTES, (uint32_t)elapsed), (uint32_t)(elapsed >> 32));
    ew_link_batch.runs++;
    return status;
}

#if EW_LINK_STEPS > 0
/* Runs some steps of a sample and notes the ticks of each: from the first on, or from where the arena's inference is. */
static ew_status run_steps(const run *r) {
    const uint8_t *input = batch.inputs + r->first * batch.model->input_bytes;
    uint8_t *output = batch.outputs + r->first * batch.model->output_bytes;
    ew_status status = EW_OK;
    if (r->first_step != 0u && (r->first_step != batch.steps_done || r->first != batch.sample)) {
        return EW_BAD_ARGUMENT;
    }
    batch.sample = r->first;
    for (uint32_t step = r->first_step; step < r->stop_step && status == EW_OK; step++) {
        const uint64_t before = ew_port_ticks();
        uint64_t elapsed;
        status = ew_link_step(step, input, output);
        elapsed = ew_port_ticks() - before;
        ew_link_put_u32(batch.step_ticks + (step - r->first_step) * STEP_TICK_BYTES,
                        elapsed < UINT32_MAX ? (uint32_t)elapsed : UINT32_MAX);
        batch.steps_done = step + 1u;
        ew_port_alive();
    }
    return status;
}
#else
static ew_status run_steps(const run *r) {
    (void)r;
    return EW_BAD_ARGUMENT;
}
#endif

static void send_progress(const run *r) {
    ew_link_send(EW_LINK_PROGRESS, r->seq, ew_link_put_u32(ew_link_body(), r->done));
}

static void answer_run(const run *r) {
    uint8_t *p = ew_link_put_u32(ew_link_body(), r->status);
    p = ew_link_put_u32(p, r->done);
    ew_link_send((uint32_t)EW_LINK_RUN | EW_LINK_REPLY, r->seq, ew_link_put_u32(p, r->runs_before));
}

/* Accepts a RUN and says so by a PROGRESS; the work is done by ew_link_run_waiting, when no request is under way. */
void ew_link_on_run(const ew_link_request *req) {
    uint32_t number;
    uint32_t first;
    uint32_t count;
    uint32_t first_step = 0;
    uint32_t stop_step = 0;
    run *r;
    if (req->size != 12u && req->size != 20u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    number = ew_link_get_u32(req->body);
    first = ew_link_get_u32(req->body + 4);
    count = ew_link_get_u32(req->body + 8);
    if (number == 0u || count == 0u || first >= ew_link_batch.capacity || count > ew_link_batch.capacity - first) {
        ew_link_refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    if (req->size == 20u) {
        first_step = ew_link_get_u32(req->body + 12);
        stop_step = ew_link_get_u32(req->body + 16);
        if (count != 1u || stop_step > EW_LINK_STEPS || first_step >= stop_step ||
            stop_step - first_step > RUN_STEPS) {
            ew_link_refuse(req, EW_LINK_NAK_RANGE);
            return;
        }
    }
    r = &batch.known_runs[number % 2u];
    if (r->state == RUN_NONE || r->number != number) {
        if (r->state == RUN_WAITS || r->state == RUN_GOES_ON) {
            ew_link_refuse(req, EW_LINK_NAK_BUSY);
            return;
        }
        if (r->state == RUN_IS_DONE && number - r->number > UINT32_MAX / 2u) { /* older: its samples are gone */
            ew_link_refuse(req, EW_LINK_NAK_RANGE);
            return;
        }
        memset(r, 0, sizeof *r);
        r->state = RUN_WAITS;
        r->number = number;
        r->first = first;
        r->count = count;
        r->first_step = first_step;
        r->stop_step = stop_step;
    }
    r->seq = req->seq;
    if (r->state == RUN_IS_DONE) {
        answer_run(r);
    } else {
        send_progress(r);
    }
}

/* The memory of a READ's region, and its size; NULL where there is no such region. */
static const uint8_t *region_of(uint32_t number, uint32_t *n_bytes) {
    if (number == EW_LINK_REGION_OUTPUTS) {
        *n_bytes = ew_link_batch.capacity * batch.model->output_bytes;
        return batch.outputs;
    }
    if (number == EW_LINK_REGION_TICKS) {
        *n_bytes = ew_link_batch.capacity * TICK_BYTES;
        return batch.ticks;
    }
#if EW_LINK_STEPS > 0
    if (number == EW_LINK_REGION_STEP_TICKS) {
        *n_bytes = sizeof batch.step_ticks;
        return batch.step_ticks;
    }
    if (number >= EW_LINK_REGION_ARENA) {
        return ew_link_arena(number - EW_LINK_REGION_ARENA, n_bytes);
    }
#endif
    return NULL;
}

void ew_link_on_read(const ew_link_request *req) {
    const uint8_t *region;
    uint32_t region_bytes = 0;
    uint32_t offset;
    uint32_t n_bytes;
    if (req->size != 12u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    region = region_of(ew_link_get_u32(req->body), &region_bytes);
    offset = ew_link_get_u32(req->body + 4);
    n_bytes = ew_link_get_u32(req->body + 8);
    if (region == NULL || n_bytes == 0u || n_bytes > EW_LINK_MAX_BODY || offset > region_bytes ||
        n_bytes > region_bytes - offset) {
        ew_link_refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    ew_link_reply(req, ew_link_put_bytes(ew_link_body(), region + offset, n_bytes));
}

/* Answers what came during an inference. No more than the port can hold: a host that never stops sending does not
 * keep the samples waiting for ever. */
static void take_what_came(void) {
    uint8_t bytes[EW_LINK_READ_CHUNK_BYTES];
    size_t taken = 0;
    while (taken < EW_PORT_RX_BUFFER_BYTES) {
        const size_t n_bytes = ew_port_read_now(bytes, sizeof bytes);
        if (n_bytes == 0u) {
            return;
        }
        ew_link_take(bytes, n_bytes);
        taken += n_bytes;
    }
}

/* ---- running ---- */

/* Runs the samples of `r`, answering requests in between; a HELLO of another session ends it, without an answer. */
static void run_samples(run *r) {
    const uint64_t interval = ew_port_timer_hz() / PROGRESS_PER_SECOND;
    uint64_t reported = ew_port_ticks();
    r->state = RUN_GOES_ON;
    r->runs_before = ew_link_batch.runs;
    while (r->done < r->count && r->status == EW_OK) {
        const ew_status status = r->stop_step > 0u ? run_steps(r) : run_sample(r->first + r->done);
        const uint64_t now = ew_port_ticks();
        r->status = (uint32_t)status;
        r->done += status == EW_OK ? 1u : 0u;
        ew_port_alive();
        take_what_came();
        if (r->state != RUN_GOES_ON) {
            return;
        }
        if (now - reported >= interval && r->done < r->count) {
            reported = now;
            send_progress(r);
        }
    }
    r->state = RUN_IS_DONE;
    answer_run(r);
}

/* The older of two first. */
void ew_link_run_waiting(void) {
    for (;;) {
        run *a = &batch.known_runs[0];
        run *b = &batch.known_runs[1];
        if (a->state == RUN_WAITS && (b->state != RUN_WAITS || a->number - b->number > UINT32_MAX / 2u)) {
            run_samples(a);
        } else if (b->state == RUN_WAITS) {
            run_samples(b);
        } else {
            return;
        }
    }
}
