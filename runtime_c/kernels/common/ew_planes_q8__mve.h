/* From channels-last images to planes, for MVE: what depthwise convolutions work on. 16 channels at a time. */
#ifndef EW_PLANES_Q8__MVE_H
#define EW_PLANES_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"

#define EW_PLANES_CHANNELS__MVE 16

#if defined(__ARM_FEATURE_MVE)

typedef struct {
    const int8_t *x;
    int8_t *first;       /* where the first pixel of the first plane goes */
    int32_t plane_bytes; /* from a plane to the next, < 2^12 */
    int32_t next;        /* pairs: bytes of x from a pixel to its partner */
    int32_t step;        /* bytes of x to the next pixel or pair */
    int32_t to_step;     /* bytes of the plane, likewise */
    int32_t count;       /* of pixels or pairs */
    int32_t channels;    /* behind them x may end; more than 15 count as 16 */
} ew_planes_job__mve;

/* clang-format off */
/* q2, q3: where even and odd channels go. */
#define EW_MVE_PLANES_ENTER                                                                      \
    "push {r4-r7, lr}; sub sp, #4; vpush {d8-d9}; "                                              \
    "ldrd r1, r2, [r0]; ldrd r3, r4, [r0, #8]; ldrd r5, r6, [r0, #16]; ldrd r7, r0, [r0, #24]; " \
    "mov r12, #0; vidup.u16 q2, r12, #2; vmul.i16 q2, q2, r3; vadd.i16 q3, q2, r3; "             \
    "vctp.8 r0; add r3, r1, r4; wls lr, r7, 2f; "
#define EW_MVE_PLANES_LEAVE "2: vpop {d8-d9}; add sp, #4; pop {r4-r7, pc}; "

/* Pairs of pixels that are neighbours in the plane, the first at an even address; plane_bytes and to_step are even: a
 * pair of one channel is a halfword. */
EW_MVE_NAKED void ew_planes_pairs__mve(const ew_planes_job__mve *job __attribute__((unused)))
{
    __asm__ volatile(EW_MVE_PLANES_ENTER
                     "1: vpstt; vldrbt.u8 q0, [r1]; vldrbt.u8 q1, [r3]; add r1, r5; add r3, r5; "
                     "vmov q4, q0; vsli.16 q4, q1, #8; vsri.16 q1, q0, #8; "
                     "vstrh.16 q4, [r2, q2]; vstrh.16 q1, [r2, q3]; add r2, r6; le lr, 1b; "
                     EW_MVE_PLANES_LEAVE);
}

/* Pixels one by one. */
EW_MVE_NAKED void ew_planes_singles__mve(const ew_planes_job__mve *job __attribute__((unused)))
{
    __asm__ volatile(EW_MVE_PLANES_ENTER
                     "1: vpst; vldrbt.u8 q0, [r1]; add r1, r5; vstrb.16 q0, [r2, q2]; "
                     "vshr.u16 q0, q0, #8; vstrb.16 q0, [r2, q3]; add r2, r6; le lr, 1b; "
                     EW_MVE_PLANES_LEAVE);
}
/* clang-format on */

#endif
#endif
