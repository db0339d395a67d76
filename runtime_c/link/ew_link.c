#include "ew_link.h"

#include <stdbool.h>
#include <string.h>

#include "ew_crc32.h"
#include "ew_port.h"

_Static_assert(EW_LINK_MAX_BODY >= 128 && EW_LINK_MAX_BODY <= 65536, "EW_LINK_MAX_BODY is 128 to 65,536");

#define MAX_ENCODED EW_COBS_ENCODED_MAX(EW_LINK_MAX_PAYLOAD)
#define HELLO_FIXED_BYTES 98u    /* HELLO reply up to the name */
#define DESCRIBE_FIXED_BYTES 14u /* DESCRIBE reply without dims and name */
#define REGION_ALIGN_BYTES 16u   /* so that each region starts where vector loads may */
#define TICK_BYTES 8u
#define PROGRESS_PER_SECOND 4u
#define BAUD_TRIAL_BYTES 64u /* without a whole frame among them a new baud rate is given up; later more may be damaged */
#define BAUD_LOST_BYTES (2u * MAX_ENCODED)

typedef enum { RUN_NONE = 0, RUN_WAITS, RUN_GOES_ON, RUN_IS_DONE } run_state;

/* One RUN: what was asked and what came of it. */
typedef struct {
    run_state state;
    uint32_t number; /* the host's */
    uint16_t seq;    /* of the last request with this number: the answer repeats it */
    uint32_t first, count;
    uint32_t status, done, runs_before;
} run;

static struct {
    const ew_link_model *model;

    /* Batch memory: capacity inputs, capacity outputs, capacity tick counts. */
    uint8_t *inputs, *outputs, *ticks;
    uint32_t capacity;
    uint32_t batch_memory_bytes;

    uint32_t session; /* the host's number, 0 = no HELLO since the last reset */
    uint32_t runs;    /* inferences since boot */

    /* The RUNs known, an even number's and an odd one's: while one goes on the next may wait. The same number again
     * gets the same answer, not the same work. */
    run known_runs[2];

    /* Counted within a session. */
    uint32_t frames_received, frames_sent, crc_errors, framing_errors;

    size_t baud_bytes_left; /* that may come without a whole frame before the rate of the start returns; 0: it is set */

    size_t rx_bytes;
    bool rx_overflow; /* the frame under way is too long; dropped up to its delimiter */
    uint8_t rx[MAX_ENCODED];

    /* The payload is built behind a gap that lets COBS encode it towards the front, in place. The last byte is
     * room for the delimiter. */
    uint8_t tx[MAX_ENCODED + 1];
} link;

/* A request that passed its CRC. */
typedef struct {
    uint8_t type;
    uint16_t seq;
    const uint8_t *body;
    uint32_t size;
} request;

/* ---- little-endian fields ---- */

static uint32_t get_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get_u32(const uint8_t *p) {
    return get_u16(p) | get_u16(p + 2) << 16;
}

static uint8_t *put_u8(uint8_t *p, uint32_t value) {
    *p = (uint8_t)(value & 0xFFu);
    return p + 1;
}

static uint8_t *put_u16(uint8_t *p, uint32_t value) {
    return put_u8(put_u8(p, value), value >> 8);
}

static uint8_t *put_u32(uint8_t *p, uint32_t value) {
    return put_u16(put_u16(p, value), value >> 16);
}

static uint8_t *put_bytes(uint8_t *p, const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes > 0u) {
        memcpy(p, bytes, n_bytes);
    }
    return p + n_bytes;
}

/* A length u16 of the whole text, then as much of it as `room` takes, cut between UTF-8 characters. */
static uint8_t *put_text(uint8_t *p, const char *text, size_t room) {
    size_t length = 0;
    size_t kept;
    while (length < 0xFFFFu && text[length] != '\0') {
        length++;
    }
    kept = length < room ? length : room;
    if (kept < length) {
        while (kept > 0u && ((unsigned char)text[kept] & 0xC0u) == 0x80u) {
            kept--;
        }
    }
    p = put_u16(p, (uint32_t)length);
    return put_bytes(p, (const uint8_t *)text, kept);
}

/* ---- sending ---- */

