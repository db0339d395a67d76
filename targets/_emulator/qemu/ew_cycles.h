/* Modelled cycles of Thumb code: what an instruction is, and what it takes on a core of a given kind.
 *
 * The model knows no bus, no cache, no flash wait states and no data: memory answers at once. It ranks programs for one
 * core; it does not say how long they take on a chip, and it has been held against none.
 *
 * Sources: the instruction timing tables of the Cortex-M0 (DDI 0432, 3.3), Cortex-M3 (DDI 0337, 3.3.1) and Cortex-M4
 * (DDI 0439, 3.3.1 and 7.2.3) Technical Reference Manuals. Where a manual gives a range (division), a middle value
 * stands. For the Cortex-M55 Arm publishes no such table: two beats of a vector instruction a cycle, overlap of vector
 * instructions of different kinds (DDI 0553, "Beats and exceptions"), and a data port of 64 bits are assumed.
 * Encodings: Armv8-M Architecture Reference Manual (DDI 0553), C2.3. */
#ifndef EW_CYCLES_H
#define EW_CYCLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum {
    OP_ALU,        /* and all that is nothing else */
    OP_MULTIPLY,   /* 32-bit result, no addition */
    OP_MULTIPLY_ADD,
    OP_MULTIPLY_LONG,
    OP_DIVIDE,
    OP_LOAD,
    OP_STORE,
    OP_LOAD_MANY,  /* LDM, POP: `n` registers */
    OP_STORE_MANY, /* STM, PUSH */
    OP_LOAD_PAIR,
    OP_STORE_PAIR,
    OP_BRANCH,
    OP_LOOP,       /* Armv8.1-M: LE, WLS, DLS and their kin */
    OP_FP,         /* and moves between core and FPU registers */
    OP_FP_MULTIPLY_ADD,
    OP_FP_DIVIDE,  /* and square root */
    OP_FP_LOAD,    /* `n` words */
    OP_FP_STORE,
    OP_FP_MOVE_TWO, /* between an FPU register pair and two core registers */
    OP_VECTOR_MEMORY,
    OP_VECTOR,     /* any other vector instruction */
    OP_NONE        /* a marker */
} op_kind;

typedef struct {
    uint64_t next_address; /* of the instruction behind it: where no branch leads */
    uint8_t kind;          /* op_kind */
    uint8_t n;             /* registers or words moved */
} op;

/* A core: cycles of the kinds that take the same always, and of a branch that is taken. The rest is in op_cycles. */
typedef struct {
    const char *name;
    uint8_t multiply_add, multiply_long, divide, branch_taken, fp_multiply_add, fp_divide;
    enum { MEMORY_PLAIN, MEMORY_PIPELINED, MEMORY_64_BIT } memory;
    bool has_loop_cache;
} core_model;

static const core_model core_models[] = {
    {"cortex-m0", 1, 1, 1, 3, 1, 1, MEMORY_PLAIN, false}, /* the multiplier of one cycle, as in the nRF51 */
    {"cortex-m3", 2, 4, 6, 3, 1, 1, MEMORY_PIPELINED, false},
    {"cortex-m4", 1, 1, 6, 3, 3, 14, MEMORY_PIPELINED, false},
    {"cortex-m55", 1, 1, 6, 2, 1, 14, MEMORY_64_BIT, true},
};

static inline const core_model *find_core_model(const char *name)
{
    for (size_t i = 0; i < sizeof core_models / sizeof core_models[0]; i++) {
        if (strcmp(core_models[i].name, name) == 0) {
            return &core_models[i];
        }
    }
    return NULL;
}

static inline uint8_t ones(uint32_t bits)
{
    return (uint8_t)__builtin_popcount(bits);
}

