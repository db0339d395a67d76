/* What a UART driver gives besides ew_port_read and ew_port_write. */
#ifndef EW_UART_H
#define EW_UART_H

#include <stdint.h>

/* Whether a rate that a UART can do is within 2 % of the one that was asked for: with as much at the other end, the last
 * bit of a byte is still read. */
static inline int ew_baud_is_near(uint32_t asked, uint32_t possible)
{
    return (asked > possible ? asked - possible : possible - asked) <= asked / 50u;
}

/* Sets the line to 8 data bits, no parity, 1 stop bit at EW_UART_BAUD and enables its receive interrupt. */
void ew_uart_init(void);

/* Returns once the last byte written has left the chip. Needs the timer running. */
void ew_uart_drain(void);

#endif
