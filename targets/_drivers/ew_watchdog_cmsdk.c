/* Watchdog of Arm's CMSDK (MPS2, MPS3, SSE-200, SSE-300) and of the Stellaris. It interrupts when a period is over, and
 * resets the board when a second one is. The interrupt is the NMI, or line EW_WATCHDOG_IRQ; either ends in the fault's report,
 * which so says where the program hangs. EW_WATCHDOG_HZ is its clock.
 * Source: Cortex-M System Design Kit Technical Reference Manual (DDI 0479), section 4.5 "APB watchdog". */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_fault_text.h"

#include <stdint.h>

#define WATCHDOG_LOAD EW_REG32(EW_WATCHDOG_BASE + 0x000u)
#define WATCHDOG_CONTROL EW_REG32(EW_WATCHDOG_BASE + 0x008u)
#define WATCHDOG_CLEAR EW_REG32(EW_WATCHDOG_BASE + 0x00Cu) /* any write: no interrupt, and the period anew */
#define WATCHDOG_STATUS EW_REG32(EW_WATCHDOG_BASE + 0x010u)
#define WATCHDOG_LOCK EW_REG32(EW_WATCHDOG_BASE + 0xC00u)

#define CONTROL_INTERRUPT_AND_RESET 3u
#define LOCK_OPEN 0x1ACCE551u

_Static_assert((uint64_t)EW_WATCHDOG_MS * EW_WATCHDOG_HZ / 1000u <= UINT32_MAX, "the watchdog counts 32 bits");

void ew_watchdog_init(void)
{
    WATCHDOG_LOCK = LOCK_OPEN;
    WATCHDOG_LOAD = (uint32_t)((uint64_t)EW_WATCHDOG_MS * EW_WATCHDOG_HZ / 1000u);
    WATCHDOG_CONTROL = CONTROL_INTERRUPT_AND_RESET;
#ifdef EW_WATCHDOG_IRQ
    ew_irq_enable_line(EW_WATCHDOG_IRQ);
#endif
}

void ew_watchdog_feed(void)
{
    WATCHDOG_CLEAR = 1u;
}

int ew_watchdog_has_warned(void)
{
    return (WATCHDOG_STATUS & 1u) != 0u;
}
