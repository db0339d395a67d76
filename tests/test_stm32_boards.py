"""What the set-up of the STM32 boards leaves in the chip, worked out from the fields that ST's documents name.

No emulator has a say in it: QEMU 7.2 models the clocks of none of these chips.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgewright.boards import Target, load_target

MHZ = 1_000_000
BAUD_ERROR = 0.005

F4_RCC, F4_FLASH_ACR, F4_PWR_CR = 0x40023800, 0x40023C00, 0x40007000
H7_RCC, H7_FLASH_ACR, H7_PWR = 0x58024400, 0x52002000, 0x58024800
L4_RCC, L4_FLASH_ACR, L4_PWR = 0x40021000, 0x40022000, 0x40007000
F1_RCC = 0x40021000
H7 = ["nucleo-h743zi", "nucleo-h723zg"]
M7 = ["nucleo-f746zg", *H7]

# After a reset, where it is not 0. F4: STM32F401.svd, PWR as STM32F746.svd; L4: STM32L4R5.svd; the rest from memory.
AFTER_RESET = {
    "F4": {F4_RCC: 0x83, F4_RCC + 0x04: 0x24003010, F4_PWR_CR: 0xC000},
    "H7": {
        H7_RCC: 0x1,
        H7_RCC + 0x28: 0x02020200,
        H7_RCC + 0x2C: 0x01FF0000,
        H7_RCC + 0x30: 0x01010280,
        H7_FLASH_ACR: 0x37,
        H7_PWR + 0x0C: 0x6,
        H7_PWR + 0x18: 0x4000,
    },
    "L4": {L4_RCC: 0x63, L4_RCC + 0x0C: 0x1000, L4_FLASH_ACR: 0x600, L4_PWR: 0x200, L4_PWR + 0x80: 0x100},
    "F1": {F1_RCC: 0x83},
}


@dataclass(frozen=True)
class Limits:
    """What a chip allows at the voltage that its board sets. Frequencies in MHz.

    `flash`: up to which HCLK flash needs 0, 1, 2, ... wait states.
    """

    vco_input: tuple[float, float]
    n: tuple[int, int]
    vco: tuple[int, int]
    hclk: int
    pclk: tuple[float, float]
    flash: tuple[int, ...]


LIMITS = {
    # stm32f401xe.h: RCC_PLL*, FLASH_SCALE2_*; stm32f4xx_hal_rcc.c: buses
    "nucleo-f401re": Limits((0.95, 2.1), (192, 432), (192, 432), 84, (42, 84), (30, 60, 84)),
    # stm32f2xx_hal_rcc_ex.h, stm32f2xx_hal_flash.h, RM0033: buses
    "netduino2": Limits((0.95, 2.1), (192, 432), (192, 432), 120, (30, 60), (30, 60, 90, 120)),
    # stm32f405xx.h: RCC_PLL*, FLASH_SCALE1_*; stm32f4xx_hal_rcc.c: buses
    "netduinoplus2": Limits((0.95, 2.1), (50, 432), (100, 432), 168, (42, 84), (30, 60, 90, 120, 150, 168)),
    # stm32f7xx_ll_utils.c, stm32f7xx_hal_rcc.h; DS10916: buses
    "nucleo-f746zg": Limits((0.95, 2.1), (50, 432), (100, 432), 216, (54, 108), (30, 60, 90, 120, 150, 180, 210, 216)),
    # stm32h7xx_ll_utils.c, both at voltage scale 1; HCLK is AXI's clock
    "nucleo-h743zi": Limits((2, 4), (4, 512), (192, 836), 200, (100, 100), (70, 140, 240)),
    "nucleo-h723zg": Limits((2, 4), (4, 512), (192, 836), 200, (100, 100), (67, 133, 200)),
    # stm32l4xx_ll_utils.c, range 1 with boost
    "nucleo-l4r5zi": Limits((4, 16), (8, 127), (64, 344), 120, (120, 120), (20, 40, 60, 80, 100, 120)),
}


def after_setup(target: Target, family: str) -> dict[int, int]:
    values = dict(AFTER_RESET[family])
    for step in target.setup:
        values[step.address] = values.get(step.address, 0) & ~step.clear | step.set
    return values


def field(value: int, high: int, low: int) -> int:
    return value >> low & ((1 << (high - low + 1)) - 1)


def divider(code: int, bits: int) -> int:
    """A bus prescaler: AHB has 4 bits (by 2 to 512, without 32), APB 3 (by 2 to 16); without its top bit set, by 1."""
    if not code >> (bits - 1):
        return 1
    return (2, 4, 8, 16, 64, 128, 256, 512)[code & 7] if bits == 4 else 2 << (code & 3)


def number(target: Target, name: str) -> int:
    text = str(target.defines[name]).replace("EW_CLOCK_HZ", str(target.clock_hz))
    return int(text.rstrip("u"), 0)


def check(
    name: str, vco_input: float, n: int, p: float, hclk: float, pclk: tuple[float, float], wait_states: int, bus: int
) -> None:
    """Frequencies in Hz; `p` divides the VCO's to the core's; `bus` is the UART's APB."""
    target, limits = load_target(name), LIMITS[name]
    vco = vco_input * n
    assert limits.vco_input[0] * MHZ <= vco_input <= limits.vco_input[1] * MHZ
    assert limits.n[0] <= n <= limits.n[1]
    assert limits.vco[0] * MHZ <= vco <= limits.vco[1] * MHZ
    assert vco / p == target.clock_hz
    assert hclk <= limits.hclk * MHZ
    for frequency, highest in zip(pclk, limits.pclk, strict=True):
        assert frequency <= highest * MHZ
    assert wait_states == sum(hclk > highest * MHZ for highest in limits.flash)
    assert number(target, "EW_UART_CLOCK_HZ") == pclk[bus - 1]


