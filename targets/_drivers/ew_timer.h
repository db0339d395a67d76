/* What a timer's driver gives besides ew_port_ticks and ew_port_timer_hz. */
#ifndef EW_TIMER_H
#define EW_TIMER_H

/* Starts the timer and enables its interrupt; called once. */
void ew_timer_init(void);

#endif
