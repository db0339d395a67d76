/* Discrete Fourier transform of lines, float32: DFT and, with a window, STFT. */
#ifndef EW_DFT_F32_H
#define EW_DFT_F32_H

#include "ew_base.h"
#include "ew_float.h"

#define EW_DFT_STAGES_MAX 16

/* A line is `length` numbers, of which x has the first x_count; the others are 0. Strides are in floats. */
typedef struct {
    int32_t outer, inner; /* lines; >= 1 */
    int32_t length;       /* points of the transform; >= 1 */
    int32_t x_outer, x_inner, x_step;
    int32_t x_count, x_parts; /* 1..length numbers a line; floats a number: 1 real, 2 complex */
    int32_t y_outer, y_inner, y_step;
    int32_t y_count, y_parts; /* y has the first y_count results, or their real parts */
    int32_t inverse;          /* 1: e^(+2 pi i k n / length) */
    int32_t halved;           /* 1: x is real and of even length, and computed as length / 2 complex points */
    int32_t mirrored;         /* 1: x is the first half of a spectrum whose other half is its conjugate */
    int32_t points;           /* complex points that are transformed: length, or length / 2 where it is halved */
    int32_t stages;           /* 0..EW_DFT_STAGES_MAX */
    int32_t factors[EW_DFT_STAGES_MAX]; /* their product is `points`; >= 2 */
    int32_t kinds;            /* bits 2 to 5: these factors are among them; bit 0: others are */
    float scale;              /* of the results */
} ew_dft_f32_params;

/* root = e^(-2 pi i at / length) */
typedef struct {
    float re, im;
} ew_dft_root;

EW_INLINE ew_dft_root ew_dft_root_at(const float *roots, int32_t at)
{
    const ew_dft_root root = {roots[2 * at], roots[2 * at + 1]};
    return root;
}

EW_INLINE ew_dft_root ew_dft_times(ew_dft_root a, ew_dft_root b)
{
    const ew_dft_root product = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return product;
}

/* One butterfly of two points, `apart` floats from each other; the second one is turned before. */
EW_INLINE void ew_dft_two(float *z, int32_t apart, ew_dft_root by, int32_t turned)
{
    ew_dft_root b = {z[apart], z[apart + 1]};
    b = turned ? ew_dft_times(b, by) : b;
    z[apart] = z[0] - b.re;
    z[apart + 1] = z[1] - b.im;
    z[0] += b.re;
    z[1] += b.im;
}

/* One butterfly of four points. */
EW_INLINE void ew_dft_four(float *z, int32_t apart, const ew_dft_root by[3], int32_t turned)
{
    ew_dft_root b = {z[apart], z[apart + 1]}, c = {z[2 * apart], z[2 * apart + 1]};
    ew_dft_root d = {z[3 * apart], z[3 * apart + 1]};
    if (turned) {
        b = ew_dft_times(b, by[0]);
        c = ew_dft_times(c, by[1]);
        d = ew_dft_times(d, by[2]);
    }
    const float even_re = z[0] + c.re, even_im = z[1] + c.im, odd_re = z[0] - c.re, odd_im = z[1] - c.im;
    const float sum_re = b.re + d.re, sum_im = b.im + d.im, turn_re = b.im - d.im, turn_im = d.re - b.re;
    z[0] = even_re + sum_re;
    z[1] = even_im + sum_im;
    z[apart] = odd_re + turn_re;
    z[apart + 1] = odd_im + turn_im;
    z[2 * apart] = even_re - sum_re;
    z[2 * apart + 1] = even_im - sum_im;
    z[3 * apart] = odd_re - turn_re;
    z[3 * apart + 1] = odd_im - turn_im;
}

