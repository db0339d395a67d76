/* QEMU TCG plugin: counts the instructions of each inference exactly, and models their cycles.
 *
 * Firmware marks an inference with two instructions that do nothing (`begin`, `end`), and brackets its interrupt
 * handlers with two more (`pause`, `resume`); what runs in a handler is not part of the inference. A count is the number
 * of instructions executed between begin and end, without the markers, without the handlers, and without the one
 * instruction behind `resume` (the handler's return). An instruction of an IT block whose condition fails counts: it
 * is fetched and takes its time on a chip too. Cycles: see ew_cycles.h.
 *
 * A translation block is straight code: once entered it runs to its end, or to an exception that ends the inference
 * anyway. So it is cut at the markers, and each piece calls back once, at its first instruction, with what was summed up
 * when it was translated. Only its last instruction is left open until the next piece says where control went and what
 * follows there. Interrupts are taken between blocks.
 *
 * An inference can be split by code: FILE2 has a line "FIRST END NUMBER" (addresses in hexadecimal, END not included)
 * for each function that is a part of its own. What such a function calls counts to it, until another part is entered.
 *
 * Arguments: out=FILE, bytes=2|4 (size of a marker), begin=, end=, pause=, resume= (opcodes, 0x...); optional
 * core=NAME (a name of ew_cycles.h), parts=FILE2 and n_parts= (part numbers are less than that; the last one also gets
 * what runs before the first part).
 * FILE is created when the plugin is ready, and gets one record an inference as it ends, in one write(): instructions
 * and cycles (0 without core=) of the whole, then of each part; 8 bytes each, in the byte order of the host.
 *
 * Source: QEMU's "TCG Plugins" API; the few declarations needed are below. EW_PLUGIN_API chooses its version:
 *   1  QEMU 4.2 to 8.2 (tried with 7.2)
 *   2  QEMU 9.0
 *   3  QEMU 9.1 and later: qemu_plugin_insn_data copies */
#include "ew_cycles.h"

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
enum { PLUGIN_CB_NO_REGS = 0 };
typedef void (*translate_callback)(plugin_id id, struct qemu_plugin_tb *block);
typedef void (*execute_callback)(unsigned int vcpu, void *data);

/* The enumerations of the API are passed as int, which is what they are on every host that QEMU runs on. */
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translate_callback callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_callback callback, int flags,
                                            void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv);

extern EXPORT int qemu_plugin_version;
EXPORT int qemu_plugin_version = EW_PLUGIN_API;

#if EW_PLUGIN_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t length);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif

enum { BEGIN, END, PAUSE, RESUME, MARKERS, NO_MARKER = MARKERS };
static const char *const marker_names[MARKERS] = {"begin=", "end=", "pause=", "resume="};
static uint32_t marker_opcodes[MARKERS];
static size_t marker_bytes;

typedef struct {
    uint64_t instructions, cycles;
} counts;

typedef struct {
    uint64_t first, end;
    size_t part;
} range;

/* A run of instructions without a marker in it. Never freed: QEMU may run a block again at any time. */
typedef struct {
    uint64_t address;
    counts sum;       /* cycles without those of `last` */
    size_t part;      /* that its code belongs to, or NO_PART */
    op last;
    uint8_t first_kind;
} piece;

#define NO_PART SIZE_MAX

static const char *out_path;
static const char *parts_path;
static int out_file = -1;
static const core_model *core; /* NULL: no cycles */
static range *ranges;
static size_t n_ranges;
static size_t n_parts;
static counts *record; /* the whole, then each part */

static bool inside;         /* between begin and end */
static unsigned int runner; /* the processor that is: others of a board with several are parked, and wait in loops */
static bool is_returning;   /* between resume and the end of the handler's return */
static unsigned int pauses; /* depth: a handler may be interrupted by another */
static size_t part;         /* that is running */
static op last_op;            /* the last instruction, whose cycles are not known yet */

static void add(uint64_t instructions, uint64_t cycles)
{
    record[0].instructions += instructions;
    record[0].cycles += cycles;
    if (n_parts > 0) {
        record[1 + part].instructions += instructions;
        record[1 + part].cycles += cycles;
    }
}

static void close_last(uint64_t next_address, uint32_t next_kind)
{
    if (core != NULL) {
        add(0, op_cycles(core, &last_op, next_kind, next_address != last_op.next_address));
    }
}

static void on_piece(unsigned int vcpu, void *data)
{
    const piece *it = data;
    if (vcpu != runner) {
        return;
    }
    if (is_returning) {
        is_returning = false;
        return;
    }
    if (!inside || pauses > 0) {
        return;
    }
    close_last(it->address, it->first_kind);
    if (it->part != NO_PART) {
        part = it->part;
    }
    add(it->sum.instructions, it->sum.cycles);
    last_op = it->last;
}

/* An inference never begins in a handler: what a reset in a handler left behind ends here. */
static void on_begin(unsigned int vcpu, void *data)
{
    (void)data;
    runner = vcpu;
    inside = true;
    is_returning = false;
    pauses = 0;
    part = n_parts > 0 ? n_parts - 1 : 0;
    last_op = (op){.kind = OP_NONE};
    memset(record, 0, (1 + n_parts) * sizeof *record);
}

