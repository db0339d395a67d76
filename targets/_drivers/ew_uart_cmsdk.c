/* Arm CMSDK APB UART: receive by interrupt into the ring buffer, transmit polled.
 * Source: Cortex-M System Design Kit Technical Reference Manual (DDI 0479), section 4.3 "APB UART". */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#define UART_DATA EW_REG32(EW_UART_BASE + 0x00u)
#define UART_STATE EW_REG32(EW_UART_BASE + 0x04u)
#define UART_CTRL EW_REG32(EW_UART_BASE + 0x08u)
#define UART_INTCLEAR EW_REG32(EW_UART_BASE + 0x0Cu)
#define UART_BAUDDIV EW_REG32(EW_UART_BASE + 0x10u)

#define STATE_TX_FULL 0x1u
#define STATE_RX_FULL 0x2u
#define CTRL_TX_ENABLE 0x1u
#define CTRL_RX_ENABLE 0x2u
#define CTRL_RX_INTERRUPT 0x8u
#define INT_RX 0x2u

_Static_assert(EW_CLOCK_HZ / EW_UART_BAUD >= 16u, "the baud rate divider of the CMSDK UART is at least 16");

#define DIVIDER_MIN 16u
#define DIVIDER_MAX 1048575u

static uint32_t bit_ticks; /* of the core's clock, at the present rate */

/* The divider for a rate; 0: the UART cannot do it. */
static uint32_t divider(uint32_t baud)
{
    if (baud == 0u || baud > EW_CLOCK_HZ / DIVIDER_MIN) {
        return 0;
    }
    const uint32_t clocks = (EW_CLOCK_HZ + baud / 2u) / baud;
    return clocks <= DIVIDER_MAX && ew_baud_is_near(baud, EW_CLOCK_HZ / clocks) ? clocks : 0u;
}

static void set_rate(uint32_t baud)
{
    bit_ticks = divider(baud);
    UART_CTRL = 0u;
    UART_BAUDDIV = bit_ticks;
    UART_CTRL = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
}

EW_ISR(ew_uart_rx_isr)
{
    /* Cleared before reading: a byte that arrives afterwards raises the interrupt again. */
    UART_INTCLEAR = INT_RX;
    while ((UART_STATE & STATE_RX_FULL) != 0u) {
        ring_put((uint8_t)UART_DATA);
    }
}

void ew_uart_init(void)
{
    set_rate(EW_UART_BAUD);
    /* Throws away half a byte from before; also, an emulator that was sent bytes while the receiver was off looks for
     * them again only now (QEMU would otherwise wait for its next event: up to one period of the SysTick). */
    (void)UART_DATA;
    ew_irq_enable_line(EW_UART_RX_IRQ);
}

void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        while ((UART_STATE & STATE_TX_FULL) != 0u) {
        }
        UART_DATA = src[i];
    }
}

/* The UART does not say when its shift register is empty: give it the time of two characters. */
void ew_uart_drain(void)
{
    const uint32_t two_characters_ticks = 20u * bit_ticks;
    while ((UART_STATE & STATE_TX_FULL) != 0u) {
    }
    uint64_t start = ew_port_ticks();
    while (ew_port_ticks() - start < two_characters_ticks) {
    }
}

int ew_port_can_set_baud(uint32_t baud)
{
    return divider(baud) != 0u;
}

void ew_port_set_baud(uint32_t baud)
{
    ew_uart_drain();
    set_rate(baud == 0u ? EW_UART_BAUD : baud);
}
