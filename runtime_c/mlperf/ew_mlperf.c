#include "ew_mlperf.h"

#include <stdbool.h>
#include <string.h>

#include "ew_port.h"

#define READ_CHUNK_BYTES 64
#define DEFAULT_WARMUPS 10u
#define DUMP_BYTES_PER_LINE 8u
#define LARGEST_COUNT 1000000000u

/* A float32 is m * 2^e with e from -149: times 10^149 an integer of at most 24 + 346 bits; with e up to 104, of 128. */
#define BIG_WORDS 12
#define BIG_DIGITS 117 /* 13 groups of 9 */
#define SHOWN_DIGITS 9 /* so many tell every float32 from the next */

static struct {
    const ew_mlperf_model *model;
    uint8_t *input, *output; /* NULL: they did not fit */
    uint32_t wanted, loaded; /* bytes of `db load`, and how many of them came */
    size_t n_bytes;
    bool overflow;
    char command[EW_MLPERF_COMMAND_BYTES + 1];
    char *rest; /* of the command that is handled */
} front;

/* ---- text out ---- */

static void put(const char *text) {
    ew_port_write((const uint8_t *)text, strlen(text));
}

static void put_unsigned(uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (char)(value % 10u));
        value /= 10u;
    } while (value > 0u);
    ew_port_write((const uint8_t *)digits + at, sizeof digits - at);
}

static void put_signed(int64_t value) {
    if (value < 0) {
        put("-");
        put_unsigned(0u - (uint64_t)value);
    } else {
        put_unsigned((uint64_t)value);
    }
}

static void put_hex(uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t text[2] = {(uint8_t)digits[byte >> 4], (uint8_t)digits[byte & 15u]};
    ew_port_write(text, 2);
}

