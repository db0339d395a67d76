/* The part of ew_port.h that is the same on every bare-metal board: memory for batches, and the stack's gauge. The port of
 * a processor family includes it once, and says before how the stack pointer is read (EW_READ_SP, assembler that puts it
 * in %0) and how much below it is left alone (STACK_PAINT_MARGIN_WORDS: the painter's spills and an interrupt's frame). */
#ifndef EW_PORT_MEMORY_H
#define EW_PORT_MEMORY_H

#include "ew_port.h"

#include <stddef.h>
#include <stdint.h>

#define STACK_PAINT 0xE5E5E5E5u

extern uint32_t ew_stack_bottom[], ew_stack_top[]; /* linker.ld */
extern uint8_t ew_batch_start[], ew_batch_end[];

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

#endif
