"""Memory regions of emulated boards: they are there, programs lie in them as the report says, and compute the same."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, need, need_tools
from firmware import build_firmware, running
from harness import compile_model, emitted, run_library
from integer_networks import integer_inputs, integer_network
from networks import SEED, constant, imported, make_model, value
from onnx import helper

import edgewright as ew
from edgewright.boards import Target, list_targets, load_target
from edgewright.drivers import process
from edgewright.errors import EdgewrightError
from edgewright.frontends.onnx import Model
from edgewright.ir import Array
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.plan import make_plan
from edgewright.resources import resource_dir

FAST = "mps3-an547"
TARGETS = [
    pytest.param(target, id=target.name, marks=() if target.name == FAST else pytest.mark.slow)
    for target in list_targets()
    if target.device == "emulator"
]
SAMPLES = np.load(DIGITS_TEST)["x"][:4]

# Says that its UART is on, as some drop or swallow what comes before. Then: reads a word at an address, writes one
# there unless it is 0, reads again, and answers both.
POKE = r"""
#include "ew_port.h"
static const uint32_t in_code[2] = {0xC0DE0001u, 0xC0DE0002u};
FLASH_WORDS
int main(void)
{
    ew_port_init();
    FLASH_READS
    ew_port_write((const uint8_t *)"ready", 5);
    for (;;) {
        uint32_t question[2], answer[2];
        for (size_t n = 0; n < sizeof question; ) {
            n += ew_port_read((uint8_t *)question + n, sizeof question - n);
        }
        uintptr_t address = question[0] == 0u ? (uintptr_t)in_code : (uintptr_t)question[0];
        volatile uint32_t *word = (volatile uint32_t *)address;
        answer[0] = *word;
        if (question[1] != 0u) {
            *word = question[1];
        }
        answer[1] = *word;
        ew_port_write((const uint8_t *)answer, sizeof answer);
    }
}
"""


@pytest.fixture(scope="module")
def digits() -> Model:
    """The digits network in int8."""
    calibration = REPOSITORY / "examples" / "digits" / "digits_calibration.npz"
    return ew.quantize(ew.load(DIGITS), np.load(calibration)["x"])


@pytest.mark.parametrize("target", TARGETS)
def test_every_region_is_memory(target: Target, tmp_path: Path) -> None:
    """RAM can be written and read at both ends; what the program has in a flash region is read there."""
    need_tools(target)
    others = target.flash_regions[1:]
    words = "".join(
        f'static const uint32_t in_{region.name}[1] __attribute__((section(".ew_weights.{region.name}"))) = '
        f"{{0xF1A50000u + {number}u}};\n"
        for number, region in enumerate(others)
    )
    reads = "".join(f"(void)*(const volatile uint32_t *)in_{region.name};" for region in others)
    source = POKE.replace("FLASH_WORDS", words).replace("FLASH_READS", reads)
    elf = build_firmware(target, tmp_path, arena_bytes=16, source=source)
    with running(target, elf, "plugin") as board:

        def poke(address: int, value: int = 0) -> tuple[int, int]:
            board.socket.sendall(struct.pack("<II", address, value))
            return struct.unpack("<II", board.read(8))

        assert board.read(5) == b"ready"
        assert poke(0)[0] == 0xC0DE0001
        for number, region in enumerate(others):
            assert poke(region.origin)[0] == 0xF1A50000 + number
            assert poke(region.end - 4)[0] == 0
        for number, region in enumerate(target.ram_regions):
            # the stack is at the bottom of the first, the middle of which is free
            first = region.origin + region.bytes // 2 if region is target.data_memory else region.origin
            for address in (first, region.end - 4):
                assert poke(address, 0xABCD0000 + number)[1] == 0xABCD0000 + number
        for number, region in enumerate(target.ram_regions):  # no region is another one's mirror
            assert poke(region.end - 4)[0] == 0xABCD0000 + number


def run(model: Model, target: str | Target, **settings: object) -> tuple[ew.Predictions, dict[str, Array]]:
    with ew.generate(model, target, **settings).build().flash() as board:
        predictions = board.predict(SAMPLES)
    return predictions, dict(predictions.outputs)


def assert_agrees(predictions: ew.Predictions) -> None:
    """Region by region, by objdump and nm: plan, report and program are the same to the byte."""
    report, firmware = predictions.report(), predictions.built.firmware
    assert report.fidelity.passed
    planned = {region.name: region for region in firmware.manifest.memory.regions}
    sections = [(int(size, 16), int(vma, 16), int(lma, 16), "CONTENTS" in flags)
                for size, vma, lma, flags in _objdump_sections(firmware.elf)]  # fmt: skip
    symbols = process.run(["arm-none-eabi-nm", "-S", firmware.elf], timeout_s=30).stdout
    arrays = [(int(address, 16), int(size, 16), name) for address, size, name in
              re.findall(r"^([0-9a-f]+) ([0-9a-f]+) \w (\S+)$", symbols, re.MULTILINE)]  # fmt: skip
    assert [region.name for region in report.build.regions] == [region.name for region in firmware.target.memory]
    for region, memory in zip(report.build.regions, firmware.target.memory, strict=True):
        here = range(memory.origin, memory.end)
        assert (region.kind, region.bytes) == (memory.kind, memory.bytes)
        assert region.used_bytes == sum(
            size for size, vma, lma, stored in sections if vma in here or (stored and lma in here)
        )
        assert region.arena_bytes == planned[region.name].arena_bytes
        assert region.arena_bytes == sum(
            s for a, s, name in arrays if a in here and re.fullmatch(r"arena(_\w+)?", name)
        )
        assert region.weights_bytes == planned[region.name].weights_bytes
        prefix = firmware.manifest.c_prefix
        assert region.weights_bytes == sum(
            s for a, s, name in arrays if a in here and re.fullmatch(rf"{prefix}_w\d+", name)
        )
    build = report.build
    assert build.arena_bytes == sum(region.arena_bytes for region in build.regions)
    assert build.weights_bytes == sum(region.weights_bytes for region in build.regions)
    assert build.ram_bytes == sum(region.used_bytes for region in build.regions if region.kind == "ram")
    assert build.flash_bytes == sum(region.used_bytes for region in build.regions if region.kind == "flash")


def _objdump_sections(elf: Path) -> list[tuple[str, str, str, str]]:
    text = process.run(["arm-none-eabi-objdump", "-h", elf], timeout_s=30).stdout
    found = re.findall(r"^ +\d+ \S+ +([0-9a-f]+) +([0-9a-f]+) +([0-9a-f]+) .*\n +(.*)$", text, re.MULTILINE)
    return [section for section in found if "ALLOC" in section[3]]


def used(predictions: ew.Predictions, kind: str) -> Mapping[str, int]:
    """Bytes of arenas ("arena") or weights by region, where there are any."""
    regions = predictions.built.firmware.sizes.regions
    return {r.name: getattr(r, f"{kind}_bytes") for r in regions if getattr(r, f"{kind}_bytes")}


@pytest.mark.slow
def test_placed_and_staged_on_a_board_of_many_regions(digits: Model) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    plain, wanted = run(digits, FAST)
    assert_agrees(plain)
    assert used(plain, "arena").keys() == {"DTCM"}
    assert used(plain, "weights").keys() == {"ITCM"}
    places = {"relu2_out": "DDR", "image_quantized": "ISRAM", "conv1": "SRAM", "conv2": "QSPI", "conv3.weights": "DTCM"}
    placed, outputs = run(digits, FAST, place=places)
    assert_agrees(placed)
    assert used(placed, "arena").keys() == {"DTCM", "ISRAM", "DDR"}
    assert used(placed, "weights").keys() == {"ITCM", "SRAM", "QSPI", "DTCM"}
    np.testing.assert_array_equal(outputs["probabilities"], wanted["probabilities"])
    in_qspi = dict.fromkeys(("conv1", "conv2", "conv3", "dense.1.1"), "QSPI")
    staged, outputs = run(digits, FAST, place=in_qspi, stage_weights="ISRAM")
    assert_agrees(staged)
    assert used(staged, "arena").keys() == {"DTCM", "ISRAM"}
    np.testing.assert_array_equal(outputs["probabilities"], wanted["probabilities"])
    model_c = (placed.built.firmware.folder / "model.c").read_text()
    assert "ew_fetch" not in model_c
    model_c = (staged.built.firmware.folder / "model.c").read_text()
    assert model_c.partition("_step_in(")[0].count("ew_fetch_begin") == 4


def small(tmp_path: Path, dtcm_bytes: int) -> str:
    """The board with less DTCM."""
    folder = tmp_path / "small"
    folder.mkdir()
    shutil.copy(resource_dir("targets") / FAST / "target.toml", folder)
    text = (folder / "target.toml").read_text().replace(f'name = "{FAST}"', 'name = "small"')
    first, found, rest = text.partition('name = "DTCM"')
    assert found
    text = first + found + rest.replace("bytes = 0x0008_0000", f"bytes = {dtcm_bytes}", 1)
    (folder / "target.toml").write_text(text)
    return str(folder)


@pytest.mark.slow
def test_an_arena_that_does_not_fit_spreads_over_regions(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    spread, outputs = run(ew.load(DIGITS), small(tmp_path, 8192 + 8192 + 296 + 3500), io="arena")
    assert_agrees(spread)
    assert used(spread, "arena").keys() == {"DTCM", "ISRAM"}
    assert used(spread, "arena")["DTCM"] <= 3500
    _, wanted = run(ew.load(DIGITS), FAST)
    np.testing.assert_array_equal(outputs["probabilities"], wanted["probabilities"])


def test_what_cannot_be_placed_is_refused(digits: Model) -> None:
    def refusal(target: str, **settings: object) -> str:
        with pytest.raises(EdgewrightError) as caught:
            ew.generate(digits, target, **settings)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    there = "it has ITCM, DTCM, ISRAM, SRAM, DDR, QSPI"
    assert f"'{FAST}' has no region 'dtcm'; {there}" in refusal(FAST, place={"conv1": "dtcm"})
    assert f"'{FAST}' has no region 'AXI'; {there}" in refusal(FAST, stage_weights="AXI")
    assert "that is flash; there is RAM in DTCM, ISRAM, SRAM, DDR" in refusal(FAST, stage_weights="QSPI")
    assert "'host' has no region 'DTCM'; it has none" in refusal("host", place={"conv1": "DTCM"})
    assert "no tensor or constant of that name; there are 'conv1'" in refusal(FAST, place={"conv11": "DDR"})
    assert "flash, and a tensor needs RAM" in refusal(FAST, place={"relu1_out": "QSPI"})
    assert "--io arena" in refusal(FAST, place={"image": "DDR"})


@pytest.mark.slow
def test_weights_that_the_code_flash_does_not_hold_go_to_the_next(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    rng = np.random.default_rng(SEED)
    weights = [constant(f"w{i}", rng.standard_normal((200, 200)).astype(np.float32)) for i in range(4)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"dense{i}") for i in range(4)]
    onnx.save(make_model(nodes, [value("x0", [1, 200])], ["x4"], weights), tmp_path / "wide.onnx")
    with ew.generate(ew.load(tmp_path / "wide.onnx"), FAST).build().flash() as board:
        predictions = board.predict(rng.standard_normal((2, 200)).astype(np.float32))
    assert_agrees(predictions)
    assert used(predictions, "weights") == {"ITCM": 3 * 160_000, "QSPI": 160_000}
    large = ew.load(tmp_path / "wide.onnx")
    with pytest.raises(EdgewrightError, match="the weights need 640,000 B of flash; 'microbit' has 262,144 B"):
        ew.generate(large, "microbit")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_random_networks_anywhere(seed: int) -> None:
    """Tensors and constants in random regions, weights staged somewhere: the same bits, and sizes to the byte."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    rng = np.random.default_rng(seed)
    board = ("mps2-an505", FAST)[seed % 2]
    model = imported(integer_network(seed))
    inputs = integer_inputs(model, 2, seed)
    target = load_target(board)
    plan = make_plan(run_passes(model.graph), Core(frozenset(target.features)))
    ram = [region.name for region in target.ram_regions if region.bytes > 65536]
    anywhere = [region.name for region in target.memory if region.bytes > 65536]
    roots: dict[str, str] = {}
    places = {}
    for name, place in sorted(plan.storage.items()):
        if place.root in plan.regions and rng.random() < 0.5:
            places[name] = roots.setdefault(place.root, str(rng.choice(ram)))
    taken: set[str] = set()
    for step in plan.steps:
        keys = {constant.key for constant in plan.constants if step.index in constant.steps}
        if keys and not keys & taken and step.node.name not in plan.storage and rng.random() < 0.7:
            places[step.node.name] = str(rng.choice(anywhere))
            taken |= keys
    results = []
    wishes = {"place": places, "stage_weights": str(rng.choice(ram)), "io": ("caller", "arena")[seed // 2 % 2]}
    for settings in ({}, wishes):
        with ew.generate(model, board, **settings).build().flash() as device:
            predictions = device.predict({name: values[:, 0] for name, values in inputs.items()})
        assert_agrees(predictions)
        results.append(predictions.outputs)
    for name, values in results[0].items():
        np.testing.assert_array_equal(values, results[1][name])


FETCH = r"""
#include "ew_fetch.h"
#include <string.h>
/* A DMA controller at its slowest: until it is waited for, there is noise where the weights are to be. */
static struct { void *dst; const void *src; size_t n_bytes; } queue[16];
static size_t waiting;
void ew_fetch_begin(void *dst, const void *src, size_t n_bytes)
{
    memset(dst, 0xA5, n_bytes);
    queue[waiting].dst = dst;
    queue[waiting].src = src;
    queue[waiting++].n_bytes = n_bytes;
}
void ew_fetch_end(void)
{
    while (waiting > 0) {
        waiting--;
        memcpy(queue[waiting].dst, queue[waiting].src, queue[waiting].n_bytes);
    }
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("bands", [False, True], ids=["whole", "bands"])
def test_weights_may_come_late_or_early(tmp_path: Path, bands: bool) -> None:
    """The portable kernels on the host, for a board's plan: a copy at once, or as late as can be, gives the same."""
    need("gcc")
    model = ew.load(DIGITS)
    settings = {"ram_limit": 5500} if bands else {}
    places = dict.fromkeys(("conv1", "conv2", "conv3", "dense.1"), "PSRAM")
    tree = ew.generate(model, "mps2-an385", place=places, stage_weights="ZBT_SRAM23", **settings).tree
    inputs = {"image": SAMPLES.reshape(-1, 1, 1, 8, 8)}
    early = run_library(tree, compile_model(tree, tmp_path / "early"), inputs)
    assert b"ew_fetch_begin" in tree.files["model.c"]
    assert (b"times */" in tree.files["model.c"]) == bands
    late = replace(tree, files={**tree.files, "model.c": tree.files["model.c"] + FETCH.encode()})
    library = compile_model(late, tmp_path / "late", ("-O1", "-DEW_FETCH_CUSTOM"))
    np.testing.assert_array_equal(run_library(late, library, inputs)[0], early[0])
    plain = emitted(model, "mps2-an385")
    wanted = run_library(plain, compile_model(plain, tmp_path / "plain"), inputs)
    np.testing.assert_allclose(early[0], wanted[0], atol=1e-6)


def test_one_region_is_as_if_there_were_no_regions() -> None:
    """What does not fit a board's only RAM is refused with the numbers; flash and RAM rows say no more than before."""
    target = load_target("microbit")
    tree = ew.generate(ew.load(DIGITS), target).tree
    assert b"void *memory, const float *image" in tree.files["model.h"]
    assert [region.arena_bytes for region in tree.manifest.memory.regions] == [0, tree.manifest.memory.arena_bytes]
