/* Interrupts by a PLIC, of hart 0 in machine mode.
 * Source: RISC-V Platform-Level Interrupt Controller Specification (1.0.0), "Memory Map". */
#include "ew_board.h"
#include "ew_interrupts.h"
#include "ew_riscv.h"

#include <stdint.h>

#define PLIC_PRIORITY(irq) EW_REG32(EW_PLIC_BASE + 4u * (irq))
#define PLIC_ENABLE(irq) EW_REG32(EW_PLIC_BASE + 0x2000u + 4u * ((irq) / 32u))
#define PLIC_THRESHOLD EW_REG32(EW_PLIC_BASE + 0x200000u)
#define PLIC_CLAIM EW_REG32(EW_PLIC_BASE + 0x200004u)

void ew_uart_rx_isr(void);

void ew_external_interrupt(void)
{
    uint32_t irq = PLIC_CLAIM;
    if (irq == EW_UART_RX_IRQ) {
        ew_uart_rx_isr();
    }
    PLIC_CLAIM = irq;
}

void ew_interrupts_init(void)
{
    PLIC_PRIORITY(EW_UART_RX_IRQ) = 1u;
    PLIC_ENABLE(EW_UART_RX_IRQ) = 1u << (EW_UART_RX_IRQ % 32u);
    PLIC_THRESHOLD = 0u;
    __asm volatile("csrs mie, %0" ::"r"(EW_MIE_EXTERNAL) : "memory");
}