/* Where the body of the next frame is to be written. */
static uint8_t *reply_body(void) {
    return link.tx + EW_COBS_OVERHEAD(EW_LINK_MAX_PAYLOAD) + EW_LINK_HEADER_BYTES;
}

/* Sends one frame; its body lies at reply_body() and ends before `body_end`. */
static void send_frame(uint32_t type, uint32_t seq, const uint8_t *body_end) {
    uint8_t *payload = link.tx + EW_COBS_OVERHEAD(EW_LINK_MAX_PAYLOAD);
    size_t n_bytes = (size_t)(body_end - payload);
    put_u16(put_u8(put_u8(payload, type), 0), seq);
    put_u32(payload + n_bytes, ew_crc32(0, payload, n_bytes));
    n_bytes = ew_cobs_encode(payload, n_bytes + EW_LINK_CRC_BYTES, link.tx);
    link.tx[n_bytes] = 0;
    ew_port_write(link.tx, n_bytes + 1u);
    link.frames_sent++;
}

static void send_nak(uint32_t seq, uint32_t type, uint32_t code) {
    send_frame(EW_LINK_NAK, seq, put_u8(put_u8(reply_body(), code), type));
}

/* Answers `req`; the reply's body ends before `body_end`. */
static void reply(const request *req, const uint8_t *body_end) {
    send_frame((uint32_t)req->type | EW_LINK_REPLY, req->seq, body_end);
}

static void refuse(const request *req, uint32_t code) {
    send_nak(req->seq, req->type, code);
}

/* ---- the requests ---- */

