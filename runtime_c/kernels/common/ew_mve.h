/* What the kernels for Arm MVE (Cortex-M55, M85) share: how sums become int8 outputs, and pieces of assembly.
 *
 * MVE's multiply-accumulate across a vector (VMLADAVA) takes 16 products an instruction and leaves its sum in a core
 * register. Four sums are put into one vector and requantized together. Three ways, all of them bit for bit
 *     clamp(rint(float32(sum) * scale) + zero, lo, hi)                                    (docs/ARITHMETIC.md)
 *
 * - EW_MVE_FAST: |float32(sum) * scale| + |zero| <= 32767 for every sum there can be, lo = -128, hi = 127, zero even.
 *   Adding 1.5 * 2^23 + zero rounds to an integer, half to even, because there a float32's last place is 1, and an even
 *   zero keeps even what is even. The low 16 bits are the result, before saturation.
 * - EW_MVE_FAST_ODD: the same for any zero, which is added after rounding.
 * - EW_MVE_ANY: everything else. Conversion to int32 saturates, so does the sum with zero; then clamp.
 *
 * The generator proves which one holds (generator/kernels/mve_common.py). Vector float arithmetic flushes subnormals:
 * that changes nothing, for a product below 2^-126 rounds to 0 either way, and scales are normal numbers. */
#ifndef EW_MVE_H
#define EW_MVE_H

#include "ew_base.h"

#define EW_MVE_FAST 0
#define EW_MVE_FAST_ODD 1
#define EW_MVE_ANY 2

#define EW_MVE_ROUND 12582912.0f /* 1.5 * 2^23 */

/* How sums become outputs. */
typedef struct {
    int32_t way;                      /* EW_MVE_FAST, EW_MVE_FAST_ODD or EW_MVE_ANY: a literal */
    int32_t y_zero, act_min, act_max; /* within int8 */
    int32_t flip;                     /* 1: y is uint8, 128 more than all that: sign bits are turned at the end */
} ew_mve_output;

#if defined(__ARM_FEATURE_MVE)

#if !(__ARM_FEATURE_MVE & 2)
#error "the kernels for MVE need its floating-point part"
#endif

#include <arm_mve.h>

/* A function that all layers share and that is assembly from its first instruction to its last. `noipa`: the compiler
 * must not conclude from an empty-looking body that memory behind the argument is not read. */
#if defined(__clang__)
#define EW_MVE_NAKED static __attribute__((naked, noinline, unused))
#else
#define EW_MVE_NAKED static __attribute__((naked, noinline, noipa, unused))
#endif

/* The number that rounds when added: zero in it where that keeps half-to-even. */
EW_INLINE float ew_mve_round(const ew_mve_output *out)
{
    return EW_MVE_ROUND + (out->way == EW_MVE_FAST ? (float)out->y_zero : 0.0f);
}

/* Four real numbers in steps of y, rounded: outputs in the low byte of each lane. */
EW_INLINE int32x4_t ew_mve_round_q(float32x4_t steps, const ew_mve_output *out)
{
    if (out->way == EW_MVE_ANY) {
        const int32x4_t value = vqaddq_n_s32(vcvtnq_s32_f32(steps), out->y_zero);
        return vminq_s32(vmaxq_s32(value, vdupq_n_s32(out->act_min)), vdupq_n_s32(out->act_max));
    }
    int16x8_t low = vreinterpretq_s16_f32(vaddq_n_f32(steps, ew_mve_round(out)));
    if (out->way == EW_MVE_FAST_ODD) {
        low = vaddq_n_s16(low, (int16_t)out->y_zero);
    }
    return vreinterpretq_s32_s8(vqmovnbq_s16(vreinterpretq_s8_s16(low), low));
}

/* Four sums to outputs, likewise. */
EW_INLINE int32x4_t ew_mve_requantize(int32x4_t sums, float32x4_t scale, const ew_mve_output *out)
{
    return ew_mve_round_q(vmulq_f32(vcvtq_f32_s32(sums), scale), out);
}

/* y[i] = x[i] ^ 0x80, from int8 to uint8 or back; y may be x. */
EW_INLINE void ew_mve_flip(const void *x, void *y, int32_t count)
{
    __asm__ volatile("vmov.i8 q1, #0x80; wlstp.8 lr, %[count], 2f; 1: vldrb.8 q0, [%[x]], #16; "
                     "veor q0, q0, q1; vstrb.8 q0, [%[y]], #16; letp lr, 1b; 2:"
                     : [x] "+r"(x), [y] "+r"(y)
                     : [count] "r"(count)
                     : "lr", "q0", "q1", "memory");
}

/* y[i] = x[i]. */
EW_INLINE void ew_mve_copy(const void *x, void *y, int32_t count)
{
    __asm__ volatile("wlstp.8 lr, %[count], 2f; 1: vldrb.8 q0, [%[x]], #16; vstrb.8 q0, [%[y]], #16; "
                     "letp lr, 1b; 2:"
                     : [x] "+r"(x), [y] "+r"(y)
                     : [count] "r"(count)
                     : "lr", "q0", "memory");
}

/* What is left to do with an output of `count` elements. */
EW_INLINE void ew_mve_finish(void *y, int32_t count, const ew_mve_output *out)
{
    if (out->flip) {
        ew_mve_flip(y, y, count);
    }
}

/* Sets `count` bytes. */
EW_INLINE void ew_mve_fill(int8_t *y, int32_t value, int32_t count)
{
    __asm__ volatile("vdup.8 q0, %[value]; wlstp.8 lr, %[count], 2f; 1: vstrb.8 q0, [%[y]], #16; "
                     "letp lr, 1b; 2:"
                     : [y] "+r"(y)
                     : [value] "r"(value), [count] "r"(count)
                     : "lr", "q0", "memory");
}

#endif
#endif
