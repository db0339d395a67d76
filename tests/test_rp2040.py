"""The Raspberry Pi Pico: the second stage of its boot, its clocks, and what its emulator adds to rp2040js."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import need_tools
from firmware import build_firmware, running
from test_built_boards import MHZ, field, registers

from edgewright.boards import load_target
from edgewright.drivers.emulator import start_emulator
from edgewright.errors import DeviceError, ToolError
from edgewright.firmware_image import read_image

TARGET = load_target("rpi-pico")
BOOT2_BYTES = 256


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = TARGET.toolchain.compiler
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    return build_firmware(TARGET, tmp_path_factory.mktemp("rpi-pico"), arena_bytes=4096)


def crc32(data: bytes) -> int:
    """RP2040 datasheet, 2.8.1.3.1: polynomial 0x04C11DB7, most significant bit first, from all ones."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def test_the_boot_rom_would_start_the_image(elf: Path) -> None:
    """boot2.S ends in its CRC as a number: a change of the code needs a change of the number, which this names."""
    image = read_image(elf)
    assert image.address == 0x10000000
    stated = int.from_bytes(image.data[BOOT2_BYTES - 4 : BOOT2_BYTES], "little")
    assert f"{stated:#010x}" == f"{crc32(image.data[: BOOT2_BYTES - 4]):#010x}"
    stack, reset = (int.from_bytes(image.data[BOOT2_BYTES + i : BOOT2_BYTES + i + 4], "little") for i in (0, 4))
    assert stack == 0x20000000 + TARGET.stack.bytes if TARGET.stack else 0
    assert reset == image.entry | 1


def test_clocks() -> None:
    """RP2040 datasheet: PLL_SYS_*, CLK_REF_CTRL, CLK_SYS_CTRL, CLK_PERI_CTRL, XOSC_CTRL, XOSC_STARTUP."""
    after_reset = {0x40028000: 1, 0x40028004: 0x2D, 0x4002800C: 0x77000, 0x4002400C: 0xC4}
    values = registers(TARGET, after_reset)
    divide, prim = values[0x40028008], values[0x4002800C]
    vco = 12 * MHZ / values[0x40028000] * divide
    assert 16 <= divide <= 320
    assert 750 * MHZ <= vco <= 1600 * MHZ
    assert vco / field(prim, 18, 16) / field(prim, 14, 12) == TARGET.clock_hz
    assert values[0x40028004] == 0x4  # all parts have power; no fraction (DSMPD)
    assert (values[0x40008030], values[0x4000803C], values[0x40008048]) == (0x2, 0x1, 0x800)
    assert values[0x40024000] == 0xFABAA0
    assert values[0x4002400C] * 256 / (12 * MHZ) >= 0.005
    assert TARGET.defines["EW_UART_CLOCK_HZ"] == "EW_CLOCK_HZ"


def test_reset_and_timer_in_the_emulator(elf: Path) -> None:
    need_tools(TARGET)
    with running(TARGET, elf, "none") as board:
        board.wake()
        assert [board.ask(b"d")[1] for _ in range(2)] == [1234, 1236]
        ticks, _ = board.ask(b"l")
        assert 300_000 <= ticks < 330_000  # subs, and bne with 2 cycles when it is taken
        board.socket.sendall(b"r")
        board.wake()
        assert board.ask(b"d")[1] == 1234


OVERFLOW = """
#include "ew_port.h"
int main(void)
{
    uint8_t command;
    ew_port_init();
    (void)ew_port_read(&command, 1);
    __asm__ volatile("1: push {r0-r7}\\n b 1b");
}
"""


def test_a_stack_that_overflows_locks_the_core_up(tmp_path: Path) -> None:
    """The frame of the HardFault has no place, either: on the chip, nothing more is heard of it."""
    need_tools(TARGET)
    elf = build_firmware(TARGET, tmp_path, source=OVERFLOW)
    with running(TARGET, elf, "none") as board:
        board.socket.sendall(b"?")
        assert board.socket.recv(1) == b""
        with pytest.raises(DeviceError, match=r"the core locked up at 0x1\w+: Write to undefined address: 1fff"):
            board.emulator.check()


def test_the_emulator_refuses_what_the_boot_rom_would(elf: Path, tmp_path: Path) -> None:
    need_tools(TARGET)
    data = bytearray(elf.read_bytes())
    at = data.index(read_image(elf).data[:BOOT2_BYTES])
    data[at + 2] ^= 1
    damaged = tmp_path / "damaged.elf"
    damaged.write_bytes(data)
    with pytest.raises(ToolError, match="the CRC of the first 256 bytes is wrong"):
        start_emulator(TARGET, damaged)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("not installed: node")
    script = tmp_path / "rp2040.cjs"
    shutil.copyfile(TARGET.resolve("_emulator/rp2040js/rp2040.cjs"), script)
    done = subprocess.run(
        [node, script, "--version"],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "npm install rp2040js" in done.stderr
