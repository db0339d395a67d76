/* ew_cast: float32 to the integer types and back (ends of the types, halves, infinities, NaN), every code of the small
 * floats there and back. All pairs of types, against numpy, are in tests/test_types.py. */
#include "ew_cast.h"
#include "ew_test.h"

#define COUNT 2000

static float values[COUNT];

/* Special values first, then random ones over all magnitudes. */
static void fill(void)
{
    static const float special[] = {0.0f,
                                    -0.0f,
                                    0.5f,
                                    -0.5f,
                                    0.99999994f,
                                    -0.99999994f,
                                    1.5f,
                                    -1.5f,
                                    127.0f,
                                    127.99999f,
                                    128.0f,
                                    -128.0f,
                                    -128.99998f,
                                    -129.0f,
                                    255.0f,
                                    255.99998f,
                                    256.0f,
                                    32767.0f,
                                    32767.998f,
                                    32768.0f,
                                    -32768.0f,
                                    -32768.996f,
                                    -32769.0f,
                                    2147483520.0f,
                                    2147483648.0f,
                                    -2147483648.0f,
                                    -2147483904.0f,
                                    0x1.fffffep62f,
                                    0x1p63f,
                                    -0x1p63f,
                                    -0x1.000002p63f,
                                    3.4e38f,
                                    -3.4e38f,
                                    1e-40f,
                                    INFINITY,
                                    -INFINITY,
                                    NAN};
    const int specials = (int)(sizeof special / sizeof *special);
    for (int i = 0; i < COUNT; ++i) {
        values[i] = i < specials ? special[i] : ldexpf(test_float(), (int)test_int(-3, 66));
    }
}

/* The definition in double precision, which holds the ends of all types but s64's upper one exactly. */
static int64_t reference(float v, double lowest, double highest)
{
    if (isnan(v)) {
        return 0;
    }
    const double t = trunc((double)v);
    if (t >= 0x1p63) {
        return highest >= 0x1p62 ? INT64_MAX : (int64_t)highest;
    }
    return (int64_t)(t < lowest ? lowest : t > highest ? highest : t);
}

static void cast(const void *x, int32_t from, void *y, int32_t to)
{
    const ew_cast_params p = {COUNT, from, to, 0, EW_ROUND_NEAREST};
    ew_cast(x, y, &p);
}

#define CHECK_TYPE(name, NAME, type, lowest, highest)                                                                  \
    static void check_##name(void)                                                                               \
    {                                                                                                            \
        test_reset();                                                                                            \
        type *y = (type *)(void *)test_buffer(COUNT * 2);                                                        \
        float *back = test_buffer(COUNT);                                                                        \
        cast(values, EW_NUMBER_F32, y, NAME);                                                                    \
        cast(y, NAME, back, EW_NUMBER_F32);                                                                      \
        test_guards();                                                                                           \
        for (int i = 0; i < COUNT; ++i) {                                                                        \
            TEST_CHECK((int64_t)y[i] == reference(values[i], lowest, highest), "%g gave %ld", (double)values[i], \
                       (long)y[i]);                                                                              \
            TEST_CHECK(back[i] == (float)y[i], "%ld gave %g", (long)y[i], (double)back[i]);                      \
        }                                                                                                        \
    }

CHECK_TYPE(s8, EW_NUMBER_S8, int8_t, -128.0, 127.0)
CHECK_TYPE(u8, EW_NUMBER_U8, uint8_t, 0.0, 255.0)
CHECK_TYPE(s16, EW_NUMBER_S16, int16_t, -32768.0, 32767.0)
CHECK_TYPE(s32, EW_NUMBER_S32, int32_t, -2147483648.0, 2147483647.0)
CHECK_TYPE(s64, EW_NUMBER_S64, int64_t, -0x1p63, 0x1p63)

static void check_b8(void)
{
    test_reset();
    uint8_t *y = (uint8_t *)test_buffer(COUNT);
    float *back = test_buffer(COUNT);
    cast(values, EW_NUMBER_F32, y, EW_NUMBER_B8);
    y[0] = 7; /* any non-zero byte is true */
    cast(y, EW_NUMBER_B8, back, EW_NUMBER_F32);
    test_guards();
    for (int i = 1; i < COUNT; ++i) {
        TEST_CHECK(y[i] == (values[i] == 0.0f ? 0 : 1), "%g gave %d", (double)values[i], y[i]);
        TEST_CHECK(back[i] == (float)y[i], "%d gave %g", y[i], (double)back[i]);
    }
    TEST_CHECK(back[0] == 1.0f, "true as 7 gave %g", (double)back[0]);
}

/* Every code as float32 and back; NaN as `nan`, which is the only one where `nans` is 1. */
static void check_codes(int32_t type, int codes, uint8_t nan, int nans)
{
    test_reset();
    uint8_t *x = (uint8_t *)test_buffer(COUNT / 4), *back = (uint8_t *)test_buffer(COUNT / 4);
    float *y = test_buffer(COUNT);
    for (int i = 0; i < COUNT; ++i) {
        x[i] = (uint8_t)(i % codes);
    }
    cast(x, type, y, EW_NUMBER_F32);
    cast(y, EW_NUMBER_F32, back, type);
    test_guards();
    int found = 0;
    for (int i = 0; i < COUNT; ++i) {
        found += i < codes && isnan(y[i]);
        TEST_CHECK(isnan(y[i]) ? (back[i] & 0x7fu) == (nan & 0x7fu) : back[i] == x[i], "type %d: code %d, %g, gave %d",
                   (int)type, x[i], (double)y[i], back[i]);
    }
    TEST_CHECK(found == nans, "type %d has %d NaN", (int)type, found);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    fill();
    check_s8();
    check_u8();
    check_s16();
    check_s32();
    check_s64();
    check_b8();
    check_codes(EW_NUMBER_F8E4M3FN, 256, 0x7f, 2);
    check_codes(EW_NUMBER_F8E4M3FNUZ, 256, 0x80, 1);
    check_codes(EW_NUMBER_F8E5M2, 256, 0x7e, 6);
    check_codes(EW_NUMBER_F8E5M2FNUZ, 256, 0x80, 1);
    check_codes(EW_NUMBER_F8E8M0, 256, 0xff, 1);
    check_codes(EW_NUMBER_F4E2M1, 16, 0, 0);
    return test_end();
}
