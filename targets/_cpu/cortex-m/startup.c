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

int main(void);
void ew_reset(void);
void ew_fault(void);
void ew_board_setup(void);
void ew_fault_report(const uint32_t *frame, uint32_t exc_return) __attribute__((noreturn, used));

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
    (void)main();
    /* The link on a board never closes, so main() does not return; if it does, start over. */
    ew_port_reset();
    for (;;) {
    }
}

/* Takes the stack that was in use (bit 2 of EXC_RETURN) and lr to the report. The handler has no frame of its own;
 * the report does not return, so the call costs nothing. */
__attribute__((naked)) void ew_fault(void)
{
    __asm volatile("mov r1, lr\n"
                   "movs r2, #4\n"
                   "tst r1, r2\n"
                   "bne 1f\n"
                   "mrs r0, msp\n"
                   "b 2f\n"
                   "1: mrs r0, psp\n"
                   "2: bl ew_fault_report");
}

/* A board whose timer is not SysTick has no handler for it. */
void ew_systick_isr(void) __attribute__((weak, alias("ew_fault")));

/* Says in plain text what happened, between two zero bytes so that a host that speaks frames sees a damaged one, and
 * stops. A fault inside this report locks the core up, which a debugger and an emulator show. The stacked frame is
 * read last: if the stack pointer itself was at fault, the registers above it have been sent. */
void ew_fault_report(const uint32_t *frame, uint32_t exc_return)
{
    enum { STACKED_LR = 5, STACKED_PC = 6 };
    char text[128];
    uint32_t exception = EW_SCB_ICSR & 0x1FFu;
    (void)ew_irq_save();

    char *at = text;
    *at++ = '\0';
    at = append_hex(at, "edgewright fault: exception=", exception);
    at = append_hex(at, " exc_return=", exc_return);
#if __ARM_ARCH >= 7 /* Armv6-M and Armv8-M Baseline do not say more; __ARM_ARCH of the latter is 8 */
    at = append_hex(at, " cfsr=", EW_SCB_CFSR);
    at = append_hex(at, " hfsr=", EW_SCB_HFSR);
    at = append_hex(at, " bfar=", EW_SCB_BFAR);
#endif
    ew_port_write((const uint8_t *)text, (size_t)(at - text));

    at = append_hex(text, " pc=", frame[STACKED_PC]);
    at = append_hex(at, " lr=", frame[STACKED_LR]);
    *at++ = '\n';
    *at++ = '\0';
    ew_port_write((const uint8_t *)text, (size_t)(at - text));
    for (;;) {
        ew_wait_for_interrupt();
    }
}
