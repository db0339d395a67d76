/* ew_det_f32: products of triangular matrices, whose determinants are known, with their rows in another order. */
#include "ew_det_f32.h"
#include "ew_test.h"

#define SIZE_MAX_ 9

/* A matrix of known determinant, which is returned. */
static double fill(float *x, int32_t n)
{
    static double low[SIZE_MAX_][SIZE_MAX_], high[SIZE_MAX_][SIZE_MAX_];
    double det = 1.0;
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t j = 0; j < n; ++j) {
            low[i][j] = j < i ? (double)test_float() : j == i;
            high[i][j] = j > i ? (double)test_float() : j == i ? 1.5 + (double)test_float() : 0.0;
        }
        det *= high[i][i];
    }
    const int32_t turn = test_int(0, n - 1); /* rows rotated by one more place change the sign by (-1)^(n - 1) */
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t j = 0; j < n; ++j) {
            double sum = 0.0;
            for (int32_t k = 0; k < n; ++k) {
                sum += low[i][k] * high[k][j];
            }
            x[(i + turn) % n * n + j] = (float)sum;
        }
    }
    return (turn * (n - 1)) % 2 ? -det : det;
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int32_t n = 1; n <= SIZE_MAX_; ++n) {
        const ew_det_f32_params p = {3, n};
        test_reset();
        float *x = test_buffer(3 * n * n), *scratch = test_buffer(n * n), *y = test_buffer(3);
        double want[3];
        for (int32_t i = 0; i < 3; ++i) {
            want[i] = fill(x + i * n * n, n);
        }
        if (n > 1) {
            memcpy(x, x + n, (size_t)n * sizeof *x); /* two equal rows */
        }
        ew_det_f32(x, scratch, y, &p);
        test_guards();
        for (int32_t i = n > 1; i < 3; ++i) {
            TEST_CHECK(test_close(y[i], want[i], 1e-4 * fmax(1.0, fabs(want[i]))), "%ld rows: %g", (long)n, (double)y[i]);
        }
        TEST_CHECK(n == 1 || fabsf(y[0]) < 1e-4f, "%ld rows, two equal: %g", (long)n, (double)y[0]);
    }
    return test_end();
}
