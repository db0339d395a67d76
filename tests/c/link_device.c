/* A device for tests/test_link.py: the link core with a port over standard input and output, and a model that
 * computes y[i] = 2 * x[i] + bias[i % 5] on samples of a size given when it starts.
 *
 *   link_device ELEMENTS BATCH_MEMORY_BYTES [KEY=NUMBER]...
 *     delay_us=N   each inference takes that long
 *     die_at=N     exits in inference N (from 0)
 *     restart_at=N starts anew, as a board after a reset, in inference N
 *     cause=N      what the one after that reset says it was; else 3, and 2 after SIGUSR1
 *     always=1     and so does the one after the reset, and so on
 *     fail_at=N    inference N returns a bad status
 *   SIGUSR1 starts it anew, as a reset of a board does.
 *     baud_max=N   the highest baud rate it takes; with baud_fails=1 it takes it, and hears noise then
 *     outputs=N    only the first N of y come back
 *     stack=N      what the stack gauge says; 0: not measured */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ew_link.h"
#include "ew_port.h"

#define MAX_ELEMENTS 4096u

static char **arguments;
static uint32_t n_elements, n_outputs;
static long delay_us, die_at = -1, restart_at = -1, fail_at = -1, stack_used;
static long n_invoked, restart_always, restart_cause = EW_RESET_SOFTWARE;
static uint8_t *batch_memory;
static size_t batch_memory_bytes;

void ew_port_init(void) {}

/* The pseudo terminal knows the rate that the host has set; at another one both ends hear noise. */
static uint32_t own_baud = 115200u, baud_max;
static bool baud_fails;

static bool rates_differ(void) {
    struct termios mode;
    uint32_t rate = 115200u;
    if (baud_max == 0u || tcgetattr(STDIN_FILENO, &mode) != 0) {
        return false;
    }
    if (cfgetospeed(&mode) == B921600) {
        rate = 921600u;
    }
    return rate != own_baud || (baud_fails && own_baud != 115200u);
}

static uint8_t noise(uint8_t byte) {
    return (uint8_t)(byte * 167u + 13u);
}

int ew_port_can_set_baud(uint32_t baud) { return baud <= baud_max; }
void ew_port_set_baud(uint32_t baud) {
    usleep(20000); /* the host changes its rate when it has the answer */
    own_baud = baud == 0u ? 115200u : baud;
}

size_t ew_port_read(uint8_t *dst, size_t max_bytes) {
    const ssize_t n_bytes = read(STDIN_FILENO, dst, max_bytes);
    if (rates_differ()) {
        for (ssize_t i = 0; i < n_bytes; i++) {
            dst[i] = noise(dst[i]);
        }
    }
    return n_bytes > 0 ? (size_t)n_bytes : 0u;
}

size_t ew_port_read_now(uint8_t *dst, size_t max_bytes) {
    struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&line, 1, 0) == 1 && (line.revents & POLLIN) != 0 ? ew_port_read(dst, max_bytes) : 0u;
}

void ew_port_write(const uint8_t *src, size_t n_bytes) {
    if (rates_differ()) {
        return;
    }
    while (n_bytes > 0u) {
        const ssize_t sent = write(STDOUT_FILENO, src, n_bytes);
        if (sent <= 0) {
            exit(3);
        }
        src += sent;
        n_bytes -= (size_t)sent;
    }
}

uint64_t ew_port_ticks(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint32_t ew_port_timer_hz(void) { return 1000000u; }
void ew_port_roi_begin(void) {}
void ew_port_roi_end(void) {}

uint8_t *ew_port_batch_memory(size_t *n_bytes) {
    *n_bytes = batch_memory_bytes;
    return batch_memory;
}

void ew_port_stack_paint(void) {}
size_t ew_port_stack_used_bytes(void) { return (size_t)stack_used; }
size_t ew_port_stack_size_bytes(void) { return stack_used > 0 ? 8192u : 0u; }

#define CAUSE "EW_RESET_CAUSE" /* in the environment of the process after the reset */

static void reset_for(long cause) {
    char text[8];
    (void)snprintf(text, sizeof text, "%ld", cause);
    (void)setenv(CAUSE, text, 1);
    execv("/proc/self/exe", arguments);
    exit(4);
}

void ew_port_reset(void) { reset_for(EW_RESET_SOFTWARE); }

ew_reset_cause ew_port_reset_cause(void) {
    const char *text = getenv(CAUSE);
    return text == NULL ? EW_RESET_POWER_ON : (ew_reset_cause)atoi(text);
}

void ew_port_alive(void) {}

/* A reset from outside, wherever the program is. The handler never returns, so the new program must be told that the
 * signal is not blocked. */
static void on_reset_signal(int number) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    reset_for(EW_RESET_PIN);
}

