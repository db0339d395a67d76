/* Element-wise functions of many types: the ends of the integer types, float16, NaN, broadcasting, results in place. */
#include "ew_arithmetic.h"
#include "ew_compare.h"
#include "ew_integer_math.h"
#include "ew_logic.h"
#include "ew_math.h"
#include "ew_math_constants.h"
#include "ew_pow.h"
#include "ew_test.h"
#include "ew_where.h"

static void check_half(void)
{
    int bad = 0;
    for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
        const uint16_t half = (uint16_t)bits;
        const float value = ew_half_to_float(half);
        const int is_nan = (half & 0x7fffu) > 0x7c00u;
        bad += is_nan ? !isnan(value) || (ew_float_to_half(value) & 0x7fffu) <= 0x7c00u
                      : ew_float_to_half(value) != half;
        if ((half & 0x7fffu) < 0x7bffu) { /* between two neighbours: to nearest, and a tie to even */
            const double next = (double)ew_half_to_float((uint16_t)(half + 1u)), middle = ((double)value + next) / 2.0;
            const float below = nextafterf((float)middle, value), above = nextafterf((float)middle, (float)next);
            bad += ew_float_to_half((float)middle) != half + (half & 1u);
            bad += ew_float_to_half(below) != half || ew_float_to_half(above) != half + 1u;
        }
    }
    TEST_CHECK(bad == 0, "%d conversions", bad);
    TEST_CHECK(ew_float_to_half(65519.0f) == 0x7bffu && ew_float_to_half(65520.0f) == 0x7c00u, "overflow");
    TEST_CHECK(ew_half_to_float(1u) == 0x1p-24f && ew_half_to_float(0xc000u) == -2.0f, "known numbers");
}

static void check_integers(void)
{
    static const ew_broadcast_params p = {1, {6}, {1}, {1}};
    static const ew_unary_params six = {6};
    static const int32_t a[6] = {INT32_MIN, INT32_MIN, 7, -7, 7, INT32_MAX}, b[6] = {-1, 0, -2, 2, 0, 1};
    static const int32_t quotients[6] = {INT32_MIN, 0, -3, -3, 0, INT32_MAX};
    static const int32_t floored[6] = {0, 0, -1, 1, 0, 0}, truncated[6] = {0, 0, 1, -1, 0, 0};
    static const int32_t sums[6] = {INT32_MAX, INT32_MIN, 5, -5, 7, INT32_MIN};
    static const int32_t magnitudes[6] = {INT32_MIN, INT32_MIN, 7, 7, 7, INT32_MAX};
    static const uint16_t ones[6] = {65535, 65535, 65535, 65535, 65535, 65535};
    static const int16_t x[6] = {-9, -9, -9, 9, 9, 1}, by[6] = {-1, 16, 1, 16, 2, 15};
    static const int16_t right[6] = {-1, -1, -5, 0, 2, 0}, left[6] = {0, 0, -18, 0, 36, INT16_MIN};
    static const int32_t base[6] = {3, -1, 2, 0, 0, -2}, exponent[6] = {5, -3, -1, 0, -1, 31};
    static const int32_t powers[6] = {243, -1, 0, 1, 0, INT32_MIN};
    int32_t y[6];
    int16_t z[6];
    uint16_t u[6];
    ew_div_s32(a, b, y, &p);
    TEST_CHECK(memcmp(y, quotients, sizeof y) == 0, "div");
    ew_mod_s32(a, b, y, &p);
    TEST_CHECK(memcmp(y, floored, sizeof y) == 0, "mod");
    ew_fmod_s32(a, b, y, &p);
    TEST_CHECK(memcmp(y, truncated, sizeof y) == 0, "fmod");
    memcpy(y, a, sizeof y);
    ew_add_s32(y, b, y, &p);
    TEST_CHECK(memcmp(y, sums, sizeof y) == 0, "add in place");
    ew_abs_s32(a, y, &six);
    TEST_CHECK(memcmp(y, magnitudes, sizeof y) == 0, "abs");
    ew_pow_s32_s32(base, exponent, y, &p);
    TEST_CHECK(memcmp(y, powers, sizeof y) == 0, "pow");
    ew_mul_u16(ones, ones, u, &p);
    TEST_CHECK(u[0] == 1, "mul %d", u[0]);
    ew_shift_right_s16(x, by, z, &p);
    TEST_CHECK(memcmp(z, right, sizeof z) == 0, "shift right");
    ew_shift_left_s16(x, by, z, &p);
    TEST_CHECK(memcmp(z, left, sizeof z) == 0, "shift left");
}

static void check_floats(void)
{
    enum { COUNT = 1003 };
    static const ew_unary_params p = {COUNT};
    static const ew_unary_constants_params selu = {COUNT, 1.5f, 0.75f};
    test_reset();
    float *x = test_random_buffer(COUNT), *y = test_buffer(COUNT), *z = test_buffer(COUNT);
    for (int i = 0; i < COUNT; ++i) {
        x[i] *= 8.0f;
    }
    x[500] = NAN;
    int bad = 0;
    ew_gelu_f32(x, y, &p);
    ew_softplus_f32(x, z, &p);
    for (int i = 0; i < COUNT; ++i) {
        const double v = (double)x[i], gelu = v / 2.0 * (1.0 + erf(v * sqrt(0.5)));
        bad += !test_close(y[i], gelu, 1e-6 + 1e-6 * fabs(gelu));
        bad += !test_close(z[i], log(1.0 + exp(v)), 1e-6 * (1.0 + fabs(v)));
    }
    TEST_CHECK(bad == 0, "gelu, softplus: %d", bad);
    ew_selu_f32(x, y, &selu);
    for (int i = 0; i < COUNT; ++i) {
        const double v = (double)x[i];
        bad += !test_close(y[i], 0.75 * (v > 0.0 ? v : 1.5 * expm1(v)), 1e-6 * (1.0 + fabs(v)));
    }
    TEST_CHECK(bad == 0, "selu: %d", bad);
    ew_selu_f32(x, x, &selu);
    TEST_CHECK(memcmp(x, y, COUNT * sizeof *x) == 0, "in place differs");
    test_guards();
}

static void check_broadcasting(void)
{
    static const ew_broadcast_params p = {2, {2, 3}, {1, 0}, {0, 1}};
    static const ew_where_params w = {2, {2, 3}, {3, 1}, {1, 0}, {0, 1}};
    static const float a[2] = {1.0f, NAN}, b[3] = {0.0f, 1.0f, 2.0f};
    static const uint8_t c[6] = {1, 0, 2, 0, 1, 0}, greater[6] = {1, 0, 0, 0, 0, 0};
    uint8_t y[6];
    float z[6];
    ew_greater_f32(a, b, y, &p);
    TEST_CHECK(memcmp(y, greater, sizeof y) == 0, "greater");
    ew_max_f32(a, b, z, &p);
    TEST_CHECK(z[0] == 1.0f && z[2] == 2.0f && isnan(z[3]) && isnan(z[5]), "max");
    ew_where_f32(c, a, b, z, &w);
    TEST_CHECK(z[0] == 1.0f && z[1] == 1.0f && z[2] == 1.0f && z[3] == 0.0f && isnan(z[4]) && z[5] == 2.0f, "where");
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    check_half();
    check_integers();
    check_floats();
    check_broadcasting();
    return test_end();
}
