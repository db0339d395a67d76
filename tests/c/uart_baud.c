/* A UART's driver on this computer, its registers in an array: what it makes of baud rates.
 *
 *   uart_baud STATUS_OFFSET STATUS_VALUE BAUD...
 *
 * Prints, for each rate, whether it can be set and, if so, the registers 0 to 0x7F and 0x500 to 0x57F that this leaves. */
#include <stdio.h>
#include <stdlib.h>

#include "ew_board.h"
#include "ew_port.h"
#include "ew_uart.h"

uint32_t registers[1024];

uint64_t ew_port_ticks(void)
{
    static uint64_t now;
    return now += 1000u;
}

int main(int argc, char **argv)
{
    registers[strtoul(argv[1], NULL, 0) / REGISTER_BYTES] = (uint32_t)strtoul(argv[2], NULL, 0);
    ew_uart_init();
    for (int i = 3; i < argc; i++) {
        const uint32_t baud = (uint32_t)strtoul(argv[i], NULL, 0);
        const int can = baud == 0u || ew_port_can_set_baud(baud);
        printf("%d", can);
        if (can) {
            ew_port_set_baud(baud);
            for (uint32_t at = 0; at < 0x80u; at += REGISTER_BYTES) {
                printf(" %u", (unsigned)registers[at / REGISTER_BYTES]);
            }
            for (uint32_t at = 0x500u; at < 0x580u; at += REGISTER_BYTES) {
                printf(" %u", (unsigned)registers[at / REGISTER_BYTES % 1024u]);
            }
        }
        printf("\n");
    }
    return 0;
}
