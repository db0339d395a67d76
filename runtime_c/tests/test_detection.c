/* Regions, boxes, moved taps and places of what is not zero, by their definitions in double precision. */
#include "ew_deform_conv2d_f32.h"
#include "ew_max_roi_pool_f32.h"
#include "ew_non_max_suppression_f32.h"
#include "ew_nonzero.h"
#include "ew_roi_align_f32.h"
#include "ew_test.h"

static int64_t numbers[600];

/* An image between its elements. `edge`: what is up to one element outside is the nearest element, else 0. */
static double between(const float *image, int32_t rows, int32_t columns, double y, double x, int edge, double *largest)
{
    double sum = 0.0;
    if (edge && (y < -1.0 || y > rows || x < -1.0 || x > columns)) {
        *largest = 0.0;
        return 0.0;
    }
    if (edge) {
        y = fmin(fmax(y, 0.0), rows - 1.0);
        x = fmin(fmax(x, 0.0), columns - 1.0);
    }
    *largest = -(double)INFINITY;
    for (int i = 0; i < 4; ++i) {
        const double v = floor(y) + i / 2, h = floor(x) + i % 2;
        const double weight = (1.0 - fabs(y - v)) * (1.0 - fabs(x - h));
        const int inside = v >= 0.0 && v < rows && h >= 0.0 && h < columns;
        const double part = inside ? weight * (double)image[(int)v * columns + (int)h] : 0.0;
        sum += part;
        *largest = fmax(*largest, part);
    }
    return sum;
}

static void check_roi_align(void)
{
    ew_roi_align_f32_params p = {0};
    p.batch = test_int(1, 2);
    p.channels = test_int(1, 2);
    p.in_h = test_int(1, 6);
    p.in_w = test_int(1, 6);
    p.regions = test_int(1, 3);
    p.out_h = test_int(1, 3);
    p.out_w = test_int(1, 3);
    p.samples = test_int(0, 2);
    p.half_pixel = test_int(0, 1);
    p.largest = test_int(0, 1);
    p.scale = 0.5f;
    const int32_t bins = p.out_h * p.out_w, results = p.regions * p.channels * bins;
    test_reset();
    float *x = test_random_buffer(p.batch * p.channels * p.in_h * p.in_w), *boxes = test_buffer(p.regions * 4);
    float *y = test_buffer(results);
    for (int32_t i = 0; i < p.regions * 4; ++i) {
        boxes[i] = (float)test_int(-20, 90) / 8.0f + (i % 4 < 2 ? 0.0f : 5.01f);
    }
    for (int32_t i = 0; i < p.regions; ++i) {
        numbers[i] = test_int(0, p.batch - 1);
    }
    ew_roi_align_f32(x, boxes, numbers, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < results; ++i) {
        const int32_t r = i / (bins * p.channels), c = i / bins % p.channels, bin = i % bins;
        const float *image = x + ((int32_t)numbers[r] * p.channels + c) * p.in_h * p.in_w;
        const double offset = p.half_pixel ? 0.5 : 0.0;
        double begin[2], size[2], sum = 0.0, most = 0.0, largest;
        int32_t counts[2];
        for (int a = 0; a < 2; ++a) {
            begin[a] = (double)boxes[r * 4 + 1 - a] * 0.5 - offset;
            size[a] = (double)boxes[r * 4 + 3 - a] * 0.5 - offset - begin[a];
            size[a] = (p.half_pixel ? size[a] : fmax(size[a], 1.0)) / (a ? p.out_w : p.out_h);
            counts[a] = p.samples ? p.samples : (int32_t)fmax(ceil(size[a]), 0.0);
        }
        for (int32_t s = 0; s < counts[0] * counts[1]; ++s) {
            const double at_y = begin[0] + size[0] * (bin / p.out_w + (s / counts[1] + 0.5) / counts[0]);
            const double at_x = begin[1] + size[1] * (bin % p.out_w + (s % counts[1] + 0.5) / counts[1]);
            sum += between(image, p.in_h, p.in_w, at_y, at_x, 1, &largest);
            most = s == 0 ? largest : fmax(most, largest);
        }
        const double count = fmax(counts[0] * counts[1], 1.0);
        bad += !test_close(y[i], p.largest ? most : sum / count, 1e-4);
    }
    TEST_CHECK(bad == 0, "%d bins, half_pixel %ld, largest %ld", bad, (long)p.half_pixel, (long)p.largest);
}

