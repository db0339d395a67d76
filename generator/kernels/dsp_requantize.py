"""Requantization by a straight line: what replaces float32 arithmetic on Arm DSP cores, and the proof that it may.

The definition is y = clamp(rint(f32(acc) * scale) + zero, act_min, act_max). It is a staircase in acc with at most 255
steps, so `usat8((offset + high32(acc * multiplier)) >> shift)` equals it for every acc of a range if and only if it
steps at the same places: at each step, the line is not below it where the definition has stepped, and below it one
before. Those are linear conditions on (multiplier, offset), solved here for all channels at once, in exact integers.
What the offset of 32 bits cannot express, something small added to the bias can.

Some channels have no such line, because float32 rounds products near a tie to the tie, and that to even: their kernel
calls compute in float. Domains here are uint8's: an int8 tensor has 128 added to its zero point and limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array

LINE_SHIFT = 4  # EW_DSP_LINE_SHIFT in ew_dsp.h
_BIAS_SEARCH = 1 << 14  # what may be added to the bias, in absolute value
_FAR = 1 << 60


@dataclass(frozen=True, eq=False)
class Lines:
    """A line a channel, int64 that fit in 32 bits. Where `found` is false the others are 0.

    y = usat8((offset + high32(gain * (acc + bias) * multiplier)) >> (shift + log2 gain)), `gain` being 1 or 256.
    """

    multiplier: Array
    offset: Array
    bias: Array
    found: Array


def requantized(acc: Array, scale: Array, zero: int) -> Array:
    """The definition without its clamp, int64: rint(f32(acc) * scale) + zero."""
    product = acc.astype(np.float32) * scale.astype(np.float32)
    return np.rint(np.clip(product, -(2.0**40), 2.0**40)).astype(np.int64) + zero  # far beyond any clamp


def find_lines(
    scale: Array, low: Array, high: Array, zero: int, times_256: bool = False, shift: int = LINE_SHIFT
) -> Lines:
    """Return a line for each channel that has one and a scale below 2^-(shift + 1).

    Shapes: scale, low, high [channels]; accumulators lie in [low, high], bias included. `zero` is 0..255.
    With `times_256` the kernel's accumulators are 256 times too large, and it shifts by 8 more.
    """
    scale = np.asarray(scale, np.float32)
    low, high = np.asarray(low, np.int64), np.asarray(high, np.int64)
    gain = 256 if times_256 else 1
    one = gain << (32 + shift)  # a step of y, in the units of gain * acc * multiplier
    level = np.arange(1, 256, dtype=np.int64)[None, :]
    first = _first_acc(scale, low, high, zero, level)
    rises, starts = first <= high[:, None], first > low[:, None]

    def room(multiplier: Array) -> tuple[Array, Array]:
        """The least and the largest offset (times 2^32) that put every step in its place."""
        slope = gain * multiplier[:, None]
        least = np.where(rises, level * one - slope * first, -_FAR).max(axis=1)
        most = np.where(starts, level * one - slope * (first - 1) - 1, _FAR).min(axis=1)
        return least, most

    found = (scale > np.float32(2.0**-20)) & (scale < np.float32(2.0 ** -(shift + 1)))
    middle = np.where(found, scale, np.float32(2.0**-10)).astype(np.float64) * 2.0 ** (32 + shift)
    multiplier = _widest(room, np.rint(middle).astype(np.int64))
    offset, bias, possible = _offsets(*room(multiplier), gain * multiplier, zero * one + one // 2)
    found &= possible
    for end in (low, high):  # nothing may overflow on the way
        operand = gain * (end + bias)
        line = (operand * multiplier >> 32) + offset
        found &= (np.abs(operand) < 2**31) & (np.abs(line) < 2**31)
    return Lines(np.where(found, multiplier, 0), np.where(found, offset, 0), np.where(found, bias, 0), found)


def _first_acc(scale: Array, low: Array, high: Array, zero: int, level: Array) -> Array:
    """The first accumulator in [low, high] whose result is at least the level, else high + 1: [channels, levels]."""
    left = np.broadcast_to(low[:, None], (len(low), level.shape[1])).copy()
    right = np.broadcast_to(high[:, None] + 1, left.shape).copy()
    while (left < right).any():
        middle = (left + right) >> 1
        reached = requantized(middle, scale[:, None], zero) >= level
        search = left < right
        right = np.where(search & reached, middle, right)
        left = np.where(search & ~reached, middle + 1, left)
    return left


def _widest(room: Callable[[Array], tuple[Array, Array]], middle: Array) -> Array:
    """The multipliers that leave most room for the offset, near `middle`: the room is concave in the multiplier."""

    def width(multiplier: Array) -> Array:
        least, most = room(multiplier)
        return np.subtract(most, least)

    low = np.maximum(middle - (middle >> 6) - 2, 1)
    high = np.minimum(middle + (middle >> 6) + 2, 2**31 - 1)
    while (high - low > 2).any():
        third = (high - low) // 3
        left_is_wider = width(low + third) >= width(high - third)
        step = high - low > 2
        high, low = (
            np.where(step & left_is_wider, high - third - 1, high),
            np.where(step & ~left_is_wider, low + third + 1, low),
        )
    candidates = np.stack([np.minimum(low + extra, high) for extra in range(3)])
    best = np.argmax(np.stack([width(candidate) for candidate in candidates]), axis=0)
    return np.asarray(np.take_along_axis(candidates, best[None], axis=0)[0])


def _offsets(least: Array, most: Array, slope: Array, wanted: int) -> tuple[Array, Array, Array]:
    """Return (offset, bias, found): least <= offset * 2^32 + bias * slope <= most, with the smallest bias."""
    unit = 1 << 32
    lowest, highest = -(-least // unit), most // unit
    offset = np.clip(wanted // unit, lowest, np.maximum(highest, lowest))
    found = (least <= most) & (lowest <= highest)
    bias = np.zeros_like(offset)
    tries = np.arange(1, _BIAS_SEARCH + 1, dtype=np.int64)
    tries = np.stack([tries, -tries], axis=1).reshape(-1)
    for channel in np.flatnonzero(~found & (least <= most)):
        taken = tries * slope[channel]
        candidate = -((taken - least[channel]) // unit)
        good = candidate * unit <= most[channel] - taken
        if good.any():
            at = int(np.argmax(good))
            offset[channel], bias[channel], found[channel] = candidate[at], tries[at], True
    return offset, bias, found
