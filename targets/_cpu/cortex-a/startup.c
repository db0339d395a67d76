/* Start-up of an Arm core with an MMU: from reset to main(), interrupts, and what happens at an exception. Everything runs in
 * Supervisor mode, on one stack.
 * Source: Armv7-A/R Architecture Reference Manual (DDI 0406), B1.8 and B1.9 (exceptions), B3.5 (short descriptors), B4.1 (system
 * registers); ARM1176JZF-S Technical Reference Manual (DDI 0301), 3.2 and 20.5 (RunFast). */
#include "ew_board.h"
#include "ew_cortex_a.h"
#include "ew_fault_text.h"
#include "ew_port.h"

#include <stddef.h>
#include <stdint.h>

/* linker.ld */
typedef struct {
    const volatile uint32_t *from;
    volatile uint32_t *to, *end;
} ew_copy;
extern const ew_copy ew_copies_start[], ew_copies_end[]; /* initialised data, and weights in RAM */
extern uint32_t ew_bss_start[], ew_bss_end[];
extern const uint32_t ew_stack_bottom[], ew_stack_top[];
extern const uint8_t ew_text_start[], ew_text_end[];

#define REPORT_STACK_BYTES "512" /* what a report needs */
#define DATA_ABORT 20u           /* numbers are 16 and the vector: none of a Cortex-M's */

int main(void);
void ew_reset(void);
void ew_vectors(void);
void ew_irq_entry(void) __attribute__((used));
void ew_undefined(void) __attribute__((used));
void ew_prefetch_abort(void) __attribute__((used));
void ew_data_abort(void) __attribute__((used));
void ew_unexpected(void) __attribute__((used));
void ew_board_setup(void);
void ew_start(void) __attribute__((noreturn, used));
void ew_report_entry(void) __attribute__((used));
void ew_fault_report(uint32_t exception, uint32_t pc, uint32_t lr, const uint32_t *sp) __attribute__((used));

/* The first code to run: out of Hyp mode, where there is one; other cores sleep for ever; FPU on. Without flushing to zero
 * the VFP11 of an ARM1176 would leave subnormal numbers to software that is not here. */
__attribute__((naked, section(".init"))) void ew_reset(void)
{
    __asm volatile("cpsid if\n"
#if __ARM_ARCH >= 7
                   ".arch_extension virt\n"
                   "mrs r0, cpsr\n"
                   "and r1, r0, #0x1f\n"
                   "cmp r1, #0x1a\n"
                   "bne 1f\n"
                   "bic r0, r0, #0x1f\n"
                   "orr r0, r0, #0xd3\n"
                   "msr spsr_cxsf, r0\n"
                   "adr r0, 1f\n"
                   "msr elr_hyp, r0\n"
                   "eret\n"
                   "1: mrc p15, 0, r0, c0, c0, 5\n" /* MPIDR */
                   "ands r0, r0, #3\n"
                   "beq 3f\n"
                   "2: wfe\n"
                   "b 2b\n"
                   "3:\n"
#endif
                   "cps #0x13\n"
                   "ldr sp, =ew_stack_top\n"
                   "ldr r0, =ew_vectors\n"
                   "mcr p15, 0, r0, c12, c0, 0\n" /* VBAR */
                   "mrc p15, 0, r0, c1, c0, 2\n"  /* CPACR: CP10 and CP11 */
                   "orr r0, r0, #0x00f00000\n"
                   "mcr p15, 0, r0, c1, c0, 2\n"
                   "mov r0, #0\n"
                   "mcr p15, 0, r0, c7, c5, 4\n" /* instruction barrier */
                   "mov r0, #0x40000000\n"
                   "vmsr fpexc, r0\n"
#if __ARM_ARCH >= 7
                   "mov r0, #0\n"
#else
                   "mov r0, #0x03000000\n" /* FZ, DN */
#endif
                   "vmsr fpscr, r0\n"
                   "b ew_start\n"
                   ".ltorg");
}