static void check_max_roi_pool(void)
{
    const ew_max_roi_pool_f32_params p = {1, 1, 6, 7, 1, test_int(1, 3), test_int(1, 3), 1.0f};
    test_reset();
    float *x = test_random_buffer(42), *box = test_buffer(5), *y = test_buffer(p.out_h * p.out_w);
    const int32_t left = test_int(-3, 7), top = test_int(-3, 6), width = test_int(1, 9), height = test_int(1, 9);
    const float corners[5] = {0.0f, (float)left, (float)top, (float)(left + width - 1), (float)(top + height - 1)};
    memcpy(box, corners, sizeof corners);
    ew_max_roi_pool_f32(x, box, y, &p);
    test_guards();
    for (int32_t i = 0; i < p.out_h * p.out_w; ++i) {
        const int32_t v = i / p.out_w, h = i % p.out_w;
        float want = -INFINITY;
        for (int32_t at = 0; at < 42; ++at) { /* an element is in a bin where a part of it is */
            const int32_t row = at / 7 - top, column = at % 7 - left;
            if ((row + 1) * p.out_h > v * height && row * p.out_h < (v + 1) * height && (column + 1) * p.out_w > h * width &&
                column * p.out_w < (h + 1) * width) {
                want = fmaxf(want, x[at]);
            }
        }
        TEST_CHECK(y[i] == (want == -INFINITY ? 0.0f : want), "bin %ld", (long)i);
    }
}

static void check_non_max_suppression(void)
{
    static unsigned char scratch[16];
    ew_non_max_suppression_f32_params p = {test_int(1, 2), test_int(1, 3), test_int(1, 12), 1, test_int(0, 1),
                                           test_int(0, 1), 0.3f, 0.1f};
    p.most = test_int(1, p.boxes);
    test_reset();
    float *boxes = test_random_buffer(p.batch * p.boxes * 4), *scores = test_buffer(p.batch * p.classes * p.boxes);
    for (int32_t i = 0; i < p.batch * p.classes * p.boxes; ++i) {
        scores[i] = (float)test_int(-4, 6) / 8.0f; /* many are equal */
    }
    ew_non_max_suppression_f32(boxes, scores, scratch, numbers, &p);
    test_guards();
    const int64_t *row = numbers;
    int bad = 0;
    for (int32_t i = 0; i < p.batch * p.classes; ++i) {
        const float *score = scores + i * p.boxes, *box = boxes + i / p.classes * p.boxes * 4;
        int picked[12] = {0}, count = 0;
        for (int32_t turn = 0; turn < p.boxes; ++turn) { /* the box that `turn` others come before */
            int32_t b = 0;
            for (int32_t k = 0, before; k < p.boxes; ++k) {
                before = 0;
                for (int32_t other = 0; other < p.boxes; ++other) {
                    before += score[other] > score[k] || (score[other] == score[k] && other < k);
                }
                b = before == turn ? k : b;
            }
            int is_free = count < p.most && (!p.has_score_threshold || score[b] > p.score_threshold);
            for (int32_t k = 0; k < p.boxes; ++k) {
                const ew_box one = ew_box_at(box + b * 4, p.centred), other = ew_box_at(box + k * 4, p.centred);
                is_free = is_free && !(picked[k] && ew_box_overlaps(one, other, p.iou_threshold));
            }
            if (is_free) {
                picked[b] = 1;
                ++count;
                bad += row[0] != i / p.classes || row[1] != i % p.classes || row[2] != b;
                row += 3;
            }
        }
    }
    for (; row < numbers + 3 * p.batch * p.classes * p.most; ++row) {
        bad += *row != -1;
    }
    TEST_CHECK(bad == 0, "%d numbers", bad);
    const ew_box a = {0.0f, 0.0f, 2.0f, 2.0f}, b = {1.0f, 0.0f, 3.0f, 2.0f}; /* a third of both */
    TEST_CHECK(ew_box_overlaps(a, b, 0.33f) && !ew_box_overlaps(a, b, 0.34f), "a third");
}

