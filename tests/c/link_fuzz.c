/* Feeds bytes from outside to ew_link_receive: random ones, damaged frames, and well-formed frames with random
 * fields, so that what lies behind the CRC is reached too. Run it under AddressSanitizer and
 * UndefinedBehaviorSanitizer. With -DEW_LIBFUZZER it is a libFuzzer target instead.
 *
 *   link_fuzz SEED BYTES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ew_crc32.h"
#include "ew_link.h"
#include "ew_port.h"

#define CAPACITY_BYTES 1000u

static uint64_t clock_ticks;
static size_t n_sent, n_resets, n_invoked;

void ew_port_init(void) {}
size_t ew_port_read(uint8_t *dst, size_t max_bytes) {
    (void)dst;
    (void)max_bytes;
    return 0;
}

/* What "comes" while an inference runs. */
static uint8_t later[8192];
static size_t n_later, later_taken;

size_t ew_port_read_now(uint8_t *dst, size_t max_bytes) {
    const size_t left = n_later - later_taken;
    const size_t taken = left < max_bytes ? left : max_bytes;
    memcpy(dst, later + later_taken, taken);
    later_taken += taken;
    if (later_taken == n_later) {
        n_later = later_taken = 0;
    }
    return taken;
}

static uint32_t baud_set;
int ew_port_can_set_baud(uint32_t baud) { return baud % 7u != 0u; }
void ew_port_set_baud(uint32_t baud) { baud_set = baud; }

static void send_later(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes <= sizeof later - n_later) {
        memcpy(later + n_later, bytes, n_bytes);
        n_later += n_bytes;
    }
}

/* Reads all it is given, so that the sanitizer sees a reply that holds bytes it should not. */
void ew_port_write(const uint8_t *src, size_t n_bytes) {
    for (size_t i = 0; i + 1u < n_bytes; i++) {
        if (src[i] == 0u) {
            abort(); /* a zero within a frame */
        }
    }
    if (n_bytes == 0u || src[n_bytes - 1u] != 0u) {
        abort();
    }
    n_sent++;
}

uint64_t ew_port_ticks(void) { return clock_ticks += 1000u; }
uint32_t ew_port_timer_hz(void) { return 16000u; }
void ew_port_roi_begin(void) {}
void ew_port_roi_end(void) {}

uint8_t *ew_port_batch_memory(size_t *n_bytes) {
    static uint8_t *memory; /* from the heap: AddressSanitizer watches its ends */
    if (memory == NULL) {
        memory = calloc(CAPACITY_BYTES, 1);
    }
    *n_bytes = CAPACITY_BYTES;
    return memory;
}

void ew_port_stack_paint(void) {}
size_t ew_port_stack_used_bytes(void) { return 0; }
size_t ew_port_stack_size_bytes(void) { return 0; }
void ew_port_reset(void) { n_resets++; }
ew_reset_cause ew_port_reset_cause(void) { return EW_RESET_POWER_ON; }
void ew_port_alive(void) {}

ew_status ew_link_invoke(const uint8_t *input, uint8_t *output) {
    memcpy(output, input, 16);
    n_invoked++;
    return input[0] == 99u ? EW_BAD_ARGUMENT : EW_OK;
}

#if EW_LINK_STEPS > 0
ew_status ew_link_step(uint32_t step, const uint8_t *input, uint8_t *output) {
    if (step >= EW_LINK_STEPS) {
        abort();
    }
    output[step] = input[step];
    n_invoked++;
    return input[0] == 98u ? EW_BAD_ARGUMENT : EW_OK;
}

const uint8_t *ew_link_arena(uint32_t number, uint32_t *n_bytes) {
    static uint8_t *arena; /* from the heap, as the batch memory */
    if (arena == NULL) {
        arena = calloc(200, 1);
    }
    *n_bytes = number == 0u ? 200u : 8u;
    return number < 2u ? arena : NULL;
}
#endif

static void start(void) {
    static const uint32_t dims[3] = {1, 2, 2};
    static const ew_link_tensor inputs[2] = {{"a", EW_LINK_F32, 3, dims, 0, 16}, {"b", EW_LINK_U8, 0, NULL, 16, 1}};
    static const ew_link_tensor outputs[1] = {{"a rather long name, \xe2\x82\xac\xe2\x82\xac", EW_LINK_F32, 3, dims, 0, 16}};
    static const uint8_t id[32];
    static const ew_link_model model = {"fuzz", id, id, 2, 1, inputs, outputs, 24, 16};
    if (ew_link_start(&model) != 0) {
        abort();
    }
}

/* Appends the frame of a request to `wire` and returns its size there. */
static size_t make_frame(uint8_t *wire, uint32_t type, uint32_t flags, const uint8_t *body, size_t n_bytes) {
    static uint8_t payload[EW_LINK_MAX_PAYLOAD + 64];
    uint32_t crc;
    payload[0] = (uint8_t)type;
    payload[1] = (uint8_t)flags;
    payload[2] = 7;
    payload[3] = 0;
    memcpy(payload + 4, body, n_bytes);
    crc = ew_crc32(0, payload, n_bytes + 4u);
    for (size_t i = 0; i < 4u; i++) {
        payload[n_bytes + 4u + i] = (uint8_t)(crc >> (8u * i));
    }
    n_bytes = ew_cobs_encode(payload, n_bytes + 8u, wire);
    wire[n_bytes] = 0;
    return n_bytes + 1u;
}