/* One butterfly of three points. */
EW_INLINE void ew_dft_three(float *z, int32_t apart, const ew_dft_root by[2], int32_t turned)
{
    const float sine = 0.866025403784438647f; /* of 2 pi / 3 */
    ew_dft_root b = {z[apart], z[apart + 1]}, c = {z[2 * apart], z[2 * apart + 1]};
    if (turned) {
        b = ew_dft_times(b, by[0]);
        c = ew_dft_times(c, by[1]);
    }
    const float sum_re = b.re + c.re, sum_im = b.im + c.im;
    const float half_re = z[0] - 0.5f * sum_re, half_im = z[1] - 0.5f * sum_im;
    const float turn_re = sine * (b.im - c.im), turn_im = sine * (c.re - b.re);
    z[0] += sum_re;
    z[1] += sum_im;
    z[apart] = half_re + turn_re;
    z[apart + 1] = half_im + turn_im;
    z[2 * apart] = half_re - turn_re;
    z[2 * apart + 1] = half_im - turn_im;
}

/* One butterfly of five points. */
EW_INLINE void ew_dft_five(float *z, int32_t apart, const ew_dft_root by[4], int32_t turned)
{
    const float cos1 = 0.309016994374947424f, cos2 = -0.809016994374947424f; /* of 2 pi / 5 and 4 pi / 5 */
    const float sin1 = 0.951056516295153572f, sin2 = 0.587785252292473129f;
    ew_dft_root b = {z[apart], z[apart + 1]}, c = {z[2 * apart], z[2 * apart + 1]};
    ew_dft_root d = {z[3 * apart], z[3 * apart + 1]}, e = {z[4 * apart], z[4 * apart + 1]};
    if (turned) {
        b = ew_dft_times(b, by[0]);
        c = ew_dft_times(c, by[1]);
        d = ew_dft_times(d, by[2]);
        e = ew_dft_times(e, by[3]);
    }
    const float outer_re = b.re + e.re, outer_im = b.im + e.im, inner_re = c.re + d.re, inner_im = c.im + d.im;
    const float b_e_re = b.re - e.re, b_e_im = b.im - e.im, c_d_re = c.re - d.re, c_d_im = c.im - d.im;
    const float one_re = z[0] + cos1 * outer_re + cos2 * inner_re, one_im = z[1] + cos1 * outer_im + cos2 * inner_im;
    const float two_re = z[0] + cos2 * outer_re + cos1 * inner_re, two_im = z[1] + cos2 * outer_im + cos1 * inner_im;
    const float turn1_re = sin1 * b_e_im + sin2 * c_d_im, turn1_im = sin1 * b_e_re + sin2 * c_d_re;
    const float turn2_re = sin2 * b_e_im - sin1 * c_d_im, turn2_im = sin2 * b_e_re - sin1 * c_d_re;
    z[0] = z[0] + outer_re + inner_re;
    z[1] = z[1] + outer_im + inner_im;
    z[apart] = one_re + turn1_re;
    z[apart + 1] = one_im - turn1_im;
    z[2 * apart] = two_re + turn2_re;
    z[2 * apart + 1] = two_im - turn2_im;
    z[3 * apart] = two_re - turn2_re;
    z[3 * apart + 1] = two_im + turn2_im;
    z[4 * apart] = one_re - turn1_re;
    z[4 * apart + 1] = one_im + turn1_im;
}

/* One butterfly of `factor` points, 2 to 5. */
EW_INLINE void ew_dft_few(float *z, int32_t factor, int32_t apart, const ew_dft_root by[4], int32_t turned)
{
    if (factor == 2) {
        ew_dft_two(z, apart, by[0], turned);
    } else if (factor == 3) {
        ew_dft_three(z, apart, by, turned);
    } else if (factor == 4) {
        ew_dft_four(z, apart, by, turned);
    } else {
        ew_dft_five(z, apart, by, turned);
    }
}

/* One butterfly of any number of points, by the definition: z[q] = sum over j of z[j] * root^(j * (q * size + k)), where
 * the root's order is `factor` blocks of `size`. `own` [2 * factor] is free. */
