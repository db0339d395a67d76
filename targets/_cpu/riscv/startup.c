/* Start-up of a RISC-V core in machine mode: from reset to main(), interrupts, and what happens at an exception. */
#include "ew_board.h"
#include "ew_fault_text.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

/* linker.ld. Addresses are of 32 bits, also on a core of 64. */
typedef struct {
    uint32_t from, to, end;
} ew_copy;
extern const ew_copy ew_copies_start[], ew_copies_end[]; /* initialised data, and weights in RAM */
extern uint32_t ew_bss_start[], ew_bss_end[];
extern const uint32_t ew_stack_bottom[], ew_stack_top[];
extern const uint8_t ew_text_start[], ew_text_end[], ew_text_read[]; /* the last: where loads see the first */

#define REPORT_STACK_BYTES "1024" /* what a report needs, on a core of 64 bits too */

int main(void);
void ew_reset(void);
void ew_trap(void);
void ew_board_setup(void);
void ew_start(void) __attribute__((used));
void ew_external_interrupt(void) __attribute__((used));
void ew_exception(const uintptr_t *sp, uintptr_t ra) __attribute__((used, cold));

/* The first code to run. tp is where the C library keeps errno. */
__attribute__((naked, section(".init"))) void ew_reset(void)
{
    __asm volatile(".option push\n"
                   ".option norelax\n"
                   "la gp, __global_pointer$\n"
                   ".option pop\n"
                   "la sp, ew_stack_top\n"
                   "la tp, ew_tls_start\n"
#ifdef EW_TRAP_TABLE /* a core that knows vectored interrupts only */
                   "la t0, ew_trap_table + 1\n"
#else
                   "la t0, ew_trap\n"
#endif
                   "csrw mtvec, t0\n"
#ifdef __riscv_flen
                   "li t0, 0x2000\n" /* EW_MSTATUS_FS_INITIAL */
                   "csrs mstatus, t0\n"
                   "csrw fcsr, x0\n"
#endif
                   "j ew_start");
}

/* Makes a write to the region below the stack an exception: the first entry of the PMP, in which only reading and executing
 * are allowed, locked so that it holds in machine mode. A core without a PMP ends up behind the two instructions by its own
 * exception. */
static void guard_stack(void)
{
    const uintptr_t address = ((uintptr_t)EW_STACK_GUARD + EW_STACK_GUARD_BYTES / 2u - 1u) >> 2; /* NAPOT: a power of two */
    __asm volatile("la t0, 1f\n"
                   "csrrw t0, mtvec, t0\n"
                   "csrw pmpaddr0, %0\n"
                   "csrs pmpcfg0, %1\n"
                   ".balign 4\n"
                   "1: csrw mtvec, t0" ::"r"(address), "r"(EW_PMP_GUARD)
                   : "t0", "memory");
}

/* The loops are volatile, or the compiler turns them into calls of memcpy and memset. */
void ew_start(void)
{
#ifdef EW_BOARD_SETUP
    ew_board_setup();
#endif
    for (const ew_copy *copy = ew_copies_start; copy < ew_copies_end; copy++) {
        const volatile uint32_t *from = (const volatile uint32_t *)(uintptr_t)copy->from;
        const volatile uint32_t *end = (const volatile uint32_t *)(uintptr_t)copy->end;
        for (volatile uint32_t *to = (volatile uint32_t *)(uintptr_t)copy->to; to < end; to++) {
            *to = *from++;
        }
    }
    for (volatile uint32_t *to = ew_bss_start; to < (volatile uint32_t *)ew_bss_end; to++) {
        *to = 0u;
    }
    guard_stack();
    (void)main();
    /* The link on a board never closes, so main() does not return; if it does, start over. */
    ew_port_reset();
    for (;;) {
    }
}

