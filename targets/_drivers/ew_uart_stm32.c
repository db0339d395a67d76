/* USART and LPUART of the STM32: receive by interrupt into the ring buffer, transmit polled. EW_UART_STM32 is 1 for the
 * registers of F1 and F4, 2 for those of F7, H7 and L4; EW_UART_CLOCK_HZ is the clock that reaches the peripheral, and
 * EW_UART_BRR_STEPS what its divider counts in a bit: 1, and 256 in an LPUART. Clocks and pins are [[setup]].
 * Source: chapters "USART" of the reference manuals RM0041, RM0090, RM0368 (1), RM0385, RM0433, RM0468 (2); "LPUART" of
 * RM0432 (2). */
#include "ew_board.h"
#include "ew_cortex_m.h"
#include "ew_port.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#if EW_UART_STM32 == 1
#define UART_STATUS EW_REG32(EW_UART_BASE + 0x00u)
#define UART_RECEIVED EW_REG32(EW_UART_BASE + 0x04u)
#define UART_SEND EW_REG32(EW_UART_BASE + 0x04u)
#define UART_BRR EW_REG32(EW_UART_BASE + 0x08u)
#define UART_CR1 EW_REG32(EW_UART_BASE + 0x0Cu)
#define CR1_ENABLE (1u << 13)
#elif EW_UART_STM32 == 2
#define UART_CR1 EW_REG32(EW_UART_BASE + 0x00u)
#define UART_BRR EW_REG32(EW_UART_BASE + 0x0Cu)
#define UART_STATUS EW_REG32(EW_UART_BASE + 0x1Cu)
#define UART_CLEAR EW_REG32(EW_UART_BASE + 0x20u)
#define UART_RECEIVED EW_REG32(EW_UART_BASE + 0x24u)
#define UART_SEND EW_REG32(EW_UART_BASE + 0x28u)
#define CR1_ENABLE (1u << 0)
#else
#error "EW_UART_STM32 is 1 or 2"
#endif

#ifndef EW_UART_BRR_STEPS
#define EW_UART_BRR_STEPS 1u
#endif

#define CR1_RX_ENABLE (1u << 2)
#define CR1_TX_ENABLE (1u << 3)
#define CR1_RX_INTERRUPT (1u << 5)
#define STATUS_OVERRUN (1u << 3)
#define STATUS_RX_FULL (1u << 5)
#define STATUS_SENT (1u << 6)
#define STATUS_TX_EMPTY (1u << 7)

#define BAUD_MIN 300u
#define BAUD_MAX 16000000u /* so that nothing here exceeds 32 bits */
#define BRR_MIN (EW_UART_BRR_STEPS == 1u ? 16u : 768u)
#define BRR_MAX (EW_UART_BRR_STEPS == 1u ? 65535u : 1048575u)

/* The divider for a rate; 0: the UART cannot do it. */
static uint32_t divider(uint32_t baud)
{
    if (baud < BAUD_MIN || baud > BAUD_MAX) {
        return 0;
    }
    const uint32_t rest = EW_UART_CLOCK_HZ % baud;
    const uint32_t brr = EW_UART_CLOCK_HZ / baud * EW_UART_BRR_STEPS + (rest * EW_UART_BRR_STEPS + baud / 2u) / baud;
    if (brr < BRR_MIN || brr > BRR_MAX) {
        return 0;
    }
    return EW_UART_BRR_STEPS > 1u || ew_baud_is_near(baud, EW_UART_CLOCK_HZ / brr) ? brr : 0u;
}

static void set_rate(uint32_t baud)
{
    UART_CR1 = 0u;
    UART_BRR = divider(baud);
    UART_CR1 = CR1_ENABLE | CR1_TX_ENABLE | CR1_RX_ENABLE | CR1_RX_INTERRUPT;
}

EW_ISR(ew_uart_rx_isr)
{
    /* An overrun raises the interrupt too: reading the status and then the byte clears it (1), or its bit in UART_CLEAR. */
    uint32_t status = UART_STATUS;
    while ((status & (STATUS_RX_FULL | STATUS_OVERRUN)) != 0u) {
#if EW_UART_STM32 == 2
        UART_CLEAR = STATUS_OVERRUN;
#endif
        uint8_t byte = (uint8_t)UART_RECEIVED;
        if ((status & STATUS_RX_FULL) != 0u) {
            ring_put(byte);
        }
        status = UART_STATUS;
    }
}

void ew_uart_init(void)
{
    set_rate(EW_UART_BAUD);
    (void)UART_RECEIVED; /* as in ew_uart_cmsdk.c: what an emulator held back through a reset */
    ew_irq_enable_line(EW_UART_RX_IRQ);
}

void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        while ((UART_STATUS & STATUS_TX_EMPTY) == 0u) {
        }
        UART_SEND = src[i];
    }
}

void ew_uart_drain(void)
{
    while ((UART_STATUS & STATUS_SENT) == 0u) {
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
