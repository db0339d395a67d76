"""A small firmware that answers commands of one byte, and the emulated board that it runs on."""

import socket
import struct
from contextlib import contextmanager, suppress

import jinja2
from conftest import WARNINGS

from edgewright.drivers import process
from edgewright.drivers.emulator import start_emulator
from edgewright.resources import resource_dir

LIMIT_S = 20
MARK = 0x600DF00D  # the second word of the answer to "=", and to no other command

# Commands of one byte; each is answered by 8. The loops have a known number of instructions between their own markers.
FIRMWARE = r"""
#include "ew_port.h"
#include <math.h>
void counted_loop(uint32_t n);
void it_block(void);
#if defined(__riscv)
__asm__("counted_loop: slti x0, x0, 1\n1: addi a0, a0, -1\n bnez a0, 1b\n slti x0, x0, 2\n ret\n"
        "it_block: slti x0, x0, 1\n slti x0, x0, 2\n ret\n");
#elif !defined(__thumb__)
__asm__(".arm\n.type counted_loop, %function\n.type it_block, %function\n"
        "counted_loop: .word 0xe320f050\n1: subs r0, r0, #1\n bne 1b\n .word 0xe320f060\n bx lr\n"
        "it_block: .word 0xe320f050\n .word 0xe320f060\n bx lr\n");
#else
__asm__(".syntax unified\n.thumb\n"
        /* 2 n */
        ".thumb_func\ncounted_loop: .short 0xbf50\n1: subs r0, #1\n bne 1b\n .short 0xbf60\n bx lr\n"
#if __ARM_ARCH >= 7
        /* 4: cmp, ite, and both moves, although the condition of one fails */
        ".thumb_func\nit_block: .short 0xbf50\n cmp r0, r0\n ite eq\n moveq r1, #1\n movne r1, #2\n"
        " .short 0xbf60\n bx lr\n");
#else
        ".thumb_func\nit_block: .short 0xbf50\n .short 0xbf60\n bx lr\n");
#endif
#endif

static volatile uint32_t initialised = 1234u;
static volatile uint32_t zeroed;
static volatile uint8_t arena[ARENA_BYTES] __attribute__((section(".ew_arena"), aligned(16)));

static uint32_t batch_bytes(void)
{
    size_t n_bytes;
    uint8_t *start = ew_port_batch_memory(&n_bytes);
    start[n_bytes - 1] = 1; /* the last byte is RAM */
    return (uintptr_t)start % 16u == 0u ? (uint32_t)n_bytes : 0u;
}

static uint32_t steps_back(uint64_t until)
{
    uint32_t found = 0;
    uint64_t last = ew_port_ticks();
    while (last < until) {
        uint64_t now = ew_port_ticks();
        found += now < last || now - last > (1u << 23);
        last = now;
    }
    return found;
}

/* 7 and a bit for each extension that works: 1 fpu, 2 dsp, 4 mve; one that does not is a fault. */
static uint32_t features(void)
{
    uint32_t found = 0;
#if defined(__ARM_FP) || defined(__riscv_flen)
    volatile float half = 0.5f;
    found |= half + half == 1.0f ? 1u : 0u;
#endif
#if defined(__ARM_FEATURE_DSP)
    uint32_t sum;
    __asm__ volatile("smlad %0, %1, %1, %2" : "=r"(sum) : "r"(0x00020003u), "r"(1u));
    found |= sum == 14u ? 2u : 0u;
#endif
#if defined(__ARM_FEATURE_MVE)
    uint32_t lanes;
    __asm__ volatile("vdup.32 q0, %1\n vaddv.u32 %0, q0" : "=Te"(lanes) : "r"(5u) : "q0");
    found |= lanes == 20u ? 4u : 0u;
#endif
    return found;
}

int main(void)
{
    ew_port_init();
    ew_port_stack_paint();
    for (;;) {
        uint8_t command;
        uint32_t answer[2] = {0, 0};
        (void)ew_port_read(&command, 1);
        uint64_t start = ew_port_ticks();
        switch (command) {
        case 'l': counted_loop(100000u); break;
        case 'w': counted_loop(600000000u); break;
        case 'i': it_block(); break;
        case 'p': ew_port_roi_begin(); ew_port_roi_end(); break;
        case 'd': answer[1] = initialised++ + zeroed++ + arena[0]; break;
        case 'e': answer[1] = (uint32_t)expf((float)initialised); break;
        case 'c': answer[1] = features(); break;
        case 'b': answer[1] = batch_bytes(); break;
        case 'm': answer[1] = steps_back(start + 3u * (1u << 24)); break;
        case 'u': answer[1] = (uint32_t)ew_port_stack_used_bytes(); break;
        case 'z': answer[1] = (uint32_t)ew_port_stack_size_bytes(); break;
#if defined(__riscv)
        case 'f': __asm__ volatile("unimp"); break;
#else
        case 'f': __asm__ volatile("udf #0"); break;
#endif
        case 'r': ew_port_reset(); break;
        case 's': answer[1] = (uint32_t)ew_port_reset_cause(); break;
        case '=': answer[1] = 0x600DF00Du; break;
        default: break;
        }
        answer[0] = (uint32_t)(ew_port_ticks() - start);
        ew_port_write((const uint8_t *)answer, sizeof answer);
    }
}
"""


