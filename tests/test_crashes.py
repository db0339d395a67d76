"""Emulated boards that crash, overflow their stack and hang: reported with the step, reset, and the run goes on."""

import random
import socket
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import REPOSITORY, need
from crashing import DAMAGE, FAULT, HANG, ONCE, OVERFLOW, build_failing, expected, samples
from firmware import build_firmware, running

from edgewright.boards import list_targets, load_target
from edgewright.boards.resets import ResetCause
from edgewright.drivers.device import open_device
from edgewright.errors import DeviceError, TargetError
from edgewright.report.record import _link_record
from edgewright.watchdogs import watched

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from board_faults import soak

EMULATED = [target for target in list_targets() if target.device == "emulator"]
FAST = "mps2-an386"
# One of each kind of core. Of Armv6-M that is not the RP2040: at an overflow it locks up (test_rp2040.py).
KINDS = {target.isa: target.name for target in reversed(EMULATED) if target.name != "rpi-pico"}.values()
PERIOD_S = 0.4
SEED = 20261122


def on(*names):
    """Run a test with the firmware of these boards, of which one alone is fast."""
    boards = [pytest.param(name, marks=() if name == FAST else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("firmware", boards, indirect=True)


@pytest.fixture(scope="module")
def firmware(request, tmp_path_factory):
    """One firmware a board that can fail in all ways; with a watchdog where the emulator models the board's."""
    target = load_target(request.param)
    need("cc", *(tool.name for tool in target.tool))
    folder = tmp_path_factory.mktemp(target.name)
    return build_failing(folder, target.name, watchdog=PERIOD_S if has_watchdog(target) else None).firmware


def has_watchdog(target):
    return target.watchdog is not None and "cmsdk" in target.watchdog.source


def check(firmware, caplog, failure, cause, words):
    """A failure costs a reset and nothing else; one that comes again and again ends the run."""
    step = firmware.manifest.steps[1]
    where = f"in step 1, {step.op} '{step.name}' ({step.function})"
    with caplog.at_level("WARNING"), open_device(firmware) as device:
        x = samples(100, {70: failure + ONCE})
        run = device.predict(x, batch_size=20)
        np.testing.assert_array_equal(next(iter(run.outputs.values())).reshape(100, 4), expected(x).reshape(100, 4))
        assert [(reset.batch, reset.cause) for reset in run.resets] == [(3, cause)]
        assert f"the board was reset {cause.words} in batch 4, and the run goes on from there: " in caplog.text
        assert f"the device crashed: {words}" in caplog.text
        assert [r.model_dump() for r in _link_record(run).resets] == [{"batch": 3, "cause": cause.name.lower()}]
        again = device.predict(x[:40], batch_size=20)  # each count still belongs to its inference
        np.testing.assert_array_equal(again.instructions, run.instructions[:40])
        with pytest.raises(DeviceError) as caught:
            device.predict(samples(60, {30: failure}), batch_size=20)
    assert words in str(caught.value)
    if failure != DAMAGE:
        assert where in caplog.text
        assert where in str(caught.value)
    assert str(caught.value).endswith("; 3 times, at samples 20 to 39")


@on(FAST, "qemu-riscv32", "raspi0")
def test_a_fault(firmware, caplog):
    words = {"a": "HardFault", "r": "illegal instruction"}[firmware.target.isa[0]]
    if "-marm" in firmware.target.toolchain.cpu_flags:
        words = "undefined instruction"
    check(firmware, caplog, FAULT, ResetCause.FAULT, words)
    assert "pc=0x" in caplog.text


@on(*KINDS)
def test_a_stack_overflow(firmware, caplog):
    check(firmware, caplog, OVERFLOW, ResetCause.STACK_OVERFLOW, "stack overflow")
    assert "calls recurse < " in caplog.text


@on(FAST)
def test_a_stack_overflow_that_nothing_stopped_is_found_after_the_sample(firmware, caplog):
    check(firmware, caplog, DAMAGE, ResetCause.STACK_OVERFLOW, "stack overflow")


@pytest.mark.slow
@on(FAST, "lm3s6965evb")
def test_an_inference_that_hangs(firmware, caplog):
    """The watchdog is fed between samples, and while the host says nothing. It warns by the NMI, and by a line."""
    with open_device(firmware) as device:
        time.sleep(2 * PERIOD_S)
        assert device.predict(samples(3)).resets == ()
    check(firmware, caplog, HANG, ResetCause.WATCHDOG, "the watchdog ran out")


def test_a_watchdog_that_a_board_cannot_have():
    with pytest.raises(TargetError, match=r"--watchdog 2: 'qemu-riscv32' has no \[watchdog\]"):
        watched(load_target("qemu-riscv32"), 2)
    for seconds in (0.0001, 200):
        with pytest.raises(TargetError, match=rf"--watchdog {seconds:g}: on 'mps2-an386' it can wait 0.001 to 171 s"):
            watched(load_target("mps2-an386"), seconds)
    target = load_target("nucleo-f401re")
    assert watched(target, None) is target
    changed = watched(target, 1.5)
    assert changed.defines["EW_WATCHDOG_MS"] == "1500u"
    assert changed.file[-1].out_name == "ew_watchdog_stm32.c"
    assert changed.resolve(changed.file[-1].source).is_file()


@pytest.mark.parametrize("name", [FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in ("qemu-riscv32", "raspi2"))])
def test_a_board_without_a_host_stops_at_the_third_fault(tmp_path, name):
    target = load_target(name)
    need("cc", *(tool.name for tool in target.tool))
    elf = build_firmware(target, tmp_path, arena_bytes=4096)
    with running(target, elf, "none") as board:
        board.wake()
        board.socket.sendall(b"r")
        board.wake()
        assert board.ask(b"s")[1] == ResetCause.SOFTWARE
        for faults in range(4):  # the first with a session behind it, then three in a row
            board.socket.sendall(b"f")
            board.read_fault()
            if faults < 3:
                board.wake()
            if faults == 0:
                assert board.ask(b"s")[1] == ResetCause.FAULT
        board.socket.settimeout(0.7)
        board.socket.sendall(b"??")
        with pytest.raises(TimeoutError):
            board.socket.recv(1)


@pytest.mark.slow
def test_what_is_disturbed_at_random_is_right():
    counts, wrong = soak(1, SEED, ("mps2-an386",))
    assert wrong == []
    assert counts["runs"] == 1


@pytest.mark.slow
def test_a_fault_of_the_mlperf_front(tmp_path):
    need("cc", *(tool.name for tool in load_target("mps2-an386").tool))
    firmware = build_failing(tmp_path, "mps2-an386", front="mlperf").firmware
    with open_device(firmware) as device:
        x = samples(3)
        for _ in range(4):
            with pytest.raises(DeviceError, match=r"the device crashed: HardFault in step 1, FullyConnected 'second'"):
                device.predict(samples(3, {1: FAULT}))
            np.testing.assert_array_equal(
                next(iter(device.predict(x).outputs.values())).reshape(3, 4), expected(x)[:, 0]
            )


@pytest.mark.slow
def test_a_guard_that_takes_some_of_the_ram(tmp_path, caplog):
    """Where writable memory lies below the stack, and nothing else would stop it."""
    shared = load_target("mps2-an386")
    need("cc", *(tool.name for tool in shared.tool))
    text = (shared.folder / "target.toml").read_text().replace('"mps2-an386"', '"mine"', 1)
    low = '[[memory]]\nname = "LOW"\nkind = "ram"\norigin = 0x2000_0000\nbytes = 0x0001_0000\nwait = 9\n\n[stack]'
    text = text.replace("origin = 0x2000_0000\nbytes = 0x0040_0000", "origin = 0x2001_0000\nbytes = 0x003F_0000")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "target.toml").write_text(text.replace("[stack]", low, 1))
    target = load_target(folder)
    assert target.stack_guard.bytes_in_ram == 256
    firmware = build_failing(tmp_path, target).firmware
    check(firmware, caplog, OVERFLOW, ResetCause.STACK_OVERFLOW, "stack overflow")
    assert "mmfar=0x200100" in caplog.text


