"""Modelled cycles of single instructions, by hand from the manuals' tables; and an inference split by its steps."""

import re
import typing

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, need, need_tools
from firmware import build_firmware, running

import edgewright as ew
from edgewright.boards import Counting, list_targets, load_target
from edgewright.drivers.device import open_device
from edgewright.errors import TargetError, ToolError
from edgewright.profile import step_parts

TARGETS = {t.emulator.counting.cycle_model: t for t in reversed(list_targets()) if t.emulator and t.emulator.counting}
MODELS = typing.get_args(typing.get_args(Counting.model_fields["cycle_model"].annotation)[0])

# (code, cycles) by model. r0 is 0; sp points to a word that may be read and written.
COMMON = {
    "adds r0, #1; adds r0, #1": 2,
    "nop": 1,
    "b 1f; nop; 1:": 3,
    "cmp r0, r0; bne 1f; nop; 1:": 3,
    "muls r0, r0, r0": 1,
}
PIPELINED = {
    "ldr r1, [sp]": 2,
    "ldr r1, [sp]; adds r0, #1": 3,
    "ldr r1, [sp]; ldr r2, [sp]; adds r0, #1": 4,
    "ldr r1, [sp]; b 1f; nop; 1: ldr r1, [sp]": 7,
    "ldr r1, [sp]; str r1, [sp]": 2,
    "mov r2, sp; ldrd r0, r1, [r2]": 4,
    "push {r0-r3}; pop {r0-r3}": 10,
    "cmp r0, r0; ite eq; moveq r1, #1; movne r1, #2": 4,
    "movs r1, #1; udiv r0, r0, r1": 7,
    "movs r0, #0; tbb [pc, r0]; .byte 2, 0; nop; nop; nop": 6,  # over one of the three
}
SNIPPETS = {
    "cortex-m0": COMMON | {"ldr r1, [sp]; ldr r2, [sp]": 4, "str r0, [sp]": 2, "push {r0-r3}; pop {r0-r3}": 10},
    "cortex-m3": COMMON | PIPELINED | {"mla r1, r0, r0, r0": 2, "umull r1, r2, r0, r0": 4, "smull r1, r2, r0, r0": 4},
    "cortex-m4": COMMON | PIPELINED | {
        "mla r1, r0, r0, r0": 1, "umull r1, r2, r0, r0": 1, "smlad r1, r0, r0, r0": 1,
        "vmov s0, r0": 1, "vmov r0, s0": 1, "vmov d0, r0, r1": 2, "vmrs r1, fpscr": 1,
        "vadd.f32 s1, s0, s0; vmul.f32 s1, s0, s0": 2, "vcvt.s32.f32 s1, s0; vneg.f32 s1, s0": 2,
        "vmla.f32 s2, s0, s0": 3, "vfma.f32 s2, s0, s0": 3, "vfnms.f32 s2, s0, s0": 3, "vnmls.f32 s2, s0, s0": 3,
        "vdiv.f32 s2, s0, s0": 14, "vsqrt.f32 s2, s0": 14,
        "vldr s1, [sp]": 2, "vldr s1, [sp]; vldr s2, [sp]": 4, "vldr s1, [sp]; ldr r1, [sp]": 3, "vstr s0, [sp]": 1,
        "vpush {s0-s3}; vpop {s0-s3}": 9,
    },
    "cortex-m55": COMMON | {
        "b 1f; nop; 1:": 2,
        "ldr r1, [sp]; adds r0, #1": 2, "push {r0-r3}; pop {r0-r3}": 4,
        "movs r1, #10; dls lr, r1; 1: adds r0, #1; le lr, 1b": 13,
        "vmov.i32 q0, #0; vadd.i32 q1, q0, q0": 4,
        "vstrw.32 q0, [sp]; vadd.i32 q1, q0, q0; vmul.i32 q1, q0, q0": 5,
        "vldrw.u32 q0, [sp]; vldrw.u32 q1, [sp]": 4,
        "vmlava.s8 r0, q0, q0; vldrb.s8 q1, [sp]; vmul.f32 q2, q0, q0": 4,
        "vmla.f32 s2, s0, s0": 1,
    },
}  # fmt: skip

MAIN = """
#include "ew_port.h"
%(functions)s
static void (*const snippets[])(void) = {%(names)s};
int main(void)
{
    uint8_t command = 255; /* boards drop what comes before they are ready, and say when they are */
    ew_port_init();
    ew_port_write(&command, 1);
    for (;;) {
        (void)ew_port_read(&command, 1);
        snippets[command]();
        ew_port_write(&command, 1);
    }
}
"""
FUNCTION = """
static __attribute__((naked)) void snippet_%d(void)
{
    __asm__ volatile(".syntax unified\\n push {r4, lr}\\n sub sp, #64\\n movs r0, #0\\n"
                     ".short 0xbf50\\n %s\\n .short 0xbf60\\n"
                     "add sp, #64\\n pop {r4, pc}");
}
"""