static inline op_kind kind_16(uint32_t h, uint8_t *n)
{
    switch (h >> 12) {
    case 0x4:
        return h >> 11 == 0x9 ? OP_LOAD : h >> 8 == 0x47 ? OP_BRANCH : h >> 6 == 0x10D ? OP_MULTIPLY : OP_ALU;
    case 0x5:
        return (h >> 9 & 7u) >= 3u ? OP_LOAD : OP_STORE;
    case 0x6: case 0x7: case 0x8: case 0x9:
        return (h & 0x0800u) != 0u ? OP_LOAD : OP_STORE;
    case 0xB:
        if ((h & 0x0600u) == 0x0400u) {
            *n = ones(h & 0x1FFu);
            return (h & 0x0800u) != 0u ? OP_LOAD_MANY : OP_STORE_MANY;
        }
        return (h & 0x0500u) == 0x0100u ? OP_BRANCH : OP_ALU; /* CBZ, CBNZ */
    case 0xC:
        *n = ones(h & 0xFFu);
        return (h & 0x0800u) != 0u ? OP_LOAD_MANY : OP_STORE_MANY;
    case 0xD: case 0xE:
        return OP_BRANCH;
    default:
        return OP_ALU;
    }
}

static inline op_kind kind_multiply(uint32_t h, uint32_t l)
{
    uint32_t op1 = h >> 4 & 0xFu;
    if ((h & 0x0080u) != 0u) {
        return op1 == 0x9u || op1 == 0xBu ? OP_DIVIDE : OP_MULTIPLY_LONG;
    }
    return l >> 12 == 0xFu ? OP_MULTIPLY : OP_MULTIPLY_ADD;
}

/* Branches and miscellaneous control. BLX to an address does not exist on M-profile: its encodings are the loops'. */
static inline op_kind kind_control(uint32_t h, uint32_t l)
{
    if ((h & 0xFF80u) == 0xF000u && (l & 0xD001u) == 0xC001u) {
        return OP_LOOP;
    }
    bool is_conditional_space = (l & 0xD000u) == 0x8000u;
    return is_conditional_space && (h >> 6 & 0xFu) >= 0xEu ? OP_ALU : OP_BRANCH;
}

/* FPU and vector instructions. Coprocessors 9, 10 and 11 are the FPU's; 0xEF and 0xFF are vector data processing
 * whatever stands in that field. */
static inline op_kind kind_coprocessor(uint32_t h, uint32_t l, uint8_t *n)
{
    uint32_t coprocessor = l >> 8 & 0xFu;
    bool is_memory = (h & 0x0200u) == 0u;
    bool is_fpu = coprocessor >= 0x9u && coprocessor <= 0xBu && (h & 0xEF00u) != 0xEF00u;
    if (!is_fpu) {
        return is_memory ? OP_VECTOR_MEMORY : OP_VECTOR;
    }
    if (is_memory) {
        if ((h & 0xFFE0u) == 0xEC40u) {
            return OP_FP_MOVE_TWO;
        }
        bool is_single = (h & 0xFF20u) == 0xED00u; /* VLDR, VSTR; else the count is the last byte */
        *n = is_single || (l & 0xFFu) == 0u ? 1u : (uint8_t)l;
        return (h & 0x0010u) != 0u ? OP_FP_LOAD : OP_FP_STORE;
    }
    if ((h & 0xFF00u) != 0xEE00u || (l & 0x0010u) != 0u) {
        return OP_FP; /* the conditional selects and roundings; moves between registers of core and FPU */
    }
    uint32_t op1 = h & 0x00B0u;
    if (op1 == 0x00u || op1 == 0x10u || op1 == 0x90u || op1 == 0xA0u) {
        return OP_FP_MULTIPLY_ADD;
    }
    bool is_root = op1 == 0xB0u && (h & 0xFu) == 0x1u && (l & 0xC0u) == 0xC0u;
    return op1 == 0x80u || is_root ? OP_FP_DIVIDE : OP_FP;
}

