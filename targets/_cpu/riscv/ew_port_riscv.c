/* The part of ew_port.h that is the same on RISC-V boards with a reset register: its initialisation and reset. The UART's driver gives
 * ew_port_read, ew_port_read_now (by ew_uart_ring.h), ew_port_write and ew_uart_rx_isr, the timer's driver ew_port_ticks
 * and ew_port_timer_hz; ew_port_memory.h the rest. */
#include "ew_board.h"
#include "ew_interrupts.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_timer.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define EW_READ_SP "mv %0, sp"
#define EW_RETURN "ret"
#define STACK_PAINT_MARGIN_WORDS 64
#include "ew_port_memory.h"

void ew_port_init(void)
{
    port_begin();
    ew_uart_init();
    ew_timer_init();
    ew_interrupts_init();
    __asm volatile("csrsi mstatus, 8" ::: "memory");
}

static void restart(void)
{
    EW_REG32(EW_RESET_ADDRESS) |= EW_RESET_VALUE;
    for (;;) { /* the reset takes some cycles to arrive */
    }
}