#if __riscv_xlen == 64
#define STORE "sd "
#define LOAD "ld "
#define WORD "8"
#else
#define STORE "sw "
#define LOAD "lw "
#define WORD "4"
#endif
#define AT(register, n) register ", " n "*" WORD "(sp)\n"
#define CALLER_SAVED(op)                                                                                               \
    op AT("ra", "0") op AT("t1", "1") op AT("t2", "2") op AT("a0", "3") op AT("a1", "4") op AT("a2", "5")              \
    op AT("a3", "6") op AT("a4", "7") op AT("a5", "8") op AT("a6", "9") op AT("a7", "10") op AT("t3", "11")            \
    op AT("t4", "12") op AT("t5", "13") op AT("t6", "14") op AT("t0", "15")

/* Interrupts have the sign bit of mcause. Only the external one is enabled; its handler computes with integers alone, so
 * registers of the FPU stay as they are. An exception is not returned from: its report begins at the stack's top where too
 * little is left below (the stack has overflowed), or where the stack pointer is off the stack. */
__attribute__((naked, aligned(4))) void ew_trap(void)
{
    __asm volatile(EW_MARKER_PAUSE "\n"
                   "csrw mscratch, t0\n"
                   "csrr t0, mcause\n"
                   "bltz t0, 1f\n"
                   "mv a0, sp\n"
                   "mv a1, ra\n"
                   "la t0, ew_stack_top\n"
                   "bgtu sp, t0, 2f\n"
                   "la t1, ew_stack_bottom + " REPORT_STACK_BYTES "\n"
                   "bgeu sp, t1, 3f\n"
                   "2: la sp, ew_stack_top\n"
                   "3: andi sp, sp, -16\n"
                   "j ew_exception\n"
                   "1: csrr t0, mscratch\n"
                   "addi sp, sp, -16*" WORD "\n"
                   CALLER_SAVED(STORE)
                   "call ew_external_interrupt\n"
                   CALLER_SAVED(LOAD)
                   "addi sp, sp, 16*" WORD "\n"
                   EW_MARKER_RESUME "\n"
                   "mret");
}

/* A word in the code that follows a jump that keeps ra: JAL, JALR, or their short forms. */
EW_REPORT int is_return_address(uintptr_t word)
{
    if ((word & 1u) != 0u || word < (uintptr_t)ew_text_start + 4u || word >= (uintptr_t)ew_text_end) {
        return 0;
    }
    const uint16_t *code = (const uint16_t *)((uintptr_t)ew_text_read + (word - (uintptr_t)ew_text_start));
    const uint32_t low = code[-2];
    return (low & 0xFFFu) == 0x0EFu || (low & 0xFFFu) == 0x0E7u || (code[-1] & 0xF07Fu) == 0x9002u ||
           (__riscv_xlen == 32 && (code[-1] & 0xE003u) == 0x2001u);
}

/* Says in plain text what happened, between two zero bytes so that a host that speaks frames sees a damaged one, and
 * resets the board. Addresses of the program have 32 bits. The stack's words are read last: see cortex-m/startup.c. */
void ew_exception(const uintptr_t *sp, uintptr_t ra)
{
    const uintptr_t bottom = (uintptr_t)ew_stack_bottom;
    uintptr_t number, pc, value;
    char text[128];
    __asm volatile("csrr %0, mcause\n csrr %1, mepc\n csrr %2, mtval" : "=r"(number), "=r"(pc), "=r"(value));
    const int is_below = (uintptr_t)sp < bottom || (number == EW_STORE_FAULT && value < bottom && value >= EW_STACK_GUARD);
    const int damaged = ew_stack_is_damaged();
    char *at = begin_report(text, (uint32_t)number, fault_cause(is_below || damaged));
    at = append_hex(at, " sp=", (uint32_t)(uintptr_t)sp);
    at = append_hex(at, " mtval=", (uint32_t)value);
    at = append_hex(at, " pc=", (uint32_t)pc);
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    at = append_hex(text, " lr=", (uint32_t)ra);
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    /* At the bottom, the calls that went too deep have left their addresses. */
    end_report(text, damaged ? (const void *)bottom : sp, ew_stack_bottom, ew_stack_top, is_return_address);
}
