/* The timer of ew_port.h by a CLINT's mtime: it runs from reset on, at EW_TIMER_HZ.
 * Source: RISC-V ACLINT Specification, "MTIMER Device". */
#include "ew_board.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_timer.h"

#include <stdint.h>

#define MTIME_LOW EW_REG32(EW_CLINT_BASE + 0xBFF8u)
#define MTIME_HIGH EW_REG32(EW_CLINT_BASE + 0xBFFCu)

void ew_timer_init(void)
{
}

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
