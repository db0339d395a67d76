/* The part of ew_port.h that is the same on every bare-metal board: memory for batches, the stack's gauge, what
 * outlives a reset, and the marks around an inference. The port of a processor family includes it once, behind ew_board.h and the header of its registers. It
 * says before how the stack pointer is read (EW_READ_SP, assembler that puts it in %0), how a
 * function returns (EW_RETURN, likewise), how much below it is left alone
 * (STACK_PAINT_MARGIN_WORDS: the painter's spills and an interrupt's frame) and, where a cache may hold writes back, how
 * those to a word get into the RAM (EW_FLUSH); and it defines restart(). */
#ifndef EW_PORT_MEMORY_H
#define EW_PORT_MEMORY_H

#include "ew_fault_text.h"
#include "ew_port.h"
#include "ew_uart.h"

#include <stddef.h>
#include <stdint.h>

#define STACK_PAINT 0xE5E5E5E5u
#define STACK_CANARY_WORDS 4

extern uint32_t ew_stack_bottom[], ew_stack_top[]; /* linker.ld */
extern uint8_t ew_batch_start[], ew_batch_end[];
extern volatile uint32_t ew_reset_note[2]; /* at the end of the RAM, where neither start-up code nor a loader writes */

static uint32_t stack_is_painted;

uint8_t *ew_port_batch_memory(size_t *n_bytes)
{
    *n_bytes = (size_t)((uintptr_t)ew_batch_end - (uintptr_t)ew_batch_start);
    return ew_batch_start;
}

__attribute__((noinline)) void ew_port_stack_paint(void)
{
    uint32_t *sp;
    __asm volatile(EW_READ_SP : "=r"(sp));
    for (volatile uint32_t *word = ew_stack_bottom; word < sp - STACK_PAINT_MARGIN_WORDS; word++) {
        *word = STACK_PAINT;
    }
    stack_is_painted = 1u;
}

size_t ew_port_stack_used_bytes(void)
{
    const volatile uint32_t *word = ew_stack_bottom;
    while (word < (const volatile uint32_t *)ew_stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (size_t)((uintptr_t)ew_stack_top - (uintptr_t)word);
}

size_t ew_port_stack_size_bytes(void)
{
    return (size_t)((uintptr_t)ew_stack_top - (uintptr_t)ew_stack_bottom);
}

int ew_stack_is_damaged(void)
{
    const volatile uint32_t *words = ew_stack_bottom;
    for (uint32_t i = 0; stack_is_painted != 0u && i < STACK_CANARY_WORDS; i++) {
        if (words[i] != STACK_PAINT) {
            return 1;
        }
    }
    return 0;
}

void ew_port_alive(void)
{
#ifdef EW_WATCHDOG_MS
    ew_watchdog_feed();
#endif
    if (ew_stack_is_damaged()) {
        __builtin_trap(); /* to the report of a fault */
    }
}

/* ---- what outlives a reset: a note of why it was done, and of how many faults there were in a row ---- */

#define NOTE_MAGIC 0xEDFA0000u
#define NOTE_CAUSE(note) ((note) & 0xFFu)
#define NOTE_FAULTS(note) ((note) >> 8 & 0xFFu)
#define FAULTS_IN_A_ROW 3u /* without a session between them: then the board stops */

static ew_reset_cause last_reset;

static void restart(void) __attribute__((noreturn));

/* The second word is the first one's complement: what a RAM holds after power-up is no note. Written as a pair, and twice: a
 * RAM with error correction may hold the last write back. */
static __attribute__((noinline)) void write_note(uint32_t cause, uint32_t faults)
{
    const uint32_t note = NOTE_MAGIC | faults << 8 | cause;
    for (uint32_t i = 0; i < 2u; i++) {
        ew_reset_note[0] = note;
        ew_reset_note[1] = ~note;
    }
#ifdef EW_FLUSH
    EW_FLUSH(ew_reset_note);
#endif
}

static uint32_t read_note(void)
{
    const uint32_t note = ew_reset_note[0];
    return (note & 0xFFFF0000u) == NOTE_MAGIC && ew_reset_note[1] == ~note ? note : 0u;
}

/* Part of ew_port_init. What a handler noted wins: the chip knows only that software did the reset. */
static __attribute__((cold)) void find_reset_cause(void)
{
    const uint32_t note = read_note();
    last_reset = (ew_reset_cause)NOTE_CAUSE(note);
#ifdef EW_RESET_REGISTER
    static const struct {
        uint32_t mask;
        ew_reset_cause cause;
    } flags[] = {EW_RESET_FLAGS};
    const uint32_t value = EW_REG32(EW_RESET_REGISTER);
    if (last_reset == EW_RESET_UNKNOWN) {
        last_reset = EW_RESET_WITHOUT_FLAG;
        for (size_t i = sizeof flags / sizeof flags[0]; i-- > 0u;) { /* backwards: the first in the list wins */
            last_reset = (value & flags[i].mask) != 0u ? flags[i].cause : last_reset;
        }
    }
    EW_REG32(EW_RESET_REGISTER) = value | EW_RESET_CLEAR;
#endif
    write_note(EW_RESET_UNKNOWN, NOTE_FAULTS(note));
}

ew_reset_cause ew_port_reset_cause(void)
{
    write_note(EW_RESET_UNKNOWN, 0);
    return last_reset;
}

void ew_port_reset(void)
{
    write_note(EW_RESET_SOFTWARE, 0);
    ew_uart_drain();
    restart();
}

void ew_note_fault(ew_reset_cause cause)
{
    write_note((uint32_t)cause, NOTE_FAULTS(read_note()) + 1u);
}

void ew_reset_after_fault(void)
{
    const uint32_t note = read_note();
    ew_uart_drain();
    if (NOTE_FAULTS(note) < FAULTS_IN_A_ROW) {
        restart();
    }
    write_note(NOTE_CAUSE(note), 0); /* for whoever resets the board now */
    for (;;) {
#ifdef EW_WATCHDOG_MS
        ew_watchdog_feed();
#else
        ew_wait_for_interrupt();
#endif
    }
}

/* ---- the begin of ew_port_init, and the marks around an inference ---- */

static void port_begin(void)
{
    find_reset_cause();
#ifdef EW_WATCHDOG_MS
    ew_watchdog_init();
#endif
#if defined(EW_MARK_INIT) && !defined(EW_MARK_PULSES)
    EW_MARK_INIT;
    EW_MARK_LOW;
#endif
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
    __asm volatile(EW_MARKER_BEGIN "\n " EW_RETURN);
}

__attribute__((naked)) void ew_port_roi_end(void)
{
    __asm volatile(EW_MARKER_END "\n " EW_RETURN);
}
#endif

#endif
