/* The part of ew_port.h that is the same on every Cortex-M: its initialisation and reset; the rest is in ew_port_memory.h. The
 * UART driver gives ew_port_read, ew_port_read_now (by ew_uart_ring.h) and ew_port_write, the timer's driver
 * ew_port_ticks and ew_port_timer_hz. */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_timer.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define EW_READ_SP "mov %0, sp"
#define EW_RETURN "bx lr"
#define STACK_PAINT_MARGIN_WORDS 16
#ifdef EW_CACHES
#define EW_FLUSH(word) (EW_SCB_DCCMVAC = (uint32_t)(uintptr_t)(word))
#endif
#include "ew_port_memory.h"

void ew_port_init(void)
{
    port_begin();
    ew_timer_init();
    ew_uart_init();
    __asm volatile("cpsie i" ::: "memory");
}

static void restart(void)
{
    __asm volatile("dsb" ::: "memory");
    EW_SCB_AIRCR = EW_SCB_AIRCR_SYSRESETREQ;
    __asm volatile("dsb" ::: "memory");
    for (;;) { /* the reset takes some cycles to arrive */
    }
}