/* big *= factor, a little-endian number of BIG_WORDS words. */
static void big_multiply(uint32_t *big, uint32_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < BIG_WORDS; i++) {
        carry += (uint64_t)big[i] * factor;
        big[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* big /= 10; returns the remainder. */
static uint32_t big_next_digit(uint32_t *big) {
    uint32_t rest = 0;
    for (int i = BIG_WORDS - 1; i >= 0; i--) {
        /* By halves, so that 32-bit division does. */
        const uint32_t high = rest << 16 | big[i] >> 16;
        const uint32_t low = high % 10u << 16 | (big[i] & 0xFFFFu);
        big[i] = high / 10u << 16 | low / 10u;
        rest = low % 10u;
    }
    return rest;
}

/* d.dddddddde+xx with nine digits, rounded half up from the exact value: read back, the same float32. */
static void put_float(uint32_t bits) {
    uint32_t big[BIG_WORDS] = {0};
    char digits[BIG_DIGITS + 1];
    uint32_t exponent = bits >> 23 & 0xFFu;
    int n_digits = 0;
    int power; /* of ten, of the digit in front */
    int shift;
    big[0] = bits & 0x7FFFFFu;
    if (exponent == 0xFFu) {
        put(big[0] != 0u ? "nan" : bits >> 31 != 0u ? "-inf" : "inf");
        return;
    }
    if (exponent > 0u) {
        big[0] |= 0x800000u;
    } else {
        exponent = 1;
    }
    put(bits >> 31 != 0u ? "-" : "");
    if (big[0] == 0u) {
        put("0.0");
        return;
    }
    shift = (int)exponent - 150;
    power = -1;
    for (; shift > 0; shift--) {
        big_multiply(big, 2);
    }
    for (; shift < 0; shift++) { /* m * 2^-k is m * 5^k / 10^k */
        big_multiply(big, 5);
        power--;
    }
    /* Digits come from the last to the first; only as many as there are. */
    for (int left = BIG_DIGITS; left > 0; left--) {
        digits[left] = (char)big_next_digit(big);
        if (digits[left] != 0) {
            n_digits = BIG_DIGITS + 1 - left;
        }
    }
    power += n_digits;
    {
        char *first = digits + BIG_DIGITS + 1 - n_digits;
        char text[SHOWN_DIGITS + 2];
        bool up = n_digits > SHOWN_DIGITS && first[SHOWN_DIGITS] >= 5;
        for (int i = SHOWN_DIGITS - 1; i >= 0; i--) {
            char digit = i < n_digits ? first[i] : (char)0;
            if (up) {
                digit = (char)(digit + 1);
                up = digit == 10;
                digit = up ? (char)0 : digit;
            }
            text[i == 0 ? 0 : i + 1] = (char)('0' + digit);
        }
        if (up) { /* 9.99999999 became 10: all digits are 0 */
            text[0] = '1';
            power++;
        }
        text[1] = '.';
        text[SHOWN_DIGITS + 1] = 'e';
        ew_port_write((const uint8_t *)text, sizeof text);
        put_signed(power);
    }
}

/* ---- words in ---- */

/* The next word of the command, NULL at its end. */
static char *next_word(void) {
    char *word;
    while (*front.rest == ' ') {
        front.rest++;
    }
    if (*front.rest == '\0') {
        return NULL;
    }
    word = front.rest;
    while (*front.rest != ' ' && *front.rest != '\0') {
        front.rest++;
    }
    if (*front.rest == ' ') {
        *front.rest++ = '\0';
    }
    return word;
}

/* The next word as a number, or `otherwise` at the command's end. Returns false for anything but a number. */
static bool next_count(uint32_t otherwise, uint32_t *count) {
    const char *word = next_word();
    *count = word == NULL ? otherwise : 0u;
    for (; word != NULL && *word != '\0'; word++) {
        if (*word < '0' || *word > '9' || *count >= LARGEST_COUNT / 10u) {
            return false;
        }
        *count = *count * 10u + (uint32_t)(*word - '0');
    }
    return true;
}

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

/* ---- the commands ---- */

static void timestamp(void) {
    if (front.model->energy != 0) {
        ew_mlperf_pulse();
    } else {
        const uint64_t ticks = ew_port_ticks();
        const uint32_t hz = ew_port_timer_hz();
        put("m-lap-us-");
        put_unsigned(ticks / hz * 1000000u + ticks % hz * 1000000u / hz);
        put("\r\n");
    }
}

static void results(void) {
    bool first = true;
    put("m-results-[");
    for (uint32_t k = 0; k < front.model->n_outputs && front.output != NULL; k++) {
        const ew_mlperf_output *output = &front.model->outputs[k];
        for (uint32_t i = 0; i < output->count; i++) {
            uint64_t value = 0;
            const uint8_t *at = front.output + output->offset_bytes + i * output->element_bytes;
            const unsigned unused_bits = 64u - 8u * output->element_bytes;
            for (unsigned byte = output->element_bytes; byte > 0u; byte--) {
                value = value << 8 | at[byte - 1u];
            }
            put(first ? "" : ",");
            first = false;
            if (output->kind == EW_MLPERF_FLOAT32) {
                put_float((uint32_t)value);
            } else if (output->kind == EW_MLPERF_SIGNED && value >> (63u - unused_bits) != 0u) {
                put_signed((int64_t)(value | ~(UINT64_MAX >> unused_bits)));
            } else {
                put_unsigned(value);
            }
        }
    }
    put("]\r\n");
}

static ew_status invoke(void) {
    ew_status status;
    ew_port_alive();
    ew_port_roi_begin();
    status = ew_mlperf_invoke(front.input, front.output);
    ew_port_roi_end();
    return status;
}

static void infer(void) {
    uint32_t count;
    uint32_t warmups;
    ew_status status = EW_OK;
    if (!next_count(1, &count) || count == 0u) {
        put("e-[Inference iterations must be >0]\r\n");
        return;
    }
    if (!next_count(DEFAULT_WARMUPS, &warmups)) {
        put("e-[Inference warmup must be >=0]\r\n");
        return;
    }
    if (front.input == NULL) {
        put("e-[No memory for one sample]\r\n");
        return;
    }
    if (front.loaded != front.model->load_bytes) {
        put("e-[Loaded ");
        put_unsigned(front.loaded);
        put(" bytes; the model takes ");
        put_unsigned(front.model->load_bytes);
        put("]\r\n");
        return;
    }
    put("m-warmup-start-");
    put_unsigned(warmups);
    put("\r\n");
    for (; warmups > 0u && status == EW_OK; warmups--) {
        status = invoke();
    }
    put("m-warmup-done\r\nm-infer-start-");
    put_unsigned(count);
    put("\r\n");
    timestamp();
    for (; count > 0u && status == EW_OK; count--) {
        status = invoke();
    }
    timestamp();
    if (status != EW_OK) {
        put("e-[The model returned ");
        put_unsigned((uint32_t)status);
        put("]\r\n");
        return;
    }
    put("m-infer-done\r\n");
    results();
}

static void load_begin(void) {
    uint32_t count;
    front.wanted = 0;
    front.loaded = 0;
    if (!next_count(0, &count) || count == 0u) {
        put("e-[Command 'db load' must be >0 bytes]\r\n");
    } else if (front.input == NULL || count > front.model->load_bytes) {
        put("e-[The model takes ");
        put_unsigned(front.model->load_bytes);
        put(" bytes]\r\n");
    } else {
        front.wanted = count;
        put("m-[Expecting ");
        put_unsigned(count);
        put(" bytes]\r\n");
    }
}

static void load_bytes(const char *digits) {
    if (strlen(digits) % 2u != 0u) {
        put("e-[Insufficent number of hex digits]\r\n");
        return;
    }
    for (; *digits != '\0' && front.loaded < front.wanted; digits += 2) {
        const int high = hex_value(digits[0]);
        const int low = hex_value(digits[1]);
        if (high < 0 || low < 0) {
            put("e-[Invalid hex digit]\r\n");
            return;
        }
        front.input[front.loaded++] = (uint8_t)(high << 4 | low);
        if (front.loaded == front.wanted) {
            put("m-load-done\r\n");
        }
    }
}

static void dump(void) {
    uint32_t count;
    uint32_t offset;
    if (!next_count(16, &count) || !next_count(0, &offset) || offset > front.loaded) {
        put("e-[Nothing there]\r\n");
        return;
    }
    for (uint32_t i = 0; i < count && offset + i < front.loaded; i++) {
        put(i % DUMP_BYTES_PER_LINE == 0u ? i == 0u ? "m-buffer-" : "\r\nm-buffer-" : "-");
        put_hex(front.input[offset + i]);
    }
    put("\r\n");
}

static void on_buffer(void) {
    const char *word = next_word();
    if (word == NULL) {
        put("e-[Command 'db' requires a subcommand]\r\n");
    } else if (strcmp(word, "load") == 0) {
        load_begin();
    } else if (strcmp(word, "print") == 0) {
        dump();
    } else {
        load_bytes(word);
    }
}

static void show(const char *before, const char *text) {
    put(before);
    put(text);
    put("]\r\n");
}

static void on_command(void) {
    const char *word = next_word();
    if (word == NULL) { /* a '%' alone brings the line into step */
    } else if (strcmp(word, "name") == 0) {
        show("m-name-dut-[", front.model->name);
    } else if (strcmp(word, "timestamp") == 0) {
        timestamp();
    } else if (strcmp(word, "profile") == 0) {
        show("m-profile-[", "ULPMark for tinyML Firmware V0.0.1");
        show("m-model-[", front.model->model);
        show("m-build-[", front.model->build_id);
    } else if (strcmp(word, "help") == 0) {
        put("name, timestamp, profile, help; db load N, db HH[HH]*, db print [N=16] [offset=0];\r\n"
            "infer [N=1] [warmups=10], results. A command ends with '%'.\r\n");
    } else if (strcmp(word, "db") == 0) {
        on_buffer();
    } else if (strcmp(word, "infer") == 0) {
        infer();
    } else if (strcmp(word, "results") == 0) {
        results();
    } else {
        put("e-[Unknown command: ");
        put(word);
        put("]\r\n");
    }
}

/* ---- receiving ---- */

void ew_mlperf_receive(const uint8_t *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        if (bytes[i] == '%') {
            front.command[front.n_bytes] = '\0';
            front.rest = front.command;
            if (front.overflow) {
                put("e-[Command too long]\r\n");
            } else {
                on_command();
            }
            put("m-ready\r\n");
            front.n_bytes = 0;
            front.overflow = false;
        } else if (bytes[i] >= ' ' && bytes[i] < 127u) { /* line ends between commands are nothing */
            if (front.n_bytes < EW_MLPERF_COMMAND_BYTES) {
                front.command[front.n_bytes++] = (char)bytes[i];
            } else {
                front.overflow = true;
            }
        }
    }
}

int ew_mlperf_start(const ew_mlperf_model *model) {
    size_t n_bytes;
    uint8_t *memory = ew_port_batch_memory(&n_bytes);
    const bool fits = n_bytes >= model->input_bytes && n_bytes - model->input_bytes >= model->output_bytes;
    memset(&front, 0, sizeof front);
    front.model = model;
    if (fits) {
        front.input = memory;
        front.output = memory + model->input_bytes;
        memset(memory, 0, (size_t)model->input_bytes + model->output_bytes);
    } else {
        put("e-[No memory for one sample]\r\n");
    }
    put(model->energy != 0 ? "m-timestamp-mode-energy\r\n" : "m-timestamp-mode-performance\r\n");
    put("m-init-done\r\nm-ready\r\n");
    return fits ? 0 : -1;
}

int ew_mlperf_serve(const ew_mlperf_model *model) {
    uint8_t bytes[READ_CHUNK_BYTES];
    size_t n_bytes;
    (void)ew_mlperf_start(model);
    while ((n_bytes = ew_port_read(bytes, sizeof bytes)) > 0u) {
        (void)ew_port_reset_cause(); /* a host is served */
        ew_port_alive();
        ew_mlperf_receive(bytes, n_bytes);
    }
    return 0;
}
