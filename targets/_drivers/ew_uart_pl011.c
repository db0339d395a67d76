/* PL011 UART (Arm PrimeCell; also in Stellaris and RP2 chips): receive by interrupt into the ring buffer, transmit polled.
 * EW_UART_CLOCK_HZ is the clock that reaches it; clocks and pins are [[setup]].
 * Source: PrimeCell UART (PL011) Technical Reference Manual (DDI 0183), chapter 3. */
#include "ew_board.h"
#ifdef EW_DEVICES /* an Arm core with an MMU */
#include "ew_cortex_a.h"
#else
#include "ew_cortex_m.h"
#endif
#include "ew_port.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#define UART_DATA EW_REG32(EW_UART_BASE + 0x00u)
#define UART_FLAGS EW_REG32(EW_UART_BASE + 0x18u)
#define UART_IBRD EW_REG32(EW_UART_BASE + 0x24u)
#define UART_FBRD EW_REG32(EW_UART_BASE + 0x28u)
#define UART_LCRH EW_REG32(EW_UART_BASE + 0x2Cu)
#define UART_CR EW_REG32(EW_UART_BASE + 0x30u)
#define UART_IFLS EW_REG32(EW_UART_BASE + 0x34u)
#define UART_IMSC EW_REG32(EW_UART_BASE + 0x38u)
#define UART_ICR EW_REG32(EW_UART_BASE + 0x44u)

#define FLAGS_BUSY (1u << 3)
#define FLAGS_RX_EMPTY (1u << 4)
#define FLAGS_TX_FULL (1u << 5)
#define LCRH_FIFO (1u << 4)
#define LCRH_8_BITS (3u << 5)
#define CR_ENABLE (1u << 0)
#define CR_TX_ENABLE (1u << 8)
#define CR_RX_ENABLE (1u << 9)
#define IFLS_EIGHTH 0u
#define FIFO_BYTES 32u
#define INT_RX (1u << 4)
#define INT_RX_TIMEOUT (1u << 6) /* bytes wait in the FIFO, fewer than its level, and no more come */

#define BAUD_MIN 300u
#define DIVIDER_MIN 64u /* 64ths of the divider by 16 */
#define DIVIDER_MAX (65535u * 64u)

/* 64ths of the divider by 16 for a rate, which are within 1 % of it; 0: the UART cannot do it. */
static uint32_t divider(uint32_t baud)
{
    if (baud < BAUD_MIN || baud > EW_UART_CLOCK_HZ / 16u) {
        return 0;
    }
    const uint32_t parts = EW_UART_CLOCK_HZ / baud * 4u + (EW_UART_CLOCK_HZ % baud * 4u + baud / 2u) / baud;
    return parts >= DIVIDER_MIN && parts <= DIVIDER_MAX ? parts : 0u;
}

static void set_rate(uint32_t baud)
{
    const uint32_t parts = divider(baud);
    UART_CR = 0u;
    UART_IBRD = parts / 64u;
    UART_FBRD = parts % 64u;
    UART_LCRH = LCRH_8_BITS | LCRH_FIFO; /* takes the divider over */
    UART_CR = CR_ENABLE | CR_TX_ENABLE | CR_RX_ENABLE;
}

EW_ISR(ew_uart_rx_isr)
{
    /* Cleared before reading: a byte that arrives afterwards raises the interrupt again. */
    UART_ICR = INT_RX | INT_RX_TIMEOUT;
    while ((UART_FLAGS & FLAGS_RX_EMPTY) == 0u) {
        ring_put((uint8_t)UART_DATA);
    }
}

void ew_uart_init(void)
{
    UART_CR = 0u;
    UART_IFLS = IFLS_EIGHTH;
    UART_IMSC = INT_RX | INT_RX_TIMEOUT;
    set_rate(EW_UART_BAUD);
    for (uint32_t i = 0; i < FIFO_BYTES && (UART_FLAGS & FLAGS_RX_EMPTY) == 0u; i++) {
        (void)UART_DATA; /* from before a reset that left it running: its interrupt came then */
    }
    ew_irq_enable_line(EW_UART_RX_IRQ);
}

void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        while ((UART_FLAGS & FLAGS_TX_FULL) != 0u) {
        }
        UART_DATA = src[i];
    }
}

void ew_uart_drain(void)
{
    while ((UART_FLAGS & FLAGS_BUSY) != 0u) {
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
