/* CRC-32 as in Ethernet, zip and zlib (polynomial 0xEDB88320 reflected, initial value and final xor all ones). */
#ifndef EW_CRC32_H
#define EW_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Returns the CRC of what `crc` covers followed by `bytes[n_bytes]`; start with 0. A table of 16 words; with
 * EW_CRC32_BITWISE none, and about four times slower. */
uint32_t ew_crc32(uint32_t crc, const uint8_t *bytes, size_t n_bytes);

#endif
