/* The text of a fault's report, without stdio. */
#ifndef EW_FAULT_TEXT_H
#define EW_FAULT_TEXT_H

#include <stdint.h>

static char *append_text(char *at, const char *text)
{
    while (*text != '\0') {
        *at++ = *text++;
    }
    return at;
}

static char *append_hex(char *at, const char *label, uint32_t value)
{
    at = append_text(at, label);
    for (int32_t shift = 28; shift >= 0; shift -= 4) {
        *at++ = "0123456789abcdef"[(value >> shift) & 15u];
    }
    return at;
}

#endif