static inline op_kind kind_32(uint32_t h, uint32_t l, uint8_t *n)
{
    if ((h & 0xEC00u) == 0xEC00u) {
        return kind_coprocessor(h, l, n);
    }
    if ((h & 0xFE40u) == 0xE800u) {
        *n = ones(l);
        return (h & 0x0010u) != 0u ? OP_LOAD_MANY : OP_STORE_MANY;
    }
    if ((h & 0xFE40u) == 0xE840u) {
        bool is_table_branch = (h & 0xFFF0u) == 0xE8D0u && (l & 0xFFE0u) == 0xF000u;
        return is_table_branch ? OP_BRANCH : (h & 0x0010u) != 0u ? OP_LOAD_PAIR : OP_STORE_PAIR;
    }
    if ((h & 0xFE00u) == 0xF800u) {
        return (h & 0x0010u) != 0u ? OP_LOAD : OP_STORE;
    }
    if ((h & 0xFF00u) == 0xFB00u) {
        return kind_multiply(h, l);
    }
    return (h & 0xF800u) == 0xF000u && (l & 0x8000u) != 0u ? kind_control(h, l) : OP_ALU;
}

/* Reads the instruction at `address`; `bytes` holds it and at least as many as it has. */
static inline op read_op(uint64_t address, const uint8_t bytes[4])
{
    uint32_t h = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    uint32_t l = (uint32_t)bytes[2] | (uint32_t)bytes[3] << 8;
    bool is_long = h >> 11 >= 0x1Du;
    op result = {.next_address = address + (is_long ? 4u : 2u), .n = 1};
    result.kind = (uint8_t)(is_long ? kind_32(h, l, &result.n) : kind_16(h, &result.n));
    return result;
}

static inline uint32_t memory_cycles(const core_model *core, const op *it, uint32_t next_kind)
{
    uint32_t n = it->n;
    bool is_many = it->kind == OP_LOAD_MANY || it->kind == OP_STORE_MANY;
    bool is_pair = it->kind == OP_LOAD_PAIR || it->kind == OP_STORE_PAIR;
    if (core->memory == MEMORY_64_BIT) {
        return is_many ? (n + 1u) / 2u : is_pair ? 1u : n;
    }
    if (is_many || core->memory == MEMORY_PLAIN) {
        return 1u + n;
    }
    if (is_pair) {
        return 3u;
    }
    /* A load overlaps with a load or store that follows; of the FPU's own the manual does not say that. */
    bool is_load = it->kind == OP_LOAD || it->kind == OP_FP_LOAD;
    return is_load && next_kind != OP_LOAD && next_kind != OP_STORE ? n + 1u : n;
}

/* Cycles of an instruction, given what runs next. `taken`: that is not the instruction behind it. */
static inline uint32_t op_cycles(const core_model *core, const op *it, uint32_t next_kind, bool taken)
{
    switch ((op_kind)it->kind) {
    case OP_MULTIPLY_ADD:
        return core->multiply_add;
    case OP_MULTIPLY_LONG:
        return core->multiply_long;
    case OP_DIVIDE:
        return core->divide;
    case OP_BRANCH:
        return taken ? core->branch_taken : 1u;
    case OP_LOOP:
        return taken && core->has_loop_cache ? 0u : 1u;
    case OP_FP_MULTIPLY_ADD:
        return core->fp_multiply_add;
    case OP_FP_DIVIDE:
        return core->fp_divide;
    case OP_LOAD: case OP_STORE: case OP_LOAD_MANY: case OP_STORE_MANY: case OP_LOAD_PAIR: case OP_STORE_PAIR:
    case OP_FP_LOAD: case OP_FP_STORE:
        return memory_cycles(core, it, next_kind);
    case OP_VECTOR: /* two beats a cycle: the second half of one overlaps with the first of the other kind */
        return next_kind == OP_VECTOR_MEMORY ? 1u : 2u;
    case OP_VECTOR_MEMORY:
        return next_kind == OP_VECTOR ? 1u : 2u;
    case OP_FP_MOVE_TWO:
        return 2u;
    case OP_NONE:
        return 0u;
    case OP_ALU: case OP_MULTIPLY: case OP_FP:
        break;
    }
    return 1u;
}

#endif
