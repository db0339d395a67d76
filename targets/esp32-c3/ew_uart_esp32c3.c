/* UART of an ESP32-C3: receive by interrupt into the ring buffer, transmit polled. Its clock is the crystal's, its pins are
 * as the boot ROM leaves them.
 * Source: ESP32-C3 Technical Reference Manual, "UART Controller (UART)"; offsets and bits as in Espressif's SVD file. */
#include "ew_board.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_uart.h"
#include "ew_uart_ring.h"

#include <stddef.h>
#include <stdint.h>

#define UART_FIFO EW_REG32(EW_UART_BASE + 0x00u)
#define UART_INT_ENA EW_REG32(EW_UART_BASE + 0x0Cu)
#define UART_INT_CLR EW_REG32(EW_UART_BASE + 0x10u)
#define UART_CLKDIV EW_REG32(EW_UART_BASE + 0x14u)
#define UART_STATUS EW_REG32(EW_UART_BASE + 0x1Cu)
#define UART_CONF0 EW_REG32(EW_UART_BASE + 0x20u)
#define UART_CONF1 EW_REG32(EW_UART_BASE + 0x24u)
#define UART_FSM_STATUS EW_REG32(EW_UART_BASE + 0x6Cu)
#define UART_CLK_CONF EW_REG32(EW_UART_BASE + 0x78u)

#define INT_RX_FULL (1u << 0)
#define INT_RX_OVERFLOW (1u << 4)
#define INT_RX_TIMEOUT (1u << 8) /* bytes wait in the FIFO, fewer than its level, and no more come */
#define STATUS_RX_COUNT(status) ((status) & 0x3FFu)
#define STATUS_TX_COUNT(status) ((status) >> 16 & 0x3FFu)
#define CONF0_8N1 (3u << 2 | 1u << 4)
#define CONF0_RX_RESET (1u << 17)
#define CONF0_TX_RESET (1u << 18)
#define CONF0_MEMORY_CLOCK (1u << 28)
#define CONF1_RX_FULL_AT 32u
#define CONF1_RX_TIMEOUT (1u << 21)
#define FSM_TX(status) ((status) >> 4 & 0xFu) /* 0: idle */
#define CLK_CONF_CRYSTAL (3u << 20 | 1u << 22 | 1u << 24 | 1u << 25) /* divided by 1, on for both directions */
#define FIFO_BYTES 128u

#define BAUD_MIN 9600u
#define DIVIDER_MIN (8u * 16u)
#define DIVIDER_MAX (4095u * 16u + 15u)

/* 16ths of the clock's divider for a rate, which are within 1 % of it; 0: the UART cannot do it. */
static uint32_t divider(uint32_t baud)
{
    if (baud < BAUD_MIN || baud > EW_UART_CLOCK_HZ) {
        return 0;
    }
    const uint32_t parts = (EW_UART_CLOCK_HZ * 16u + baud / 2u) / baud;
    return parts >= DIVIDER_MIN && parts <= DIVIDER_MAX ? parts : 0u;
}

static void set_rate(uint32_t baud)
{
    const uint32_t parts = divider(baud);
    UART_CLKDIV = parts / 16u | parts % 16u << 20;
}

void ew_uart_rx_isr(void);

void ew_uart_rx_isr(void)
{
    /* Cleared after reading: the first of them holds for as long as the FIFO is that full. A byte that comes in between
     * starts the time of the second anew. */
    while (STATUS_RX_COUNT(UART_STATUS) > 0u) {
        ring_put((uint8_t)UART_FIFO);
    }
    UART_INT_CLR = INT_RX_FULL | INT_RX_OVERFLOW | INT_RX_TIMEOUT;
}

void ew_uart_init(void)
{
    UART_INT_ENA = 0u;
    ew_uart_drain(); /* what the boot ROM has written */
    UART_CLK_CONF = CLK_CONF_CRYSTAL;
    set_rate(EW_UART_BAUD);
    UART_CONF0 = CONF0_8N1 | CONF0_MEMORY_CLOCK | CONF0_RX_RESET | CONF0_TX_RESET;
    UART_CONF0 = CONF0_8N1 | CONF0_MEMORY_CLOCK;
    UART_CONF1 = CONF1_RX_FULL_AT | CONF1_RX_TIMEOUT;
    UART_INT_CLR = 0xFFFFFFFFu;
    UART_INT_ENA = INT_RX_FULL | INT_RX_OVERFLOW | INT_RX_TIMEOUT;
}

void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        while (STATUS_TX_COUNT(UART_STATUS) >= FIFO_BYTES - 1u) {
        }
        UART_FIFO = src[i];
    }
}

void ew_uart_drain(void)
{
    while (STATUS_TX_COUNT(UART_STATUS) > 0u || FSM_TX(UART_FSM_STATUS) != 0u) {
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
