/* What the driver of an interrupt controller gives on a RISC-V board. */
#ifndef EW_INTERRUPTS_H
#define EW_INTERRUPTS_H

/* Lets the interrupt of the UART through, by ew_uart_rx_isr; interrupts as a whole are still masked. Called once. */
void ew_interrupts_init(void);

/* Answers what ew_trap (startup.c) was called for: any interrupt. */
void ew_external_interrupt(void);

#endif