#ifdef EW_LIBFUZZER

/* Input: records of type u8, length u8 (exact below 128, then in tens, so that too long a body comes too), body; each becomes a frame.
 * A record of type 0xEE is fed as it is, unframed; one of type 0xE0 to 0xE8 is a frame of type 0 to 8 that comes
 * during the next inference. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static uint8_t wire[2048];
    start();
    n_later = later_taken = 0;
    while (n_bytes >= 2u) {
        const uint32_t type = data[0];
        size_t size = data[1] < 128u ? data[1] : (size_t)(data[1] - 127u) * 10u;
        data += 2;
        n_bytes -= 2u;
        size = size < n_bytes ? size : n_bytes;
        if (type == 0xEEu) {
            ew_link_receive(data, size);
        } else if (type >= 0xE0u && type <= 0xE8u) {
            send_later(wire, make_frame(wire, type - 0xE0u, 0, data, size < 1080u ? size : 1080u));
        } else {
            ew_link_receive(wire, make_frame(wire, type, 0, data, size < 1080u ? size : 1080u));
        }
        data += size;
        n_bytes -= size;
    }
    return 0;
}

#else

static uint64_t random_state;

static uint32_t random_below(uint32_t limit) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1Du) >> 32) % limit;
}

/* A value that is often near a border. */
static uint32_t random_field(void) {
    static const uint32_t borders[] = {0, 1, 16, 20, 24, 1000, 1024, 0x7FFFFFFF, 0xFFFFFFFF};
    const uint32_t border = borders[random_below(sizeof borders / sizeof borders[0])];
    return random_below(3) == 0u ? border : border + random_below(40) - 20u;
}

int main(int argc, char **argv) {
    static uint8_t wire[2048];
    static uint8_t body[EW_LINK_MAX_BODY + 32];
    const size_t wanted = argc > 2 ? (size_t)atol(argv[2]) : 100000u;
    size_t fed = 0;
    random_state = (argc > 1 ? (uint64_t)atol(argv[1]) : 1u) * 0x9E3779B97F4A7C15u | 1u;
    ew_link_receive((const uint8_t *)"early", 6); /* before the start: ignored */
    start();
    while (fed < wanted) {
        size_t n_bytes = random_below(8) == 0u ? random_below(sizeof body) : 4u * random_below(4);
        const uint32_t kind = random_below(4);
        for (size_t i = 0; i < n_bytes; i++) {
            body[i] = (uint8_t)random_below(256);
        }
        for (size_t i = 0; i + 4u <= n_bytes && i < 16u; i += 4u) {
            const uint32_t field = random_field();
            memcpy(body + i, &field, 4);
        }
        if (kind == 0u) {
            memcpy(wire, body, n_bytes);
        } else if (random_below(8) == 0u) { /* a RUN that is in order, or nearly so */
            const uint32_t fields[3] = {1u + random_below(6), random_below(10), 1u + random_below(14)};
            n_bytes = make_frame(wire, EW_LINK_RUN, 0, (const uint8_t *)fields, sizeof fields);
        } else if (random_below(8) == 0u) { /* a RUN of steps, likewise */
            const uint32_t first = random_below(5);
            const uint32_t fields[5] = {1u + random_below(6), random_below(10), 1, first, first + random_below(4)};
            n_bytes = make_frame(wire, EW_LINK_RUN, 0, (const uint8_t *)fields, sizeof fields);
        } else if (random_below(8) == 0u) { /* a READ of any region */
            const uint32_t fields[3] = {random_below(20), random_field(), random_field()};
            n_bytes = make_frame(wire, EW_LINK_READ, 0, (const uint8_t *)fields, sizeof fields);
        } else {
            n_bytes = make_frame(wire, 1u + random_below(9), random_below(20) == 0u, body, n_bytes);
            if (kind == 1u) {
                wire[random_below((uint32_t)n_bytes)] ^= (uint8_t)(1u << random_below(8));
            }
        }
        fed += n_bytes;
        if (random_below(4) == 0u) {
            send_later(wire, n_bytes);
            continue;
        }
        for (size_t at = 0; at < n_bytes;) { /* in portions, as a line gives them */
            const size_t portion = 1u + random_below(200);
            const size_t taken = portion < n_bytes - at ? portion : n_bytes - at;
            ew_link_receive(wire + at, taken);
            at += taken;
        }
    }
    printf("fed %zu bytes; %zu frames sent, %zu inferences, %zu resets, baud %u\n", fed, n_sent, n_invoked, n_resets,
           (unsigned)baud_set);
    return n_sent > 0u && n_invoked > 0u && n_resets > 0u ? 0 : 1;
}

#endif
