/* Sum or difference of two int8 tensors of one shape, for MVE. */
#ifndef EW_ADD_Q8__MVE_H
#define EW_ADD_Q8__MVE_H

#include "ew_base.h"
#include "ew_mve.h"

typedef struct {
    int32_t count; /* elements */
    /* shift 1..31: y = clamp((a * a_factor + b * b_factor + offset) >> shift, act_min, act_max), which the generator
     * has compared with the definition for every pair of values; before the clamp y is within int16. shift 0: by the
     * definition in float32, with `inverse` times instead of division by y_scale, compared likewise. */
    int32_t shift, a_factor, b_factor, offset;
    int32_t a_zero, b_zero;
    float a_scale, b_scale, inverse; /* a negative b_scale subtracts */
    ew_mve_output out;
} ew_add_q8__mve_params;

#if defined(__ARM_FEATURE_MVE)

/* y[i] = clamp(rint(((a[i] - a_zero) * a_scale + (b[i] - b_zero) * b_scale) / y_scale) + y_zero). Any address; y may be
 * a or b, and otherwise does not overlap them. */
EW_KERNEL void ew_add_q8__mve(const void *a, const void *b, void *y, const ew_add_q8__mve_params *p)
{
    const int8_t *from_a = a, *from_b = b;
    int8_t *to = y;
    if (p->shift > 0 && p->out.act_min == -128 && p->out.act_max == 127) {
        /* Eight instructions for four elements; gcc 12 would not predicate the tail by the loop. */
        const int32x4_t factor = vdupq_n_s32(p->a_factor);
        __asm__ volatile("wlstp.32 lr, %[count], 2f; "
                         "1: vldrb.s32 q0, [%[a]], #4; vmlas.s32 q0, %q[factor], %[offset]; "
                         "vldrb.s32 q1, [%[b]], #4; vmla.s32 q0, q1, %[b_factor]; vshl.s32 q0, %[shift]; "
                         "vqmovnb.s16 q0, q0; vstrb.32 q0, [%[y]], #4; letp lr, 1b; 2:"
                         : [a] "+l"(from_a), [b] "+l"(from_b), [y] "+l"(to)
                         : [count] "r"(p->count), [factor] "w"(factor), [offset] "r"(p->offset),
                           [b_factor] "r"(p->b_factor), [shift] "r"(-p->shift)
                         : "lr", "q0", "q1", "memory");
        return;
    }
    for (int32_t i = 0; i < p->count; i += 4) {
        const mve_pred16_t there = vctp32q((uint32_t)(p->count - i));
        int32x4_t value_a = vldrbq_z_s32(from_a + i, there);
        int32x4_t value_b = vldrbq_z_s32(from_b + i, there);
        int32x4_t value;
        if (p->shift > 0) {
            value = vmlasq_n_s32(value_a, vdupq_n_s32(p->a_factor), p->offset);
            value = vshlq_r_s32(vmlaq_n_s32(value, value_b, p->b_factor), -p->shift);
            value = vminq_s32(vmaxq_s32(value, vdupq_n_s32(p->out.act_min)), vdupq_n_s32(p->out.act_max));
        } else {
            const float32x4_t part_a = vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(value_a, p->a_zero)), p->a_scale);
            const float32x4_t part_b = vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(value_b, p->b_zero)), p->b_scale);
            value = ew_mve_round_q(vmulq_n_f32(vaddq_f32(part_a, part_b), p->inverse), &p->out);
        }
        vstrbq_p_s32(to + i, value, there);
    }
}

#endif
#endif
