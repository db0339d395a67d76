/* QEMU TCG plugin: counts the instructions of each inference exactly.
 *
 * Firmware marks an inference with two instructions that do nothing (`begin`, `end`), and brackets its interrupt
 * handlers with two more (`pause`, `resume`); what runs in a handler is not part of the inference. A count is the number
 * of instructions executed between begin and end, without the markers, without the handlers, and without the one
 * instruction behind `resume` (the handler's return). An instruction of an IT block whose condition fails counts: it
 * is fetched and takes its time on a chip too.
 *
 * A translation block is straight code: once entered it runs to its end, or to an exception that ends the inference
 * anyway. So it is cut at the markers, and each piece costs one inline addition of its length at its first instruction;
 * only markers call back. Interrupts are taken between blocks.
 *
 * Arguments: out=FILE, bytes=2|4 (size of a marker), begin=, end=, pause=, resume= (opcodes, 0x...).
 * FILE is created when the plugin is ready, and gets one record an inference as it ends: the count, 8 bytes, in the
 * byte order of the host, in one write().
 *
 * Source: QEMU's "TCG Plugins" API; the few declarations needed are below. EW_PLUGIN_API chooses its version:
 *   1  QEMU 4.2 to 8.2 (tried with 7.2)
 *   2  QEMU 9.0: inline operations are per virtual processor, on a scoreboard
 *   3  QEMU 9.1 and later: qemu_plugin_insn_data copies */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef EW_PLUGIN_API
#define EW_PLUGIN_API 1
#endif

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { PLUGIN_INLINE_ADD_U64 = 0, PLUGIN_CB_NO_REGS = 0 };
typedef void (*translate_callback)(plugin_id id, struct qemu_plugin_tb *block);
typedef void (*execute_callback)(unsigned int vcpu, void *data);

/* The enumerations of the API are passed as int, which is what they are on every host that QEMU runs on. */
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translate_callback callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_callback callback, int flags,
                                            void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv);

extern EXPORT int qemu_plugin_version;
EXPORT int qemu_plugin_version = EW_PLUGIN_API;

#if EW_PLUGIN_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t length);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif

#if EW_PLUGIN_API >= 2
struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} plugin_u64;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_get(plugin_u64 entry, unsigned int vcpu);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, int operation, plugin_u64 entry,
                                                         uint64_t value);
static plugin_u64 executed;
#else
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation, void *to, uint64_t value);
static uint64_t executed;
#endif

enum { BEGIN, END, PAUSE, RESUME, MARKERS, NO_MARKER = MARKERS };
static const char *const marker_names[MARKERS] = {"begin=", "end=", "pause=", "resume="};
static uint32_t marker_opcodes[MARKERS];
static size_t marker_bytes;

static const char *out_path;
static int out_file = -1;
static bool inside;            /* between begin and end */
static uint64_t begun_at;      /* `executed` at begin */
static uint64_t paused_at;     /* `executed` at the outermost pause */
static uint64_t not_counted;   /* in handlers, since begin */
static unsigned int pauses;    /* depth: a handler may be interrupted by another */

static uint64_t executed_so_far(unsigned int vcpu)
{
#if EW_PLUGIN_API >= 2
    return qemu_plugin_u64_get(executed, vcpu);
#else
    (void)vcpu;
    return executed;
#endif
}

static void add_inline(struct qemu_plugin_insn *insn, uint64_t count)
{
#if EW_PLUGIN_API >= 2
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, PLUGIN_INLINE_ADD_U64, executed, count);
#else
    qemu_plugin_register_vcpu_insn_exec_inline(insn, PLUGIN_INLINE_ADD_U64, &executed, count);
#endif
}

/* An inference never begins in a handler: what a reset in a handler left behind ends here. */
static void on_begin(unsigned int vcpu, void *data)
{
    (void)data;
    inside = true;
    pauses = 0;
    not_counted = 0;
    begun_at = executed_so_far(vcpu);
}

