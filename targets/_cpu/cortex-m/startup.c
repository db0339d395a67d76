/* Start-up of any Cortex-M: from reset to main(), and what happens when the processor faults. */
#include "ew_board.h"
#include "ew_cortex_m.h"
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
extern const uint32_t ew_vectors_start[];
extern const uint32_t ew_stack_bottom[], ew_stack_top[];
extern const uint8_t ew_text_start[], ew_text_end[];

#define REPORT_STACK_BYTES "384" /* what a report needs (256 by analysis), and some more */

int main(void);
void ew_reset(void);
void ew_fault(void);
void ew_board_setup(void);
void ew_fault_report(const uint32_t *frame, uint32_t exc_return) __attribute__((used, cold));
void ew_systick_isr(void);

#ifdef EW_CACHES
/* Throws away what is in the caches (after power-up: nothing that means anything) and switches them on. Needs no stack and
 * no data. Source: DDI 0403, B2.2.7 (cache maintenance) and B3.2; Cortex-M7 Devices Generic User Guide (DUI 0646), 4.5. */
static inline __attribute__((always_inline)) void caches_on(void)
{
    EW_SCB_ICIALLU = 0u;
    EW_SCB_CSSELR = 0u; /* the data cache of level 1 */
    __asm volatile("dsb\n isb" ::: "memory");
    uint32_t sets = (EW_SCB_CCSIDR >> 13 & 0x7FFFu) + 1u;
    uint32_t ways = (EW_SCB_CCSIDR >> 3 & 0x3FFu) + 1u;
    for (uint32_t set = 0; set < sets; set++) {
        for (uint32_t way = 0; way < ways; way++) {
            EW_SCB_DCISW = way << 30 | set << 5; /* 4 ways, lines of 32 bytes */
        }
    }
    __asm volatile("dsb\n isb" ::: "memory");
    EW_SCB_CCR |= EW_SCB_CCR_CACHES;
    __asm volatile("dsb\n isb" ::: "memory");
}
#endif

/* Makes a write below the stack a fault: by the stack's limit (Armv8-M), or by a region of the MPU in which reading alone is
 * allowed. It is off while a fault is handled. A core without an MPU has none that counts. */
static inline __attribute__((always_inline)) void guard_stack(void)
{
#if __ARM_ARCH >= 8
    __asm volatile("msr msplim, %0" ::"r"(ew_stack_bottom));
#else
    if ((EW_MPU_TYPE & 0xFF00u) != 0u) {
        EW_MPU_RNR = 0u;
        EW_MPU_RBAR = EW_STACK_GUARD;
        EW_MPU_RASR = EW_MPU_RASR_READ_ONLY | (uint32_t)(__builtin_ctz(EW_STACK_GUARD_BYTES) - 1) << 1 | EW_MPU_RASR_ENABLE;
        EW_MPU_CTRL = EW_MPU_CTRL_ENABLE | EW_MPU_CTRL_PRIVDEFENA;
        __asm volatile("dsb\n isb" ::: "memory");
    }
#endif
}

/* The first code to run. Without the FPU switched on the first float (or MVE) instruction faults, and the compiler may put one
 * anywhere, so this comes before anything else; barriers as DDI 0403, B1.4.7 asks for. The loops are volatile, or the
 * compiler turns them into calls of memcpy and memset, which is harmless here and not on every core. */
__attribute__((noreturn)) void ew_reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    EW_SCB_CPACR |= EW_SCB_CPACR_FPU_ON;
#if defined(__ARM_FEATURE_MVE)
    EW_SCB_CCR |= EW_SCB_CCR_LOB;
#endif
    __asm volatile("dsb\n isb" ::: "memory");
#endif
#ifdef EW_SET_VTOR /* a boot ROM had vectors of its own, or a reset takes them from another address */
    EW_SCB_VTOR = (uint32_t)(uintptr_t)ew_vectors_start;
#endif
#ifdef EW_BOARD_SETUP
    ew_board_setup();
#endif
#ifdef EW_CACHES
    caches_on();
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
    guard_stack();
    (void)main();
    /* The link on a board never closes, so main() does not return; if it does, start over. */
    ew_port_reset();
    for (;;) {
    }
}

/* Takes the stack that was in use (bit 2 of EXC_RETURN) and lr to the report. Where too little is left below (the stack has
 * overflowed) or the stack pointer is off the stack, the report begins at the stack's top: what called is not returned to. */
