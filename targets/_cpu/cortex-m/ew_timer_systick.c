/* The timer of ew_port.h by SysTick, which runs at the core clock. */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_timer.h"

#include <stdint.h>

#define SYSTICK_PERIOD 0x01000000u /* 24 bits */

static volatile uint32_t systick_periods;

EW_ISR(ew_systick_isr)
{
    systick_periods = systick_periods + 1u;
}

void ew_timer_init(void)
{
    EW_SYST_RVR = SYSTICK_PERIOD - 1u;
    EW_SYST_CVR = 0u;
    EW_SYST_CSR = EW_SYST_CSR_CLKSOURCE_CPU | EW_SYST_CSR_TICKINT | EW_SYST_CSR_ENABLE;
}

uint32_t ew_port_timer_hz(void)
{
    return EW_CLOCK_HZ;
}

/* The counter runs down and its interrupt becomes pending as it reaches 0, so a period is counted from 0: at 0 none of
 * it is over. A period that ended while interrupts are masked shows as a pending interrupt; the counter is then read
 * again, because the first reading may be from before that end. */
uint64_t ew_port_ticks(void)
{
    uint32_t primask = ew_irq_save();
    uint32_t counter = EW_SYST_CVR;
    uint32_t periods = systick_periods;
    if ((EW_SCB_ICSR & EW_SCB_ICSR_PENDSTSET) != 0u) {
        counter = EW_SYST_CVR;
        periods++;
    }
    ew_irq_restore(primask);
    return (uint64_t)periods * SYSTICK_PERIOD + ((SYSTICK_PERIOD - counter) & (SYSTICK_PERIOD - 1u));
}