static void on_end(unsigned int vcpu, void *data)
{
    (void)data;
    if (!inside) {
        return;
    }
    inside = false;
    uint64_t count = executed_so_far(vcpu) - begun_at - not_counted;
    if (write(out_file, &count, sizeof count) != (ssize_t)sizeof count) {
        perror("ew_icount: cannot write a count");
        _exit(EXIT_FAILURE); /* better no emulator than a count missing */
    }
}

static void on_pause(unsigned int vcpu, void *data)
{
    (void)data;
    if (pauses++ == 0) {
        paused_at = executed_so_far(vcpu);
    }
}

static void on_resume(unsigned int vcpu, void *data)
{
    (void)data;
    if (pauses > 0 && --pauses == 0) {
        not_counted += executed_so_far(vcpu) - paused_at + 1; /* 1: the return that follows */
    }
}

static const execute_callback marker_callbacks[MARKERS] = {on_begin, on_end, on_pause, on_resume};

static int marker_of(const struct qemu_plugin_insn *insn)
{
    uint8_t bytes[4] = {0};
    /* Not "differs from": before the end of a page QEMU 7.2 reads ahead, and reports the next instruction's bytes as
     * this one's. A longer instruction never begins with a marker's bytes. */
    if (qemu_plugin_insn_size(insn) < marker_bytes) {
        return NO_MARKER;
    }
#if EW_PLUGIN_API >= 3
    if (qemu_plugin_insn_data(insn, bytes, marker_bytes) != marker_bytes) {
        return NO_MARKER;
    }
#else
    memcpy(bytes, qemu_plugin_insn_data(insn), marker_bytes);
#endif
    uint32_t opcode =
        (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    for (int marker = 0; marker < MARKERS; marker++) {
        if (opcode == marker_opcodes[marker]) {
            return marker;
        }
    }
    return NO_MARKER;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    struct qemu_plugin_insn *piece = NULL; /* first instruction of the piece being measured */
    uint64_t piece_length = 0;
    size_t n_insns = qemu_plugin_tb_n_insns(block);
    (void)id;
    for (size_t i = 0; i < n_insns; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        int marker = marker_of(insn);
        if (marker == NO_MARKER) {
            piece = piece_length == 0 ? insn : piece;
            piece_length++;
            continue;
        }
        qemu_plugin_register_vcpu_insn_exec_cb(insn, marker_callbacks[marker], PLUGIN_CB_NO_REGS, NULL);
        if (piece_length > 0) {
            add_inline(piece, piece_length);
        }
        piece_length = 0;
    }
    if (piece_length > 0) {
        add_inline(piece, piece_length);
    }
}

static bool take_argument(const char *argument)
{
    if (strncmp(argument, "out=", 4) == 0) {
        out_path = argument + 4; /* QEMU keeps the arguments */
        return true;
    }
    if (strncmp(argument, "bytes=", 6) == 0) {
        marker_bytes = strtoul(argument + 6, NULL, 0);
        return marker_bytes == 2 || marker_bytes == 4;
    }
    for (int marker = 0; marker < MARKERS; marker++) {
        size_t length = strlen(marker_names[marker]);
        if (strncmp(argument, marker_names[marker], length) == 0) {
            marker_opcodes[marker] = (uint32_t)strtoul(argument + length, NULL, 0);
            return true;
        }
    }
    return false;
}

int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!take_argument(argv[i])) {
            fprintf(stderr, "ew_icount: bad argument '%s'\n", argv[i]);
            return -1;
        }
    }
    if (out_path == NULL || marker_bytes == 0) {
        fprintf(stderr, "ew_icount: out= and bytes= are needed\n");
        return -1;
    }
#if EW_PLUGIN_API >= 2
    executed.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    executed.offset = 0;
#endif
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    /* Last, so that the file's existence says that the plugin works in this QEMU. */
    out_file = open(out_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out_file < 0) {
        perror(out_path);
        return -1;
    }
    return 0;
}