def program(snippets):
    code = [code.replace("; ", "\\n ") for code in snippets]
    functions = "".join(FUNCTION % (index, text) for index, text in enumerate(code))
    return MAIN % {"functions": functions, "names": ", ".join(f"snippet_{index}" for index in range(len(code)))}


@pytest.mark.parametrize("model", MODELS)
def test_cycles_of_instructions(model, tmp_path):
    target = TARGETS[model]
    need_tools(target, "cc")
    snippets = SNIPPETS[model]
    elf = build_firmware(target, tmp_path, source=program(snippets))
    with running(target, elf, "plugin") as board:
        assert board.read(1) == bytes([255])
        for index in range(len(snippets)):
            board.socket.sendall(bytes([index]))
            assert board.read(1) == bytes([index])
        cycles = board.emulator.read_counts()[:, 0, 1].tolist()
    assert dict(zip(snippets, cycles, strict=True)) == snippets


def test_every_model_has_its_rules():
    source = TARGETS["cortex-m4"].resolve(TARGETS["cortex-m4"].emulator.counting.plugin)
    names = re.findall(r'^    \{"([a-z0-9-]+)",', (source.parent / "ew_cycles.h").read_text(), re.MULTILINE)
    assert tuple(names) == MODELS
    assert set(SNIPPETS) == set(MODELS)


# ---- an inference by its steps ----


@pytest.fixture(scope="module")
def built():
    need("cc", "arm-none-eabi-gcc", "qemu-system-arm")
    return ew.generate(ew.load(DIGITS), "mps2-an386").build()


def test_profile_splits_the_whole(built):
    """The parts add up to what is counted without them, to the last instruction."""
    data = np.load(DIGITS_TEST)
    with built.flash() as board:
        plain = board.predict(data["x"][:5]).run
    with built.flash(profile=True) as board:
        result = board.predict(data["x"][:5])
    run = result.run
    assert plain.parts is None
    np.testing.assert_array_equal(run.instructions, plain.instructions)
    np.testing.assert_array_equal(run.cycles, plain.cycles)
    np.testing.assert_array_equal(run.parts[:, :, 0].sum(axis=1), run.instructions)
    np.testing.assert_array_equal(run.parts[:, :, 1].sum(axis=1), run.cycles)
    report = result.report()
    *steps, rest = report.profile
    assert [step.step for step in steps] == list(range(7))
    assert [step.op for step in steps] == ["Conv", "Conv", "MaxPool", "Conv", "MaxPool", "FullyConnected", "Softmax"]
    assert sum(step.macs for step in steps) == report.model.macs
    assert all(step.instructions > step.macs for step in steps)
    assert steps[1].moved_bytes == 4 * (8 * 8 * 12 + 8 * 8 * 16 + 16 * 9 * 12 + 16)
    assert steps[6].instructions > 100, "what a step calls counts to it: expf"
    assert rest.step is None
    assert rest.instructions < 100
    assert abs(sum(record.share for record in report.profile) - 1) < 1e-9
    assert report.run.cycles_source == "model"
    assert report.run.cycle_model == "cortex-m4"


@pytest.mark.slow
def test_profile_where_nothing_is_counted(built):
    with pytest.raises(TargetError, match="cannot run single steps"):
        ew.generate(ew.load(DIGITS), "host", trace=False).build().flash(profile=True)
    with pytest.raises(TargetError, match="leave out --port"):
        step_parts(built.firmware, "socket://127.0.0.1:1")


def test_profile_never_falls_back(built, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("edgewright.drivers.icount._COMPILER", "no-such-cc")
    with pytest.raises(ToolError, match="cannot be counted by plugin"):
        open_device(built.firmware, parts=step_parts(built.firmware))


@pytest.mark.slow
def test_a_core_without_a_model_has_no_cycles(built):
    need("cc", "arm-none-eabi-gcc", "qemu-system-arm")
    assert load_target("mps2-an500").emulator.counting.cycle_model is None
    with ew.generate(ew.load(DIGITS), "mps2-an500").build().flash(profile=True) as board:
        report = board.predict(np.load(DIGITS_TEST)["x"][:2]).report()
    assert report.run.cycles_per_inference is None
    assert report.run.cycles_source is None
    assert {record.cycles for record in report.profile} == {None}
    assert abs(sum(record.share for record in report.profile) - 1) < 1e-9
