"""A line (see dsp_requantize.py) for sums that a kernel has as a multiple, and without their bias.

The multiple makes the line finer. Where it is fine enough, its offset holds the bias as well; otherwise the kernel adds
a number to the multiplied sums: gain * bias, and a little more or less where that makes the offset an integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array
from edgewright.kernels.dsp_requantize import requantized

_FAR = 1 << 61
_TRIES = 512  # multipliers on each side of the best one
_ADDENDS = 1 << 14  # on each side of gain * bias

Room = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class GainedLine:
    """y = usat8((offset + high32((gain * sum + addend) * multiplier)) >> shift)."""

    multiplier: int
    offset: int
    addend: int


def find_gained_line(
    scale: np.float32, low: int, high: int, bias: int, zero: int, gain: int, shift: int, with_addend: bool = False
) -> GainedLine | None:
    """Return a line that is usat8(rint(f32(sum + bias) * scale) + zero) for each sum in [low, high], or None.

    Without `with_addend` the addend is 0.
    """
    one = 1 << 32 + shift  # a step of the result, in units of gain * sum * multiplier
    middle = round(float(scale) * one / gain)
    if not 16 <= middle < 2**31 - 2**22 or gain * max(-low, high) >= 2**31:
        return None
    level = np.arange(1, 256, dtype=np.int64)
    first = _first_sum(scale, low, high, bias, zero, level)
    level *= one
    rises, starts = first <= high, first > low

    def room(multiplier: Array) -> tuple[Array, Array]:
        """The least and the largest of what may be added to gain * sum * multiplier: every step in its place."""
        slope = gain * multiplier[:, None]
        least = np.where(rises, level - slope * first, -_FAR).max(axis=1)
        most = np.where(starts, level - slope * (first - 1) - 1, _FAR).min(axis=1)
        return least, most

    best = _widest(room, middle)
    multipliers = best + np.arange(-min(_TRIES, best - 1), _TRIES + 1, dtype=np.int64)
    addends = np.zeros(1, np.int64)
    if with_addend:
        near = np.arange(_ADDENDS, dtype=np.int64)
        multipliers, addends = np.array([best]), gain * bias + np.stack([near, -near], axis=1).reshape(-1)
    least, most = (end - addends * multipliers for end in room(multipliers))
    wanted = (zero << 32 + shift) + one // 2 + (gain * bias - addends) * multipliers
    lowest = -(-least >> 32)
    offset = np.clip(wanted >> 32, lowest, np.maximum(most >> 32, lowest))
    fits = (offset << 32 <= most) & (np.abs(offset) < 2**31)
    for end in (low, high):
        operand = gain * end + addends
        fits &= (np.abs(operand) < 2**31) & (np.abs((operand * multipliers >> 32) + offset) < 2**31)
    if not fits.any():
        return None
    at = int(np.argmax(fits if with_addend else np.where(fits, most - least, -_FAR)))
    return GainedLine(int(multipliers[at % len(multipliers)]), int(offset[at]), int(addends[at % len(addends)]))


def _first_sum(scale: np.float32, low: int, high: int, bias: int, zero: int, level: Array) -> Array:
    """The first sum in [low, high] whose result is at least each level, else high + 1."""
    left, right = np.full(level.shape, low, np.int64), np.full(level.shape, high + 1, np.int64)
    while (left < right).any():
        middle, search = (left + right) >> 1, left < right
        reached = requantized(middle + bias, np.asarray(scale), zero) >= level
        right = np.where(search & reached, middle, right)
        left = np.where(search & ~reached, middle + 1, left)
    return left


def _widest(room: Room, middle: int) -> int:
    """The multiplier near `middle` that leaves most room for the offset: the room is concave."""
    low, high = max(middle - (middle >> 10) - 2, 1), middle + (middle >> 10) + 2
    while high - low > 2:
        third = (high - low) // 3
        least, most = room(np.array([low + third, high - third], np.int64))
        if most[0] - least[0] >= most[1] - least[1]:
            high -= third + 1
        else:
            low += third + 1
    least, most = room(np.arange(low, high + 1, dtype=np.int64))
    return low + int(np.argmax(most - least))
