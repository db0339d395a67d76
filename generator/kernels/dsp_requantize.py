"""Requantization by a straight line: what replaces float32 arithmetic on Arm DSP cores, and the proof that it may.

The definition is y = clamp(rint(f32(acc) * scale) + zero, act_min, act_max). It is a staircase in acc with at most 255
steps, so `usat8((offset + high32(acc * multiplier)) >> shift)` equals it for every acc of a range if and only if it
steps at the same places: at each step, the line is not below it where the definition has stepped, and below it one
before. Those are linear conditions on (multiplier, offset), solved here for all channels at once, in exact integers.
What the offset of 32 bits cannot express, something small added to the bias can.

Some channels have no such line, because float32 rounds products near a tie to the tie, and that to even: their kernel
calls compute in float. Domains here are uint8's: an int8 tensor has 128 added to its zero point and limits.

Results are remembered by content: one layer is lowered by several kernels, and by one kernel several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgewright.ir import Array

LINE_SHIFT = 4  # EW_DSP_LINE_SHIFT in ew_dsp.h
REMEMBERED = 256  # layers whose lines are kept
_BIAS_SEARCH = 1 << 14  # what may be added to the bias, in absolute value
_AT_ONCE = 512  # additions that are tried together
_FAR = 1 << 61
_PRUNE_EVERY = 8  # steps of a search


@dataclass(frozen=True, eq=False)
class Lines:
    """A line a channel, int64 that fit in 32 bits. Where `found` is false the others are 0.

    y = usat8((offset + high32(gain * (acc + bias) * multiplier)) >> (shift + log2 gain)), `gain` being 1 or 256.
    """

    multiplier: Array
    offset: Array
    bias: Array
    found: Array


@dataclass(frozen=True, eq=False)
class Room:
    """What may be added to slope * sum, so that every step is in its place.

    Shapes: [channels, levels]: `level`, in units of slope * sum; `first`, the first sum that reaches it. `rises` and
    `starts`: whether there is such a sum, and whether one before it. gain [channels]: slope = gain * multiplier.
    """

    level: Array
    first: Array
    rises: Array
    starts: Array
    gain: Array

    @staticmethod
    def of(first: Array, low: Array, high: Array, one: Array, gain: Array) -> Room:
        """Levels 1 to 255, `one` apart, for sums in [low, high]. Shapes: first [channels, 255], others [channels]."""
        level = np.arange(1, 256, dtype=np.int64) * one[:, None]
        return Room(level, first, first <= high[:, None], first > low[:, None], gain)

    def __call__(self, multiplier: Array) -> tuple[Array, Array]:
        """The least and the largest. Shapes: multiplier [..., channels]."""
        slope = (self.gain * multiplier)[..., None]
        gap = self.level - slope * self.first
        least = np.where(self.rises, gap, -_FAR).max(axis=-1)
        most = np.where(self.starts, gap + (slope - 1), _FAR).min(axis=-1)
        return least, most

    def width(self, multiplier: Array) -> Array:
        """How much lies between them."""
        least, most = self(multiplier)
        return np.asarray(most - least)

    def within(self, low: Array, high: Array) -> Room:
        """The same for multipliers in [low, high], without levels that bound nothing there. Shapes: [channels].

        A level's gap is linear in the multiplier, so that what it can be lies between what it is at both ends.
        """
        slopes = (self.gain * np.stack([low, high]))[..., None]
        gaps = self.level - slopes * self.first
        below, above = gaps, gaps + (slopes - 1)
        floor = np.where(self.rises, below.min(axis=0), -_FAR).max(axis=1, keepdims=True)
        ceiling = np.where(self.starts, above.max(axis=0), _FAR).min(axis=1, keepdims=True)
        rises, starts = self.rises & (below.max(axis=0) >= floor), self.starts & (above.min(axis=0) <= ceiling)
        used = rises | starts
        kept = np.argsort(~used, axis=1, kind="stable")[:, : max(int(used.sum(axis=1).max(initial=0)), 1)]
        level, first, rises, starts = (
            np.take_along_axis(values, kept, axis=1) for values in (self.level, self.first, rises, starts)
        )
        return Room(level, first, rises, starts, self.gain)


def requantized(acc: Array, scale: Array, zero: int) -> Array:
    """The definition without its clamp, int64: rint(f32(acc) * scale) + zero."""
    product = acc.astype(np.float32) * scale.astype(np.float32)
    return np.rint(np.clip(product, -(2.0**40), 2.0**40)).astype(np.int64) + zero  # far beyond any clamp


def find_lines(
    scale: Array, low: Array, high: Array, zero: int, times_256: bool | Array = False, shift: int = LINE_SHIFT
) -> Lines:
    """Return a line for each channel that has one and a scale below 2^-(shift + 1).

    Shapes: scale, low, high [channels]; accumulators lie in [low, high], bias included. `zero` is 0..255.
    With `times_256` (of all, or of each) the kernel's accumulators are 256 times too large, and it shifts by 8 more.
    """
    gain = np.broadcast_to(np.where(times_256, 256, 1), np.shape(scale))
    return _lines(np.asarray(scale, np.float32).tobytes(), *whole(low, high, gain), zero, shift)


def whole(*arrays: Array) -> tuple[bytes, ...]:
    """int64 arrays as something that can be looked up."""
    return tuple(np.asarray(array, np.int64).tobytes() for array in arrays)


@lru_cache(REMEMBERED)
def _lines(scales: bytes, lows: bytes, highs: bytes, gains: bytes, zero: int, shift: int) -> Lines:
    scale = np.frombuffer(scales, np.float32)
    low, high, gain = (np.frombuffer(values, np.int64) for values in (lows, highs, gains))
    one = gain << (32 + shift)  # a step of y, in the units of gain * acc * multiplier
    room = Room.of(first_acc(scale, low, high, zero), low, high, one, gain)
    found = (scale > np.float32(2.0**-20)) & (scale < np.float32(2.0 ** -(shift + 1)))
    middle = np.where(found, scale, np.float32(2.0**-10)).astype(np.float64) * 2.0 ** (32 + shift)
    multiplier = widest(room, np.rint(middle).astype(np.int64), 6)
    offset, bias, possible = _offsets(*room(multiplier), gain * multiplier, zero * one + one // 2)
    found &= possible
    for end in (low, high):  # nothing may overflow on the way
        operand = gain * (end + bias)
        line = (operand * multiplier >> 32) + offset
        found &= (np.abs(operand) < 2**31) & (np.abs(line) < 2**31)
    lines = Lines(np.where(found, multiplier, 0), np.where(found, offset, 0), np.where(found, bias, 0), found)
    for shared in (lines.multiplier, lines.offset, lines.bias, lines.found):
        shared.flags.writeable = False
    return lines


def first_acc(scale: Array, low: Array, high: Array, zero: int) -> Array:
    """The first accumulator in [low, high] whose result is at least 1, 2, ... 255, else high + 1: [channels, 255]."""
    level = np.arange(1, 256, dtype=np.int64)
    left = np.repeat(low[:, None], len(level), axis=1)
    right = np.repeat(high[:, None] + 1, len(level), axis=1)
    while (search := left < right).any():
        middle = (left + right) >> 1
        reached = requantized(middle, scale[:, None], zero) >= level
        right = np.where(search & reached, middle, right)
        left = np.where(search & ~reached, middle + 1, left)
    return left


def widest(room: Room, middle: Array, reach: int) -> Array:
    """The multipliers that leave most room for the offset, within `middle` / 2^reach: the room is concave in them."""
    low = np.maximum(middle - (middle >> reach) - 2, 1)
    high = np.minimum(middle + (middle >> reach) + 2, 2**31 - 1)
    steps = 0
    while (step := high - low > 2).any():
        if steps % _PRUNE_EVERY == 0:
            room = room.within(low, high)
        third = (high - low) // 3
        left, right = room.width(np.stack([low + third, high - third]))
        left_is_wider = left >= right
        high, low = (
            np.where(step & left_is_wider, high - third - 1, high),
            np.where(step & ~left_is_wider, low + third + 1, low),
        )
        steps += 1
    candidates = np.stack([np.minimum(low + extra, high) for extra in range(3)])
    best = np.argmax(room.width(candidates), axis=0)
    return np.asarray(np.take_along_axis(candidates, best[None], axis=0)[0])


def _offsets(least: Array, most: Array, slope: Array, wanted: Array) -> tuple[Array, Array, Array]:
    """Return (offset, bias, found): least <= offset * 2^32 + bias * slope <= most, with the smallest bias."""
    unit = 1 << 32
    lowest, highest = -(-least // unit), most // unit
    offset = np.clip(wanted // unit, lowest, np.maximum(highest, lowest))
    found = (least <= most) & (lowest <= highest)
    bias = np.zeros_like(offset)
    left = np.flatnonzero(~found & (least <= most))
    for tries in np.split(alternating(1, _BIAS_SEARCH + 1), 2 * _BIAS_SEARCH // _AT_ONCE):
        if not len(left):
            break
        taken = tries * slope[left, None]
        candidate = -((taken - least[left, None]) // unit)
        good = candidate * unit <= most[left, None] - taken
        has, at = good.any(axis=1), good.argmax(axis=1)
        done, row = left[has], np.flatnonzero(has)
        offset[done], bias[done], found[done] = candidate[row, at[has]], tries[at[has]], True
        left = left[~has]
    return offset, bias, found


def alternating(start: int, stop: int) -> Array:
    """start, -start, start + 1, -(start + 1), ..., -(stop - 1), int64."""
    tries = np.arange(start, stop, dtype=np.int64)
    return np.stack([tries, -tries], axis=1).reshape(-1)