EW_INLINE void ew_dft_any(float *z, int32_t apart, int32_t factor, int32_t order, int32_t at, const float *roots,
                          int32_t spread, float *own)
{
    for (int32_t q = 0; q < factor; ++q) {
        const int32_t step = at + q * (order / factor); /* k + q * size, of order factor * size */
        int32_t turn = 0;
        float re = 0.0f, im = 0.0f;
        for (int32_t j = 0; j < factor; ++j) {
            const ew_dft_root value = {z[j * apart], z[j * apart + 1]};
            const ew_dft_root part = ew_dft_times(value, ew_dft_root_at(roots, turn * spread));
            re += part.re;
            im += part.im;
            turn += step;
            turn -= turn >= order ? order : 0;
        }
        own[2 * q] = re;
        own[2 * q + 1] = im;
    }
    for (int32_t q = 0; q < factor; ++q) {
        z[q * apart] = own[2 * q];
        z[q * apart + 1] = own[2 * q + 1];
    }
}

/* Joins `factor` transforms of `size` points each into one, for all neighbours in z. `factor` is a literal, 2 to 5. */
EW_INLINE void ew_dft_stage_of_few(float *z, int32_t factor, int32_t size, const float *roots,
                                   const ew_dft_f32_params *p)
{
    const int32_t order = factor * size, apart = 2 * size, end = 2 * p->points;
    const int32_t spread = p->length / order; /* the roots are of order `length` */
    ew_dft_root by[4] = {{1.0f, 0.0f}, {1.0f, 0.0f}, {1.0f, 0.0f}, {1.0f, 0.0f}};
    for (int32_t at = 0; at < end; at += 2 * order) {
        ew_dft_few(z + at, factor, apart, by, 0);
    }
    for (int32_t k = 1; k < size; ++k) {
        EW_UNROLL
        for (int32_t j = 1; j < factor; ++j) {
            by[j - 1] = ew_dft_root_at(roots, j * k * spread);
        }
        for (int32_t at = 2 * k; at < end; at += 2 * order) {
            ew_dft_few(z + at, factor, apart, by, 1);
        }
    }
}

/* The same of any factor; `own` [2 * factor] is free. */
EW_INLINE void ew_dft_stage(float *z, int32_t factor, int32_t size, const float *roots, float *own,
                            const ew_dft_f32_params *p)
{
    if ((p->kinds & 1 << 2) != 0 && factor == 2) {
        ew_dft_stage_of_few(z, 2, size, roots, p);
    } else if ((p->kinds & 1 << 3) != 0 && factor == 3) {
        ew_dft_stage_of_few(z, 3, size, roots, p);
    } else if ((p->kinds & 1 << 4) != 0 && factor == 4) {
        ew_dft_stage_of_few(z, 4, size, roots, p);
    } else if ((p->kinds & 1 << 5) != 0 && factor == 5) {
        ew_dft_stage_of_few(z, 5, size, roots, p);
    } else if ((p->kinds & 1) != 0) {
        const int32_t order = factor * size;
        for (int32_t k = 0; k < size; ++k) {
            for (int32_t at = 2 * k; at < 2 * p->points; at += 2 * order) {
                ew_dft_any(z + at, 2 * size, factor, order, k, roots, p->length / order, own);
            }
        }
    }
}

/* Part `part` of number i of a line, 0 behind its end. */
EW_INLINE float ew_dft_load(const float *x, const float *window, int32_t i, int32_t part, const ew_dft_f32_params *p)
{
    if ((p->x_count < p->length && i >= p->x_count) || part >= p->x_parts) {
        return 0.0f;
    }
    const float value = x[i * p->x_step + part];
    return window ? value * window[i] : value;
}

