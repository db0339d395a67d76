/* Sampling by a grid, and the grid of an affine map, in double precision. */
#include "ew_affine_grid_f32.h"
#include "ew_grid_sample_f32.h"
#include "ew_test.h"

/* A coordinate moved inside by what lies outside an axis: mirrored step by step. */
static double moved(double at, double low, double high, int32_t padding, int32_t size)
{
    if (padding == EW_GRID_BORDER) {
        return at < low ? 0.0 : at > high ? size - 1.0 : at;
    }
    while (padding == EW_GRID_REFLECTION && (at < low || at > high)) {
        at = high <= low ? low : at < low ? 2.0 * low - at : 2.0 * high - at;
    }
    return at;
}

static double cubic(double distance)
{
    const double a = -0.75, d = fabs(distance);
    return d <= 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
                    : d < 2.0 ? ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a : 0.0;
}

/* The weight of every element along an axis. */
static void weigh(double number, int32_t size, const ew_grid_sample_f32_params *p, double *weights)
{
    const double low = p->align_corners ? 0.0 : -0.5, high = size - 1.0 - low;
    double at = p->align_corners ? (number + 1.0) / 2.0 * (size - 1.0) : ((number + 1.0) * size - 1.0) / 2.0;
    at = moved(p->taps == 1 ? rint(at) : at, low, high, p->padding, size);
    for (int32_t i = 0; i < size; ++i) {
        weights[i] = 0.0;
    }
    for (double tap = floor(at) - 1.0; tap <= floor(at) + 2.0; tap += 1.0) {
        const double d = tap - at;
        const double weight = p->taps == 1 ? (d == 0.0) : p->taps == 2 ? fmax(0.0, 1.0 - fabs(d)) : cubic(d);
        double place = moved(tap, low, high, p->padding, size);
        if (p->padding == EW_GRID_BORDER) {
            place = fmin(fmax(place, 0.0), size - 1.0);
        }
        if (place >= 0.0 && place < size) {
            weights[(int)place] += weight;
        }
    }
}

static void check_sampling(void)
{
    ew_grid_sample_f32_params p = {0};
    p.batch = test_int(1, 2);
    p.channels = test_int(1, 3);
    p.rank = test_int(2, 3);
    p.taps = (int32_t[]){1, 2, 4}[test_int(0, 2)];
    p.padding = test_int(EW_GRID_ZEROS, EW_GRID_REFLECTION);
    p.align_corners = test_int(0, 1);
    p.points = test_int(1, 9);
    for (int i = 0; i < 3; ++i) {
        p.sizes[i] = i == 0 && p.rank == 2 ? 1 : test_int(1, 6);
    }
    const int32_t volume = p.sizes[0] * p.sizes[1] * p.sizes[2], numbers = p.batch * p.points * p.rank;
    test_reset();
    float *x = test_random_buffer(p.batch * p.channels * volume), *grid = test_buffer(numbers);
    float *y = test_buffer(p.batch * p.channels * p.points);
    for (int32_t i = 0; i < numbers; ++i) {
        grid[i] = (float)test_int(-47, 47) / 16.0f + 0.01f; /* away from where rounding decides */
    }
    ew_grid_sample_f32(x, grid, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < p.batch * p.channels * p.points; ++i) {
        const int32_t n = i / (p.channels * p.points), plane = i / p.points;
        const float *at = grid + (n * p.points + i % p.points) * p.rank;
        double w[3][8] = {{1.0}};
        for (int axis = 3 - (int)p.rank; axis < 3; ++axis) {
            weigh((double)at[2 - axis], p.sizes[axis], &p, w[axis]);
        }
        double want = 0.0;
        for (int32_t e = 0; e < volume; ++e) {
            const int32_t row = e / p.sizes[2];
            want += w[0][row / p.sizes[1]] * w[1][row % p.sizes[1]] * w[2][e % p.sizes[2]] *
                    (double)x[plane * volume + e];
        }
        bad += !test_close(y[i], want, 1e-4);
    }
    TEST_CHECK(bad == 0, "%d points, rank %ld, taps %ld, padding %ld, corners %ld", bad, (long)p.rank, (long)p.taps,
               (long)p.padding, (long)p.align_corners);
}

/* No number of a grid leads outside the image. */
static void check_odd_numbers(void)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e9f};
    ew_grid_sample_f32_params p = {1, 1, 2, {1, 3, 4}, 6, 1, EW_GRID_ZEROS, 0};
    for (int32_t i = 0; i < 18; ++i) {
        p.taps = (int32_t[]){1, 2, 4}[i % 3];
        p.padding = i / 3 % 3;
        p.align_corners = i / 9;
        test_reset();
        float *x = test_random_buffer(12), *grid = test_buffer(12), *y = test_buffer(6);
        for (int32_t k = 0; k < 12; ++k) {
            grid[k] = odd[test_int(0, 5)];
        }
        ew_grid_sample_f32(x, grid, y, &p);
        test_guards();
        for (int32_t k = 0; k < 6; ++k) {
            TEST_CHECK(isnan(y[k]) || fabsf(y[k]) < 8.0f, "point %ld is %g", (long)k, (double)y[k]);
        }
    }
}

static void check_affine(void)
{
    const ew_affine_grid_f32_params p = {2, 3, {2, 3, 4}, {-0.5f, -1.0f, -0.75f}, {1.0f, 1.0f, 0.5f}};
    test_reset();
    float *theta = test_random_buffer(24), *grid = test_buffer(2 * 24 * 3);
    ew_affine_grid_f32(theta, grid, &p);
    test_guards();
    for (int i = 0; i < 2 * 24 * 3; ++i) {
        const int place = i / 3 % 24;
        const double at[4] = {-0.75 + 0.5 * (place % 4), -1.0 + place / 4 % 3, -0.5 + place / 12, 1.0};
        test_sum sum = {0};
        for (int k = 0; k < 4; ++k) {
            test_add(&sum, (double)theta[i / 72 * 12 + i % 3 * 4 + k] * at[k]);
        }
        TEST_CHECK(test_close(grid[i], sum.value, test_sum_error(&sum)), "number %d", i);
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 400; ++i) {
        check_sampling();
    }
    check_odd_numbers();
    check_affine();
    return test_end();
}