@pytest.mark.parametrize(("name", "input_mhz", "bypass", "bus"), [
    ("nucleo-f401re", 8, True, 1), ("nucleo-f746zg", 8, True, 1), ("netduinoplus2", 25, False, 2),
    ("netduino2", 16, None, 2),
])  # fmt: skip
def test_clocks_of_f2_f4_and_f7(name: str, input_mhz: int, bypass: bool | None, bus: int) -> None:
    """RM0033, RM0368, RM0385, RM0090: RCC_CR, RCC_PLLCFGR, RCC_CFGR, FLASH_ACR. `bypass` of HSE; None: from HSI."""
    values = after_setup(load_target(name), "F4")
    control, pll, cfgr = (values[F4_RCC + offset] for offset in (0x00, 0x04, 0x08))
    if bypass is None:
        assert (field(control, 0, 0), field(control, 24, 24)) == (1, 1)
    else:
        assert (field(control, 16, 16), field(control, 18, 18), field(control, 24, 24)) == (1, bypass, 1)
    assert (field(pll, 22, 22), field(cfgr, 1, 0)) == (bypass is not None, 2)  # from HSE; SYSCLK from the PLL
    vco_input, n, p = input_mhz * MHZ / field(pll, 5, 0), field(pll, 14, 6), 2 * field(pll, 17, 16) + 2
    assert vco_input * n / field(pll, 27, 24) <= 48 * MHZ
    hclk = vco_input * n / p / divider(field(cfgr, 7, 4), 4)
    pclk = hclk / divider(field(cfgr, 12, 10), 3), hclk / divider(field(cfgr, 15, 13), 3)
    check(name, vco_input, n, p, hclk, pclk, field(values[F4_FLASH_ACR], 3, 0), bus)
    if name != "netduino2":  # which has none
        assert field(values[F4_PWR_CR], 15, 14) == (2 if name == "nucleo-f401re" else 3)  # the highest voltage scale


@pytest.mark.parametrize("name", H7)
def test_clocks_of_h7(name: str) -> None:
    """RM0433, RM0468: RCC_CR, RCC_CFGR, RCC_D1CFGR, RCC_D2CFGR, RCC_PLLCKSELR, RCC_PLLCFGR, RCC_PLL1DIVR, FLASH_ACR."""
    values = after_setup(load_target(name), "H7")
    control, cfgr, d1, d2, select, config, divide = (
        values[H7_RCC + offset] for offset in (0x00, 0x10, 0x18, 0x1C, 0x28, 0x2C, 0x30)
    )
    assert (field(control, 16, 16), field(control, 18, 18), field(control, 24, 24)) == (1, 1, 1)
    assert (field(select, 1, 0), field(cfgr, 2, 0)) == (2, 3)  # PLLs from HSE; SYSCLK from PLL 1
    vco_input, n, p = 8 * MHZ / field(select, 9, 4), field(divide, 8, 0) + 1, field(divide, 15, 9) + 1
    assert p % 2 == 0
    assert (field(config, 3, 2), field(config, 1, 1), field(config, 0, 0), field(config, 16, 16)) == (1, 0, 0, 1)
    core = vco_input * n / p / divider(field(d1, 11, 8), 4)
    hclk = core / divider(field(d1, 3, 0), 4)
    pclk = hclk / divider(field(d2, 6, 4), 3), hclk / divider(field(d2, 10, 8), 3)
    for code in (field(d1, 6, 4), field(values[H7_RCC + 0x20], 6, 4)):  # APB3, APB4
        assert hclk / divider(code, 3) <= 100 * MHZ
    flash = values[H7_FLASH_ACR]
    check(name, vco_input, n, p, hclk, pclk, field(flash, 3, 0), bus=1)
    assert field(flash, 5, 4) == 2  # WRHIGHFREQ for an AXI of 185 (H743) or 133 (H723) to 200 MHz
    assert field(values[H7_PWR + 0x18], 15, 14) == 3  # voltage scale 1
    assert field(values[H7_PWR + 0x0C], 2, 0) == 2  # LDOEN


