"""The emulator counts instructions exactly and never stays behind; start-up and port do what they promise."""

import logging
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from firmware import build_command, build_firmware, running
from test_process import LIMIT_S, alive, needs_cc, needs_linux, wait_until_gone

from edgewright.boards import load_target
from edgewright.boards.resets import ResetCause
from edgewright.drivers import icount, process
from edgewright.drivers.emulator import start_emulator
from edgewright.errors import DeviceError, TargetError, ToolError

TARGET = load_target("mps2-an386")
MISSING = [tool.name for tool in TARGET.tool if shutil.which(tool.name) is None]
needs_emulator = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    """The small firmware for the Cortex-M4F."""
    return build_firmware(TARGET, tmp_path_factory.mktemp("firmware"))


# ---- counting ----


@needs_emulator
@needs_cc
def test_plugin_counts_exactly(elf):
    with running(TARGET, elf, "plugin") as board:
        assert board.emulator.mode == "plugin"
        assert board.emulator.mode_reason == ""
        assert board.emulator.instructions_per_tick is None
        for command in (b"l", b"i", b"l", b"x", b"p"):
            board.ask(command)
        assert board.emulator.read_counts()[:, 0, 0].tolist() == [200_000, 4, 200_000, 2]


@pytest.mark.slow
@needs_emulator
@needs_cc
def test_interrupts_are_not_counted(elf):
    with running(TARGET, elf, "plugin") as board:
        ticks, _ = board.ask(b"w")
        assert ticks > 1 << 24, "too fast: the timer's interrupt did not fall into the loop"
        # four cycles a turn, but for the last branch, which is not taken
        assert board.emulator.read_counts()[:, 0].tolist() == [[1_200_000_000, 2_399_999_998]]


@needs_emulator
def test_icount_agrees_within_its_resolution(elf):
    with running(TARGET, elf, "icount") as board:
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
    with caplog.at_level(logging.WARNING), running(TARGET, elf, None) as board:
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
    with running(TARGET, elf, None) as board:
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
    for name in sorted(path.name for path in source.parent.glob("*.[ch]")):
        changed = tmp_path / name.replace(".", "-")
        shutil.copytree(source.parent, changed)
        (changed / name).write_text((source.parent / name).read_text() + "\n")
        assert icount.build_plugin(changed / source.name, program) != first


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
    assert icount.read_counts(out).shape == (0, 1, 2)
    out.write_bytes(struct.pack("=QQQQ", 5, 6, 7, 8)[:-1])
    assert icount.read_counts(out).tolist() == [[[5, 6]]]
    assert icount.read_counts(out, n_parts=1).shape == (0, 2, 2)


# ---- the port on Cortex-M ----


@pytest.mark.slow
@needs_emulator
def test_timer_never_steps_back_over_its_wraps(elf):
    with running(TARGET, elf, "none") as board:
        ticks, steps_back = board.ask(b"m")
        assert ticks >= 3 << 24
        assert steps_back == 0


@needs_emulator
def test_memory_is_laid_out_and_initialised(elf):
    with running(TARGET, elf, "none") as board:
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
    command = build_command(TARGET, ["big.c"])
    with pytest.raises(ToolError, match=r"stack, data and arena do not fit in the RAM of mps2-an386"):
        process.run([*command, "-Wl,--no-gc-sections", "-o", "big.elf"], cwd=folder, timeout_s=60)


@needs_emulator
def test_stack_is_measured(elf):
    with running(TARGET, elf, "none") as board:
        _, size = board.ask(b"z")
        _, used = board.ask(b"u")
        assert size == TARGET.stack.bytes
        assert 0 < used < 1024


@needs_emulator
def test_a_fault_reports_itself_and_the_board_starts_anew(elf):
    with running(TARGET, elf, "none") as board:
        board.socket.sendall(b"f")
        text = board.read_fault()
        assert text.startswith(b"\0edgewright fault: exception=00000003 ")
        assert b"pc=" in text
        board.wake()
        assert board.ask(b"s")[1] == ResetCause.FAULT


@needs_emulator
def test_reset_keeps_the_line(elf):
    with running(TARGET, elf, "none") as board:
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
    with running(TARGET, elf, "none") as board:
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
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
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
