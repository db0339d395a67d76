"""Emulated boards that crash, overflow their stack and hang: reported with the step, reset, and the run goes on."""

import socket
import threading
import time

import numpy as np
import pytest
from conftest import need
from crashing import ALWAYS, DAMAGE, HANG, ONCE, OVERFLOW, UNDEFINED, build_failing, expected, samples
from firmware import build_firmware, running

from edgewright.board_resets import ResetCause
from edgewright.boards import list_targets, load_target
from edgewright.drivers.device import open_device
from edgewright.errors import DeviceError, TargetError
from edgewright.report.record import _link_record
from edgewright.watchdogs import watched

EMULATED = [target for target in list_targets() if target.device == "emulator"]
FAST = ("mps2-an386", "mps2-an505", "microbit", "qemu-riscv32")  # an MPU, a stack limit, neither, a PMP


def boards(fast, which=lambda target: True):
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(t.name, marks=marks[t.name in fast]) for t in EMULATED if which(t)]


def build(tmp_path, name, code, **choices):
    need("cc", *(tool.name for tool in load_target(name).tool))
    return build_failing(tmp_path, name, code, **choices).firmware


def check(firmware, caplog, cause, words, failures=3):
    """A failure costs a reset and nothing else; one that comes again and again ends the run."""
    step = firmware.manifest.steps[1]
    where = f"in step 1, {step.op} '{step.name}' ({step.function})"
    with caplog.at_level("WARNING"), open_device(firmware) as device:
        x = samples(100, {70: ONCE})
        run = device.predict(x, batch_size=20)
        np.testing.assert_array_equal(next(iter(run.outputs.values())).reshape(100, 4), expected(x).reshape(100, 4))
        assert [(reset.batch, reset.cause) for reset in run.resets] == [(3, cause)]
        assert f"the board was reset {cause.words} in batch 4, and the run goes on from there: " in caplog.text
        assert f"the device crashed: {words}" in caplog.text
        assert where in caplog.text
        assert [r.model_dump() for r in _link_record(run).resets] == [{"batch": 3, "cause": cause.name.lower()}]
        twice = device.predict(x[:40], batch_size=20)  # each count still belongs to its inference
        np.testing.assert_array_equal(twice.instructions, run.instructions[:40])
        with pytest.raises(DeviceError) as caught:
            device.predict(samples(60, {30: ALWAYS}), batch_size=20)
    assert words in str(caught.value)
    assert where in str(caught.value)
    assert str(caught.value).endswith(f"; {failures} times, at samples 20 to 39")


@pytest.mark.parametrize("name", boards(("mps2-an386",)))
def test_a_fault(tmp_path, name, caplog):
    firmware = build(tmp_path, name, UNDEFINED)
    check(firmware, caplog, ResetCause.FAULT, "illegal instruction" if "riscv" in name else "HardFault")
    assert "pc=0x" in caplog.text


@pytest.mark.parametrize("name", boards(FAST))
def test_a_stack_overflow(tmp_path, name, caplog):
    check(build(tmp_path, name, OVERFLOW), caplog, ResetCause.STACK_OVERFLOW, "stack overflow")
    assert "recurse" in caplog.text


@pytest.mark.parametrize("name", boards(()))
def test_a_stack_overflow_that_nothing_stopped_is_found_after_the_sample(tmp_path, name):
    firmware = build(tmp_path, name, DAMAGE)
    with open_device(firmware) as device:
        run = device.predict(samples(20, {3: ONCE}))
    assert [reset.cause for reset in run.resets] == [ResetCause.STACK_OVERFLOW]


@pytest.mark.parametrize("name", boards(("mps2-an386",), lambda t: t.watchdog and "cmsdk" in t.watchdog.source))
def test_a_watchdog(tmp_path, name, caplog):
    """It is fed between samples and while the host says nothing; an inference that hangs is not."""
    firmware = build(tmp_path, name, HANG, watchdog=0.3)
    with open_device(firmware) as device:
        time.sleep(0.8)
        assert device.predict(samples(3)).resets == ()
    check(firmware, caplog, ResetCause.WATCHDOG, "the watchdog ran out")


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


@pytest.mark.parametrize("name", boards(FAST))
def test_a_board_without_a_host_stops_at_the_third_fault(tmp_path, name):
    target = load_target(name)
    need("cc", *(tool.name for tool in target.tool))
    elf = build_firmware(target, tmp_path, arena_bytes=4096)
    with running(target, elf, "none") as board:
        board.wake()
        assert board.ask(b"s")[1] in (ResetCause.UNKNOWN, ResetCause.POWER_ON)
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


def test_a_reset_of_its_own_is_one_by_software(tmp_path):
    target = load_target("mps2-an386")
    need("cc", *(tool.name for tool in target.tool))
    elf = build_firmware(target, tmp_path, arena_bytes=4096)
    with running(target, elf, "none") as board:
        board.wake()
        board.socket.sendall(b"r")
        board.wake()
        assert board.ask(b"s")[1] == ResetCause.SOFTWARE


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
        answer[1] = (uint32_t)ew_port_reset_cause();
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
    text = (shared.folder / "target.toml").read_text().replace('"mps2-an386"', '"mine"')
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


def reset_machine(monitor, stop, counts):
    """Reset the emulated machine now and then, through its monitor, as a button does."""
    chosen = np.random.default_rng(7)
    while not stop.wait(float(chosen.uniform(0.2, 0.5))):
        monitor.sendall(b"system_reset\n")
        counts.append(1)


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
def test_resets_from_outside_in_mid_run(tmp_path, overlap):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    firmware = build(tmp_path, "mps2-an386", "")
    target = firmware.target
    monitor = f"tcp:127.0.0.1:{port},server=on,wait=off"
    argv = tuple(monitor if before == "-monitor" else word for before, word in zip(("", *target.emulator.argv), target.emulator.argv, strict=False))
    changed = target.model_copy(update={"emulator": target.emulator.model_copy(update={"argv": argv})})
    changed._folder = target.folder
    object.__setattr__(firmware, "target", changed)
    x = samples(40_000)
    counts, stop = [], threading.Event()
    with open_device(firmware, overlap=overlap) as device, socket.create_connection(("127.0.0.1", port)) as line:
        helper = threading.Thread(target=reset_machine, args=(line, stop, counts))
        helper.start()
        try:
            run = device.predict(x, batch_size=500)
        finally:
            stop.set()
            helper.join()
    np.testing.assert_array_equal(next(iter(run.outputs.values())).reshape(-1, 4), expected(x).reshape(-1, 4))
    assert counts
    assert len(run.resets) > 0
    assert {reset.cause for reset in run.resets} == {ResetCause.UNKNOWN}