def test_clocks_of_l4() -> None:
    """RM0432: RCC_CR, RCC_PLLCFGR, RCC_CFGR, FLASH_ACR, PWR_CR1, PWR_CR5."""
    values = after_setup(load_target("nucleo-l4r5zi"), "L4")
    control, cfgr, pll = (values[L4_RCC + offset] for offset in (0x00, 0x08, 0x0C))
    assert (field(control, 8, 8), field(control, 24, 24)) == (1, 1)
    assert (field(pll, 1, 0), field(pll, 24, 24), field(cfgr, 1, 0)) == (2, 1, 3)  # HSI16; R on; SYSCLK from it
    vco_input, n, r = 16 * MHZ / (field(pll, 7, 4) + 1), field(pll, 14, 8), 2 * field(pll, 26, 25) + 2
    hclk = vco_input * n / r / divider(field(cfgr, 7, 4), 4)
    pclk = hclk / divider(field(cfgr, 10, 8), 3), hclk / divider(field(cfgr, 13, 11), 3)
    check("nucleo-l4r5zi", vco_input, n, r, hclk, pclk, field(values[L4_FLASH_ACR], 3, 0), bus=1)
    assert (field(values[L4_PWR], 10, 9), field(values[L4_PWR + 0x80], 8, 8)) == (1, 0)  # range 1, boost


def test_clocks_of_f100() -> None:
    """RM0041: RCC_CFGR; no wait states up to 24 MHz, the UART is APB2's."""
    target = load_target("stm32vldiscovery")
    cfgr = after_setup(target, "F1")[F1_RCC + 0x04]
    assert (field(cfgr, 1, 0), field(cfgr, 16, 16), field(cfgr, 17, 17)) == (2, 1, 0)
    assert 8 * MHZ * (field(cfgr, 21, 18) + 2) == target.clock_hz == 24 * MHZ
    assert field(cfgr, 7, 4) == field(cfgr, 10, 8) == field(cfgr, 13, 11) == 0
    assert number(target, "EW_UART_CLOCK_HZ") == target.clock_hz


