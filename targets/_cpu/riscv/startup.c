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

int main(void);
void ew_reset(void);
void ew_trap(void);
void ew_board_setup(void);
void ew_start(void) __attribute__((noreturn, used));
void ew_external_interrupt(void) __attribute__((used));
void ew_exception(void) __attribute__((noreturn, used));

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
 * registers of the FPU stay as they are. */
__attribute__((naked, aligned(4))) void ew_trap(void)
{
    __asm volatile(EW_MARKER_PAUSE "\n"
                   "addi sp, sp, -16*" WORD "\n"
                   CALLER_SAVED(STORE)
                   "csrr t0, mcause\n"
                   "bgez t0, ew_exception\n"
                   "call ew_external_interrupt\n"
                   CALLER_SAVED(LOAD)
                   "addi sp, sp, 16*" WORD "\n"
                   EW_MARKER_RESUME "\n"
                   "mret");
}

/* Says in plain text what happened, between two zero bytes so that a host that speaks frames sees a damaged one, and
 * stops. Addresses of the program have 32 bits. */
void ew_exception(void)
{
    uintptr_t cause, pc, value;
    char text[96];
    __asm volatile("csrr %0, mcause\n csrr %1, mepc\n csrr %2, mtval" : "=r"(cause), "=r"(pc), "=r"(value));
    char *at = text;
    *at++ = '\0';
    at = append_hex(at, "edgewright fault: exception=", (uint32_t)cause);
    at = append_hex(at, " pc=", (uint32_t)pc);
    at = append_hex(at, " mtval=", (uint32_t)value);
    *at++ = '\n';
    *at++ = '\0';
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    for (;;) {
        ew_wait_for_interrupt();
    }
}
