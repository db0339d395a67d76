"""The emulator counts instructions exactly and never stays behind; start-up and port do what they promise."""

import logging
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jinja2
import pytest
from elftools.elf.elffile import ELFFile
from test_process import LIMIT_S, alive, needs_cc, needs_linux, wait_until_gone

from edgewright.boards import load_target
from edgewright.drivers import icount, process
from edgewright.drivers.emulator import start_emulator
from edgewright.errors import DeviceError, TargetError, ToolError
from edgewright.resources import resource_dir

TARGET = load_target("mps2-an386")
MISSING = [tool.name for tool in TARGET.tool if shutil.which(tool.name) is None]
needs_emulator = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

# Commands of one byte; each is answered. The loops have a known number of instructions between their own markers.
FIRMWARE = r"""
#include "ew_port.h"
#include <math.h>
void counted_loop(uint32_t n);
void it_block(void);
__asm__(".syntax unified\n.thumb\n"
        /* 2 n */
        ".thumb_func\ncounted_loop: .short 0xbf50\n1: subs r0, #1\n bne 1b\n .short 0xbf60\n bx lr\n"
        /* 4: cmp, ite, and both moves, although the condition of one fails */
        ".thumb_func\nit_block: .short 0xbf50\n cmp r0, r0\n ite eq\n moveq r1, #1\n movne r1, #2\n"
        " .short 0xbf60\n bx lr\n");

static volatile uint32_t initialised = 1234u;
static volatile uint32_t zeroed;
static volatile uint8_t arena[100000] __attribute__((section(".ew_arena"), aligned(16)));

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
        case 'w': counted_loop(1500000000u); break;
        case 'i': it_block(); break;
        case 'p': ew_port_roi_begin(); ew_port_roi_end(); break;
        case 'd': answer[1] = initialised++ + zeroed++ + arena[0]; break;
        case 'e': answer[1] = (uint32_t)expf((float)initialised); break;
        case 'b': answer[1] = batch_bytes(); break;
        case 'm': answer[1] = steps_back(start + 3u * (1u << 24)); break;
        case 'u': answer[1] = (uint32_t)ew_port_stack_used_bytes(); break;
        case 'z': answer[1] = (uint32_t)ew_port_stack_size_bytes(); break;
        case 'f': __asm__ volatile("udf #0"); break;
        case 'r': ew_port_reset(); break;
        default: break;
        }
        answer[0] = (uint32_t)(ew_port_ticks() - start);
        ew_port_write((const uint8_t *)answer, sizeof answer);
    }
}
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    """A small firmware from the files of targets/, without model and link."""
    folder = tmp_path_factory.mktemp("firmware")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    for file in TARGET.file:
        text = TARGET.resolve(file.source).read_text()
        if file.rendered:
            text = environment.from_string(text).render(target=TARGET, stack_bytes=TARGET.stack.bytes)
        (folder / file.out_name).write_text(text)
    (folder / "main.c").write_text(FIRMWARE)
    process.run([*build_command([]), "-o", "a.elf"], cwd=folder, timeout_s=60)
    return folder / "a.elf"


def build_command(more_sources):
    sources = ["main.c", *more_sources, *(file.out_name for file in TARGET.file if file.compiled)]
    include = resource_dir("runtime_c") / "link"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-I.", f"-I{include}"]
    link = ["-T", "linker.ld", *TARGET.build.link_flags, *(f"-l{name}" for name in TARGET.build.libraries)]
    return [TARGET.toolchain.compiler, *TARGET.toolchain.cpu_flags, *TARGET.build.flags, *flags, *sources, *link]


class Board:
    """The firmware above, behind a plain socket."""

    def __init__(self, emulator):
        host, port = emulator.url.removeprefix("socket://").split(":")
        self.emulator = emulator
        self.socket = socket.create_connection((host, int(port)), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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


@contextmanager
def running(elf, mode):
    with start_emulator(TARGET, elf, mode=mode) as emulator:
        board = Board(emulator)
        with board.socket:
            yield board


# ---- counting ----


@needs_emulator
@needs_cc
def test_plugin_counts_exactly(elf):
    with running(elf, "plugin") as board:
        assert board.emulator.mode == "plugin"
        assert board.emulator.mode_reason == ""
        assert board.emulator.instructions_per_tick is None
        for command in (b"l", b"i", b"l", b"x", b"p"):
            board.ask(command)
        assert board.emulator.read_counts() == [200_000, 4, 200_000, 2]


@needs_emulator
@needs_cc
def test_interrupts_are_not_counted(elf):
    with running(elf, "plugin") as board:
        ticks, _ = board.ask(b"w")
        assert ticks > 1 << 24, "too fast: the timer's interrupt did not fall into the loop"
        assert board.emulator.read_counts() == [3_000_000_000]


@needs_emulator
def test_icount_agrees_within_its_resolution(elf):
    with running(elf, "icount") as board:
        per_tick = board.emulator.instructions_per_tick
        ticks, _ = board.ask(b"l")
        assert per_tick == 40
        assert abs(ticks * per_tick - 200_000) <= 2 * per_tick
        with pytest.raises(ToolError, match="mode 'icount'"):
            board.emulator.read_counts()


@needs_emulator
@needs_cc
def test_plugin_that_the_emulator_refuses_is_a_visible_fallback(elf, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(icount, "_plugin_api", lambda emulator: 1)
    monkeypatch.setattr(icount, "_FLAGS", (*icount._FLAGS, "-Dqemu_plugin_install=not_found"))
    with caplog.at_level(logging.WARNING), running(elf, None) as board:
        assert board.emulator.mode == "icount"
        assert "plugin" in board.emulator.mode_reason
        assert "plugin cannot be used" in caplog.text
        board.ask(b"x")
    with pytest.raises(ToolError, match="cannot be counted by plugin"):
        start_emulator(TARGET, elf, mode="plugin")


@needs_emulator
def test_without_a_host_compiler(elf, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(icount, "_COMPILER", "no-such-cc")
    with running(elf, None) as board:
        assert board.emulator.mode == "icount"
        assert "no-such-cc" in board.emulator.mode_reason


@needs_emulator
@needs_cc
def test_plugin_is_built_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = TARGET.resolve(TARGET.emulator.counting.plugin)
    program = process.find_tool(TARGET.emulator.argv[0])
    first = icount.build_plugin(source, program)
    assert first.is_relative_to(tmp_path / "edgewright")
    written = first.stat().st_mtime_ns
    assert icount.build_plugin(source, program) == first
    assert first.stat().st_mtime_ns == written
    changed = tmp_path / source.name
    changed.write_text(source.read_text() + "\n")
    assert icount.build_plugin(changed, program) != first


@needs_cc
@pytest.mark.parametrize("api", [1, 2, 3])
def test_plugin_compiles_for_each_api(api, tmp_path):
    source = TARGET.resolve(TARGET.emulator.counting.plugin)
    strict = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-DEW_PLUGIN_API={api}"]
    process.run(["cc", *icount._FLAGS, *strict, "-o", tmp_path / "p.so", source], timeout_s=60)


def test_plugin_argument_doubles_commas(tmp_path):
    argument = icount.plugin_argument(Path("/a,b/p.so"), Path("/c,d/out"), TARGET.emulator.counting.markers)
    assert argument.startswith("/a,,b/p.so,out=/c,,d/out,bytes=2,begin=0xbf50,")


def test_a_count_half_written_is_left_for_later(tmp_path):
    out = tmp_path / "counts"
    assert icount.read_counts(out) == []
    out.write_bytes(struct.pack("=QQ", 5, 6)[:-1])
    assert icount.read_counts(out) == [5]


# ---- the port on Cortex-M ----


@needs_emulator
def test_timer_never_steps_back_over_its_wraps(elf):
    with running(elf, "none") as board:
        ticks, steps_back = board.ask(b"m")
        assert ticks >= 3 << 24
        assert steps_back == 0


@needs_emulator
def test_memory_is_laid_out_and_initialised(elf):
    with running(elf, "none") as board:
        assert board.ask(b"d")[1] == 1234
        assert board.ask(b"d")[1] == 1236
        board.socket.sendall(b"r")
        time.sleep(0.3)
        assert board.ask(b"d")[1] == 1234  # start-up did it, not the loading
        _, n_bytes = board.ask(b"b")
        rest = TARGET.data_memory.bytes - TARGET.stack.bytes - 100_000
        assert rest - 8192 < n_bytes < rest


@needs_emulator
def test_firmware_has_neither_stdio_nor_malloc(elf):
    with elf.open("rb") as file:
        names = {symbol.name for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}
    assert "expf" in names
    assert not {name for name in names if re.search(r"malloc|sbrk|printf|fopen|fwrite|_exit", name)}


@needs_emulator
def test_ram_that_does_not_suffice_is_said_in_words(elf):
    folder = elf.parent
    (folder / "big.c").write_text('char big[1 << 23] __attribute__((section(".ew_arena"), used));')
    command = build_command(["big.c"])
    with pytest.raises(ToolError, match=r"stack, data and arena do not fit in the RAM of mps2-an386"):
        process.run([*command, "-Wl,--no-gc-sections", "-o", "big.elf"], cwd=folder, timeout_s=60)


@needs_emulator
def test_stack_is_measured(elf):
    with running(elf, "none") as board:
        _, size = board.ask(b"z")
        _, used = board.ask(b"u")
        assert size == TARGET.stack.bytes
        assert 0 < used < 1024


@needs_emulator
def test_fault_reports_itself_and_stops(elf):
    with running(elf, "none") as board:
        board.socket.sendall(b"f")
        text = b""
        while not text.endswith(b"\n\0"):
            text += board.read(1)
        assert text.startswith(b"\0edgewright fault: exception=00000003 ")
        assert b"pc=" in text
        board.socket.sendall(b"x")
        board.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            board.read(1)


@needs_emulator
def test_reset_keeps_the_line(elf):
    with running(elf, "none") as board:
        board.socket.sendall(b"r")
        time.sleep(0.3)  # what is sent during a reset may be lost
        assert board.ask(b"x")[1] == 0


# ---- the emulator as a process ----


@needs_emulator
def test_emulator_that_dies_says_why(tmp_path):
    (tmp_path / "a.elf").write_text("not an ELF file")
    broken = TARGET.model_copy(
        update={"emulator": TARGET.emulator.model_copy(update={"argv": ("qemu-system-arm", "-kernell", "{elf}")})}
    )
    with pytest.raises(ToolError, match=r"'qemu-system-arm' failed with exit status 1:\n.*-kernell: invalid option"):
        start_emulator(broken, tmp_path / "a.elf", mode="none")


@needs_emulator
def test_emulator_that_is_never_ready(elf):
    table = TARGET.emulator.model_copy(update={"ready": "never said", "startup_timeout_s": 0.3})
    with pytest.raises(ToolError, match=r"said nothing like 'never said' within 0\.3 s"):
        start_emulator(TARGET.model_copy(update={"emulator": table}), elf, mode="none")


@needs_emulator
def test_emulator_killed_from_outside_is_noticed(elf):
    with running(elf, "none") as board:
        board.emulator.check()
        os.kill(board.emulator.pid, signal.SIGKILL)
        with pytest.raises(DeviceError, match=r"ended by itself \(exit status -9\)"):
            for _ in range(int(LIMIT_S / 0.01)):
                board.emulator.check()
                time.sleep(0.01)


def test_no_firmware_and_no_emulator(tmp_path):
    with pytest.raises(ToolError, match="no firmware at"):
        start_emulator(TARGET, tmp_path / "absent.elf")
    with pytest.raises(TargetError, match="'host' has no emulator"):
        start_emulator(load_target("host"), tmp_path / "absent.elf")


HOLDER = """
import signal, sys, time
from pathlib import Path
from edgewright.boards import load_target
from edgewright.drivers.emulator import start_emulator
with start_emulator(load_target("mps2-an386"), Path(sys.argv[1]), mode="none") as emulator:
    print(emulator.pid, flush=True)
    time.sleep(60)
"""


@needs_emulator
@needs_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_emulator_outlives_its_python(elf, number):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(elf)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as p:
        pid = int(p.stdout.readline())
        assert alive(pid)
        p.send_signal(number)
        p.communicate(timeout=LIMIT_S)
    wait_until_gone(pid)
