/* What start-up, port and drivers share on every RISC-V core in machine mode: registers, interrupt masking, markers.
 * Source: The RISC-V Instruction Set Manual, Volume I (20191213), 2.9 "HINT Instructions"; Volume II (20211203), chapter 3
 * "Machine-Level ISA". */
#ifndef EW_RISCV_H
#define EW_RISCV_H

#include "ew_board.h"

#include <stdint.h>

#define EW_REG8(address) (*(volatile uint8_t *)(uintptr_t)(address))
#define EW_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define EW_MSTATUS_MIE 0x8u
#define EW_MSTATUS_FS_INITIAL 0x2000u /* the FPU is on */
#define EW_MIE_EXTERNAL 0x800u
#define EW_PMP_GUARD 0x9Du /* pmpcfg: locked, a naturally aligned power of two, executed and read */
#define EW_STORE_FAULT 7u  /* of mcause: a store that the PMP forbids, or the bus */

/* Markers for an instruction counter: SLTI to x0, hints that are left to custom use, so that every core executes them as
 * NOP. Begin and end of one inference; start and end of an interrupt handler, which is not part of the inference. The
 * instruction behind RESUME (the return) is not counted. */
#define EW_MARKER_BEGIN "slti x0, x0, 1"
#define EW_MARKER_END "slti x0, x0, 2"
#define EW_MARKER_PAUSE "slti x0, x0, 3"
#define EW_MARKER_RESUME "slti x0, x0, 4"

/* Masks interrupts and returns what ew_irq_restore needs. */
static inline uintptr_t ew_irq_save(void)
{
    uintptr_t status;
    __asm volatile("csrrci %0, mstatus, 8" : "=r"(status)::"memory");
    return status;
}

static inline void ew_irq_restore(uintptr_t status)
{
    __asm volatile("csrs mstatus, %0" ::"r"(status & EW_MSTATUS_MIE) : "memory");
}

/* Sleeps until an interrupt is pending; wakes even while interrupts are masked. Returns at once where a core cannot. */
static inline void ew_wait_for_interrupt(void)
{
#ifndef EW_NO_WFI
    __asm volatile("wfi" ::: "memory");
#endif
}

#endif