REGISTER = """
[reset_cause]
what = "a word of RAM that plays the register"
address = 0x0100_0000
clear = 0x0000_0100
without_flag = "power-on"
flags = [{ cause = "watchdog", mask = 0x03 }, { cause = "pin", mask = 0x0C }, { cause = "lockup", mask = 0x10 }]

"""
WRITES = r"""
#include "ew_cortex_m.h"
#include "ew_port.h"
#define PLAYED EW_REG32(0x01000000u)
int main(void)
{
    uint32_t answer[2] = {0, 0};
    uint8_t command = 0;
    ew_port_init();
    for (;;) {
        (void)ew_port_read(&command, 1);
        answer[0] = PLAYED;
        answer[1] = command == '=' ? 0x600DF00Du : (uint32_t)ew_port_reset_cause();
        if (command == 'r') {
            ew_port_reset();
        }
        if (command < 0x20u) { /* flags, and a reset from outside */
            PLAYED = command;
            EW_SCB_AIRCR = EW_SCB_AIRCR_SYSRESETREQ;
            for (;;) {
            }
        }
        ew_port_write((const uint8_t *)answer, sizeof answer);
    }
}
"""


def test_the_flags_of_a_register(tmp_path):
    shared = load_target("mps2-an386")
    need("cc", *(tool.name for tool in shared.tool))
    text = (shared.folder / "target.toml").read_text().replace('"mps2-an386"', '"mine"', 1)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "target.toml").write_text(text.replace("[[file]]", REGISTER + "[[file]]", 1))
    target = load_target(folder)
    project = tmp_path / "project"
    project.mkdir()
    elf = build_firmware(target, project, arena_bytes=4096, source=WRITES)
    wanted = {
        1: ResetCause.WATCHDOG, 2: ResetCause.WATCHDOG, 4: ResetCause.PIN, 6: ResetCause.WATCHDOG, 0x1C: ResetCause.PIN,
        0x10: ResetCause.LOCKUP, 0: ResetCause.POWER_ON,
    }  # fmt: skip
    with running(target, elf, "none") as board:
        board.wake()
        for flags, cause in wanted.items():
            board.socket.sendall(bytes([flags]))
            board.wake()
            assert board.ask(b"?") == (flags | 0x100, cause)
        board.socket.sendall(b"r")
        board.wake()
        assert board.ask(b"?")[1] == ResetCause.SOFTWARE


