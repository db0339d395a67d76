/* The timer of ew_port.h by a TIMER of the nRF51, 32 bits wide: these chips have no SysTick.
 * Source: nRF51 Series Reference Manual v3.0.1, chapter 18 "Timer/counter". */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_timer.h"

#include <stdint.h>

#define TASKS_START EW_REG32(EW_TIMER_BASE + 0x000u)
#define TASKS_CAPTURE_0 EW_REG32(EW_TIMER_BASE + 0x040u)
#define EVENTS_COMPARE_1 EW_REG32(EW_TIMER_BASE + 0x144u)
#define INTENSET EW_REG32(EW_TIMER_BASE + 0x304u)
#define BITMODE EW_REG32(EW_TIMER_BASE + 0x508u)
#define PRESCALER EW_REG32(EW_TIMER_BASE + 0x510u)
#define CC_0 EW_REG32(EW_TIMER_BASE + 0x540u)
#define CC_1 EW_REG32(EW_TIMER_BASE + 0x544u)

#define BITMODE_32 3u
#define INT_COMPARE_1 (1u << 17)
#define TIMER_HZ 16000000u /* with PRESCALER = 0 */

static volatile uint32_t wraps;

EW_ISR(ew_timer_isr)
{
    EVENTS_COMPARE_1 = 0u;
    wraps = wraps + 1u;
}

/* COMPARE_1 comes as the counter returns to 0; the start at 0 is not a return. */
void ew_timer_init(void)
{
    BITMODE = BITMODE_32;
    PRESCALER = 0u;
    CC_1 = 0u;
    TASKS_START = 1u;
    EVENTS_COMPARE_1 = 0u;
    INTENSET = INT_COMPARE_1;
    ew_irq_enable_line(EW_TIMER_IRQ);
}

uint32_t ew_port_timer_hz(void)
{
    return TIMER_HZ;
}

/* A wrap that happens while interrupts are masked shows as an event; the counter is then read again, because the first
 * reading may be from before the wrap. */
uint64_t ew_port_ticks(void)
{
    uint32_t primask = ew_irq_save();
    TASKS_CAPTURE_0 = 1u;
    uint32_t counter = CC_0;
    uint32_t high = wraps;
    if (EVENTS_COMPARE_1 != 0u) {
        TASKS_CAPTURE_0 = 1u;
        counter = CC_0;
        high++;
    }
    ew_irq_restore(primask);
    return (uint64_t)high << 32 | counter;
}
