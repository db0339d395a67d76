/* Second stage of the boot of an RP2040: the first 256 bytes of flash. The boot ROM copies them to RAM, compares their
 * CRC and calls them there; they make flash readable at 0x10000000 and go on to the program, whose vectors come next.
 * Flash is read by command 03h, which every such chip knows: one bit at a time, clk_sys / 4. Code and constants must not
 * depend on where they lie.
 * Source: RP2040 datasheet, 2.8.1 "Processor Controlled Boot Sequence", 4.10 "SSI"; Armv6-M ARM (DDI 0419), B1.5.5. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .ew_boot_first, "ax", %progbits
    .balign 4
    .global ew_boot2
    .type ew_boot2, %function
ew_boot2:
    ldr r3, ssi
    movs r0, #0
    str r0, [r3, #0x08]     /* SSIENR: off, or nothing can be set */
    str r0, [r3, #0x04]     /* CTRLR1: one word a read */
    movs r0, #4
    str r0, [r3, #0x14]     /* BAUDR: clk_sys / 4, 31 MHz in the end */
    movs r0, #1
    str r0, [r3, #0x10]     /* SER: the chip select */
    ldr r0, ctrlr0
    str r0, [r3, #0x00]
    ldr r0, spi_ctrlr0
    ldr r1, spi_ctrlr0_at
    str r0, [r1]
    movs r0, #1
    str r0, [r3, #0x08]     /* SSIENR: on */
    ldr r0, vectors
    ldr r1, vtor
    str r0, [r1]
    ldr r1, [r0, #0]
    msr msp, r1
    ldr r1, [r0, #4]
    bx r1
    .short 0
ssi:            .word 0x18000000
ctrlr0:         .word 0x001f0300 /* words of 32 bits, command and address out, then data in; one line */
spi_ctrlr0_at:  .word 0x180000f4
spi_ctrlr0:     .word 0x03000218 /* command 03h of 8 bits, address of 24 */
vectors:        .word 0x10000100
vtor:           .word 0xe000ed08
    .size ew_boot2, . - ew_boot2
    .space 252 - (. - ew_boot2)
    .word 0x03701506 /* CRC of the 252 bytes before: tests/test_rp2040.py computes it */
