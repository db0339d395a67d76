#include "ew_cobs.h"

size_t ew_cobs_encode(const uint8_t *src, size_t n_bytes, uint8_t *dst) {
    size_t code_at = 0; /* where the length of the block under way will stand */
    size_t out = 1;
    uint8_t code = 1;
    for (size_t i = 0; i < n_bytes; i++) {
        const uint8_t byte = src[i];
        if (code == 255u) { /* a full block: 254 bytes without a zero */
            dst[code_at] = code;
            code_at = out++;
            code = 1;
        }
        if (byte == 0u) {
            dst[code_at] = code;
            code_at = out++;
            code = 1;
        } else {
            dst[out++] = byte;
            code++;
        }
    }
    dst[code_at] = code;
    return out;
}

size_t ew_cobs_decode(const uint8_t *src, size_t n_bytes, uint8_t *dst) {
    size_t in = 0;
    size_t out = 0;
    if (n_bytes == 0u) {
        return EW_COBS_BROKEN;
    }
    while (in < n_bytes) {
        const uint8_t code = src[in++];
        const size_t run = (size_t)code - 1u;
        if (code == 0u || run > n_bytes - in) {
            return EW_COBS_BROKEN;
        }
        for (size_t i = 0; i < run; i++) {
            const uint8_t byte = src[in++];
            if (byte == 0u) {
                return EW_COBS_BROKEN;
            }
            dst[out++] = byte;
        }
        if (code != 255u && in < n_bytes) {
            dst[out++] = 0;
        }
    }
    return out;
}
