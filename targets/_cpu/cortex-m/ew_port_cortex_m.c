/* The part of ew_port.h that is the same on every Cortex-M: timer, markers, memory, stack, reset. The UART driver
 * gives ew_port_read and ew_port_write. */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define SYSTICK_PERIOD 0x01000000u /* 24 bits */
#define STACK_PAINT 0xE5E5E5E5u
#define STACK_PAINT_MARGIN_WORDS 16 /* below the painter's own stack pointer: its spills and an interrupt's frame */

extern uint32_t ew_stack_bottom[], ew_stack_top[]; /* linker.ld */
extern uint8_t ew_batch_start[], ew_batch_end[];

static volatile uint32_t systick_periods;

EW_ISR(ew_systick_isr)
{
    systick_periods = systick_periods + 1u;
}

void ew_port_init(void)
{
    EW_SYST_RVR = SYSTICK_PERIOD - 1u;
    EW_SYST_CVR = 0u;
    EW_SYST_CSR = EW_SYST_CSR_CLKSOURCE_CPU | EW_SYST_CSR_TICKINT | EW_SYST_CSR_ENABLE;
    ew_uart_init();
    __asm volatile("cpsie i" ::: "memory");
}

uint32_t ew_port_timer_hz(void)
{
    return EW_CLOCK_HZ;
}

/* The counter runs down and its interrupt becomes pending as it reaches 0, so a period is counted from 0: at 0 none of
 * it is over. A period that ended while interrupts are masked shows as a pending interrupt; the counter is then read
 * again, because the first reading may be from before that end. */
uint64_t ew_port_ticks(void)
{
    uint32_t primask = ew_irq_save();
    uint32_t counter = EW_SYST_CVR;
    uint32_t periods = systick_periods;
    if ((EW_SCB_ICSR & EW_SCB_ICSR_PENDSTSET) != 0u) {
        counter = EW_SYST_CVR;
        periods++;
    }
    ew_irq_restore(primask);
    return (uint64_t)periods * SYSTICK_PERIOD + ((SYSTICK_PERIOD - counter) & (SYSTICK_PERIOD - 1u));
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
