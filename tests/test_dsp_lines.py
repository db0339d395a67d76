"""Requantization by a line is proved, channel by channel: compared with the definition for every accumulator."""

from __future__ import annotations

import numpy as np
import pytest

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