def write_target_files(target, folder):
    """Start-up, driver, linker script and the like, as a generated project has them."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    for file in target.file:
        text = target.resolve(file.source).read_text()
        if file.rendered:
            text = environment.from_string(text).render(target=target, stack_bytes=target.stack.bytes)
        (folder / file.out_name).write_text(text)


def build_firmware(target, folder, arena_bytes=100_000, source=FIRMWARE):
    """Compile the firmware above (or another) for a board, without model and link; returns the ELF file."""
    write_target_files(target, folder)
    (folder / "main.c").write_text(source)
    process.run([*build_command(target, [], arena_bytes), "-o", "a.elf"], cwd=folder, timeout_s=60)
    return folder / "a.elf"


def build_command(target, more_sources, arena_bytes=100_000):
    sources = ["main.c", *more_sources, *(file.out_name for file in target.file if file.compiled)]
    include = resource_dir("runtime_c") / "link"
    flags = ["-std=c11", "-O2", *WARNINGS, "-I.", f"-I{include}", f"-DARENA_BYTES={arena_bytes}"]
    link = ["-T", "linker.ld", *target.build.link_flags, *(f"-l{name}" for name in target.build.libraries)]
    return [target.toolchain.compiler, *target.toolchain.cpu_flags, *target.build.flags, *flags, *sources, *link]


class Board:
    """The firmware above, behind a plain socket."""

    def __init__(self, emulator):
        host, port = emulator.url.removeprefix("socket://").split(":")
        self.emulator = emulator
        self.socket = socket.create_connection((host, int(port)), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wake(self):
        """Ask until an answer comes, as boards drop what comes before their UART is on; leave none to come."""
        data = b""
        self.socket.settimeout(0.2)
        for _ in range(5 * LIMIT_S):
            self.socket.sendall(b"?")
            with suppress(TimeoutError):
                data = self.socket.recv(8)
                break
        assert data
        self.socket.settimeout(LIMIT_S)
        self.socket.sendall(b"=")
        data += self.read(8 - len(data))
        while struct.unpack("<II", data)[1] != MARK:
            data = self.read(8)

    def read(self, n_bytes):
        data = b""
        while len(data) < n_bytes:
            piece = self.socket.recv(n_bytes - len(data))
            assert piece
            data += piece
        return data

    def ask(self, command):
        """Return ticks (modulo 2^32) and the answer."""
        self.socket.sendall(command)
        return struct.unpack("<II", self.read(8))

    def read_fault(self):
        """Return the fault report, which comes between two zero bytes."""
        text = b""
        while not text.endswith(b"\n\0"):
            text += self.read(1)
        return text


@contextmanager
def running(target, elf, mode):
    """The firmware in the board's emulator."""
    with start_emulator(target, elf, mode=mode) as emulator:
        board = Board(emulator)
        with board.socket:
            yield board
