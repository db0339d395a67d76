/* The part of ew_port.h that is the same on every Arm core with an MMU: its initialisation; the rest is in ew_port_memory.h. The
 * UART's driver gives ew_port_read, ew_port_read_now (by ew_uart_ring.h) and ew_port_write, the timer's driver
 * ew_port_ticks and ew_port_timer_hz, the chip's driver ew_irq_enable_line, ew_irq_handler and ew_chip_reset. */
#include "ew_board.h"
#include "ew_cortex_a.h"
#include "ew_port.h"
#include "ew_timer.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define EW_READ_SP "mov %0, sp"
#define EW_RETURN "bx lr"
#define STACK_PAINT_MARGIN_WORDS 32
#define EW_FLUSH(word) __asm volatile("mcr p15, 0, %0, c7, c10, 1" ::"r"(word) : "memory") /* clean its cache line */
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
    ew_chip_reset();
}
