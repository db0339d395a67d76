/* ew_dft_f32 against the definition in double precision: lengths with all kinds of factors, real and complex. */
#include "ew_dft_f32.h"
#include "ew_test.h"

#define LENGTH_MAX 64

/* The stages of a transform, and the number that each place of the first one holds. */
static void set_stages(ew_dft_f32_params *p, uint16_t *order)
{
    static uint16_t before[LENGTH_MAX];
    int32_t rest = p->points, size = 1;
    p->stages = p->kinds = 0;
    order[0] = 0;
    for (int32_t divisor = 7; rest > 1;) {
        const int32_t factor = rest % 4 == 0 && test_int(0, 1) ? 4 : divisor > 1 && rest % divisor == 0 ? divisor : 0;
        if (factor == 0) {
            --divisor;
            continue;
        }
        memcpy(before, order, (size_t)size * sizeof *order);
        for (int32_t at = 0; at < factor * size; ++at) {
            order[at] = (uint16_t)(at / size + factor * before[at % size]);
        }
        p->factors[p->stages++] = factor;
        p->kinds |= factor <= 5 ? 1 << factor : 1;
        size *= factor;
        rest /= factor;
        divisor = 7;
    }
}

static double part_of(const ew_dft_f32_params *p, const float *line, const float *window, int32_t i, int32_t part)
{
    const int32_t back = p->mirrored && i > p->length / 2, at = back ? p->length - i : i;
    if (at >= p->x_count || part >= p->x_parts) {
        return 0.0;
    }
    const double value = (double)line[at * p->x_step + part] * (window ? (double)window[at] : 1.0);
    return back && part ? -value : value;
}

static int check_line(const ew_dft_f32_params *p, const float *x, const float *window, const float *y)
{
    const double turn = (p->inverse ? 2.0 : -2.0) * acos(-1.0) / (double)p->length;
    int bad = 0;
    for (int32_t k = 0; k < p->y_count; ++k) {
        double re = 0.0, im = 0.0, size = 0.0;
        for (int32_t i = 0; i < p->length; ++i) {
            const double a = part_of(p, x, window, i, 0), b = part_of(p, x, window, i, 1);
            const double c = cos(turn * (double)(i * k % p->length)), s = sin(turn * (double)(i * k % p->length));
            re += a * c - b * s;
            im += a * s + b * c;
            size += fabs(a) + fabs(b);
        }
        const double error = (double)p->scale * size * 4e-6, scale = (double)p->scale;
        bad += !test_close(y[k * p->y_step], scale * re, error);
        bad += p->y_parts == 2 && !test_close(y[k * p->y_step + 1], scale * im, error);
    }
    return bad;
}

static void check(ew_dft_f32_params *p, int32_t has_window)
{
    static uint16_t order[LENGTH_MAX];
    static float roots[2 * LENGTH_MAX];
    const int32_t lines = p->outer * p->inner;
    test_reset();
    set_stages(p, order);
    for (int32_t j = 0; j < p->length; ++j) {
        roots[2 * j] = (float)cos(-2.0 * acos(-1.0) * (double)j / (double)p->length);
        roots[2 * j + 1] = (float)sin(-2.0 * acos(-1.0) * (double)j / (double)p->length);
    }
    p->x_step = p->inner * p->x_parts;
    p->x_inner = p->x_parts;
    p->x_outer = p->x_count * p->x_step;
    p->y_step = p->inner * p->y_parts;
    p->y_inner = p->y_parts;
    p->y_outer = p->y_count * p->y_step;
    const float *x = test_random_buffer(lines * p->x_count * p->x_parts);
    const float *window = has_window ? test_random_buffer(p->length) : NULL;
    float *y = test_buffer(lines * p->y_count * p->y_parts), *scratch = test_buffer(2 * (p->points + 7));
    ew_dft_f32(x, window, roots, order, scratch, y, p);
    test_guards();
    int bad = 0;
    for (int32_t line = 0; line < lines; ++line) {
        const int32_t o = line / p->inner, i = line % p->inner;
        bad += check_line(p, x + o * p->x_outer + i * p->x_inner, window, y + o * p->y_outer + i * p->y_inner);
    }
    TEST_CHECK(bad == 0, "%d of %ld; %ld points, inverse %ld", bad, (long)(lines * p->y_count), (long)p->length,
               (long)p->inverse);
}

int main(int argc, char **argv)
{
    static const int32_t lengths[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 20, 21, 30, 32, 36, 48, 60, 64};
    test_begin(argc, argv);
    for (int i = 0; i < 114; ++i) {
        const int32_t length = lengths[i % 19], side = length / 2 + 1;
        ew_dft_f32_params p = {.outer = test_int(1, 2), .inner = test_int(1, 3), .length = length, .points = length,
                               .scale = 1.0f};
        const int32_t kind = i / 19;
        p.inverse = kind == 3 || kind == 4 || kind == 5;
        p.mirrored = kind == 5;
        p.x_parts = kind == 0 || kind == 1 || kind == 4 ? 1 : 2;
        p.y_parts = p.mirrored ? 1 : 2;
        p.halved = kind < 2 && length % 2 == 0;
        p.points = p.halved ? length / 2 : length;
        p.x_count = test_int(1, p.mirrored ? side : length);
        p.y_count = kind == 1 ? side : length;
        p.scale = p.inverse ? 1.0f / (float)length : 1.0f;
        check(&p, kind < 3 && test_int(0, 1));
    }
    return test_end();
}