static void check_deformed(void)
{
    ew_deform_conv2d_f32_params p = {2, 4, 5, 6, 2, 0, 0, 2, 3, test_int(1, 2), test_int(1, 2), test_int(1, 2), 1, 1, 1, 2, 2};
    static float scratch[24];
    p.groups = test_int(1, 2);
    p.offset_groups = test_int(1, 2);
    p.out_h = (5 + 1 - p.dilation_h - 1) / p.stride_h + 1;
    p.out_w = (6 + 1 - 2 * p.dilation_w - 1) / p.stride_w + 1;
    const int32_t pixels = p.out_h * p.out_w, group_in = 4 / p.groups, moved = 2 * p.offset_groups * 6 * pixels;
    test_reset();
    float *x = test_random_buffer(2 * 4 * 30), *w = test_random_buffer(2 * group_in * 6);
    float *offsets = test_random_buffer(moved * 2), *mask = test_int(0, 1) ? test_random_buffer(moved) : NULL;
    float *bias = test_int(0, 1) ? test_random_buffer(2) : NULL, *y = test_buffer(4 * pixels);
    for (int32_t i = 0; i < moved * 2; ++i) {
        offsets[i] *= 3.0f;
    }
    ew_deform_conv2d_f32(x, w, offsets, bias, mask, scratch, y, &p);
    test_guards();
    int bad = 0;
    for (int32_t i = 0; i < 4 * pixels; ++i) {
        const int32_t n = i / (2 * pixels), o = i / pixels % 2, pixel = i % pixels;
        double sum = bias ? (double)bias[o] : 0.0, unused;
        for (int32_t t = 0; t < group_in * 6; ++t) {
            const int32_t channel = o / (2 / p.groups) * group_in + t / 6, tap = t % 6;
            const int32_t from = (n * p.offset_groups + channel / (4 / p.offset_groups)) * 6 + tap;
            const double at_y = pixel / p.out_w * p.stride_h - 1 + tap / 3 * p.dilation_h;
            const double at_x = pixel % p.out_w * p.stride_w - 1 + tap % 3 * p.dilation_w;
            const double down = (double)offsets[from * 2 * pixels + pixel];
            const double along = (double)offsets[(from * 2 + 1) * pixels + pixel];
            const double value = between(x + (n * 4 + channel) * 30, 5, 6, at_y + down, at_x + along, 0, &unused);
            sum += value * (double)w[o * group_in * 6 + t] * (mask ? (double)mask[from * pixels + pixel] : 1.0);
        }
        bad += !test_close(y[i], sum, 1e-4);
    }
    TEST_CHECK(bad == 0, "%d pixels", bad);
}

static void check_nonzero(void)
{
    const ew_nonzero_params p = {3, {2, 3, 4}, 24};
    test_reset();
    float *x = test_buffer(24);
    int32_t found = 0;
    for (int32_t i = 0; i < 24; ++i) {
        x[i] = (float[]){0.0f, -0.0f, NAN, 0.5f}[test_int(0, 3)];
    }
    ew_nonzero_f32(x, numbers, &p);
    for (int32_t i = 0; i < 24; ++i) {
        if (x[i] != 0.0f) {
            const int64_t want[3] = {i / 12, i / 4 % 3, i % 4};
            TEST_CHECK(numbers[found] == want[0] && numbers[24 + found] == want[1] && numbers[48 + found] == want[2],
                       "element %ld", (long)i);
            ++found;
        }
    }
    for (int32_t i = found; i < 24; ++i) {
        TEST_CHECK(numbers[i] == -1 && numbers[24 + i] == -1 && numbers[48 + i] == -1, "column %ld", (long)i);
    }
}

/* Regions of any float stay inside the image, and end. */
static void check_odd_regions(void)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e6f};
    static const int64_t image[1] = {INT64_MAX};
    const ew_roi_align_f32_params p = {1, 1, 3, 4, 1, 1, 1, 0, 1, 0, 1.0f};
    const ew_max_roi_pool_f32_params m = {1, 1, 3, 4, 1, 2, 2, 1.0f};
    for (int i = 0; i < 20; ++i) {
        test_reset();
        float *x = test_random_buffer(12), *box = test_buffer(5), *y = test_buffer(4);
        for (int k = 0; k < 5; ++k) {
            box[k] = odd[test_int(0, 5)];
        }
        ew_roi_align_f32(x, box, image, y, &p);
        ew_max_roi_pool_f32(x, box, y, &m);
        test_guards();
    }
}

int main(int argc, char **argv)
{
    test_begin(argc, argv);
    for (int i = 0; i < 100; ++i) {
        check_roi_align();
        check_max_roi_pool();
        check_non_max_suppression();
        check_deformed();
        check_nonzero();
    }
    check_odd_regions();
    return test_end();
}