@pytest.mark.parametrize("name", [*LIMITS, "stm32vldiscovery"])
def test_rate_of_the_line(name: str) -> None:
    """The divider as ew_uart_stm32.c makes it, and its limits (RM0090 19.3.4; RM0432, LPUART_BRR)."""
    target = load_target(name)
    steps = number(target, "EW_UART_BRR_STEPS") if "EW_UART_BRR_STEPS" in target.defines else 1
    clock, baud = number(target, "EW_UART_CLOCK_HZ") * steps, number(target, "EW_UART_BAUD")
    brr = (clock + baud // 2) // baud
    assert 0x10 <= brr <= 0xFFFF if steps == 1 else 0x300 <= brr <= 0xFFFFF
    assert abs(clock / brr / baud - 1) < BAUD_ERROR


# Base of the port; TX and RX; alternate function; register and bit of the port's clock: stm32*.h, Zephyr's boards.
PINS = {
    "nucleo-f401re": (0x40020000, (2, 3), 7, F4_RCC + 0x30, 0),
    "nucleo-f746zg": (0x40020C00, (8, 9), 7, F4_RCC + 0x30, 3),
    "netduinoplus2": (0x40020800, (6, 7), 8, F4_RCC + 0x30, 2),
    "netduino2": (0x40020800, (6, 7), 8, F4_RCC + 0x30, 2),
    "nucleo-h743zi": (0x58020C00, (8, 9), 7, H7_RCC + 0xE0, 3),
    "nucleo-h723zg": (0x58020C00, (8, 9), 7, H7_RCC + 0xE0, 3),
    "nucleo-l4r5zi": (0x48001800, (7, 8), 8, L4_RCC + 0x4C, 6),
}
# Base, line, number of lines, register and bit of its clock: stm32*.h
UARTS = {
    "nucleo-f401re": (0x40004400, 38, 85, F4_RCC + 0x40, 17),
    "nucleo-f746zg": (0x40004800, 39, 98, F4_RCC + 0x40, 18),
    "netduinoplus2": (0x40011400, 71, 82, F4_RCC + 0x44, 5),
    "netduino2": (0x40011400, 71, 81, F4_RCC + 0x44, 5),
    "nucleo-h743zi": (0x40004800, 39, 150, H7_RCC + 0xE8, 18),
    "nucleo-h723zg": (0x40004800, 39, 163, H7_RCC + 0xE8, 18),
    "nucleo-l4r5zi": (0x40008000, 70, 95, L4_RCC + 0x5C, 0),
}


@pytest.mark.parametrize("name", PINS)
def test_pins_of_the_line(name: str) -> None:
    target = load_target(name)
    port, pins, function, clock, bit = PINS[name]
    values = after_setup(target, "H7" if name in H7 else "L4" if "l4" in name else "F4")
    assert values[clock] >> bit & 1
    for pin in pins:
        assert field(values[port], 2 * pin + 1, 2 * pin) == 2
        assert field(values[port + 0x20 + pin // 8 * 4], pin % 8 * 4 + 3, pin % 8 * 4) == function
    assert field(values[port + 0x0C], 2 * pins[1] + 1, 2 * pins[1]) == 1  # RX: pull-up
    base, line, lines, clock, bit = UARTS[name]
    assert target.interrupts is not None
    assert (number(target, "EW_UART_BASE"), number(target, "EW_UART_RX_IRQ")) == (base, line)
    assert (target.interrupts.count, target.interrupts.handlers["ew_uart_rx_isr"]) == (lines, line)
    assert values[clock] >> bit & 1
    if name == "nucleo-l4r5zi":
        assert values[L4_PWR + 0x04] >> 9 & 1  # the port's own supply


@pytest.mark.parametrize("name", LIMITS)
def test_flash_waits_before_the_clock_is_fast(name: str) -> None:
    target = load_target(name)
    flash, switch = {
        "F4": (F4_FLASH_ACR, F4_RCC + 0x08), "H7": (H7_FLASH_ACR, H7_RCC + 0x10), "L4": (L4_FLASH_ACR, L4_RCC + 0x08)
    }["H7" if name in H7 else "L4" if "l4" in name else "F4"]  # fmt: skip
    order = [step.address for step in target.setup]
    assert order.index(flash) < order.index(switch)
    selecting = target.setup[order.index(switch)]
    assert selecting.wait  # until the switch is done


@pytest.mark.parametrize("name", M7)
def test_mpu_shuts_only_what_is_not_there(name: str) -> None:
    """DDI 0403, B3.5: MPU_RASR with SIZE = 31 is all of memory, less the eighths that SRD names."""
    target = load_target(name)
    values = after_setup(target, "H7" if name in H7 else "F4")
    rasr = values[0xE000EDA0]
    assert (field(values[0xE000ED94], 2, 0), values[0xE000ED98], values[0xE000ED9C]) == (5, 0, 0)
    assert (field(rasr, 0, 0), field(rasr, 5, 1), field(rasr, 28, 28), field(rasr, 26, 24)) == (1, 31, 1, 0)
    shut = [eighth for eighth in range(8) if not field(rasr, 15, 8) >> eighth & 1]
    assert shut == [3, 4, 5, 6]
    used = [step.address for step in target.setup]
    used += [address for region in target.memory for address in (region.origin, region.origin + region.bytes - 1)]
    assert not {address >> 29 for address in used} & set(shut)


@pytest.mark.parametrize("name", H7)
def test_probe_gets_in_while_the_processor_sleeps(name: str) -> None:
    """DBGMCU_CR in ST's device headers: DBG_SLEEPD1, DBG_CKD1EN, DBG_CKD3EN."""
    assert after_setup(load_target(name), "H7")[0x5C001004] == 1 << 0 | 1 << 21 | 1 << 22
