/* Frames in and out: what the link's requests are made of. For the files of the link itself; docs/PROTOCOL.md has the
 * layout. */
#ifndef EW_LINK_FRAME_H
#define EW_LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "ew_link.h"

/* A request that passed its CRC. */
typedef struct {
    uint8_t type;
    uint16_t seq;
    const uint8_t *body;
    uint32_t size;
} ew_link_request;

/* Since the session began. */
typedef struct {
    uint32_t frames_received, frames_sent, crc_errors, framing_errors;
} ew_link_counters;

extern ew_link_counters ew_link_counted;

/* Little-endian fields: what lies at `p`; or written there, which gives the byte behind. */
uint32_t ew_link_get_u16(const uint8_t *p);
uint32_t ew_link_get_u32(const uint8_t *p);
uint8_t *ew_link_put_u8(uint8_t *p, uint32_t value);
uint8_t *ew_link_put_u16(uint8_t *p, uint32_t value);
uint8_t *ew_link_put_u32(uint8_t *p, uint32_t value);
uint8_t *ew_link_put_bytes(uint8_t *p, const uint8_t *bytes, size_t n_bytes);

/* A length u16 of the whole text, then as much of it as `room` takes, cut between UTF-8 characters. */
uint8_t *ew_link_put_text(uint8_t *p, const char *text, size_t room);

/* Where the body of the next frame is to be written; a body ends before `body_end` and is at most EW_LINK_MAX_BODY
 * bytes long. */
uint8_t *ew_link_body(void);
void ew_link_send(uint32_t type, uint32_t seq, const uint8_t *body_end);
void ew_link_reply(const ew_link_request *req, const uint8_t *body_end);
void ew_link_refuse(const ew_link_request *req, uint32_t code);

/* Forgets half a frame, the counters and any other baud rate. */
void ew_link_frame_start(void);

/* Goes on at another baud rate, or at the one of the start where what comes holds no frame. Of ports that can. */
void ew_link_change_baud(uint32_t baud);

/* Gives ew_link_on_request what `bytes` complete; answers damaged frames itself. */
void ew_link_take(const uint8_t *bytes, size_t n_bytes);

/* Answers a request: the link's other files have it. */
void ew_link_on_request(const ew_link_request *req);

#endif
