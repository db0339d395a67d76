"""The UART drivers' baud rates: each driver compiled for this computer, its registers in an array."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, WARNINGS, need

import edgewright as ew
from edgewright.drivers.device import LinkDevice, open_device
from edgewright.resources import resource_dir

SEED = 20261122
START = 115_200
USUAL = (9600, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000, 1_500_000, 2_000_000)
CPU = """
#include <stdint.h>
#define EW_ISR(name) void name(void); void name(void)
static inline uintptr_t ew_irq_save(void) { return 0; }
static inline void ew_irq_restore(uintptr_t masked) { (void)masked; }
static inline void ew_irq_enable_line(uint32_t line) { (void)line; }
static inline void ew_wait_for_interrupt(void) {}
"""


@dataclass
class Uart:
    """A driver: its clock, what its status register shows, and the rate that its registers stand for."""

    driver: str
    clock_hz: int
    rate: Callable[[list[int], int], float]  # of the registers and the clock
    dividers: Callable[[int, int], range]  # those that are near a rate, within what the register takes
    divided: Callable[[int, int], float]  # the rate of a divider
    status: tuple[int, int] = (0, 0)
    defines: dict[str, str] = field(default_factory=dict)
    register_bytes: int = 4

    def __str__(self) -> str:
        return f"{self.driver}-{self.clock_hz}-{'-'.join(self.defines.values())}"


def stm32(clock_hz: int, family: int, steps: int = 1) -> Uart:
    register, status = (0x08, 0x00) if family == 1 else (0x0C, 0x1C)
    low, high = (16, 65536) if steps == 1 else (768, 2**20)
    return Uart(
        "stm32", clock_hz, lambda r, hz: hz * steps / r[register // 4],
        lambda baud, hz: range(max(low, hz * steps // baud - 1), min(high, hz * steps // baud + 3)),
        lambda d, hz: hz * steps / d, (status, 0xC0),
        {"EW_UART_STM32": str(family), "EW_UART_BRR_STEPS": f"{steps}u"},
    )  # fmt: skip


UARTS = [
    stm32(84_000_000, 1), stm32(8_000_000, 1), stm32(100_000_000, 2), stm32(54_000_000, 2), stm32(16_000_000, 2, 256),
    stm32(120_000_000, 2, 256),
    *(Uart("cmsdk", hz, lambda r, hz: hz / r[4], lambda b, hz: range(max(16, hz // b - 1), min(2**20, hz // b + 3)),
           lambda d, hz: hz / d) for hz in (25_000_000, 20_000_000, 32_000_000)),
    *(Uart("pl011", hz, lambda r, hz: hz / 16 / (r[9] + r[10] / 64),
           lambda b, hz: range(max(64, hz * 4 // b - 1), min(65535 * 64 + 1, hz * 4 // b + 3)),
           lambda d, hz: hz * 4 / d)
      for hz in (12_000_000, 150_000_000)),
    Uart("16550", 3_686_400, lambda r, hz: hz / 16 / (r[0] + 256 * r[1]),
         lambda b, hz: range(max(1, hz // 16 // b), min(65536, hz // 16 // b + 3)),
         lambda d, hz: hz / 16 / d, (5, 0x60), register_bytes=1),
    Uart("nrf51", 16_000_000, lambda r, hz: hz * r[32 + 9] / 2**32,
         lambda b, hz: range((b << 20) // hz, (b << 20) // hz + 2 * (1200 <= b <= 10**6)), lambda d, hz: hz * d / 2**20,
         (0x11C, 1)),
]  # fmt: skip


def compiled(uart: Uart, folder: Path) -> Path:
    defines = {
        "EW_UART_BASE": "0u", "EW_GPIO_BASE": "0u", "EW_CLOCK_BASE": "0u", "EW_UART_RX_IRQ": "0u",
        "EW_UART_TX_PIN": "1u", "EW_UART_RX_PIN": "2u", "EW_UART_BAUD": str(START),
        "EW_UART_CLOCK_HZ": f"{uart.clock_hz}u", "EW_CLOCK_HZ": f"{uart.clock_hz}u",
        "REGISTER_BYTES": f"{uart.register_bytes}u", **uart.defines,
    }  # fmt: skip
    board = "#ifndef BOARD\n#define BOARD\n#include <stdint.h>\nextern uint32_t registers[1024];\n"
    board += "".join(f"#define {name} {value}\n" for name, value in defines.items())
    board += "#define EW_REG32(at) (*(volatile uint32_t *)&registers[(at) / 4u % 1024u])\n"
    board += "#define EW_REG8(at) (*(volatile uint8_t *)&registers[at])\n#endif\n"
    (folder / "ew_board.h").write_text(board, encoding="utf-8")
    for name in ("ew_cortex_m.h", "ew_riscv.h"):
        (folder / name).write_text(f"#ifndef CPU\n#define CPU\n{CPU}#endif\n", encoding="utf-8")
    drivers = resource_dir("targets") / "_drivers"
    command = [
        shutil.which("cc"), "-std=gnu11", *WARNINGS, "-fsanitize=undefined", "-fno-sanitize-recover=all",
        *(f"-I{path}" for path in (folder, drivers, resource_dir("runtime_c") / "link")),
        drivers / f"ew_uart_{uart.driver}.c", REPOSITORY / "tests" / "c" / "uart_baud.c", "-o", folder / "uart",
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "uart"


@pytest.mark.parametrize("uart", UARTS, ids=str)
def test_rates(uart: Uart, tmp_path: Path) -> None:
    """A rate is taken exactly if some divider is within 2 % of it, and the nearest one is set; 0 is the start's."""
    need("cc")
    chosen = random.Random(SEED)  # noqa: S311
    bauds = [*USUAL, *(int(2 ** chosen.uniform(9, 25)) for _ in range(200)), 1, 2**32 - 1, 2**31, 0]
    program = compiled(uart, tmp_path)
    status = [str(number) for number in uart.status]
    done = subprocess.run(
        [program, *status, *map(str, bauds)], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    taken = 0
    for baud, line in zip(bauds, done.stdout.splitlines(), strict=True):
        can, *registers = map(int, line.split())
        wanted = baud or START
        near = [uart.divided(d, uart.clock_hz) for d in uart.dividers(wanted, uart.clock_hz)]
        best = min((abs(rate / wanted - 1) for rate in near), default=1.0)
        too_fast = not can and wanted > max(near, default=0)  # for the smallest divider, though near
        if abs(best - 0.02) > 1e-4 and 300 <= wanted <= 16_000_000 and not too_fast:
            assert can == (best <= 0.02), (baud, best, SEED)
        if can:
            taken += 1
            error = abs(uart.rate(registers, uart.clock_hz) / wanted - 1)
            assert error <= 0.0201, (baud, error, SEED)
            assert error <= best + 1e-4, (baud, error, best, SEED)
        elif not 300 <= wanted <= 16_000_000:
            assert baud != 0
    assert taken > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "too_fast"),
    [
        ("mps2-an386", 5_000_000),
        *(pytest.param(name, rate, marks=pytest.mark.slow) for name, rate in (
            ("lm3s6965evb", 5_000_000), ("netduinoplus2", 20_000_000), ("microbit", 5_000_000),
            ("qemu-riscv32", 921_600),
        )),
    ],
)  # fmt: skip
def test_emulated_boards_change_it(target: str, too_fast: int) -> None:
    """An emulator's socket has no rate: what is tried is that registers take it and the exchange goes on."""
    need(*(("riscv64-unknown-elf-gcc", "qemu-system-riscv32") if "riscv" in target else
           ("arm-none-eabi-gcc", "qemu-system-arm")))  # fmt: skip
    built = ew.generate(ew.load(DIGITS), target).build()
    with np.load(DIGITS_TEST) as data:
        x = data["x"][:3]
    made = []
    for fast, rate in ((None, START), (230_400, 230_400), (too_fast, START)):
        with open_device(built.firmware, fast_baud=fast) as device:
            assert isinstance(device, LinkDevice)
            assert device._link is not None
            assert device._link.rate == rate
            made.append(device.infer(x)[0])
            assert device.is_alive()
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