__attribute__((naked, aligned(32))) void ew_vectors(void)
{
    __asm volatile("b ew_reset\n"
                   "b ew_undefined\n"
                   "b ew_unexpected\n" /* SVC */
                   "b ew_prefetch_abort\n"
                   "b ew_data_abort\n"
                   "b ew_unexpected\n"
                   "b ew_irq_entry\n"
                   "b ew_unexpected\n"); /* FIQ */
}

/* Handlers compute with integers alone, so registers of the FPU stay as they are. */
__attribute__((naked)) void ew_irq_entry(void)
{
    __asm volatile(EW_MARKER_PAUSE "\n"
                   "sub lr, lr, #4\n"
                   "srsdb sp!, #0x13\n"
                   "cps #0x13\n"
                   "push {r0-r3, r12, lr}\n"
                   "and r1, sp, #4\n" /* the ABI's 8 bytes */
                   "sub sp, sp, r1\n"
                   "push {r1, r2}\n"
                   "bl ew_irq_handler\n"
                   "pop {r1, r2}\n"
                   "add sp, sp, r1\n"
                   "pop {r0-r3, r12, lr}\n"
                   EW_MARKER_RESUME "\n"
                   "rfeia sp!");
}

/* From the stack in use: number, the instruction at fault, who called, stack pointer. Where too little is left below (the
 * stack has overflowed) or the stack pointer is off the stack, the report begins at the stack's top: what called is not
 * returned to. */
__attribute__((naked)) void ew_report_entry(void)
{
    __asm volatile("cps #0x13\n"
                   "mov r2, lr\n"
                   "mov r3, sp\n"
                   "ldr r12, =ew_stack_bottom + " REPORT_STACK_BYTES "\n"
                   "cmp sp, r12\n"
                   "blo 1f\n"
                   "ldr r12, =ew_stack_top\n"
                   "cmp sp, r12\n"
                   "bls 2f\n"
                   "1: ldr sp, =ew_stack_top\n"
                   "2: bic sp, sp, #7\n"
                   "bl ew_fault_report\n"
                   ".ltorg");
}

#define TO_REPORT(number, behind)                                                                                      \
    __asm volatile("sub r1, lr, #" behind "\n mov r0, #16+" number "\n b ew_report_entry")

__attribute__((naked)) void ew_undefined(void)
{
    TO_REPORT("1", "4");
}

__attribute__((naked)) void ew_prefetch_abort(void)
{
    TO_REPORT("3", "4");
}

__attribute__((naked)) void ew_data_abort(void)
{
    TO_REPORT("4", "8");
}

__attribute__((naked)) void ew_unexpected(void)
{
    TO_REPORT("0", "4");
}

/* Memory as it is, in sections of 1 MB: RAM with write-back caches, from EW_DEVICES on registers. Without it the data cache
 * is off, and an access that is not aligned an exception. Caches hold nothing after a reset of the chip (Cortex-A7: DDI
 * 0464, 2.1; the firmware of a Raspberry Pi 2 has set ACTLR.SMP), or are emptied first (ARM1176). */
#define SECTION_RAM 0x00001C0Eu    /* AP 11, TEX 001, C, B: write-back, write-allocate */
#define SECTION_DEVICE 0x00000C16u /* AP 11, B, XN: shared device */
#define SCTLR_ON 0x00C01805u       /* XP and U (ARM1176), instruction cache, branch prediction, data cache, MMU */
#define SCTLR_ALIGNMENT_CHECK 2u

static uint32_t sections[4096] __attribute__((aligned(16384)));

