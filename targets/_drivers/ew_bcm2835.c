/* Timer, interrupts and reset of a BCM2835 (Raspberry Pi 1 and Zero) and a BCM2836 (2): the system timer counts 1 MHz, 64 bits.
 * Source: BCM2835 ARM Peripherals, chapters 7 "Interrupts" and 12 "System Timer"; the watchdog, which no manual has, as in
 * Linux (drivers/watchdog/bcm2835_wdt.c: names and numbers). */
#include "ew_board.h"
#include "ew_cortex_a.h"
#include "ew_port.h"
#include "ew_timer.h"

#include <stdint.h>

#define TIMER_LOW EW_REG32(EW_DEVICES + 0x3004u)
#define TIMER_HIGH EW_REG32(EW_DEVICES + 0x3008u)
#define IRQ_ENABLE(irq) EW_REG32(EW_DEVICES + 0xB210u + 4u * ((irq) / 32u))
#define PM_RSTC EW_REG32(EW_DEVICES + 0x10001Cu)
#define PM_WDOG EW_REG32(EW_DEVICES + 0x100024u)

#define PM_KEY 0x5A000000u
#define PM_RSTC_MODE 0x30u
#define PM_RSTC_FULL_RESET 0x20u
#define PM_WDOG_SOON 10u /* of 16 us */
#define TIMER_HZ 1000000u

void ew_uart_rx_isr(void);

void ew_irq_handler(void)
{
    ew_uart_rx_isr(); /* no other line is enabled */
}

void ew_irq_enable_line(uint32_t irq)
{
    IRQ_ENABLE(irq) = 1u << (irq % 32u);
}

void ew_timer_init(void)
{
}

uint32_t ew_port_timer_hz(void)
{
    return TIMER_HZ;
}

/* The upper half is read twice, because the lower may wrap in between. */
uint64_t ew_port_ticks(void)
{
    for (;;) {
        uint32_t high = TIMER_HIGH;
        uint32_t low = TIMER_LOW;
        if (TIMER_HIGH == high) {
            return (uint64_t)high << 32 | low;
        }
    }
}

void ew_chip_reset(void)
{
    PM_WDOG = PM_KEY | PM_WDOG_SOON;
    PM_RSTC = PM_KEY | (PM_RSTC & 0x00FFFFFFu & ~PM_RSTC_MODE) | PM_RSTC_FULL_RESET;
    for (;;) { /* the reset takes some time to arrive */
    }
}
