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

/* q2, q3: where even and odd channels go. */
#define EW_MVE_PLANES_ENTER                                                                           \
    "push {r4-r7, lr}\n\tsub sp, #4\n\tvpush {d8-d9}\n\tldrd r1, r2, [r0]\n\tldrd r3, r4, [r0, #8]\n\t" \
    "ldrd r5, r6, [r0, #16]\n\tldrd r7, r0, [r0, #24]\n\tmov r12, #0\n\tvidup.u16 q2, r12, #2\n\t"     \
    "vmul.i16 q2, q2, r3\n\tvadd.i16 q3, q2, r3\n\tvctp.8 r0\n\tadd r3, r1, r4\n\twls lr, r7, 2f\n\t"
#define EW_MVE_PLANES_LEAVE "2:\n\tvpop {d8-d9}\n\tadd sp, #4\n\tpop {r4-r7, pc}\n\t"

/* Pairs of pixels that are neighbours in the plane, the first at an even address; plane_bytes and to_step are even: a
 * pair of one channel is a halfword. */
EW_MVE_NAKED void ew_planes_pairs__mve(const ew_planes_job__mve *job __attribute__((unused)))
{
    __asm__ volatile(EW_MVE_PLANES_ENTER
                     "1:\n\tvpstt\n\tvldrbt.u8 q0, [r1]\n\tvldrbt.u8 q1, [r3]\n\tadd r1, r5\n\tadd r3, r5\n\t"
                     "vmov q4, q0\n\tvsli.16 q4, q1, #8\n\tvsri.16 q1, q0, #8\n\tvstrh.16 q4, [r2, q2]\n\t"
                     "vstrh.16 q1, [r2, q3]\n\tadd r2, r6\n\tle lr, 1b\n\t" EW_MVE_PLANES_LEAVE);
}

/* Pixels one by one. */
EW_MVE_NAKED void ew_planes_singles__mve(const ew_planes_job__mve *job __attribute__((unused)))
{
    __asm__ volatile(EW_MVE_PLANES_ENTER
                     "1:\n\tvpst\n\tvldrbt.u8 q0, [r1]\n\tadd r1, r5\n\tvstrb.16 q0, [r2, q2]\n\tvshr.u16 q0, q0, #8\n\t"
                     "vstrb.16 q0, [r2, q3]\n\tadd r2, r6\n\tle lr, 1b\n\t" EW_MVE_PLANES_LEAVE);
}

#endif
#endif