static void on_end(unsigned int vcpu, void *data)
{
    const piece *marker = data;
    if (!inside || vcpu != runner) {
        return;
    }
    close_last(marker->address, OP_NONE);
    inside = false;
    size_t n_bytes = (1 + n_parts) * sizeof *record;
    if (write(out_file, record, n_bytes) != (ssize_t)n_bytes) {
        perror("ew_icount: cannot write a count");
        _exit(EXIT_FAILURE); /* better no emulator than a count missing */
    }
}

static void on_pause(unsigned int vcpu, void *data)
{
    (void)data;
    if (vcpu == runner) {
        pauses++;
        is_returning = false;
    }
}

static void on_resume(unsigned int vcpu, void *data)
{
    (void)data;
    if (vcpu == runner && pauses > 0 && --pauses == 0) {
        is_returning = true;
    }
}

static const execute_callback marker_callbacks[MARKERS] = {on_begin, on_end, on_pause, on_resume};

static void *allocate(size_t n_items, size_t n_bytes)
{
    void *memory = calloc(n_items, n_bytes);
    if (memory == NULL) {
        perror("ew_icount");
        _exit(EXIT_FAILURE);
    }
    return memory;
}

/* Reads at most 4 bytes. Before the end of a page QEMU 7.2 reads ahead, and reports the next instruction's bytes as this
 * one's: what is behind the first two is only good where the instruction is a long one. */
static void read_bytes(const struct qemu_plugin_insn *insn, uint8_t bytes[4])
{
    size_t size = qemu_plugin_insn_size(insn);
    size = size < 4 ? size : 4;
    memset(bytes, 0, 4);
#if EW_PLUGIN_API >= 3
    (void)qemu_plugin_insn_data(insn, bytes, size);
#else
    memcpy(bytes, qemu_plugin_insn_data(insn), size);
#endif
}

/* A longer instruction never begins with a marker's bytes. */
static int marker_of(const uint8_t bytes[4])
{
    uint32_t opcode =
        (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    opcode &= marker_bytes == 2 ? 0xFFFFu : 0xFFFFFFFFu;
    for (int marker = 0; marker < MARKERS; marker++) {
        if (opcode == marker_opcodes[marker]) {
            return marker;
        }
    }
    return NO_MARKER;
}

static size_t part_of(uint64_t address)
{
    for (size_t i = 0; i < n_ranges; i++) {
        if (address >= ranges[i].first && address < ranges[i].end) {
            return ranges[i].part;
        }
    }
    return NO_PART;
}

static piece *begin_piece(struct qemu_plugin_insn *insn, execute_callback callback)
{
    piece *it = allocate(1, sizeof *it);
    it->address = qemu_plugin_insn_vaddr(insn);
    it->part = part_of(it->address);
    qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, PLUGIN_CB_NO_REGS, it);
    return it;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    piece *it = NULL; /* the piece that the last instruction was added to */
    size_t n_insns = qemu_plugin_tb_n_insns(block);
    (void)id;
    for (size_t i = 0; i < n_insns; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint8_t bytes[4];
        read_bytes(insn, bytes);
        int marker = marker_of(bytes);
        if (marker != NO_MARKER) {
            (void)begin_piece(insn, marker_callbacks[marker]);
            it = NULL;
            continue;
        }
        op now = read_op(qemu_plugin_insn_vaddr(insn), bytes);
        if (it == NULL) {
            it = begin_piece(insn, on_piece);
            it->first_kind = now.kind;
        } else if (core != NULL) {
            it->sum.cycles += op_cycles(core, &it->last, now.kind, false);
        }
        it->sum.instructions++;
        it->last = now;
    }
}

static bool read_parts(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return false;
    }
    range next;
    size_t room = 0;
    while (fscanf(file, "%" SCNx64 " %" SCNx64 " %zu", &next.first, &next.end, &next.part) == 3) {
        if (n_ranges == room) {
            room = 2 * room + 16;
            range *larger = allocate(room, sizeof *larger);
            if (n_ranges > 0) {
                memcpy(larger, ranges, n_ranges * sizeof *larger);
            }
            ranges = larger;
        }
        if (next.part >= n_parts) {
            fprintf(stderr, "ew_icount: part %zu of %zu\n", next.part, n_parts);
            return false;
        }
        ranges[n_ranges++] = next;
    }
    bool is_whole = feof(file) != 0;
    fclose(file);
    return is_whole;
}

static bool take_argument(const char *argument)
{
    /* QEMU keeps the arguments. */
    if (strncmp(argument, "out=", 4) == 0) {
        out_path = argument + 4;
        return true;
    }
    if (strncmp(argument, "parts=", 6) == 0) {
        parts_path = argument + 6;
        return true;
    }
    if (strncmp(argument, "n_parts=", 8) == 0) {
        n_parts = strtoul(argument + 8, NULL, 0);
        return n_parts < 1000000;
    }
    if (strncmp(argument, "core=", 5) == 0) {
        core = find_core_model(argument + 5);
        return core != NULL;
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
    if (parts_path != NULL && !read_parts(parts_path)) {
        fprintf(stderr, "ew_icount: bad file of parts '%s'\n", parts_path);
        return -1;
    }
    record = allocate(1 + n_parts, sizeof *record);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    /* Last, so that the file's existence says that the plugin works in this QEMU. */
    out_file = open(out_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out_file < 0) {
        perror(out_path);
        return -1;
    }
    return 0;
}
