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
from edgewright.watchdogs import watched

BUILT = [target for target in list_targets() if target.evidence == "built"]
MHZ = 1_000_000


PARAMS = [
    pytest.param(board, marks=() if board.name in ("nucleo-h743zi", "esp32-c3") else pytest.mark.slow, id=board.name)
    for board in BUILT
]


@pytest.fixture(params=PARAMS)
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


def test_a_watchdog_compiles_without_warnings(target: Target, tmp_path: Path) -> None:
    if target.watchdog is not None:
        assert build_firmware(watched(target, 1.0), tmp_path, arena_bytes=4096).is_file()
        assert build_firmware(watched(target, target.watchdog.seconds[1]), tmp_path, arena_bytes=4096).is_file()


@pytest.mark.slow
def test_digits_int8_fits(target: Target, digits_int8: QuantizedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-Werror")
    firmware = ew.generate(digits_int8, target.name).build().firmware
    assert target.stack is not None
    for region in firmware.sizes.regions:
        assert region.used_bytes <= region.bytes
    assert firmware.stack.total_bytes is not None
    assert firmware.stack.total_bytes <= target.stack.bytes


# After a reset, where it is not 0: pico-sdk 2.2.0, rp2350/hardware_regs.
RP2350_AFTER_RESET = {
    0x4001003C: 0x41,  # CLK_SYS_CTRL
    0x40020000: 0x1FFFFFFF,  # RESETS_RESET
    0x40028004: 0x1F,  # GPIO0_CTRL, GPIO1_CTRL
    0x4002800C: 0x1F,
    0x40038004: 0x116,  # PADS_BANK0_GPIO0, GPIO1
    0x40038008: 0x116,
    0x40050000: 0x1,  # PLL_SYS_CS, PWR, PRIM
    0x40050004: 0x2D,
    0x4005000C: 0x77000,
}


def registers(target: Target, after_reset: dict[int, int]) -> dict[int, int]:
    """What the set-up leaves in registers; where a reset leaves 0, `after_reset` need not say so."""
    values = dict(after_reset)
    for step in target.setup:
        values[step.address] = values.get(step.address, 0) & ~step.clear | step.set
    return values


def field(value: int, high: int, low: int) -> int:
    return value >> low & ((1 << (high - low + 1)) - 1)


def test_clocks_of_rp2350() -> None:
    """RP2350 datasheet: PLL_SYS_*, CLK_REF_CTRL, CLK_SYS_CTRL, CLK_PERI_CTRL, XOSC_CTRL, XOSC_STARTUP."""
    board = load_target("pico2")
    values = registers(board, RP2350_AFTER_RESET)
    divide, prim = values[0x40050008], values[0x4005000C]
    vco = 12 * MHZ / values[0x40050000] * divide
    assert 16 <= divide <= 320
    assert 750 * MHZ <= vco <= 1600 * MHZ
    assert vco / field(prim, 18, 16) / field(prim, 14, 12) == board.clock_hz
    assert values[0x40050004] == 0x4  # all parts have power; no fraction (DSMPD)
    assert (values[0x40010030], values[0x4001003C], values[0x40010048]) == (0x2, 0x1, 0x800)
    assert values[0x40048000] == 0xFABAA0
    assert values[0x4004800C] * 256 / (12 * MHZ) >= 0.005
    assert board.defines["EW_UART_CLOCK_HZ"] == "EW_CLOCK_HZ"


def test_pins_of_rp2350() -> None:
    """RP2350 datasheet: RESETS_RESET, GPIO0_CTRL, PADS_BANK0_GPIO0."""
    values = registers(load_target("pico2"), RP2350_AFTER_RESET)
    for block in (6, 9, 14, 26):  # IO_BANK0, PADS_BANK0, PLL_SYS, UART0
        assert not values[0x40020000] >> block & 1
    assert values[0x40028004] == values[0x4002800C] == 2
    transmit, receive = values[0x40038004], values[0x40038008]
    for pad in (transmit, receive):
        assert not pad >> 8 & 1  # not isolated
    assert not transmit >> 7 & 1  # output on
    assert (receive >> 6 & 1, receive >> 3 & 1, receive >> 2 & 1) == (1, 1, 0)  # input on, pulled up, not down


def test_rp2350_finds_what_to_boot(tmp_path: Path) -> None:
    """RP2350 datasheet, "Bootrom", and pico-sdk's picobin.h: a block in the first 4 KB; the vectors first."""
    board = load_target("pico2")
    need_tools(board)
    image = read_image(build_firmware(board, tmp_path, arena_bytes=4096))
    assert image.address == board.memory[0].origin
    words = struct.unpack("<1024I", image.data[:4096].ljust(4096, b"\xff"))
    at = words.index(0xFFFFDED3)
    secure_arm_rp2350 = 0x1 | 0x2 << 4 | 0x0 << 8 | 0x1 << 12
    assert words[at + 1 : at + 5] == (0x42 | 1 << 8 | secure_arm_rp2350 << 16, 0xFF | 1 << 8, 0, 0xAB123579)
    ram = board.data_memory
    assert ram.origin < words[0] <= ram.origin + ram.bytes
    assert words[1] & 1 and image.address < words[1] < image.address + len(image.data)


def test_nrf52840_leaves_the_debugger_in() -> None:
    """nRF52840 Product Specification, "Access port protection": APPROTECT.DISABLE = SwDisable after each reset."""
    assert registers(load_target("nrf52840dk"), {})[0x40000558] == 0x5A


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
    clocks = {0x40020000: 0x40023830, 0x48000000: 0x4002104C, 0x58020000: 0x580244E0}  # AHB1ENR, AHB2ENR, AHB4ENR
    assert registers(board, {})[clocks[port & ~0x1FFF]] >> (port & 0x1FFF) // 0x400 & 1
    used = registers(board, {}).get(port, 0)
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
