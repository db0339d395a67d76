#include "ew_link.h"

#include <stdbool.h>
#include <string.h>

#include "ew_link_batch.h"
#include "ew_link_frame.h"
#include "ew_port.h"

#define HELLO_FIXED_BYTES 98u    /* HELLO reply up to the name */
#define DESCRIBE_FIXED_BYTES 14u /* DESCRIBE reply without dims and name */

static const ew_link_model *served; /* NULL: nothing is */
static uint32_t session;            /* the host's number, 0 = no HELLO since the last reset */

/* ---- the requests ---- */

static void on_hello(const ew_link_request *req) {
    const ew_link_model *model = served;
    uint8_t *p = ew_link_body();
    const uint32_t previous = session;
    if (req->size != 8u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    if (ew_link_get_u16(req->body + 2) != 0u || ew_link_get_u32(req->body + 4) == 0u) {
        ew_link_refuse(req, EW_LINK_NAK_RESERVED);
        return;
    }
    /* Another protocol version gets the same reply: it starts with ours, and the host decides. */
    session = ew_link_get_u32(req->body + 4);
    if (session != previous) {
        ew_link_batch_forget();
        memset(&ew_link_counted, 0, sizeof ew_link_counted);
        ew_link_counted.frames_received = 1;
    }
    p = ew_link_put_u16(p, EW_LINK_PROTOCOL_VERSION);
    p = ew_link_put_u8(p, (uint32_t)ew_port_reset_cause());
    p = ew_link_put_u8(p, 0);
    p = ew_link_put_u32(p, session);
    p = ew_link_put_u32(p, previous);
    p = ew_link_put_u32(p, EW_LINK_MAX_BODY);
    p = ew_link_put_u32(p, EW_PORT_RX_BUFFER_BYTES);
    p = ew_link_put_u32(p, ew_link_batch.capacity);
    p = ew_link_put_u32(p, model->input_bytes);
    p = ew_link_put_u32(p, model->output_bytes);
    p = ew_link_put_u32(p, ew_link_batch.memory_bytes);
    p = ew_link_put_u32(p, ew_port_timer_hz());
    p = ew_link_put_u32(p, ew_link_batch.runs);
    p = ew_link_put_u8(p, model->n_inputs);
    p = ew_link_put_u8(p, model->n_outputs);
    p = ew_link_put_u16(p, EW_LINK_STEPS);
    p = ew_link_put_bytes(p, model->build_id, 16);
    p = ew_link_put_bytes(p, model->model_sha256, 32);
    ew_link_reply(req, ew_link_put_text(p, model->name, EW_LINK_MAX_BODY - HELLO_FIXED_BYTES));
}

static void on_describe(const ew_link_request *req) {
    const ew_link_model *model = served;
    const ew_link_tensor *tensor;
    uint8_t *p = ew_link_body();
    uint32_t index;
    bool is_output;
    if (req->size != 2u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    index = ew_link_get_u16(req->body);
    if (index >= (uint32_t)model->n_inputs + model->n_outputs) {
        ew_link_refuse(req, EW_LINK_NAK_RANGE);
        return;
    }
    is_output = index >= model->n_inputs;
    tensor = is_output ? &model->outputs[index - model->n_inputs] : &model->inputs[index];
    p = ew_link_put_u16(p, index);
    p = ew_link_put_u8(p, tensor->dtype);
    p = ew_link_put_u8(p, tensor->rank);
    p = ew_link_put_u32(p, tensor->offset_bytes);
    p = ew_link_put_u32(p, tensor->size_bytes);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        p = ew_link_put_u32(p, tensor->dims[i]);
    }
    ew_link_reply(req, ew_link_put_text(p, tensor->name, EW_LINK_MAX_BODY - DESCRIBE_FIXED_BYTES - 4u * tensor->rank));
}

static void on_stats(const ew_link_request *req) {
    uint8_t *p = ew_link_body();
    if (req->size != 0u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    p = ew_link_put_u32(p, (uint32_t)ew_port_stack_used_bytes());
    p = ew_link_put_u32(p, (uint32_t)ew_port_stack_size_bytes());
    p = ew_link_put_u32(p, ew_link_counted.frames_received);
    p = ew_link_put_u32(p, ew_link_counted.frames_sent);
    p = ew_link_put_u32(p, ew_link_counted.crc_errors);
    p = ew_link_put_u32(p, ew_link_counted.framing_errors);
    ew_link_reply(req, ew_link_put_u32(p, ew_link_batch.runs));
}

static void on_reset(const ew_link_request *req) {
    if (req->size != 0u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
    ew_link_reply(req, ew_link_body());
    ew_port_reset();
}

/* The answer still goes at the old rate. */
static void on_set_baud(const ew_link_request *req) {
    if (req->size != 4u) {
        ew_link_refuse(req, EW_LINK_NAK_LENGTH);
        return;
    }
#ifdef EW_PORT_HAS_BAUD
    if (ew_port_can_set_baud(ew_link_get_u32(req->body))) {
        ew_link_reply(req, ew_link_body());
        ew_link_change_baud(ew_link_get_u32(req->body));
        return;
    }
#endif
    ew_link_refuse(req, EW_LINK_NAK_RANGE);
}

void ew_link_on_request(const ew_link_request *req) {
    if (session == 0u && req->type != EW_LINK_HELLO && req->type != EW_LINK_RESET) {
        ew_link_refuse(req, EW_LINK_NAK_NO_SESSION);
        return;
    }
    switch (req->type) {
        case EW_LINK_HELLO: on_hello(req); break;
        case EW_LINK_DESCRIBE: on_describe(req); break;
        case EW_LINK_LOAD: ew_link_on_load(req); break;
        case EW_LINK_RUN: ew_link_on_run(req); break;
        case EW_LINK_READ: ew_link_on_read(req); break;
        case EW_LINK_STATS: on_stats(req); break;
        case EW_LINK_RESET: on_reset(req); break;
        case EW_LINK_SET_BAUD: on_set_baud(req); break;
        default: ew_link_refuse(req, EW_LINK_NAK_UNKNOWN_TYPE); break;
    }
}

void ew_link_receive(const uint8_t *bytes, size_t n_bytes) {
    if (served != NULL) {
        ew_link_take(bytes, n_bytes);
        ew_link_run_waiting();
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

int ew_link_start(const ew_link_model *model) {
    served = NULL;
    session = 0;
    ew_link_frame_start();
    if (!model_is_legal(model)) {
        return -1;
    }
    served = model;
    ew_link_batch_start(model);
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