__attribute__((naked)) void ew_fault(void)
{
    __asm volatile("mov r1, lr\n"
                   "mrs r0, msp\n"
                   "mov r3, r0\n"
                   "movs r2, #4\n"
                   "tst r1, r2\n"
                   "beq 1f\n"
                   "mrs r0, psp\n"
                   "1: ldr r2, =ew_stack_bottom + " REPORT_STACK_BYTES "\n"
                   "cmp r3, r2\n"
                   "blo 2f\n"
                   "ldr r2, =ew_stack_top\n"
                   "cmp r3, r2\n"
                   "bls 3f\n"
                   "2: ldr r2, =ew_stack_top\n"
                   "msr msp, r2\n"
                   "3: bl ew_fault_report\n"
                   ".ltorg");
}

/* A board whose timer is not SysTick has no handler for it. */
void ew_systick_isr(void) __attribute__((weak, alias("ew_fault")));

/* A word in the code that follows a BL, or a BLX by register. */
EW_REPORT int is_return_address(uintptr_t word)
{
    const uintptr_t behind = word & ~(uintptr_t)1u;
    if ((word & 1u) == 0u || behind < (uintptr_t)ew_text_start + 4u || behind >= (uintptr_t)ew_text_end) {
        return 0;
    }
    const uint16_t *code = (const uint16_t *)behind;
    return ((code[-2] & 0xF800u) == 0xF000u && (code[-1] & 0xD000u) == 0xD000u) || (code[-1] & 0xFF87u) == 0x4780u;
}

#if __ARM_ARCH >= 7 /* Armv6-M and Armv8-M Baseline do not say more; __ARM_ARCH of the latter is 8 */
static int is_below_stack(uint32_t address)
{
    return address < (uint32_t)(uintptr_t)ew_stack_bottom && address >= EW_STACK_GUARD;
}

static int wrote_below_stack(uint32_t cfsr)
{
    return (cfsr & EW_CFSR_STKOF) != 0u ||
           ((cfsr & EW_CFSR_DACCVIOL) != 0u && (cfsr & EW_CFSR_MMARVALID) != 0u && is_below_stack(EW_SCB_MMFAR)) ||
           ((cfsr & EW_CFSR_PRECISERR) != 0u && (cfsr & EW_CFSR_BFARVALID) != 0u && is_below_stack(EW_SCB_BFAR));
}
#endif

/* Says in plain text what happened, between two zero bytes so that a host that speaks frames sees a damaged one, and
 * resets the board. A fault inside this report locks the core up, which a debugger and an emulator show. What lies on the
 * stack is read last: if the stack pointer itself was at fault, the registers have been sent. */
void ew_fault_report(const uint32_t *frame, uint32_t exc_return)
{
    enum { STACKED_LR = 5, STACKED_PC = 6, STACKED_WORDS = 8 };
    char text[128];
    uint32_t exception = EW_SCB_ICSR & 0x1FFu;
    int overflow = frame < ew_stack_bottom && (exc_return & 4u) == 0u;
    int lost = overflow; /* the frame could not be written */
    (void)ew_irq_save();
#if __ARM_ARCH >= 7
    uint32_t cfsr = EW_SCB_CFSR;
    lost = lost || (cfsr & (EW_CFSR_MSTKERR | EW_CFSR_STKERR | EW_CFSR_STKOF)) != 0u;
    overflow = overflow || wrote_below_stack(cfsr);
#endif
    const int damaged = ew_stack_is_damaged();
    char *at = begin_report(text, exception, fault_cause(overflow || damaged));
    at = append_hex(at, " exc_return=", exc_return);
    at = append_hex(at, " sp=", (uint32_t)(uintptr_t)frame);
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    at = text;
#if __ARM_ARCH >= 7
    at = append_hex(at, " cfsr=", cfsr);
    at = append_hex(at, " hfsr=", EW_SCB_HFSR);
    at = append_hex(at, " mmfar=", EW_SCB_MMFAR);
    at = append_hex(at, " bfar=", EW_SCB_BFAR);
#endif
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    if (!lost) {
        at = append_hex(text, " pc=", frame[STACKED_PC]);
        at = append_hex(at, " lr=", frame[STACKED_LR]);
        ew_port_write((const uint8_t *)text, (size_t)(at - text));
        frame += STACKED_WORDS;
    }
    /* At the bottom, the calls that went too deep have left their addresses. */
    end_report(text, damaged ? ew_stack_bottom : frame, ew_stack_bottom, ew_stack_top, is_return_address);
}
