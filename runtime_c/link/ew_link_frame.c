#include "ew_link_frame.h"

#include <stdbool.h>
#include <string.h>

#include "ew_crc32.h"
#include "ew_port.h"

_Static_assert(EW_LINK_MAX_BODY >= 128 && EW_LINK_MAX_BODY <= 65536, "EW_LINK_MAX_BODY is 128 to 65,536");

#define MAX_ENCODED EW_COBS_ENCODED_MAX(EW_LINK_MAX_PAYLOAD)
#define BAUD_TRIAL_BYTES 64u /* without a whole frame among them a new baud rate is given up; later more may be damaged */
#define BAUD_LOST_BYTES (2u * MAX_ENCODED)

ew_link_counters ew_link_counted;

static struct {
#ifdef EW_PORT_HAS_BAUD
    size_t baud_bytes_left; /* that may come without a whole frame before the rate of the start returns; 0: it is set */
#endif

    size_t rx_bytes;
    bool rx_overflow; /* the frame under way is too long; dropped up to its delimiter */
    uint8_t rx[MAX_ENCODED];

    /* The payload is built behind a gap that lets COBS encode it towards the front, in place. The last byte is
     * room for the delimiter. */
    uint8_t tx[MAX_ENCODED + 1];
} line;

/* ---- little-endian fields ---- */

uint32_t ew_link_get_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

uint32_t ew_link_get_u32(const uint8_t *p) {
    return ew_link_get_u16(p) | ew_link_get_u16(p + 2) << 16;
}

uint8_t *ew_link_put_u8(uint8_t *p, uint32_t value) {
    *p = (uint8_t)(value & 0xFFu);
    return p + 1;
}

uint8_t *ew_link_put_u16(uint8_t *p, uint32_t value) {
    return ew_link_put_u8(ew_link_put_u8(p, value), value >> 8);
}

uint8_t *ew_link_put_u32(uint8_t *p, uint32_t value) {
    return ew_link_put_u16(ew_link_put_u16(p, value), value >> 16);
}

uint8_t *ew_link_put_bytes(uint8_t *p, const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes > 0u) {
        memcpy(p, bytes, n_bytes);
    }
    return p + n_bytes;
}

uint8_t *ew_link_put_text(uint8_t *p, const char *text, size_t room) {
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
    p = ew_link_put_u16(p, (uint32_t)length);
    return ew_link_put_bytes(p, (const uint8_t *)text, kept);
}

/* ---- sending ---- */

uint8_t *ew_link_body(void) {
    return line.tx + EW_COBS_OVERHEAD(EW_LINK_MAX_PAYLOAD) + EW_LINK_HEADER_BYTES;
}

void ew_link_send(uint32_t type, uint32_t seq, const uint8_t *body_end) {
    uint8_t *payload = line.tx + EW_COBS_OVERHEAD(EW_LINK_MAX_PAYLOAD);
    size_t n_bytes = (size_t)(body_end - payload);
    ew_link_put_u16(ew_link_put_u8(ew_link_put_u8(payload, type), 0), seq);
    ew_link_put_u32(payload + n_bytes, ew_crc32(0, payload, n_bytes));
    n_bytes = ew_cobs_encode(payload, n_bytes + EW_LINK_CRC_BYTES, line.tx);
    line.tx[n_bytes] = 0;
    ew_port_write(line.tx, n_bytes + 1u);
    ew_link_counted.frames_sent++;
}

static void send_nak(uint32_t seq, uint32_t type, uint32_t code) {
    ew_link_send(EW_LINK_NAK, seq, ew_link_put_u8(ew_link_put_u8(ew_link_body(), code), type));
}

void ew_link_reply(const ew_link_request *req, const uint8_t *body_end) {
    ew_link_send((uint32_t)req->type | EW_LINK_REPLY, req->seq, body_end);
}

void ew_link_refuse(const ew_link_request *req, uint32_t code) {
    send_nak(req->seq, req->type, code);
}

/* ---- the baud rate ---- */

void ew_link_frame_start(void) {
    memset(&line, 0, sizeof line);
    memset(&ew_link_counted, 0, sizeof ew_link_counted);
}

#ifdef EW_PORT_HAS_BAUD
/* Nobody can say at the new rate that it does not work: the device goes back by itself. */
void ew_link_change_baud(uint32_t baud) {
    ew_port_set_baud(baud);
    line.baud_bytes_left = BAUD_TRIAL_BYTES;
}

/* Counts a byte that came at another baud rate than that of the start. */
static void count_baud_byte(void) {
    if (line.baud_bytes_left > 0u) {
        line.baud_bytes_left--;
        if (line.baud_bytes_left == 0u) {
            ew_port_set_baud(0);
            line.rx_bytes = 0;
            line.rx_overflow = false;
        }
    }
}
#endif

/* ---- receiving ---- */

/* Handles the encoded frame line.rx[rx_bytes], whose delimiter has come. */
static void end_of_frame(void) {
    const size_t n_bytes =
        line.rx_overflow ? EW_COBS_BROKEN : ew_cobs_decode(line.rx, line.rx_bytes, line.rx);
    const size_t fixed = EW_LINK_HEADER_BYTES + EW_LINK_CRC_BYTES;
    ew_link_request req;
    ew_port_alive();
    if (n_bytes == EW_COBS_BROKEN || n_bytes < fixed || n_bytes > EW_LINK_MAX_PAYLOAD) {
        ew_link_counted.framing_errors++;
        send_nak(0, 0, EW_LINK_NAK_FRAME);
        return;
    }
    if (ew_crc32(0, line.rx, n_bytes - EW_LINK_CRC_BYTES) != ew_link_get_u32(line.rx + n_bytes - EW_LINK_CRC_BYTES)) {
        ew_link_counted.crc_errors++;
        send_nak(0, 0, EW_LINK_NAK_CRC);
        return;
    }
    ew_link_counted.frames_received++;
    req.type = line.rx[0];
    req.seq = (uint16_t)ew_link_get_u16(line.rx + 2);
    req.body = line.rx + EW_LINK_HEADER_BYTES;
    req.size = (uint32_t)(n_bytes - fixed);
    if (line.rx[1] != 0u) {
        ew_link_refuse(&req, EW_LINK_NAK_RESERVED);
        return;
    }
#ifdef EW_PORT_HAS_BAUD
    if (line.baud_bytes_left > 0u) {
        line.baud_bytes_left = BAUD_LOST_BYTES;
    }
#endif
    ew_link_on_request(&req);
}

void ew_link_take(const uint8_t *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
#ifdef EW_PORT_HAS_BAUD
        count_baud_byte();
#endif
        if (bytes[i] != 0u) {
            if (line.rx_bytes < sizeof line.rx) {
                line.rx[line.rx_bytes++] = bytes[i];
            } else {
                line.rx_overflow = true;
            }
        } else if (line.rx_bytes > 0u) { /* nothing between two delimiters is no frame */
            end_of_frame();
            line.rx_bytes = 0;
            line.rx_overflow = false;
        }
    }
}
