/* The timer of ew_port.h by the system timer of an ESP32-C3: 52 bits that count 16 MHz, made from the crystal.
 * Source: ESP32-C3 Technical Reference Manual, "System Timer (SYSTIMER)"; offsets as in Espressif's SVD file. */
#include "ew_board.h"
#include "ew_port.h"
#include "ew_riscv.h"
#include "ew_timer.h"

#include <stdint.h>

#define SYSTIMER_BASE 0x60023000u
#define CONF EW_REG32(SYSTIMER_BASE + 0x00u)
#define UNIT0_OP EW_REG32(SYSTIMER_BASE + 0x04u)
#define UNIT0_VALUE_HIGH EW_REG32(SYSTIMER_BASE + 0x40u)
#define UNIT0_VALUE_LOW EW_REG32(SYSTIMER_BASE + 0x44u)

#define CONF_UNIT0_WORKS (1u << 30)
#define OP_VALID (1u << 29)
#define OP_UPDATE (1u << 30)
#define TIMER_HZ 16000000u

void ew_timer_init(void)
{
    CONF |= CONF_UNIT0_WORKS;
}

uint32_t ew_port_timer_hz(void)
{
    return TIMER_HZ;
}

/* The value is copied on request, whole. */
uint64_t ew_port_ticks(void)
{
    uintptr_t masked = ew_irq_save();
    UNIT0_OP = OP_UPDATE;
    while ((UNIT0_OP & OP_VALID) == 0u) {
    }
    uint32_t low = UNIT0_VALUE_LOW;
    uint32_t high = UNIT0_VALUE_HIGH;
    ew_irq_restore(masked);
    return (uint64_t)high << 32 | low;
}
