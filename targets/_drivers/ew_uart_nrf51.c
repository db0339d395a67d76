/* UART of the nRF51: receive by interrupt into the ring buffer, transmit polled. No flow control.
 * Source: nRF51 Series Reference Manual v3.0.1, chapters 14 "GPIO" and 29 "UART". */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#define TASKS_STARTRX EW_REG32(EW_UART_BASE + 0x000u)
#define TASKS_STARTTX EW_REG32(EW_UART_BASE + 0x008u)
#define EVENTS_RXDRDY EW_REG32(EW_UART_BASE + 0x108u)
#define EVENTS_TXDRDY EW_REG32(EW_UART_BASE + 0x11Cu)
#define INTENSET EW_REG32(EW_UART_BASE + 0x304u)
#define ENABLE EW_REG32(EW_UART_BASE + 0x500u)
#define PSELTXD EW_REG32(EW_UART_BASE + 0x50Cu)
#define PSELRXD EW_REG32(EW_UART_BASE + 0x514u)
#define RXD EW_REG32(EW_UART_BASE + 0x518u)
#define TXD EW_REG32(EW_UART_BASE + 0x51Cu)
#define BAUDRATE EW_REG32(EW_UART_BASE + 0x524u)
#define GPIO_OUTSET EW_REG32(EW_GPIO_BASE + 0x508u)
#define GPIO_PIN_CNF(pin) EW_REG32(EW_GPIO_BASE + 0x700u + 4u * (pin))
#define CLOCK_TASKS_HFCLKSTART EW_REG32(EW_CLOCK_BASE + 0x000u)

#define ENABLE_UART 4u
#define INT_RXDRDY (1u << 2)
#define PIN_INPUT (3u << 2) /* with pull-up: the debugger drives the line only while a port is open */
#define PIN_OUTPUT 3u /* input buffer disconnected */

#define BAUD_MIN 1200u
#define BAUD_MAX 1000000u

/* 32-bit fraction of the 16 MHz clock, of which the chip uses the upper 20 bits: 115,200 baud gives the reference
 * manual's 0x01D7E000. 0: the UART cannot do it. */
static uint32_t fraction(uint32_t baud)
{
    if (baud < BAUD_MIN || baud > BAUD_MAX) {
        return 0;
    }
    /* baud * 2^32 / 16,000,000 = baud * 2^22 / 15,625 */
    const uint32_t exact = (baud / 15625u << 22) + (((baud % 15625u) << 18) / 15625u << 4);
    return (exact + 0x800u) & 0xFFFFF000u;
}

static void set_rate(uint32_t baud)
{
    ENABLE = 0u;
    BAUDRATE = fraction(baud);
    ENABLE = ENABLE_UART;
    TASKS_STARTTX = 1u;
    TASKS_STARTRX = 1u;
}

EW_ISR(ew_uart_rx_isr)
{
    while (EVENTS_RXDRDY != 0u) {
        EVENTS_RXDRDY = 0u; /* before the reading, which makes room for the next byte and its event */
        ring_put((uint8_t)RXD);
    }
}

void ew_uart_init(void)
{
    CLOCK_TASKS_HFCLKSTART = 1u; /* the crystal; until it runs, the internal oscillator serves */
    GPIO_OUTSET = 1u << EW_UART_TX_PIN;
    GPIO_PIN_CNF(EW_UART_TX_PIN) = PIN_OUTPUT;
    GPIO_PIN_CNF(EW_UART_RX_PIN) = PIN_INPUT;
    PSELTXD = EW_UART_TX_PIN;
    PSELRXD = EW_UART_RX_PIN;
    set_rate(EW_UART_BAUD);
    EVENTS_RXDRDY = 0u;
    INTENSET = INT_RXDRDY;
    ew_irq_enable_line(EW_UART_RX_IRQ);
    (void)RXD; /* as in ew_uart_cmsdk.c: what an emulator held back through a reset */
}

/* TXDRDY comes when the byte has left the chip. */
void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        EVENTS_TXDRDY = 0u;
        TXD = src[i];
        while (EVENTS_TXDRDY == 0u) {
        }
    }
}

void ew_uart_drain(void)
{
}

int ew_port_can_set_baud(uint32_t baud)
{
    return fraction(baud) != 0u;
}

void ew_port_set_baud(uint32_t baud)
{
    ew_uart_drain();
    set_rate(baud == 0u ? EW_UART_BAUD : baud);
}
