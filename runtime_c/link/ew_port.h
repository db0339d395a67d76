/* What a board gives to the link: a byte line, a timer, memory for batches, a stack gauge. Implemented once a
 * board (or once a family) in targets/; everything else in the firmware is free of any board's code. */
#ifndef EW_PORT_H
#define EW_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the port can hold, received and not yet read, while the processor is busy elsewhere (its interrupt
 * ring, for example). The link announces the figure, and the host never has more unanswered bytes under way: a
 * port whose ring holds at least this many never loses a byte. Override with -D on a small board. */
#ifndef EW_PORT_RX_BUFFER_BYTES
#define EW_PORT_RX_BUFFER_BYTES 4096
#endif

/* Where the line's baud rate can be changed while it runs the board's build defines EW_PORT_HAS_BAUD (-D; edgewright does
 * so where a file of the board has ew_port_set_baud), and the port gives: whether it can do `baud`; the change to it,
 * after what is queued was sent, or with 0 the return to the rate of the start. */
int ew_port_can_set_baud(uint32_t baud);
void ew_port_set_baud(uint32_t baud);

/* Clocks, line and timer; called once, first. */
void ew_port_init(void);

/* Waits, in low power where that is possible, until at least one byte is there; writes 1 to `max_bytes` of them to
 * `dst` and returns the count. Returns 0 only when the line is closed for ever (a host process; never a board).
 * `max_bytes` is at least 1. */
size_t ew_port_read(uint8_t *dst, size_t max_bytes);

/* As ew_port_read, and returns 0 at once when no byte is there. */
size_t ew_port_read_now(uint8_t *dst, size_t max_bytes);

/* Sends all `n_bytes`, in order; may return while the last of them are still queued. */
void ew_port_write(const uint8_t *src, size_t n_bytes);

/* A timer that never runs backwards and does not wrap in practice, and its rate (at least 1, constant). */
uint64_t ew_port_ticks(void);
uint32_t ew_port_timer_hz(void);

/* Mark the one inference between the two calls, for an instruction counter or a power meter outside (a pin that is
 * high in between); may do nothing. */
void ew_port_roi_begin(void);
void ew_port_roi_end(void);

/* All memory that is left for batches of samples: 16-byte aligned, the same at each call. `*n_bytes` may be 0. */
uint8_t *ew_port_batch_memory(size_t *n_bytes);

/* Fill the unused stack with a pattern; how much of it was overwritten since; how much there is. The last two
 * return 0 where the port does not measure the stack. */
void ew_port_stack_paint(void);
size_t ew_port_stack_used_bytes(void);
size_t ew_port_stack_size_bytes(void);

/* Sends what is still queued, then restarts the board (a host process exits). Does not return on a board; a test
 * port may return. */
void ew_port_reset(void);

/* Why the board was last reset, as far as it knows. EW_RESET_FAULT and EW_RESET_STACK_OVERFLOW: its own handler found
 * that, and reset the board. */
typedef enum {
    EW_RESET_UNKNOWN = 0,
    EW_RESET_POWER_ON = 1,
    EW_RESET_PIN = 2,
    EW_RESET_SOFTWARE = 3,
    EW_RESET_WATCHDOG = 4,
    EW_RESET_FAULT = 5,
    EW_RESET_LOCKUP = 6,
    EW_RESET_BROWN_OUT = 7,
    EW_RESET_STACK_OVERFLOW = 8
} ew_reset_cause;

/* The cause, the same at each call. Whoever asks serves a host: faults before the first call are not in a row with
 * those behind it. */
ew_reset_cause ew_port_reset_cause(void);

/* Called before each sample and each request, after ew_port_stack_paint: the board feeds its watchdog, if it has one
 * that is on, and looks whether its stack has overflowed, which it takes for a fault. May do nothing. */
void ew_port_alive(void);

#endif