/* Fills z with a line, in the order that the stages want. The inverse has its parts exchanged, here and at the end. */
EW_INLINE void ew_dft_gather(const float *x, const float *window, const uint16_t *order, float *z,
                             const ew_dft_f32_params *p)
{
    for (int32_t at = 0; at < p->points; ++at) {
        const int32_t i = order[at];
        float re, im;
        if (p->halved) {
            re = ew_dft_load(x, window, 2 * i, 0, p);
            im = ew_dft_load(x, window, 2 * i + 1, 0, p);
        } else if (p->mirrored && i > p->length / 2) {
            re = ew_dft_load(x, window, p->length - i, 0, p);
            im = -ew_dft_load(x, window, p->length - i, 1, p);
        } else {
            re = ew_dft_load(x, window, i, 0, p);
            im = ew_dft_load(x, window, i, 1, p);
        }
        z[2 * at] = p->inverse ? im : re;
        z[2 * at + 1] = p->inverse ? re : im;
    }
}

EW_INLINE void ew_dft_store(float *y, int32_t k, float re, float im, const ew_dft_f32_params *p)
{
    if (k < p->y_count) {
        y[k * p->y_step] = p->scale * re;
        if (p->y_parts == 2) {
            y[k * p->y_step + 1] = p->scale * im;
        }
    }
}

/* The results of a real line, which is in z as length / 2 complex points: of its even and its odd numbers. */
EW_INLINE void ew_dft_split(const float *z, const float *roots, float *y, const ew_dft_f32_params *p)
{
    const int32_t points = p->points;
    ew_dft_store(y, 0, z[0] + z[1], 0.0f, p);
    ew_dft_store(y, points, z[0] - z[1], 0.0f, p);
    for (int32_t k = 1; k <= points / 2; ++k) {
        const float *a = z + 2 * k, *b = z + 2 * (points - k);
        const float even_re = 0.5f * (a[0] + b[0]), even_im = 0.5f * (a[1] - b[1]);
        const ew_dft_root odd = {0.5f * (a[1] + b[1]), 0.5f * (b[0] - a[0])};
        const ew_dft_root turned = ew_dft_times(odd, ew_dft_root_at(roots, k));
        const float re = even_re + turned.re, im = even_im + turned.im;
        const float back_re = even_re - turned.re, back_im = turned.im - even_im;
        ew_dft_store(y, k, re, im, p);
        ew_dft_store(y, points - k, back_re, back_im, p);
        ew_dft_store(y, p->length - k, re, -im, p);
        ew_dft_store(y, points + k, back_re, -back_im, p);
    }
}

/* y[k] = scale * sum over n of window[n] * x[n] * e^(-2 pi i k n / length), of each line of x [outer][inner].
 * window [length] or NULL; roots: e^(-2 pi i j / length) as pairs of floats, for all j that the stages take; order
 * [points]: the number that each place of the first stage holds; scratch 2 * (points + the largest factor) floats.
 * Buffers do not overlap. */
EW_KERNEL void ew_dft_f32(const float *restrict x, const float *restrict window, const float *restrict roots,
                          const uint16_t *restrict order, void *restrict scratch, float *restrict y,
                          const ew_dft_f32_params *p)
{
    float *z = (float *)scratch;
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t i = 0; i < p->inner; ++i) {
            float *y_line = y + o * p->y_outer + i * p->y_inner;
            ew_dft_gather(x + o * p->x_outer + i * p->x_inner, window, order, z, p);
            int32_t size = 1;
            for (int32_t stage = 0; stage < p->stages; ++stage) {
                ew_dft_stage(z, p->factors[stage], size, roots, z + 2 * p->points, p);
                size *= p->factors[stage];
            }
            if (p->halved) {
                ew_dft_split(z, roots, y_line, p);
            } else {
                for (int32_t k = 0; k < p->y_count; ++k) {
                    ew_dft_store(y_line, k, z[2 * k + p->inverse], z[2 * k + 1 - p->inverse], p);
                }
            }
        }
    }
}

#endif
