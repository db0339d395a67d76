/* Watchdog of the nRF51 and nRF52, at 32,768 Hz. It warns two of its clocks before the reset, which is no time for a report.
 * Source: nRF51 Series Reference Manual v3.0.1, chapter 23 "Watchdog timer"; nRF52840 Product Specification, "WDT". */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_fault_text.h"

#include <stdint.h>

#define TASKS_START EW_REG32(EW_WATCHDOG_BASE + 0x000u)
#define CRV EW_REG32(EW_WATCHDOG_BASE + 0x504u)
#define RREN EW_REG32(EW_WATCHDOG_BASE + 0x508u)
#define CONFIG EW_REG32(EW_WATCHDOG_BASE + 0x50Cu)
#define RELOAD_0 EW_REG32(EW_WATCHDOG_BASE + 0x600u)

#define RREN_0 1u
#define CONFIG_RUN_IN_SLEEP 1u /* and not while a debugger halts the core */
#define RELOAD_KEY 0x6E524635u
#define CLOCK_HZ 32768u

_Static_assert((uint64_t)EW_WATCHDOG_MS * CLOCK_HZ / 1000u <= UINT32_MAX, "the watchdog counts 32 bits");

void ew_watchdog_init(void)
{
    CONFIG = CONFIG_RUN_IN_SLEEP;
    CRV = (uint32_t)((uint64_t)EW_WATCHDOG_MS * CLOCK_HZ / 1000u);
    RREN = RREN_0;
    TASKS_START = 1u;
}

void ew_watchdog_feed(void)
{
    RELOAD_0 = RELOAD_KEY;
}

int ew_watchdog_has_warned(void)
{
    return 0;
}
