/* The MLPerf front under libFuzzer, with AddressSanitizer and UndefinedBehaviorSanitizer: whatever comes over the line,
 * in whatever portions, does no harm, writes only into its own memory, and leaves a front that still answers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ew_mlperf.h"
#include "ew_port.h"

enum { LOAD_BYTES = 20, SAMPLE_BYTES = 24, OUTPUT_BYTES = 48, MOST_INFERENCES = 200 };

static uint8_t memory[SAMPLE_BYTES + OUTPUT_BYTES + 16] __attribute__((aligned(16)));
static uint32_t n_inferences;
static uint64_t ticks;
static char tail[16]; /* of what was written */

size_t ew_port_read(uint8_t *dst, size_t max_bytes) {
    (void)dst;
    (void)max_bytes;
    return 0;
}

void ew_port_write(const uint8_t *src, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        memmove(tail, tail + 1, sizeof tail - 1u);
        tail[sizeof tail - 1u] = (char)src[i];
    }
}

uint64_t ew_port_ticks(void) { return ticks; }
uint32_t ew_port_timer_hz(void) { return 25000000u; }
void ew_port_roi_begin(void) {}
void ew_port_roi_end(void) { ticks += 2500u; }
ew_reset_cause ew_port_reset_cause(void) { return EW_RESET_UNKNOWN; }
void ew_port_alive(void) {}
void ew_mlperf_pulse(void) {}

uint8_t *ew_port_batch_memory(size_t *n_bytes) {
    *n_bytes = sizeof memory;
    return memory;
}

/* The outputs are what the inputs say, so that every float and integer is printed. */
ew_status ew_mlperf_invoke(const uint8_t *input, uint8_t *output) {
    for (uint32_t i = 0; i < OUTPUT_BYTES; i++) {
        output[i] = input[i % LOAD_BYTES];
    }
    return ++n_inferences > MOST_INFERENCES ? EW_BAD_ARGUMENT : EW_OK;
}

static const ew_mlperf_output outputs[] = {
    {0, 4, 4, EW_MLPERF_FLOAT32},   {16, 8, 1, EW_MLPERF_SIGNED}, {24, 1, 8, EW_MLPERF_UNSIGNED},
    {32, 3, 2, EW_MLPERF_UNSIGNED}, {40, 2, 4, EW_MLPERF_SIGNED},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char name[] = "%name%";
    ew_mlperf_model model = {
        .name = "me", .model = "kws01", .build_id = "c0ffee", .load_bytes = LOAD_BYTES, .input_bytes = SAMPLE_BYTES,
        .output_bytes = OUTPUT_BYTES, .outputs = outputs, .n_outputs = 5, .energy = 0,
    };
    uint32_t portion;
    if (size < 2u) {
        return 0;
    }
    portion = data[0] % 100u + 1u;
    model.energy = data[1] & 1;
    data += 2;
    size -= 2u;
    n_inferences = 0;
    memset(memory, 0, sizeof memory);
    if (ew_mlperf_start(&model) != 0) {
        abort();
    }
    for (size_t at = 0; at < size; at += portion) {
        ew_mlperf_receive(data + at, size - at < portion ? size - at : portion);
    }
    ew_mlperf_receive((const uint8_t *)name, sizeof name - 1u);
    if (memcmp(tail + sizeof tail - 9u, "m-ready\r\n", 9) != 0) {
        abort();
    }
    return 0;
}