@pytest.mark.slow
@pytest.mark.parametrize(("firmware", "overlap"), [(FAST, True), ("qemu-riscv32", False)], indirect=["firmware"])
def test_resets_from_outside_in_mid_run(firmware, overlap):
    """As by a button: the machine is reset through its monitor, at any time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = random.Random(SEED)  # noqa: S311
    emulator = firmware.target.emulator
    argv = list(emulator.argv)
    argv[argv.index("-monitor") + 1] = f"tcp:127.0.0.1:{port},server=on,wait=off"
    target = firmware.target.model_copy(update={"emulator": emulator.model_copy(update={"argv": tuple(argv)})})
    target._folder = firmware.target.folder
    x = samples(3000)
    resets_at = sorted(chosen.sample(range(100, 3000), 3))

    def on_progress(done):
        if resets_at and done >= resets_at[0]:
            del resets_at[0]
            time.sleep(chosen.uniform(0, 0.02))
            monitor.sendall(b"system_reset\n")

    with (
        open_device(replace(firmware, target=target), overlap=overlap) as device,
        socket.create_connection(("127.0.0.1", port)) as monitor,
    ):
        run = device.predict(x, 200, on_progress)
    np.testing.assert_array_equal(next(iter(run.outputs.values())).reshape(-1, 4), expected(x).reshape(-1, 4))
    assert not resets_at
    assert 1 <= len(run.resets) <= 3, SEED
    assert len(run.instructions) == 3000
