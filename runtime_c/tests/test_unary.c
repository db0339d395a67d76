/* The element-wise functions of one operand, against double precision; in place too. */
#include "ew_clamp_f32.h"
#include "ew_hard_sigmoid_f32.h"
#include "ew_hard_swish_f32.h"
#include "ew_leaky_relu_f32.h"
#include "ew_sigmoid_f32.h"
#include "ew_tanh_f32.h"
#include "ew_test.h"

#define COUNT 1003

enum { CLAMP, CLAMP_NONE, LEAKY_RELU, SIGMOID, TANH, HARD_SWISH, HARD_SIGMOID, FUNCTIONS };

static const char *const names[] = {"clamp", "clamp without bounds", "leaky_relu",  "sigmoid",
                                    "tanh",  "hard_swish",           "hard_sigmoid"};

static void run(int function, const float *x, float *y)
{
    static const ew_clamp_f32_params clamp = {COUNT, 0.0f, 6.0f}, none = {COUNT, -INFINITY, INFINITY};
    static const ew_leaky_relu_f32_params leaky = {COUNT, 0.01f};
    static const ew_sigmoid_f32_params sigmoid = {COUNT};
    static const ew_tanh_f32_params tangent = {COUNT};
    static const ew_hard_swish_f32_params swish = {COUNT};
    static const ew_hard_sigmoid_f32_params hard = {COUNT, 0.2f, 0.5f};
    if (function == CLAMP) {
        ew_clamp_f32(x, y, &clamp);
    } else if (function == CLAMP_NONE) {
        ew_clamp_f32(x, y, &none);
    } else if (function == LEAKY_RELU) {
        ew_leaky_relu_f32(x, y, &leaky);
    } else if (function == SIGMOID) {
        ew_sigmoid_f32(x, y, &sigmoid);
    } else if (function == TANH) {
        ew_tanh_f32(x, y, &tangent);
    } else if (function == HARD_SWISH) {
        ew_hard_swish_f32(x, y, &swish);
    } else {
        ew_hard_sigmoid_f32(x, y, &hard);
    }
}

static double reference(int function, double x)
{
    switch (function) {
    case CLAMP:
        return test_clamp(x, 0.0f, 6.0f);
    case CLAMP_NONE:
        return x;
    case LEAKY_RELU:
        return x < 0.0 ? (double)0.01f * x : x;
    case SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case TANH:
        return tanh(x);
    case HARD_SWISH:
        return x * test_clamp(x / 6.0 + 0.5, 0.0f, 1.0f);
    default:
        return test_clamp((double)0.2f * x + 0.5, 0.0f, 1.0f);
    }
}

/* A few units in the last place of the result; hard_swish near its zero at -3 cancels, so its bound is relative to x.
 */
static double tolerance(int function, double x, double want)
{
    const double unit = 0x1p-24;
    switch (function) {
    case CLAMP:
    case CLAMP_NONE:
        return 0.0;
    case HARD_SWISH:
        return 4.0 * unit * fabs(x);
    case HARD_SIGMOID:
        return 4.0 * unit;
    default:
        return 8.0 * unit * fabs(want) + 0x1p-126;
    }
}

static void check(int function, float scale)
{
    test_reset();
    float *x = test_buffer(COUNT);
    float *y = test_buffer(COUNT);
    float *in_place = test_buffer(COUNT);
    for (int i = 0; i < COUNT; ++i) {
        x[i] = test_float() * scale;
    }
    static const float special[] = {0.0f, -0.0f, 3.0f, -3.0f, 6.0f, 2.5f, -2.5f, 89.0f, -89.0f, 104.0f, -104.0f};
    memcpy(x, special, sizeof special);
    x[500] = NAN;
    memcpy(in_place, x, COUNT * sizeof *x);
    run(function, x, y);
    run(function, in_place, in_place);
    test_guards();
    int bad = 0, differ = 0;
    for (int i = 0; i < COUNT; ++i) {
        const double want = reference(function, (double)x[i]);
        bad += !test_close(y[i], want, tolerance(function, (double)x[i], want));
        differ += memcmp(&y[i], &in_place[i], sizeof y[i]) != 0;
    }
    TEST_CHECK(bad == 0, "%s: %d of %d", names[function], bad, COUNT);
    TEST_CHECK(differ == 0, "%s: %d of %d differ in place", names[function], differ, COUNT);
    TEST_CHECK(isnan(y[500]), "%s: NaN did not pass", names[function]);
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int function = 0; function < FUNCTIONS; ++function) {
        check(function, 1.0f);
        check(function, 10.0f);
        check(function, 100.0f);
    }
    return test_end();
}
