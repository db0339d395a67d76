/* Independent watchdog (IWDG) of the STM32: a counter of 12 bits behind a divider, at EW_WATCHDOG_HZ of its own oscillator.
 * It gives no warning.
 * Source: chapters "IWDG" of the reference manuals RM0041, RM0090, RM0368, RM0385, RM0432, RM0433, RM0468. */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_fault_text.h"

#include <stdint.h>

#define IWDG_KEY EW_REG32(EW_WATCHDOG_BASE + 0x00u)
#define IWDG_PRESCALER EW_REG32(EW_WATCHDOG_BASE + 0x04u)
#define IWDG_RELOAD EW_REG32(EW_WATCHDOG_BASE + 0x08u)
#define IWDG_STATUS EW_REG32(EW_WATCHDOG_BASE + 0x0Cu)

#define KEY_FEED 0xAAAAu
#define KEY_WRITE 0x5555u
#define KEY_START 0xCCCCu
#define STATUS_UPDATING 3u
#define MAX_POLLS 1000000u /* an update takes some cycles of the slow clock */

#define COUNTS ((uint64_t)EW_WATCHDOG_MS * EW_WATCHDOG_HZ / 1000u)
_Static_assert(COUNTS <= 256u * 4096u, "the watchdog counts 4,096 times 256 of its clock");

void ew_watchdog_init(void)
{
    uint32_t shift = 2; /* the divider's smallest is 4 */
    while (COUNTS >> shift > 4096u) {
        shift++;
    }
    const uint32_t counts = (uint32_t)(COUNTS >> shift);
    IWDG_KEY = KEY_START;
    IWDG_KEY = KEY_WRITE;
    IWDG_PRESCALER = shift - 2u;
    IWDG_RELOAD = counts > 0u ? counts - 1u : 0u;
    for (uint32_t polls = 0; polls < MAX_POLLS && (IWDG_STATUS & STATUS_UPDATING) != 0u; polls++) {
    }
    IWDG_KEY = KEY_FEED;
}

void ew_watchdog_feed(void)
{
    IWDG_KEY = KEY_FEED;
}

int ew_watchdog_has_warned(void)
{
    return 0;
}
