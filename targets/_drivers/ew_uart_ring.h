/* Receive buffer between a UART's interrupt (the only writer) and the two ways of ew_port.h to read (the only readers),
 * which are here. A driver includes it once, behind the header of its processor family (ew_cortex_m.h, ew_riscv.h), which
 * masks interrupts. When it is full the newest byte is dropped: the link notices by its CRC and sends again. The host
 * keeps no more bytes under way than EW_PORT_RX_BUFFER_BYTES, so that does not happen with a host that keeps to the
 * rules. */
#ifndef EW_UART_RING_H
#define EW_UART_RING_H

#include "ew_port.h"

#include <stddef.h>
#include <stdint.h>

#define RING_BYTES ((uint32_t)EW_PORT_RX_BUFFER_BYTES)
_Static_assert((RING_BYTES & (RING_BYTES - 1u)) == 0u, "EW_PORT_RX_BUFFER_BYTES is not a power of two");

static uint8_t ring_bytes[RING_BYTES];
static volatile uint32_t ring_written; /* both count up for ever; their difference is the fill, modulo 2^32 */
static volatile uint32_t ring_read;

static inline void ring_put(uint8_t byte)
{
    uint32_t written = ring_written;
    if (written - ring_read < RING_BYTES) {
        ring_bytes[written % RING_BYTES] = byte;
        /* The byte must be there before the count says so. */
        __asm volatile("" ::: "memory");
        ring_written = written + 1u;
    }
}

static inline size_t ring_get(uint8_t *dst, size_t max_bytes)
{
    uint32_t read = ring_read;
    uint32_t filled = ring_written - read;
    size_t count = filled < max_bytes ? filled : max_bytes;
    for (size_t i = 0; i < count; i++) {
        dst[i] = ring_bytes[(read + (uint32_t)i) % RING_BYTES];
    }
    __asm volatile("" ::: "memory");
    ring_read = read + (uint32_t)count;
    return count;
}

size_t ew_port_read_now(uint8_t *dst, size_t max_bytes)
{
    return ring_get(dst, max_bytes);
}

size_t ew_port_read(uint8_t *dst, size_t max_bytes)
{
    for (;;) {
        size_t count = ring_get(dst, max_bytes);
        if (count > 0u || max_bytes == 0u) {
            return count;
        }
#ifdef EW_WATCHDOG_MS
        ew_port_alive(); /* awake, as no interrupt would end a sleep in time to feed the watchdog */
#else
        /* With interrupts masked no byte can slip in between the test and the sleep; a pending one ends the sleep. */
        uintptr_t masked = ew_irq_save();
        if (ring_written == ring_read) {
            ew_wait_for_interrupt();
        }
        ew_irq_restore(masked);
#endif
    }
}

#endif