static void memory_on(void)
{
    for (uint32_t i = 0; i < 4096u; i++) {
        uint32_t at = i << 20;
        sections[i] = at | (at < EW_DEVICES ? SECTION_RAM : SECTION_DEVICE);
    }
    sections[EW_STACK_GUARD >> 20] = 0u; /* no access: what a stack that is too deep runs into */
    uint32_t control;
#if __ARM_ARCH >= 7
    __asm volatile("mcr p15, 0, %0, c7, c5, 0\n" /* instruction cache */
                   "mcr p15, 0, %0, c7, c5, 6\n" /* branch prediction */
                   "dsb" ::"r"(0)
                   : "memory");
#else
    __asm volatile("mcr p15, 0, %0, c7, c7, 0\n"   /* both caches */
                   "mcr p15, 0, %0, c7, c10, 4\n" ::"r"(0) /* data barrier */
                   : "memory");
#endif
    __asm volatile("mcr p15, 0, %1, c8, c7, 0\n"  /* TLB */
                   "mcr p15, 0, %1, c2, c0, 2\n"  /* TTBCR */
                   "mcr p15, 0, %2, c2, c0, 0\n"  /* TTBR0 */
                   "mcr p15, 0, %3, c3, c0, 0\n"  /* DACR: domain 0 by the table */
                   "mcr p15, 0, %1, c7, c5, 4\n"
                   "mrc p15, 0, %0, c1, c0, 0\n"
                   : "=&r"(control)
                   : "r"(0), "r"((uint32_t)(uintptr_t)sections), "r"(1)
                   : "memory");
    control = (control | SCTLR_ON) & ~SCTLR_ALIGNMENT_CHECK;
    __asm volatile("mcr p15, 0, %0, c1, c0, 0\n mcr p15, 0, %1, c7, c5, 4" ::"r"(control), "r"(0) : "memory");
}

/* The loops are volatile, or the compiler turns them into calls of memcpy and memset. */
void ew_start(void)
{
#ifdef EW_BOARD_SETUP
    ew_board_setup();
#endif
    for (const ew_copy *copy = ew_copies_start; copy < ew_copies_end; copy++) {
        const volatile uint32_t *from = copy->from;
        for (volatile uint32_t *to = copy->to; to < copy->end; to++) {
            *to = *from++;
        }
    }
    for (volatile uint32_t *to = ew_bss_start; to < (volatile uint32_t *)ew_bss_end; to++) {
        *to = 0u;
    }
    memory_on();
    (void)main();
    /* The link on a board never closes, so main() does not return; if it does, start over. */
    ew_port_reset();
    for (;;) {
    }
}

/* A word in the code that follows a BL, or a BLX by register. */
EW_REPORT int is_return_address(uintptr_t word)
{
    if ((word & 3u) != 0u || word < (uintptr_t)ew_text_start + 4u || word >= (uintptr_t)ew_text_end) {
        return 0;
    }
    const uint32_t before = ((const uint32_t *)word)[-1];
    return (before & 0x0F000000u) == 0x0B000000u || (before & 0x0FFFFFF0u) == 0x012FFF30u;
}

/* Says in plain text what happened, between two zero bytes so that a host that speaks frames sees a damaged one, and
 * resets the board. What lies on the stack is read last: see cortex-m/startup.c. */
void ew_fault_report(uint32_t exception, uint32_t pc, uint32_t lr, const uint32_t *sp)
{
    const uint32_t bottom = (uint32_t)(uintptr_t)ew_stack_bottom;
    char text[128];
    uint32_t status, address;
    __asm volatile("mrc p15, 0, %0, c5, c0, 0\n mrc p15, 0, %1, c6, c0, 0" : "=r"(status), "=r"(address));
    const int is_below = exception == DATA_ABORT && address < bottom && address >= (EW_STACK_GUARD & 0xFFF00000u);
    const int damaged = ew_stack_is_damaged();
    char *at = begin_report(text, exception, fault_cause(is_below || damaged || sp < ew_stack_bottom));
    at = append_hex(at, " sp=", (uint32_t)(uintptr_t)sp);
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    at = append_hex(text, " dfsr=", status);
    at = append_hex(at, " dfar=", address);
    at = append_hex(at, " pc=", pc);
    at = append_hex(at, " lr=", lr);
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    end_report(text, damaged ? ew_stack_bottom : sp, ew_stack_bottom, ew_stack_top, is_return_address);
}
