/* The part of ew_port.h that is the same on every Cortex-M: markers, memory, stack, reset. The UART driver gives
 * ew_port_read and ew_port_write, the timer's driver ew_port_ticks and ew_port_timer_hz. */
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_timer.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define STACK_PAINT 0xE5E5E5E5u
#define STACK_PAINT_MARGIN_WORDS 16 /* below the painter's own stack pointer: its spills and an interrupt's frame */

extern uint32_t ew_stack_bottom[], ew_stack_top[]; /* linker.ld */
extern uint8_t ew_batch_start[], ew_batch_end[];

void ew_port_init(void)
{
    ew_timer_init();
    ew_uart_init();
    __asm volatile("cpsie i" ::: "memory");
}

/* Naked, so that nothing but the return and the call of the end marker's function is counted besides the inference. */
__attribute__((naked)) void ew_port_roi_begin(void)
{
    __asm volatile(EW_MARKER_BEGIN "\n bx lr");
}

__attribute__((naked)) void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END "\n bx lr");
}

uint8_t *ew_port_batch_memory(size_t *n_bytes)
{
    *n_bytes = (size_t)((uintptr_t)ew_batch_end - (uintptr_t)ew_batch_start);
    return ew_batch_start;
}

__attribute__((noinline)) void ew_port_stack_paint(void)
{
    uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *word = ew_stack_bottom; word < sp - STACK_PAINT_MARGIN_WORDS; word++) {
        *word = STACK_PAINT;
    }
}

size_t ew_port_stack_used_bytes(void)
{
    const volatile uint32_t *word = ew_stack_bottom;
    while (word < (const volatile uint32_t *)ew_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (size_t)((uintptr_t)ew_stack_top - (uintptr_t)word);
}

size_t ew_port_stack_size_bytes(void)
{
    return (size_t)((uintptr_t)ew_stack_top - (uintptr_t)ew_stack_bottom);
}

void ew_port_reset(void)
{
    ew_uart_drain();
    __asm volatile("dsb" ::: "memory");
    EW_SCB_AIRCR = EW_SCB_AIRCR_SYSRESETREQ;
    __asm volatile("dsb" ::: "memory");
    for (;;) { /* the reset takes some cycles to arrive */
    }
}
