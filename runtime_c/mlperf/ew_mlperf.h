/* The serial protocol of MLPerf Tiny and EEMBC's EnergyRunner, as the device's end of it: commands in text that end with
 * '%', answers in lines, the last of them "m-ready". docs/MLPERF.md has it all. One line, one model, one static state;
 * no allocation, no recursion, no floating point. Everything it needs from the board is in ew_port.h. */
#ifndef EW_MLPERF_H
#define EW_MLPERF_H

#include <stddef.h>
#include <stdint.h>

#include "ew_base.h"

/* Longest command, without its '%'. */
#define EW_MLPERF_COMMAND_BYTES 80

/* Kinds of an output's elements. */
enum { EW_MLPERF_UNSIGNED = 0, EW_MLPERF_SIGNED = 1, EW_MLPERF_FLOAT32 = 2 };

/* One output: `count` elements of `element_bytes` (1, 2, 4 or 8) from `offset_bytes` of a packed sample on. */
typedef struct {
    uint32_t offset_bytes;
    uint32_t count;
    uint8_t element_bytes;
    uint8_t kind;
} ew_mlperf_output;

/* What is served. `load_bytes` is what a host sends for one inference, the inputs one after the other as they lie in a
 * packed sample; `input_bytes` and `output_bytes` are the sizes of a packed sample, multiples of 8. In the energy form
 * (`energy` is not 0) a timestamp is a pulse on a pin, else a line with microseconds. */
typedef struct {
    const char *name;     /* of whoever made the firmware */
    const char *model;    /* kws01, ic01, ad01, vww01 or one's own */
    const char *build_id; /* in hexadecimal */
    uint32_t load_bytes;
    uint32_t input_bytes, output_bytes;
    const ew_mlperf_output *outputs;
    uint32_t n_outputs;
    int energy;
} ew_mlperf_model;

/* The program that has the model defines these. Both pointers are 8-byte aligned. A pulse begins with its falling edge,
 * and has to last a microsecond at least; in the performance form it is not called. */
ew_status ew_mlperf_invoke(const uint8_t *input, uint8_t *output);
void ew_mlperf_pulse(void);

/* Prepares the state and says that it is ready. `model` and all that it points to stay in place. Returns 0, or -1 where
 * the board's memory cannot hold one sample (then a line says so, and infer is refused). */
int ew_mlperf_start(const ew_mlperf_model *model);

/* Takes received bytes, in any portions; answers each whole command through ew_port_write before it returns. No
 * sequence of bytes does harm. */
void ew_mlperf_receive(const uint8_t *bytes, size_t n_bytes);

/* ew_mlperf_start, then ew_port_read and ew_mlperf_receive for ever. Returns 0 when the line closes. */
int ew_mlperf_serve(const ew_mlperf_model *model);

#endif
