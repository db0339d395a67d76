/* The device's end of the link: takes batches of samples over a byte line, runs the model on them, returns outputs
 * and timer ticks. The protocol is written down in docs/PROTOCOL.md. One line, one model, one static state: no
 * allocation, no recursion; not re-entrant. Everything it needs from the board is in ew_port.h. */
#ifndef EW_LINK_H
#define EW_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "ew_base.h"
#include "ew_cobs.h"

/* Version of the protocol; a host of another version refuses to go on. */
#define EW_LINK_PROTOCOL_VERSION 2u

/* Largest body of one frame, in bytes: 128 to 65,536. The link's static RAM is about two times this. */
#ifndef EW_LINK_MAX_BODY
#define EW_LINK_MAX_BODY 1024
#endif

/* Steps of the model that can be run one by one, 0 to 65,535; 0: none, and the code for it is left out. */
#ifndef EW_LINK_STEPS
#define EW_LINK_STEPS 0
#endif

/* A frame before COBS: type u8, flags u8, seq u16, body, crc32 u32. */
#define EW_LINK_HEADER_BYTES 4
#define EW_LINK_CRC_BYTES 4
#define EW_LINK_MAX_PAYLOAD (EW_LINK_HEADER_BYTES + EW_LINK_MAX_BODY + EW_LINK_CRC_BYTES)

/* Bytes taken from the port at a time (on the stack of ew_link_serve). */
#ifndef EW_LINK_READ_CHUNK_BYTES
#define EW_LINK_READ_CHUNK_BYTES 64
#endif

/* Requests. The reply has the same seq and the type with EW_LINK_REPLY set. */
enum {
    EW_LINK_HELLO = 0x01,
    EW_LINK_DESCRIBE = 0x02,
    EW_LINK_LOAD = 0x03,
    EW_LINK_RUN = 0x04,
    EW_LINK_READ = 0x05,
    EW_LINK_STATS = 0x06,
    EW_LINK_RESET = 0x07,
    EW_LINK_SET_BAUD = 0x08,
    EW_LINK_REPLY = 0x80,
    EW_LINK_PROGRESS = 0xC0, /* device to host, while a RUN goes on; has the RUN's seq */
    EW_LINK_NAK = 0xFF       /* device to host: body is code u8, type of the refused request u8 */
};

/* Codes of a NAK. After the first two the sequence number is not known (0): the frame could not be trusted. */
enum {
    EW_LINK_NAK_CRC = 1,          /* send it again */
    EW_LINK_NAK_FRAME = 2,        /* COBS broken, too long or too short: send it again */
    EW_LINK_NAK_UNKNOWN_TYPE = 3, /* no such request */
    EW_LINK_NAK_LENGTH = 4,       /* body of the wrong size for its type */
    EW_LINK_NAK_RANGE = 5,        /* an offset, count or index outside what HELLO announced */
    EW_LINK_NAK_RESERVED = 6,     /* a reserved field is not 0 */
    EW_LINK_NAK_NO_SESSION = 7,   /* no HELLO since the last reset */
    EW_LINK_NAK_BUSY = 8          /* two RUNs are under way */
};

/* Regions of a READ. Those from EW_LINK_REGION_ARENA on are the model's arenas. */
enum {
    EW_LINK_REGION_OUTPUTS = 0,
    EW_LINK_REGION_TICKS = 1,
    EW_LINK_REGION_STEP_TICKS = 2,
    EW_LINK_REGION_ARENA = 16
};

/* Codes of ew_link_tensor.dtype. */
enum {
    EW_LINK_F32 = 1,
    EW_LINK_F16 = 2,
    EW_LINK_S8 = 3,
    EW_LINK_U8 = 4,
    EW_LINK_S16 = 5,
    EW_LINK_S32 = 6,
    EW_LINK_S64 = 7,
    EW_LINK_B1 = 8,
    EW_LINK_F64 = 9,
    EW_LINK_U16 = 10,
    EW_LINK_U32 = 11,
    EW_LINK_U64 = 12,
    EW_LINK_BF16 = 13,
    EW_LINK_F8E4M3FN = 14,
    EW_LINK_F8E4M3FNUZ = 15,
    EW_LINK_F8E5M2 = 16,
    EW_LINK_F8E5M2FNUZ = 17,
    EW_LINK_F8E8M0 = 18,
    EW_LINK_F4E2M1 = 19,
    EW_LINK_S4 = 20,
    EW_LINK_U4 = 21,
    EW_LINK_S2 = 22,
    EW_LINK_U2 = 23
};

/* One input or output. `offset_bytes` counts from the start of one packed sample; `rank` is at most EW_MAX_RANK;
 * `name` is UTF-8 and is cut, between characters, to what fits in a frame. */
typedef struct {
    const char *name;
    uint8_t dtype;
    uint8_t rank;
    const uint32_t *dims;
    uint32_t offset_bytes;
    uint32_t size_bytes;
} ew_link_tensor;

/* What the link serves. `input_bytes` and `output_bytes` are the sizes of one packed sample, non-zero multiples of
 * 8. */
typedef struct {
    const char *name;
    const uint8_t *build_id;     /* 16 bytes */
    const uint8_t *model_sha256; /* 32 bytes */
    uint8_t n_inputs, n_outputs;
    const ew_link_tensor *inputs, *outputs;
    uint32_t input_bytes, output_bytes;
} ew_link_model;

/* Runs one inference; the program that has the model defines it. Both pointers are 8-byte aligned; it may be called
 * again with the same input. Not a pointer in the model: then the compiler's call graph would not say what the link
 * calls, and the stack would have no bound. */
ew_status ew_link_invoke(const uint8_t *input, uint8_t *output);

#if EW_LINK_STEPS > 0
/* Runs step `step` of an inference, 0 to EW_LINK_STEPS - 1; all of them in order are ew_link_invoke. */
ew_status ew_link_step(uint32_t step, const uint8_t *input, uint8_t *output);

/* The memory of an arena, and its size; NULL where there are not so many. */
const uint8_t *ew_link_arena(uint32_t number, uint32_t *n_bytes);
#endif

/* Prepares the static state and shares out the batch memory. `model` and all that it points to stay in place.
 * Returns 0, or -1 when the model breaks the contract above (then no request is answered). */
int ew_link_start(const ew_link_model *model);

/* Takes received bytes, in any portions; answers each whole frame through ew_port_write, and does what was asked to
 * RUN, before it returns; between samples it takes more bytes with ew_port_read_now. Bytes are data from outside: no
 * sequence of them does harm. For ports that are driven by call-backs, and for fuzzing. */
void ew_link_receive(const uint8_t *bytes, size_t n_bytes);

/* ew_link_start, then ew_port_read and ew_link_receive for ever. Returns 0 when the line closes, -1 when the model
 * breaks the contract. The caller has called ew_port_init and ew_port_stack_paint. */
int ew_link_serve(const ew_link_model *model);

#endif
