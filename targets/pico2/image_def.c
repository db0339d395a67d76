/* The block that the boot ROM of the RP2350 looks for in the first 4 KB of flash: an image for its Arm cores, Secure.
 * Without an entry point in it, the ROM takes stack and start from the vector table at the image's start.
 * Source: RP2350 datasheet, chapter "Bootrom", "Metadata block details" and "Minimum viable image metadata". */
#include <stdint.h>

extern const uint32_t ew_image_def[5];
__attribute__((section(".ew_boot"), used)) const uint32_t ew_image_def[5] = {
    0xFFFFDED3u, /* start of a block */
    0x10210142u, /* item IMAGE_TYPE of 1 word: executable, Secure, Arm, RP2350 */
    0x000001FFu, /* last item: 1 word in all */
    0x00000000u, /* the next block is this one */
    0xAB123579u, /* end of a block */
};
