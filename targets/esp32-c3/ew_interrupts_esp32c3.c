/* Interrupts of an ESP32-C3: a matrix brings a peripheral's to one of the core's 31 lines, each with its priority.
 * There is no mie; ew_trap_table (boot.S) brings all of them to ew_trap.
 * Source: ESP32-C3 Technical Reference Manual, "Interrupt Matrix (INTERRUPT)" and "ESP-RISC-V CPU", "Interrupt Controller";
 * offsets as in Espressif's SVD file. */
#include "ew_board.h"
#include "ew_interrupts.h"
#include "ew_riscv.h"

#include <stdint.h>

#define INTERRUPT_BASE 0x600C2000u
#define SOURCE_MAP(source) EW_REG32(INTERRUPT_BASE + 4u * (source))
#define LINE_ENABLE EW_REG32(INTERRUPT_BASE + 0x104u)
#define LINE_TYPE EW_REG32(INTERRUPT_BASE + 0x108u) /* 0: by level */
#define LINE_PRIORITY(line) EW_REG32(INTERRUPT_BASE + 0x114u + 4u * (line))
#define THRESHOLD EW_REG32(INTERRUPT_BASE + 0x194u)

#define UART_LINE 1u
#define PRIORITY 1u /* the lowest: 0 never interrupts */

void ew_uart_rx_isr(void);

void ew_external_interrupt(void)
{
    ew_uart_rx_isr(); /* no other line is enabled */
}

void ew_interrupts_init(void)
{
    LINE_ENABLE = 0u;
    SOURCE_MAP(EW_UART_RX_IRQ) = UART_LINE;
    LINE_TYPE &= ~(1u << UART_LINE);
    LINE_PRIORITY(UART_LINE) = PRIORITY;
    THRESHOLD = PRIORITY;
    LINE_ENABLE = 1u << UART_LINE;
}
