"""Boards that nobody has run: the firmware compiles without a warning and fits; the clocks come to what they say."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_CALIBRATION, need_tools
from elftools.elf.elffile import ELFFile
from firmware import build_firmware

import edgewright as ew
from edgewright.api import QuantizedModel
from edgewright.boards import Target, list_targets, load_target
from edgewright.firmware_image import read_image

BUILT = [target for target in list_targets() if target.evidence == "built"]
MHZ = 1_000_000
RCC_H7 = 0x58024400


@pytest.fixture(params=BUILT, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    board: Target = request.param
    need_tools(board)
    return board


@pytest.fixture(scope="module")
def digits_int8() -> QuantizedModel:
    with np.load(DIGITS_CALIBRATION) as data:
        return ew.quantize(ew.load(DIGITS), data["x"][:64], rounding="nearest")


def test_board_code_compiles_without_warnings(target: Target, tmp_path: Path) -> None:
    assert target.device == "serial"
    assert build_firmware(target, tmp_path, arena_bytes=4096).is_file()


@pytest.mark.slow
def test_digits_int8_fits(target: Target, digits_int8: QuantizedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-Werror")
    firmware = ew.generate(digits_int8, target.name).build().firmware
    assert target.stack is not None
    for region in firmware.sizes.regions:
        assert region.used_bytes <= region.bytes
    assert firmware.stack.total_bytes is not None
    assert firmware.stack.total_bytes <= target.stack.bytes


def registers(target: Target) -> dict[int, int]:
    """What the set-up leaves in registers, as far as it sets bits: bits it does not name are 0."""
    values: dict[int, int] = {}
    for step in target.setup:
        values[step.address] = values.get(step.address, 0) & ~step.clear | step.set
    return values


def field(value: int, high: int, low: int) -> int:
    return value >> low & ((1 << (high - low + 1)) - 1)


def divided(code: int) -> int:
    """By what an APB prescaler divides: 0xx by 1, then 2, 4, 8, 16."""
    return 2 << (code & 3) if code & 4 else 1


@pytest.mark.parametrize(
    ("name", "input_hz", "bus"),
    [
        ("nucleo-f401re", 8 * MHZ, 1),
        ("nucleo-f746zg", 8 * MHZ, 1),
        ("netduinoplus2", 25 * MHZ, 2),
        ("netduino2", 16 * MHZ, 2),
    ],
)
def test_clocks_of_f4_and_f7(name: str, input_hz: int, bus: int) -> None:
    """RM0033, RM0090, RM0368, RM0385: RCC_PLLCFGR, RCC_CFGR."""
    board = load_target(name)
    values = registers(board)
    pll, cfgr = values[0x40023804], values[0x40023808]
    vco_input = input_hz / field(pll, 5, 0)
    vco = vco_input * field(pll, 14, 6)
    assert 1 * MHZ <= vco_input <= 2 * MHZ
    assert 100 * MHZ <= vco <= 432 * MHZ
    assert vco / field(pll, 27, 24) <= 48 * MHZ
    assert vco / (2 * field(pll, 17, 16) + 2) == board.clock_hz
    assert field(cfgr, 1, 0) == 2
    apb = {1: field(cfgr, 12, 10), 2: field(cfgr, 15, 13)}
    assert board.clock_hz / divided(apb[bus]) == int(str(board.defines["EW_UART_CLOCK_HZ"]).rstrip("u"))


@pytest.mark.parametrize("name", ["nucleo-h743zi", "nucleo-h723zg"])
def test_clocks_of_h7(name: str) -> None:
    """RM0433, RM0468: RCC_PLLCKSELR, RCC_PLL1DIVR, RCC_PLLCFGR, RCC_D1CFGR, RCC_D2CFGR."""
    board = load_target(name)
    values = registers(board)
    rcc = RCC_H7
    select, divide, config = (values[rcc + offset] for offset in (0x28, 0x30, 0x2C))
    vco_input = 8 * MHZ / field(select, 9, 4)
    vco = vco_input * (field(divide, 8, 0) + 1)
    assert field(select, 1, 0) == 2
    assert (field(config, 3, 2), field(config, 1, 1)) == (1, 0)
    assert 2 * MHZ <= vco_input <= 4 * MHZ
    assert 192 * MHZ <= vco <= 836 * MHZ
    assert vco / (field(divide, 15, 9) + 1) == board.clock_hz
    assert values[rcc + 0x18] & 0xF00 == 0
    assert field(values[rcc + 0x18], 3, 0) == 8  # AHB and AXI / 2
    assert board.clock_hz == 2 * 200 * MHZ
    assert 200 * MHZ / divided(field(values[rcc + 0x1C], 6, 4)) == 100 * MHZ
    assert board.defines["EW_UART_CLOCK_HZ"] == "100000000u"


def test_clocks_of_l4() -> None:
    """RM0432: RCC_PLLCFGR, RCC_CFGR."""
    board = load_target("nucleo-l4r5zi")
    values = registers(board)
    pll, cfgr = values[0x4002100C], values[0x40021008]
    vco_input = 16 * MHZ / (field(pll, 7, 4) + 1)
    vco = vco_input * field(pll, 14, 8)
    assert 2.66 * MHZ <= vco_input <= 16 * MHZ
    assert 64 * MHZ <= vco <= 344 * MHZ
    assert vco / (2 * field(pll, 26, 25) + 2) == board.clock_hz
    assert cfgr == 3  # nothing is divided in the end


def test_clocks_of_rp2350() -> None:
    """RP2350 datasheet: PLL_SYS_FBDIV_INT, PLL_SYS_PRIM."""
    board = load_target("pico2")
    values = registers(board)
    divide, prim = values[0x40050008], values[0x4005000C]
    vco = 12 * MHZ * divide
    assert 750 * MHZ <= vco <= 1600 * MHZ
    assert vco / field(prim, 18, 16) / field(prim, 14, 12) == board.clock_hz


@pytest.mark.parametrize("board", [b for b in BUILT if "EW_UART_STM32" in b.defines and "EW_MARK_HIGH" in b.defines],
                         ids=lambda board: board.name)  # fmt: skip
def test_marker_pins_of_stm32(board: Target) -> None:
    """MODER of the pin's port becomes an output, BSRR sets and resets this very pin, and the port's clock runs."""
    words = {name: [int(word, 16) for word in re.findall(r"0x([0-9A-F]{8})u", str(board.defines[f"EW_MARK_{name}"]))]
             for name in ("INIT", "HIGH", "LOW")}  # fmt: skip
    port, again, cleared, output = words["INIT"]
    pin = words["HIGH"][1].bit_length() - 1
    assert port == again and cleared == 3 << 2 * pin and output == 1 << 2 * pin
    assert words["HIGH"] == [port + 0x18, 1 << pin] and words["LOW"] == [port + 0x18, 1 << pin + 16]
    clocks = {0x40020000: 0x40023830, 0x48000000: 0x4002104C, 0x58020000: RCC_H7 + 0xE0}  # AHB1ENR, AHB2ENR, AHB4ENR
    assert registers(board)[clocks[port & ~0x1FFF]] >> (port & 0x1FFF) // 0x400 & 1
    used = registers(board).get(port, 0)
    assert used >> 2 * pin & 3 == 0  # nothing else has the pin


def test_the_boot_rom_of_an_esp32c3_would_start_the_image(tmp_path: Path) -> None:
    """Magic words, then the first instruction; constants are linked to where the data bus sees them in flash."""
    board = load_target("esp32-c3")
    need_tools(board)
    elf = build_firmware(board, tmp_path, arena_bytes=4096)
    image = read_image(elf)
    assert (image.address, image.entry) == (0x42000000, 0x42000008)
    assert image.data[:8] == bytes.fromhex("1d04dbae1d04dbae")
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        sections = {section.name: section for section in file.iter_sections()}
        symbols = {symbol.name: symbol["st_value"] for symbol in sections[".symtab"].iter_symbols()}
        at, constants, data = sections[".rodata"]["sh_addr"], sections[".rodata"].data(), sections[".data"].data()
    assert image.data[at - 0x3C000000 :][: len(constants)] == constants
    assert symbols["ew_trap_table"] % 256 == 0
    first = struct.unpack_from("<3I", image.data, symbols["ew_copies_start"] - 0x3C000000)
    assert image.data[first[0] - 0x3C000000 :][: len(data)] == data
    assert first[2] - first[1] == len(data)