static void on_hello(const request *req) {
    const ew_link_model *model = link.model;
    uint8_t *p = reply_body();
    const uint32_t previous = link.session;
    if (req->size != 8u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    if (get_u16(req->body + 2) != 0u || get_u32(req->body + 4) == 0u) {
        refuse(req, EW_LINK_NAK_RESERVED);
        return;
    }
    /* Another protocol version gets the same reply: it starts with ours, and the host decides. */
    link.session = get_u32(req->body + 4);
    if (link.session != previous) {
        memset(link.known_runs, 0, sizeof link.known_runs);
        link.frames_received = 1;
        link.frames_sent = 0;
        link.crc_errors = 0;
        link.framing_errors = 0;
    }
    p = put_u16(p, EW_LINK_PROTOCOL_VERSION);
    p = put_u8(p, (uint32_t)ew_port_reset_cause());
    p = put_u8(p, 0);
    p = put_u32(p, link.session);
    p = put_u32(p, previous);
    p = put_u32(p, EW_LINK_MAX_BODY);
    p = put_u32(p, EW_PORT_RX_BUFFER_BYTES);
    p = put_u32(p, link.capacity);
    p = put_u32(p, model->input_bytes);
    p = put_u32(p, model->output_bytes);
    p = put_u32(p, link.batch_memory_bytes);
    p = put_u32(p, ew_port_timer_hz());
    p = put_u32(p, link.runs);
    p = put_u8(p, model->n_inputs);
    p = put_u8(p, model->n_outputs);
    p = put_u16(p, 0);
    p = put_bytes(p, model->build_id, 16);
    p = put_bytes(p, model->model_sha256, 32);
    reply(req, put_text(p, model->name, EW_LINK_MAX_BODY - HELLO_FIXED_BYTES));
}

static void on_describe(const request *req) {
    const ew_link_model *model = link.model;
    const ew_link_tensor *tensor;
    uint8_t *p = reply_body();
    uint32_t index;
    bool is_output;
    if (req->size != 2u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    index = get_u16(req->body);
    if (index >= (uint32_t)model->n_inputs + model->n_outputs) {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    is_output = index >= model->n_inputs;
    tensor = is_output ? &model->outputs[index - model->n_inputs] : &model->inputs[index];
    p = put_u16(p, index);
    p = put_u8(p, tensor->dtype);
    p = put_u8(p, tensor->rank);
    p = put_u32(p, tensor->offset_bytes);
    p = put_u32(p, tensor->size_bytes);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        p = put_u32(p, tensor->dims[i]);
    }
    reply(req, put_text(p, tensor->name, EW_LINK_MAX_BODY - DESCRIBE_FIXED_BYTES - 4u * tensor->rank));
}

static void on_load(const request *req) {
    const uint32_t region_bytes = link.capacity * link.model->input_bytes; /* ew_link_start bounds it */
    uint32_t offset;
    uint32_t n_bytes;
    if (req->size < 5u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    offset = get_u32(req->body);
    n_bytes = req->size - 4u;
    if (offset > region_bytes || n_bytes > region_bytes - offset) {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    memcpy(link.inputs + offset, req->body + 4, n_bytes);
    reply(req, reply_body());
}

/* Runs one sample of the batch and notes its ticks. */
static ew_status run_sample(uint32_t index) {
    const uint8_t *input = link.inputs + index * link.model->input_bytes;
    uint8_t *output = link.outputs + index * link.model->output_bytes;
    const uint64_t before = ew_port_ticks();
    ew_status status;
    uint64_t elapsed;
    ew_port_roi_begin();
    status = ew_link_invoke(input, output);
    ew_port_roi_end();
    elapsed = ew_port_ticks() - before;
    put_u32(put_u32(link.ticks + index * TICK_BYTES, (uint32_t)elapsed), (uint32_t)(elapsed >> 32));
    link.runs++;
    return status;
}

static void send_progress(const run *r) {
    send_frame(EW_LINK_PROGRESS, r->seq, put_u32(reply_body(), r->done));
}

static void answer_run(const run *r) {
    uint8_t *p = put_u32(reply_body(), r->status);
    p = put_u32(p, r->done);
    send_frame((uint32_t)EW_LINK_RUN | EW_LINK_REPLY, r->seq, put_u32(p, r->runs_before));
}

/* Accepts a RUN and says so by a PROGRESS; the work is done by run_waiting, when no request is under way. */
static void on_run(const request *req) {
    uint32_t number;
    uint32_t first;
    uint32_t count;
    run *r;
    if (req->size != 12u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    number = get_u32(req->body);
    first = get_u32(req->body + 4);
    count = get_u32(req->body + 8);
    if (number == 0u || count == 0u || first >= link.capacity || count > link.capacity - first) {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    r = &link.known_runs[number % 2u];
    if (r->state == RUN_NONE || r->number != number) {
        if (r->state == RUN_WAITS || r->state == RUN_GOES_ON) {
            refuse(req, EW_LINK_NAK_BUSY);
            return;
        }
        if (r->state == RUN_IS_DONE && number - r->number > UINT32_MAX / 2u) { /* older: its samples are gone */
            refuse(req, EW_LINK_NAK_RANGE);
            return;
        }
        memset(r, 0, sizeof *r);
        r->state = RUN_WAITS;
        r->number = number;
        r->first = first;
        r->count = count;
    }
    r->seq = req->seq;
    if (r->state == RUN_IS_DONE) {
        answer_run(r);
    } else {
        send_progress(r);
    }
}

static void on_read(const request *req) {
    const uint8_t *region;
    uint32_t region_bytes;
    uint32_t offset;
    uint32_t n_bytes;
    if (req->size != 12u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    if (get_u32(req->body) == EW_LINK_REGION_OUTPUTS) {
        region = link.outputs;
        region_bytes = link.capacity * link.model->output_bytes;
    } else if (get_u32(req->body) == EW_LINK_REGION_TICKS) {
        region = link.ticks;
        region_bytes = link.capacity * TICK_BYTES;
    } else {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    offset = get_u32(req->body + 4);
    n_bytes = get_u32(req->body + 8);
    if (n_bytes == 0u || n_bytes > EW_LINK_MAX_BODY || offset > region_bytes || n_bytes > region_bytes - offset) {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    reply(req, put_bytes(reply_body(), region + offset, n_bytes));
}

static void on_stats(const request *req) {
    uint8_t *p = reply_body();
    if (req->size != 0u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    p = put_u32(p, (uint32_t)ew_port_stack_used_bytes());
    p = put_u32(p, (uint32_t)ew_port_stack_size_bytes());
    p = put_u32(p, link.frames_received);
    p = put_u32(p, link.frames_sent);
    p = put_u32(p, link.crc_errors);
    p = put_u32(p, link.framing_errors);
    reply(req, put_u32(p, link.runs));
}

static void on_reset(const request *req) {
    if (req->size != 0u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    reply(req, reply_body());
    ew_port_reset();
}

/* The answer still goes at the old rate. Nobody can say at the new one that it does not work: the device goes back by
 * itself when what comes holds no frame. */
static void on_set_baud(const request *req) {
    if (req->size != 4u) {
        refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    if (!ew_port_can_set_baud(get_u32(req->body))) {
        refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    reply(req, reply_body());
    ew_port_set_baud(get_u32(req->body));
    link.baud_bytes_left = BAUD_TRIAL_BYTES;
}

/* Counts a byte that came at another baud rate than that of the start. */
static void count_baud_byte(void) {
    if (link.baud_bytes_left > 0u) {
        link.baud_bytes_left--;
        if (link.baud_bytes_left == 0u) {
            ew_port_set_baud(0);
            link.rx_bytes = 0;
            link.rx_overflow = false;
        }
    }
}

static void on_request(const request *req) {
    if (link.baud_bytes_left > 0u) {
        link.baud_bytes_left = BAUD_LOST_BYTES;
    }
    if (link.session == 0u && req->type != EW_LINK_HELLO && req->type != EW_LINK_RESET) {
        refuse(req, EW_LINK_NAK_NO_SESSION);
        return;
    }
    switch (req->type) {
        case EW_LINK_HELLO: on_hello(req); break;
        case EW_LINK_DESCRIBE: on_describe(req); break;
        case EW_LINK_LOAD: on_load(req); break;
        case EW_LINK_RUN: on_run(req); break;
        case EW_LINK_READ: on_read(req); break;
        case EW_LINK_STATS: on_stats(req); break;
        case EW_LINK_RESET: on_reset(req); break;
        case EW_LINK_SET_BAUD: on_set_baud(req); break;
        default: refuse(req, EW_LINK_NAK_UNKNOWN_TYPE); break;
    }
}

/* ---- receiving ---- */

/* Handles the encoded frame link.rx[rx_bytes], whose delimiter has come. */
static void end_of_frame(void) {
    const size_t n_bytes =
        link.rx_overflow ? EW_COBS_BROKEN : ew_cobs_decode(link.rx, link.rx_bytes, link.rx);
    const size_t fixed = EW_LINK_HEADER_BYTES + EW_LINK_CRC_BYTES;
    request req;
    ew_port_alive();
    if (n_bytes == EW_COBS_BROKEN || n_bytes < fixed || n_bytes > EW_LINK_MAX_PAYLOAD) {
        link.framing_errors++;
        send_nak(0, 0, EW_LINK_NAK_FRAME);
        return;
    }
    if (ew_crc32(0, link.rx, n_bytes - EW_LINK_CRC_BYTES) != get_u32(link.rx + n_bytes - EW_LINK_CRC_BYTES)) {
        link.crc_errors++;
        send_nak(0, 0, EW_LINK_NAK_CRC);
        return;
    }
    link.frames_received++;
    req.type = link.rx[0];
    req.seq = (uint16_t)get_u16(link.rx + 2);
    req.body = link.rx + EW_LINK_HEADER_BYTES;
    req.size = (uint32_t)(n_bytes - fixed);
    if (link.rx[1] != 0u) {
        refuse(&req, EW_LINK_NAK_RESERVED);
        return;
    }
    on_request(&req);
}

/* Answers what `bytes` complete; RUNs are only accepted. */
static void take(const uint8_t *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        count_baud_byte();
        if (bytes[i] != 0u) {
            if (link.rx_bytes < sizeof link.rx) {
                link.rx[link.rx_bytes++] = bytes[i];
            } else {
                link.rx_overflow = true;
            }
        } else if (link.rx_bytes > 0u) { /* nothing between two delimiters is no frame */
            end_of_frame();
            link.rx_bytes = 0;
            link.rx_overflow = false;
        }
    }
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
        take(bytes, n_bytes);
        taken += n_bytes;
    }
}

/* ---- running ---- */

/* Runs the samples of `r`, answering requests in between; a HELLO of another session ends it, without an answer. */
static void run_samples(run *r) {
    const uint64_t interval = ew_port_timer_hz() / PROGRESS_PER_SECOND;
    uint64_t reported = ew_port_ticks();
    r->state = RUN_GOES_ON;
    r->runs_before = link.runs;
    while (r->done < r->count && r->status == EW_OK) {
        const ew_status status = run_sample(r->first + r->done);
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

/* Runs what waits, the older of two first. */
static void run_waiting(void) {
    for (;;) {
        run *a = &link.known_runs[0];
        run *b = &link.known_runs[1];
        if (a->state == RUN_WAITS && (b->state != RUN_WAITS || a->number - b->number > UINT32_MAX / 2u)) {
            run_samples(a);
        } else if (b->state == RUN_WAITS) {
            run_samples(b);
        } else {
            return;
        }
    }
}

void ew_link_receive(const uint8_t *bytes, size_t n_bytes) {
    if (link.model != NULL) {
        take(bytes, n_bytes);
        run_waiting();
    }
}

/* ---- starting ---- */

static bool tensors_are_legal(const ew_link_tensor *tensors, uint32_t count, uint32_t sample_bytes) {
    for (uint32_t i = 0; i < count; i++) {
        const ew_link_tensor *t = &tensors[i];
        if (t->name == NULL || t->rank > EW_MAX_RANK || (t->rank > 0u && t->dims == NULL) ||
            t->offset_bytes > sample_bytes || t->size_bytes > sample_bytes - t->offset_bytes) {
            return false;
        }
    }
    return true;
}

static bool model_is_legal(const ew_link_model *model) {
    return model != NULL && model->name != NULL && model->build_id != NULL && model->model_sha256 != NULL &&
           (model->n_inputs == 0u || model->inputs != NULL) && (model->n_outputs == 0u || model->outputs != NULL) &&
           model->input_bytes != 0u && model->input_bytes % 8u == 0u && model->output_bytes != 0u &&
           model->output_bytes % 8u == 0u &&
           tensors_are_legal(model->inputs, model->n_inputs, model->input_bytes) &&
           tensors_are_legal(model->outputs, model->n_outputs, model->output_bytes);
}

static uint64_t region_end(uint64_t start, uint64_t n_bytes) {
    return (start + n_bytes + REGION_ALIGN_BYTES - 1u) / REGION_ALIGN_BYTES * REGION_ALIGN_BYTES;
}

/* Shares out the batch memory. 64-bit sums: each term is below 2^33, so nothing wraps; a region of more than
 * UINT32_MAX bytes could not be addressed on the line, so memory beyond that is left alone. */
static void share_out_memory(void) {
    const uint64_t input = link.model->input_bytes;
    const uint64_t output = link.model->output_bytes;
    size_t available = 0;
    uint8_t *memory = ew_port_batch_memory(&available);
    const uint64_t total = available > UINT32_MAX ? UINT32_MAX : available;
    uint64_t capacity = total / (input + output + TICK_BYTES);
    while (capacity > 0u &&
           region_end(region_end(0, capacity * input), capacity * output) + capacity * TICK_BYTES > total) {
        capacity--; /* the alignment of two regions costs at most two samples of 24 bytes */
    }
    link.batch_memory_bytes = (uint32_t)total;
    link.capacity = memory == NULL ? 0u : (uint32_t)capacity;
    if (link.capacity > 0u) {
        const uint64_t outputs_at = region_end(0, capacity * input);
        link.inputs = memory;
        link.outputs = memory + outputs_at;
        link.ticks = memory + region_end(outputs_at, capacity * output);
    }
}

int ew_link_start(const ew_link_model *model) {
    memset(&link, 0, sizeof link);
    if (!model_is_legal(model)) {
        return -1;
    }
    link.model = model;
    share_out_memory();
    return 0;
}

int ew_link_serve(const ew_link_model *model) {
    uint8_t bytes[EW_LINK_READ_CHUNK_BYTES];
    if (ew_link_start(model) != 0) {
        return -1;
    }
    for (;;) {
        const size_t n_bytes = ew_port_read(bytes, sizeof bytes);
        if (n_bytes == 0u) {
            return 0;
        }
        ew_link_receive(bytes, n_bytes);
    }
}
