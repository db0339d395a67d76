/* COBS (consistent overhead byte stuffing): turns bytes into as many without a zero, so that 0x00 can end a frame.
 * Source: S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Trans. Networking 7(2), 1999. */
#ifndef EW_COBS_H
#define EW_COBS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the encoding adds at most to `n_bytes`: one for each 254 begun, at least one. */
#define EW_COBS_OVERHEAD(n_bytes) (1 + (n_bytes) / 254)
#define EW_COBS_ENCODED_MAX(n_bytes) ((n_bytes) + EW_COBS_OVERHEAD(n_bytes))

/* What ew_cobs_decode returns for bytes that no encoder makes. */
#define EW_COBS_BROKEN SIZE_MAX

/* Encodes `src[n_bytes]` to `dst`, without a delimiter, and returns the encoded size: at least 1, at most
 * EW_COBS_ENCODED_MAX(n_bytes). The two may overlap if dst + EW_COBS_OVERHEAD(n_bytes) <= src. */
size_t ew_cobs_encode(const uint8_t *src, size_t n_bytes, uint8_t *dst);

/* Decodes `src[n_bytes]`, which has no delimiter, to `dst` and returns the decoded size, below n_bytes; or
 * EW_COBS_BROKEN for an empty source, a zero in it, or a block that ends behind it. `dst` may equal `src`. */
size_t ew_cobs_decode(const uint8_t *src, size_t n_bytes, uint8_t *dst);

#endif
