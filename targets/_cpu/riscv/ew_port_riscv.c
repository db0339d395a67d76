/* The part of ew_port.h that is the same on RISC-V boards with a PLIC, a CLINT and a reset register. The UART's driver
 * gives ew_port_read, ew_port_read_now (by ew_uart_ring.h), ew_port_write and ew_uart_rx_isr; ew_port_memory.h memory
 * and stack.
 * Source: RISC-V Platform-Level Interrupt Controller Specification (1.0.0), "Memory Map"; RISC-V ACLINT Specification,
 * "MTIMER Device". */
#include "ew_board.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define EW_READ_SP "mv %0, sp"
#define STACK_PAINT_MARGIN_WORDS 64
#include "ew_port_memory.h"

#define PLIC_PRIORITY(irq) EW_REG32(EW_PLIC_BASE + 4u * (irq))
#define PLIC_ENABLE(irq) EW_REG32(EW_PLIC_BASE + 0x2000u + 4u * ((irq) / 32u)) /* of hart 0 in machine mode */
#define PLIC_THRESHOLD EW_REG32(EW_PLIC_BASE + 0x200000u)
#define PLIC_CLAIM EW_REG32(EW_PLIC_BASE + 0x200004u)
#define MTIME_LOW EW_REG32(EW_CLINT_BASE + 0xBFF8u)
#define MTIME_HIGH EW_REG32(EW_CLINT_BASE + 0xBFFCu)

void ew_external_interrupt(void);
void ew_uart_rx_isr(void);

void ew_external_interrupt(void)
{
    uint32_t irq = PLIC_CLAIM;
    if (irq == EW_UART_RX_IRQ) {
        ew_uart_rx_isr();
    }
    PLIC_CLAIM = irq;
}

void ew_port_init(void)
{
    ew_uart_init();
#if defined(EW_MARK_INIT) && !defined(EW_MARK_PULSES)
    EW_MARK_INIT;
    EW_MARK_LOW;
#endif
    PLIC_PRIORITY(EW_UART_RX_IRQ) = 1u;
    PLIC_ENABLE(EW_UART_RX_IRQ) = 1u << (EW_UART_RX_IRQ % 32u);
    PLIC_THRESHOLD = 0u;
    __asm volatile("csrs mie, %0\n csrsi mstatus, 8" ::"r"(EW_MIE_EXTERNAL) : "memory");
}

#if defined(EW_MARK_HIGH) && !defined(EW_MARK_PULSES)
/* The board has a marker pin for a power meter: high during an inference. */
void ew_port_roi_begin(void)
{
    EW_MARK_HIGH;
    __asm volatile(EW_MARKER_BEGIN ::: "memory");
}

void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END ::: "memory");
    EW_MARK_LOW;
}
#else
/* Naked, so that nothing but the return and the call of the end marker's function is counted besides the inference. */
__attribute__((naked)) void ew_port_roi_begin(void)
{
    __asm volatile(EW_MARKER_BEGIN "\n ret");
}

__attribute__((naked)) void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END "\n ret");
}
#endif

uint32_t ew_port_timer_hz(void)
{
    return EW_TIMER_HZ;
}

/* The upper half is read twice, because the lower may wrap in between. */
uint64_t ew_port_ticks(void)
{
    for (;;) {
        uint32_t high = MTIME_HIGH;
        uint32_t low = MTIME_LOW;
        if (MTIME_HIGH == high) {
            return (uint64_t)high << 32 | low;
        }
    }
}

void ew_port_reset(void)
{
    ew_uart_drain();
    EW_REG32(EW_RESET_ADDRESS) = EW_RESET_VALUE;
    for (;;) { /* the reset takes some cycles to arrive */
    }
}
