/* What start-up, port and drivers share on an Arm core with an MMU (ARM1176, Cortex-A), in ARM state: registers, interrupt
 * masking, interrupt handlers.
 * Source: Armv7-A/R Architecture Reference Manual (DDI 0406), A8.8.119 "NOP" and the hints beside it, B9.3.2 "CPS". */
#ifndef EW_CORTEX_A_H
#define EW_CORTEX_A_H

#include <stdint.h>

#define EW_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Markers for an instruction counter: hints that the architecture leaves unallocated, executed as NOP. Begin and end of
 * one inference; start and end of an interrupt handler, which is not part of the inference. The instruction behind RESUME
 * (the return) is not counted. */
#define EW_MARKER_BEGIN ".word 0xe320f050"
#define EW_MARKER_END ".word 0xe320f060"
#define EW_MARKER_PAUSE ".word 0xe320f070"
#define EW_MARKER_RESUME ".word 0xe320f080"

/* Defines the interrupt handler `name`, a plain function: ew_irq_entry (startup.c) saves what it may change. */
#define EW_ISR(name)                                                                                                   \
    void name(void);                                                                                                   \
    void name(void)

/* Masks interrupts and returns what ew_irq_restore needs. */
static inline uint32_t ew_irq_save(void)
{
    uint32_t status;
    __asm volatile("mrs %0, cpsr\n cpsid i" : "=r"(status)::"memory");
    return status;
}

static inline void ew_irq_restore(uint32_t status)
{
    __asm volatile("msr cpsr_c, %0" ::"r"(status) : "memory");
}

/* The chip's driver gives these. */
void ew_irq_enable_line(uint32_t irq);
void ew_irq_handler(void);
void ew_chip_reset(void) __attribute__((noreturn));

/* Sleeps until an interrupt is pending; wakes even while interrupts are masked. */
static inline void ew_wait_for_interrupt(void)
{
#if __ARM_ARCH >= 7
    __asm volatile("dsb\n wfi" ::: "memory");
#else
    __asm volatile("mcr p15, 0, %0, c7, c0, 4" ::"r"(0) : "memory");
#endif
}

#endif
