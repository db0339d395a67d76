/* What a UART driver gives besides ew_port_read and ew_port_write. */
#ifndef EW_UART_H
#define EW_UART_H

/* Sets the line to 8 data bits, no parity, 1 stop bit at EW_UART_BAUD and enables its receive interrupt. */
void ew_uart_init(void);

/* Returns once the last byte written has left the chip. Needs the timer running. */
void ew_uart_drain(void);

#endif
