/* What start-up, port and drivers share on every Cortex-M: core registers, interrupt masking, interrupt handlers.
 * Source: Armv7-M Architecture Reference Manual (DDI 0403), B3.2 and B3.3; Armv6-M (DDI 0419) and Armv8-M (DDI 0553)
 * have the same registers at the same addresses. */
#ifndef EW_CORTEX_M_H
#define EW_CORTEX_M_H

#include <stdint.h>

#define EW_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define EW_SYST_CSR EW_REG32(0xE000E010u)
#define EW_SYST_RVR EW_REG32(0xE000E014u)
#define EW_SYST_CVR EW_REG32(0xE000E018u)
#define EW_NVIC_ISER(index) EW_REG32(0xE000E100u + 4u * (index))
#define EW_SCB_ICSR EW_REG32(0xE000ED04u)
#define EW_SCB_VTOR EW_REG32(0xE000ED08u)
#define EW_SCB_AIRCR EW_REG32(0xE000ED0Cu)
#define EW_SCB_CCR EW_REG32(0xE000ED14u)
#define EW_SCB_CFSR EW_REG32(0xE000ED28u)
#define EW_SCB_HFSR EW_REG32(0xE000ED2Cu)
#define EW_SCB_MMFAR EW_REG32(0xE000ED34u)
#define EW_SCB_BFAR EW_REG32(0xE000ED38u)
#define EW_SCB_CCSIDR EW_REG32(0xE000ED80u)
#define EW_SCB_CSSELR EW_REG32(0xE000ED84u)
#define EW_SCB_CPACR EW_REG32(0xE000ED88u)
#define EW_SCB_ICIALLU EW_REG32(0xE000EF50u)
#define EW_SCB_DCISW EW_REG32(0xE000EF60u)
#define EW_SCB_DCCMVAC EW_REG32(0xE000EF68u)
#define EW_MPU_TYPE EW_REG32(0xE000ED90u)
#define EW_MPU_CTRL EW_REG32(0xE000ED94u)
#define EW_MPU_RNR EW_REG32(0xE000ED98u)
#define EW_MPU_RBAR EW_REG32(0xE000ED9Cu)
#define EW_MPU_RASR EW_REG32(0xE000EDA0u)

#define EW_SYST_CSR_ENABLE 0x1u
#define EW_SYST_CSR_TICKINT 0x2u
#define EW_SYST_CSR_CLKSOURCE_CPU 0x4u
#define EW_SCB_ICSR_PENDSTSET 0x04000000u
#define EW_SCB_AIRCR_SYSRESETREQ 0x05FA0004u /* with the write key */
#define EW_SCB_CPACR_FPU_ON 0x00F00000u      /* full access to CP10 and CP11: FPU and MVE */
#define EW_SCB_CCR_CACHES 0x00030000u        /* data cache and instruction cache */
#define EW_SCB_CCR_LOB 0x00080000u           /* Armv8.1-M: the loop cache, without which LE is a plain branch */

#define EW_MPU_CTRL_ENABLE 0x1u
#define EW_MPU_CTRL_PRIVDEFENA 0x4u     /* what no region covers is as without an MPU */
#define EW_MPU_RASR_READ_ONLY 0x15000000u /* for privileged code; nothing is executed */
#define EW_MPU_RASR_ENABLE 0x1u

#define EW_CFSR_DACCVIOL (1u << 1) /* MMFAR has the address where MMARVALID is set, too */
#define EW_CFSR_MSTKERR (1u << 4)  /* the MPU kept an exception's frame from being stacked */
#define EW_CFSR_MMARVALID (1u << 7)
#define EW_CFSR_PRECISERR (1u << 9) /* BFAR likewise */
#define EW_CFSR_STKERR (1u << 12)   /* the bus did */
#define EW_CFSR_BFARVALID (1u << 15)
#define EW_CFSR_STKOF (1u << 20) /* Armv8-M: the stack pointer went below its limit */

/* Markers for an instruction counter: hint encodings that the architecture leaves unallocated, so that every core
 * executes them as NOP (DDI 0403, A5.2.5 "If-Then, and hints"). Begin and end of one inference; start and end of an
 * interrupt handler, which is not part of the inference. The instruction behind RESUME (the return) is not counted. */
#define EW_MARKER_BEGIN ".short 0xbf50"
#define EW_MARKER_END ".short 0xbf60"
#define EW_MARKER_PAUSE ".short 0xbf70"
#define EW_MARKER_RESUME ".short 0xbf80"

/* Defines the interrupt handler `name`, which runs `static void name_body(void)`. It stacks lr and, for the 8-byte
 * alignment that the ABI wants, r4; popping EXC_RETURN into pc is the exception return on every Cortex-M. */
#define EW_ISR(name)                                                                                                   \
    void name(void);                                                                                                   \
    static void name##_body(void) __attribute__((used));                                                               \
    __attribute__((naked)) void name(void)                                                                             \
    {                                                                                                                  \
        __asm volatile(EW_MARKER_PAUSE "\n push {r4, lr}\n bl " #name "_body\n " EW_MARKER_RESUME "\n pop {r4, pc}");  \
    }                                                                                                                  \
    static void name##_body(void)

/* Masks interrupts and returns what ew_irq_restore needs. */
static inline uint32_t ew_irq_save(void)
{
    uint32_t primask;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(primask)::"memory");
    return primask;
}

static inline void ew_irq_restore(uint32_t primask)
{
    __asm volatile("msr primask, %0" ::"r"(primask) : "memory");
}

static inline void ew_irq_enable_line(uint32_t irq)
{
    EW_NVIC_ISER(irq / 32u) = 1u << (irq % 32u);
}

/* Sleeps until an interrupt is pending; wakes even while interrupts are masked. Once a debugger has set DBG_SLEEP (until power
 * is off), an STM32 may fetch wrong instructions behind a WFI (STM32F405 errata, "Debugging Sleep/Stop mode with WFE/WFI
 * entry"; L4R5 likewise): so WFI begins a line of flash, and what follows lies in that line and does nothing. */
static inline void ew_wait_for_interrupt(void)
{
    __asm volatile("dsb\n .balign 16\n wfi\n nop\n nop\n nop\n isb\n" ::: "memory");
}

#endif
