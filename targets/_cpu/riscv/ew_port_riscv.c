/* The part of ew_port.h that is the same on RISC-V boards with a reset register: markers, reset. The UART's driver gives
 * ew_port_read, ew_port_read_now (by ew_uart_ring.h), ew_port_write and ew_uart_rx_isr, the timer's driver ew_port_ticks
 * and ew_port_timer_hz; ew_port_memory.h memory and stack. */
#include "ew_board.h"
#include "ew_interrupts.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_timer.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define EW_READ_SP "mv %0, sp"
#define STACK_PAINT_MARGIN_WORDS 64
#include "ew_port_memory.h"

void ew_port_init(void)
{
    find_reset_cause();
#ifdef EW_WATCHDOG_MS
    ew_watchdog_init();
#endif
    ew_uart_init();
#if defined(EW_MARK_INIT) && !defined(EW_MARK_PULSES)
    EW_MARK_INIT;
    EW_MARK_LOW;
#endif
    ew_timer_init();
    ew_interrupts_init();
    __asm volatile("csrsi mstatus, 8" ::: "memory");
}

#if defined(EW_MARK_HIGH) && !defined(EW_MARK_PULSES)
/* The board has a marker pin for a power meter: high during an inference. */
void ew_port_roi_begin(void)
{
    EW_MARK_HIGH;
    __asm volatile(EW_MARKER_BEGIN ::: "memory");
}

void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END ::: "memory");
    EW_MARK_LOW;
}
#else
/* Naked, so that nothing but the return and the call of the end marker's function is counted besides the inference. */
__attribute__((naked)) void ew_port_roi_begin(void)
{
    __asm volatile(EW_MARKER_BEGIN "\n ret");
}

__attribute__((naked)) void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END "\n ret");
}
#endif

static void restart(void)
{
    EW_REG32(EW_RESET_ADDRESS) |= EW_RESET_VALUE;
    for (;;) { /* the reset takes some cycles to arrive */
    }
}
