"""Requantization by a line is proved, channel by channel: compared with the definition for every accumulator."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.kernels.dsp_gained_line import find_gained_lines
from edgewright.kernels.dsp_requantize import Lines, find_lines, requantized


def by_line(acc: np.ndarray, lines: Lines, channel: int, times_256: bool, shift: int) -> np.ndarray:
    """What the kernels compute, 32 bits at each step."""
    gain = 256 if times_256 else 1
    operand = gain * (acc + int(lines.bias[channel]))
    line = (operand * int(lines.multiplier[channel]) >> 32) + int(lines.offset[channel])
    for values in (operand, line):
        assert values.min() >= -(2**31)
        assert values.max() < 2**31
    return np.clip(line >> (shift + (8 if times_256 else 0)), 0, 255)


def assert_proved(
    lines: Lines, scale: np.ndarray, low: np.ndarray, high: np.ndarray, zero: int, times_256: bool, shift: int
) -> None:
    for channel in np.flatnonzero(lines.found):
        acc = np.arange(low[channel], high[channel] + 1)
        wanted = np.clip(requantized(acc, scale[channel], zero), 0, 255)
        np.testing.assert_array_equal(by_line(acc, lines, int(channel), times_256, shift), wanted)


@pytest.mark.parametrize("times_256", [False, True])
@pytest.mark.parametrize("shift", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_a_line_equals_the_definition_for_every_accumulator(seed: int, shift: int, times_256: bool) -> None:
    rng = np.random.default_rng(seed)
    scale = np.exp2(rng.uniform(-12, -1, 12)).astype(np.float32)
    low = -rng.integers(0, 300_000, 12)
    high = low + rng.integers(0, 600_000, 12)
    zero = int(rng.choice([0, 255, rng.integers(0, 256)]))
    lines = find_lines(scale, low, high, zero, times_256, shift)
    assert lines.found.sum() >= 4
    assert not lines.found[scale >= 2.0 ** -(shift + 1)].any()
    assert_proved(lines, scale, low, high, zero, times_256, shift)


def test_ties_of_exact_scales_are_rounded_to_even_or_refused() -> None:
    """Powers of two put every other accumulator on a tie, which no line can round half to even throughout."""
    scale = np.exp2(np.arange(-10, -5)).astype(np.float32)
    low, high = np.full(5, -5000), np.full(5, 5000)
    lines = find_lines(scale, low, high, 7)
    assert not lines.found.any()
    few = find_lines(scale, np.full(5, -3), np.full(5, 3), 7)
    assert_proved(few, scale, np.full(5, -3), np.full(5, 3), 7, False, 4)


def test_accumulators_that_overflow_have_no_line() -> None:
    scale = np.float32([0.001, 0.001])
    lines = find_lines(scale, np.array([-(2**23) - 1, -100]), np.array([100, 100]), 0, times_256=True)
    assert lines.found.tolist() == [False, True]


def test_most_channels_of_a_layer_have_a_line() -> None:
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.002, 0.02, 200).astype(np.float32)
    lines = find_lines(scale, np.full(200, -200_000), np.full(200, 200_000), 0)
    assert lines.found.mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_line_does_not_depend_on_the_channels_beside_it(seed: int) -> None:
    """All channels are searched together, each in its own steps: alone it has to find the same."""
    rng = np.random.default_rng(seed)
    scale = np.exp2(rng.uniform(-18, -2, 9)).astype(np.float32)
    scale[:2] = np.exp2(np.float32([-9, -4]))
    low = -rng.integers(0, 2 ** rng.integers(3, 22, 9))
    high = low + rng.integers(0, 2 ** rng.integers(3, 22, 9))
    bias, gain, times_256 = rng.integers(-999, 999, 9), 2 ** rng.integers(2, 9, 9), rng.integers(0, 2, 9) == 1
    together = find_lines(scale, low, high, 31, times_256)
    gained = [find_gained_lines(scale, low, high, bias, 31, gain, 16, addend) for addend in (False, True)]
    assert together.found.any() and gained[1].found.any()
    for c in range(9):
        one = slice(c, c + 1)
        alone = find_lines(scale[one], low[one], high[one], 31, bool(times_256[c]))
        assert [int(v[0]) for v in vars(alone).values()] == [int(v[c]) for v in vars(together).values()]
        for addend, all_lines in zip((False, True), gained, strict=True):
            alone_too = find_gained_lines(scale[one], low[one], high[one], bias[one], 31, gain[one], 16, addend)
            assert [int(v[0]) for v in vars(alone_too).values()] == [int(v[c]) for v in vars(all_lines).values()]