ew_status ew_link_invoke(const uint8_t *input, uint8_t *output) {
    const float *x = (const float *)(const void *)input;
    const uint8_t *bias = input + 4u * n_elements;
    float *y = (float *)(void *)output;
    if (n_invoked == die_at) {
        _exit(5);
    }
    if (n_invoked == restart_at) {
        if (!restart_always) {
            for (char **word = arguments; *word != NULL; word++) {
                if (strncmp(*word, "restart_at=", 11) == 0) {
                    (*word)[0] = '-'; /* the new process has no such plan */
                }
            }
        }
        reset_for(restart_cause);
    }
    if (n_invoked == fail_at) {
        return EW_BAD_ARGUMENT;
    }
    n_invoked++;
    if (delay_us > 0) {
        usleep((useconds_t)delay_us);
    }
    for (uint32_t i = 0; i < n_outputs; i++) {
        y[i] = 2.0f * x[i] + (float)bias[i % 5u];
    }
    return EW_OK;
}

#if EW_LINK_STEPS > 0
/* The same in three steps, by way of an arena. */
static float arena[MAX_ELEMENTS];

ew_status ew_link_step(uint32_t step, const uint8_t *input, uint8_t *output) {
    const float *x = (const float *)(const void *)input;
    const uint8_t *bias = input + 4u * n_elements;
    if (delay_us > 0) {
        usleep((useconds_t)delay_us);
    }
    for (uint32_t i = 0; i < n_elements; i++) {
        if (step == 0u) {
            arena[i] = 2.0f * x[i];
        } else if (step == 1u) {
            arena[i] += (float)bias[i % 5u];
        } else if (i < n_outputs) {
            ((float *)(void *)output)[i] = arena[i];
        }
    }
    return n_invoked == fail_at ? EW_BAD_ARGUMENT : EW_OK;
}

const uint8_t *ew_link_arena(uint32_t number, uint32_t *n_bytes) {
    *n_bytes = sizeof arena;
    return number == 0u ? (const uint8_t *)arena : NULL;
}
#endif

static uint32_t round_up_8(uint32_t n_bytes) { return (n_bytes + 7u) / 8u * 8u; }

int main(int argc, char **argv) {
    static const uint8_t build_id[16] = "build-0123456789";
    static const uint8_t sha256[32] = "sha256-sha256-sha256-sha256-0123";
    uint32_t x_dims[2] = {1, 0};
    uint32_t y_dims[2] = {1, 0};
    const uint32_t bias_dims[1] = {5};
    arguments = argv;
    if (argc < 3) {
        return 2;
    }
    n_outputs = n_elements = (uint32_t)atoi(argv[1]);
    batch_memory_bytes = (size_t)atol(argv[2]);
    batch_memory = malloc(batch_memory_bytes + 1u);
    for (int i = 3; i < argc; i++) {
        (void)sscanf(argv[i], "delay_us=%ld", &delay_us);
        (void)sscanf(argv[i], "die_at=%ld", &die_at);
        (void)sscanf(argv[i], "restart_at=%ld", &restart_at);
        (void)sscanf(argv[i], "always=%ld", &restart_always);
        (void)sscanf(argv[i], "cause=%ld", &restart_cause);
        (void)sscanf(argv[i], "fail_at=%ld", &fail_at);
        (void)sscanf(argv[i], "baud_max=%" SCNu32, &baud_max);
        baud_fails = baud_fails || strcmp(argv[i], "baud_fails=1") == 0;
        (void)sscanf(argv[i], "outputs=%" SCNu32, &n_outputs);
        (void)sscanf(argv[i], "stack=%ld", &stack_used);
    }
    if (n_elements == 0u || n_elements > MAX_ELEMENTS || n_outputs == 0u || n_outputs > n_elements || batch_memory == NULL) {
        return 2;
    }
    x_dims[1] = n_elements;
    y_dims[1] = n_outputs;
    const ew_link_tensor inputs[2] = {
        {"x", EW_LINK_F32, 2, x_dims, 0, 4u * n_elements},
        {"bias \xc3\xa4\xc3\xb6\xc3\xbc", EW_LINK_U8, 1, bias_dims, 4u * n_elements, 5},
    };
    const ew_link_tensor outputs[1] = {{"y", EW_LINK_F32, 2, y_dims, 0, 4u * n_outputs}};
    const ew_link_model model = {
        .name = "twice",
        .build_id = build_id,
        .model_sha256 = sha256,
        .n_inputs = 2,
        .n_outputs = 1,
        .inputs = inputs,
        .outputs = outputs,
        .input_bytes = round_up_8(4u * n_elements + 5u),
        .output_bytes = round_up_8(4u * n_outputs),
    };
    (void)signal(SIGUSR1, on_reset_signal);
    const int status = ew_link_serve(&model);
    free(batch_memory);
    return status == 0 ? 0 : 6;
}
