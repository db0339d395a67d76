/* What start-up code, port and a watchdog's driver have in common where a program fails; and the text of the report,
 * without stdio. */
#ifndef EW_FAULT_TEXT_H
#define EW_FAULT_TEXT_H

#include "ew_port.h"

#include <stdint.h>

#define EW_FAULT_TRACE 6 /* return addresses that a report gives */

/* Functions of a report are small, not fast; the port has no use for those of this header. */
#define EW_REPORT static __attribute__((noinline, cold, unused))

/* Whether the stack was painted and its lowest words are not paint any more (ew_port_memory.h). */
int ew_stack_is_damaged(void);

/* Notes, before the report, why the board is about to be reset; then resets it, once the report has left the chip. After
 * the third fault in a row it stops there (ew_port_memory.h). The latter never returns, which is not declared: where code ends
 * at a call, the analysis of the stack cannot follow it. */
void ew_note_fault(ew_reset_cause cause);
void ew_reset_after_fault(void);

#ifdef EW_WATCHDOG_MS /* ew_board.h; given by a driver */
/* Starts it with that period. */
void ew_watchdog_init(void);
/* Begins the period anew. */
void ew_watchdog_feed(void);
/* Whether the period has run out, and the reset is yet to come: 0 where it does not warn. */
int ew_watchdog_has_warned(void);
#endif

EW_REPORT char *append_text(char *at, const char *text)
{
    while (*text != '\0') {
        *at++ = *text++;
    }
    return at;
}

EW_REPORT char *append_hex(char *at, const char *label, uint32_t value)
{
    at = append_text(at, label);
    for (int32_t shift = 28; shift >= 0; shift -= 4) {
        *at++ = "0123456789abcdef"[(value >> shift) & 15u];
    }
    return at;
}

/* Appends the return addresses on the stack from `from` on, the innermost first and each once: the words in the code of which
 * `is_return_address` holds. That may be more than the calls under way, as a frame has words of earlier ones. */
EW_REPORT char *append_trace(char *at, const uintptr_t *from, const uintptr_t *end,
                                 int (*is_return_address)(uintptr_t word))
{
    char label[] = " at0=";
    uintptr_t known[EW_FAULT_TRACE];
    uint32_t count = 0;
    for (; from < end && count < EW_FAULT_TRACE; from++) {
        uint32_t i = 0;
        if (!is_return_address(*from)) {
            continue;
        }
        while (i < count && known[i] != *from) {
            i++;
        }
        if (i == count) {
            known[count++] = *from;
            at = append_hex(at, label, (uint32_t)*from);
            label[3]++;
        }
    }
    return at;
}

/* Why the board is about to be reset: an overflow, or a hang of which a watchdog has warned, or any other fault. */
EW_REPORT ew_reset_cause fault_cause(int is_overflow)
{
    ew_reset_cause cause = is_overflow ? EW_RESET_STACK_OVERFLOW : EW_RESET_FAULT;
#ifdef EW_WATCHDOG_MS
    if (!is_overflow && ew_watchdog_has_warned()) {
        cause = EW_RESET_WATCHDOG;
    }
    ew_watchdog_feed();
#endif
    return cause;
}

/* Notes the cause, and begins a report with it in `text`. */
EW_REPORT char *begin_report(char *text, uint32_t exception, ew_reset_cause cause)
{
    ew_note_fault(cause);
    *text = '\0';
    return append_hex(append_hex(text + 1, "edgewright fault: exception=", exception), " cause=", (uint32_t)cause);
}

/* The last part of a report: what called, from the words of the stack on. */
EW_REPORT void end_report(char *text, const void *from, const void *bottom, const void *top,
                          int (*is_return_address)(uintptr_t word))
{
    const void *begin = (uintptr_t)from < (uintptr_t)bottom ? bottom : from;
    char *at = append_trace(text, (const uintptr_t *)begin, (const uintptr_t *)top, is_return_address);
    *at++ = '\n';
    *at++ = '\0';
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    ew_reset_after_fault();
}

#endif
