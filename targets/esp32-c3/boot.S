/* The start of the image, and the table of interrupts.
 * Two words tell the boot ROM of an ESP32-C3 to run the flash's content as it is, from the word behind them on (which is
 * ew_reset). The core knows vectored interrupts only: mtvec points to 32 jumps, at a multiple of 256.
 * Source: Espressif, "Direct boot example" (github.com/espressif/esp32c3-direct-boot-example); ESP32-C3 Technical Reference
 * Manual, "ESP-RISC-V CPU", mtvec. */
    .section .ew_boot_first, "a", @progbits
    .word 0xaedb041d, 0xaedb041d

    .section .text.ew_trap_table, "ax", @progbits
    .option push
    .option norvc
    .balign 256
    .global ew_trap_table
ew_trap_table:
    .rept 32
    j ew_trap
    .endr
    .option pop
