/* The part of ew_port.h that is the same on every Arm core with an MMU: markers; memory and stack are in ew_port_memory.h. The
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
#define STACK_PAINT_MARGIN_WORDS 32
#define EW_FLUSH(word) __asm volatile("mcr p15, 0, %0, c7, c10, 1" ::"r"(word) : "memory") /* clean its cache line */
#include "ew_port_memory.h"

void ew_port_init(void)
{
    find_reset_cause();
#ifdef EW_WATCHDOG_MS
    ew_watchdog_init();
#endif
    ew_timer_init();
    ew_uart_init();
#if defined(EW_MARK_INIT) && !defined(EW_MARK_PULSES)
    EW_MARK_INIT;
    EW_MARK_LOW;
#endif
    __asm volatile("cpsie i" ::: "memory");
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
    __asm volatile(EW_MARKER_BEGIN "\n bx lr");
}

__attribute__((naked)) void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END "\n bx lr");
}
#endif

static void restart(void)
{
    ew_chip_reset();
}
