/* 16550 UART on a RISC-V board: receive by interrupt into the ring buffer, transmit polled.
 * Source: National Semiconductor PC16550D datasheet (June 1995), chapter 8 "Registers". */
#include "ew_board.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#define UART_DATA EW_REG8(EW_UART_BASE + 0u) /* with LCR_DIVISOR the divisor's low byte */
#define UART_IER EW_REG8(EW_UART_BASE + 1u)  /* and its high byte */
#define UART_FCR EW_REG8(EW_UART_BASE + 2u)
#define UART_LCR EW_REG8(EW_UART_BASE + 3u)
#define UART_LSR EW_REG8(EW_UART_BASE + 5u)

#define IER_RX 0x01u
#define FCR_FIFO 0x01u /* interrupt at the first byte */
#define FCR_CLEAR 0x06u
#define LCR_8_BITS 0x03u
#define LCR_DIVISOR 0x80u
#define LSR_RX_FULL 0x01u
#define LSR_TX_EMPTY 0x20u
#define LSR_SENT 0x40u

#define DIVISOR_MAX 65535u

/* The divisor for a rate; 0: the UART cannot do it. */
static uint32_t divisor(uint32_t baud)
{
    if (baud == 0u || baud > EW_UART_CLOCK_HZ / 15u) {
        return 0;
    }
    const uint32_t result = (EW_UART_CLOCK_HZ + 8u * baud) / (16u * baud);
    if (result == 0u || result > DIVISOR_MAX) {
        return 0;
    }
    return ew_baud_is_near(baud, EW_UART_CLOCK_HZ / (16u * result)) ? result : 0u;
}

static void set_rate(uint32_t baud)
{
    const uint32_t parts = divisor(baud);
    UART_LCR = LCR_8_BITS | LCR_DIVISOR;
    UART_DATA = (uint8_t)(parts & 0xFFu);
    UART_IER = (uint8_t)(parts >> 8);
    UART_LCR = LCR_8_BITS;
}

void ew_uart_rx_isr(void);

void ew_uart_rx_isr(void)
{
    while ((UART_LSR & LSR_RX_FULL) != 0u) {
        ring_put(UART_DATA);
    }
}

void ew_uart_init(void)
{
    set_rate(EW_UART_BAUD);
    UART_FCR = FCR_FIFO | FCR_CLEAR;
    UART_IER = IER_RX;
    (void)UART_DATA; /* as in ew_uart_cmsdk.c: what an emulator held back through a reset */
}

void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        while ((UART_LSR & LSR_TX_EMPTY) == 0u) {
        }
        UART_DATA = src[i];
    }
}

void ew_uart_drain(void)
{
    while ((UART_LSR & LSR_SENT) == 0u) {
    }
}

int ew_port_can_set_baud(uint32_t baud)
{
    return divisor(baud) != 0u;
}

void ew_port_set_baud(uint32_t baud)
{
    ew_uart_drain();
    set_rate(baud == 0u ? EW_UART_BAUD : baud);
}
