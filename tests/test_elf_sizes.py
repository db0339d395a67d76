"""What the report says of memory and what the linked program has, to the byte, on every emulated board."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, need_tools
from elftools.elf.elffile import ELFFile
from networks import SEED, imported, random_inputs, random_network

import edgewright as ew
from edgewright.boards import Target, list_targets
from edgewright.frontends.onnx import Model
from edgewright.ir import Array

CALIBRATION = REPOSITORY / "examples" / "digits" / "digits_calibration.npz"
FAST = "mps2-an386"
TARGETS = [
    pytest.param(target, id=target.name, marks=() if target.name == FAST else pytest.mark.slow)
    for target in {board.isa: board for board in reversed(list_targets()) if board.device == "emulator"}.values()
]
SHF_WRITE, SHF_ALLOC = 1, 2


def digits_int8() -> tuple[Model, dict[str, Array]]:
    model = ew.quantize(ew.load(DIGITS), np.load(CALIBRATION)["x"])
    return model, {"image": np.load(DIGITS_TEST)["x"][:4]}


def small_float() -> tuple[Model, dict[str, Array]]:
    model = imported(random_network(SEED))
    return model, {name: values[:, 0] for name, values in random_inputs(model, samples=4).items()}


def read_elf(path: Path) -> tuple[list[tuple[str, int, int, bool]], dict[str, tuple[int, int]]]:
    """Sections that are loaded or reserved (name, address, bytes, whether stored), and symbols (address, bytes)."""
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        sections = [
            (section.name, section["sh_addr"], section["sh_size"], section["sh_type"] != "SHT_NOBITS")
            for section in elf.iter_sections()
            if section["sh_flags"] & SHF_ALLOC
        ]
        table = elf.get_section_by_name(".symtab")
        symbols = {symbol.name: (symbol["st_value"], symbol["st_size"]) for symbol in table.iter_symbols()}
    return sections, symbols


@pytest.mark.slow
@pytest.mark.parametrize(("network", "target"), [
    *(pytest.param(digits_int8, *param.values, id=param.id, marks=param.marks) for param in TARGETS),
    *(pytest.param(small_float, *param.values, id=f"float-{param.id}", marks=param.marks) for param in TARGETS[1::3]),
])  # fmt: skip
def test_the_report_is_the_elf_to_the_byte(target: Target, network) -> None:  # type: ignore[no-untyped-def]
    need_tools(target)
    model, x = network()
    built = ew.generate(model, target).build()
    with built.flash() as board:
        report = board.predict(x).report()
    assert report.fidelity.passed
    build = report.build
    sections, symbols = read_elf(built.firmware.elf)
    flash, ram = target.code_memory, target.data_memory
    assert flash is not None
    assert ram is not None

    in_ram = [s for s in sections if ram.origin <= s[1] < ram.end]
    in_flash = [s for s in sections if s not in in_ram]
    assert all(flash.origin <= address and address + size <= flash.end for _, address, size, _ in in_flash)
    initial_values = sum(size for _, _, size, stored in in_ram if stored)
    assert build.flash_bytes == sum(size for _, _, size, _ in in_flash) + initial_values
    assert build.ram_bytes == sum(size for _, _, size, _ in in_ram)

    prefix = built.firmware.manifest.c_prefix
    weights = [size for name, (_, size) in symbols.items() if re.fullmatch(rf"{prefix}_w\d+", name)]
    assert weights
    assert build.weights_bytes == sum(weights)
    assert build.code_bytes == build.flash_bytes - build.weights_bytes
    assert build.arena_bytes == symbols.get("arena", (0, 0))[1]
    stack = next(size for name, _, size, _ in sections if name == ".stack")
    assert build.stack_reserved_bytes == stack == symbols["ew_stack_top"][0] - symbols["ew_stack_bottom"][0]

    assert build.stack_bytes is not None
    if "-marm" in target.toolchain.cpu_flags:
        assert build.stack_bound_note is not None
        return
    assert build.stack_bound_note is None
    assert build.stack_bound_bytes is not None
    assert build.inference_stack_bytes is not None
    assert 0 < build.stack_bytes <= build.stack_bound_bytes <= build.stack_reserved_bytes
    assert 0 < build.inference_stack_bytes < build.stack_bound_bytes
