"""Lines (see dsp_requantize.py) for sums that a kernel has as a multiple, and without their bias.

The multiple makes the line finer. Where it is fine enough, its offset holds the bias as well; otherwise the kernel adds
a number to the multiplied sums: gain * bias, and a little more or less where that makes the offset an integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgewright.ir import Array
from edgewright.kernels.dsp_requantize import REMEMBERED, Room, alternating, first_acc, whole, widest

_FAR = 1 << 61
_TRIES = 512  # multipliers on each side of the best one
_ADDENDS = 1 << 14  # on each side of gain * bias
_AT_ONCE = 1 << 10  # addends that are tried together


@dataclass(frozen=True, eq=False)
class GainedLines:
    """A line a channel, int64: y = usat8((offset + high32((gain * sum + addend) * multiplier)) >> shift).

    Where `found` is false the others are 0.
    """

    multiplier: Array
    offset: Array
    addend: Array
    found: Array


def find_gained_lines(
    scale: Array, low: Array, high: Array, bias: Array, zero: int, gain: Array, shift: int, with_addend: bool = False
) -> GainedLines:
    """Return lines that are usat8(rint(f32(sum + bias) * scale) + zero) for each sum in [low, high].

    Shapes: scale, low, high, bias, gain [channels]. Without `with_addend` addends are 0.
    """
    return _lines(np.asarray(scale, np.float32).tobytes(), *whole(low, high, bias, gain), zero, shift, with_addend)


@dataclass(frozen=True)
class GainedLine:
    """One channel's."""

    multiplier: int
    offset: int
    addend: int


def find_gained_line(
    scale: np.float32, low: int, high: int, bias: int, zero: int, gain: int, shift: int, with_addend: bool = False
) -> GainedLine | None:
    """`find_gained_lines` for one channel."""
    one = [np.array([value]) for value in (scale, low, high, bias, gain)]
    lines = find_gained_lines(one[0], one[1], one[2], one[3], zero, one[4], shift, with_addend)
    if not lines.found[0]:
        return None
    return GainedLine(*(int(values[0]) for values in (lines.multiplier, lines.offset, lines.addend)))


@lru_cache(REMEMBERED)
def _lines(
    scales: bytes, lows: bytes, highs: bytes, biases: bytes, gains: bytes, zero: int, shift: int, with_addend: bool
) -> GainedLines:
    scale = np.frombuffer(scales, np.float32)
    low, high, bias, gain = (np.frombuffer(values, np.int64) for values in (lows, highs, biases, gains))
    one = 1 << 32 + shift  # a step of the result, in units of gain * sum * multiplier
    middle = np.rint(np.minimum(scale.astype(np.float64) * one / gain, 2.0**31)).astype(np.int64)
    possible = (middle >= 16) & (middle < 2**31 - 2**22) & (gain * np.maximum(-low, high) < 2**31)
    found, multiplier, offset, addend = (np.zeros(len(scale), kind) for kind in (bool, *[np.int64] * 3))
    some = np.flatnonzero(possible)
    if len(some):
        low, high, bias, gain, middle = (values[some] for values in (low, high, bias, gain, middle))
        first = first_acc(scale[some], low + bias, high + bias, zero) - bias[:, None]
        search = _Search(Room.of(first, low, high, np.full_like(gain, one), gain), low, high, bias, zero, gain, one)
        best = widest(search.room, middle, 10)
        made = search.by_addend(best) if with_addend else search.by_multiplier(best)
        found[some], multiplier[some], offset[some], addend[some] = made
    lines = GainedLines(multiplier, offset, addend, found)
    for shared in (multiplier, offset, addend, found):
        shared.flags.writeable = False
    return lines


@dataclass(frozen=True, eq=False)
class _Search:
    """The layer, and both ways to a line: (found, multiplier, offset, addend) of each channel."""

    room: Room
    low: Array
    high: Array
    bias: Array
    zero: int
    gain: Array
    one: int

    def by_multiplier(self, best: Array) -> tuple[Array, ...]:
        """Near the best multipliers, what leaves most room, and an offset in 32 bits in it. Shapes: best [channels]."""
        near = np.arange(-_TRIES, _TRIES + 1, dtype=np.int64)[:, None]
        multipliers = np.maximum(best + near, 1)
        room = self.room.within(multipliers[0], multipliers[-1])
        least, most = _each(room, multipliers)
        offset, fits = self._offset(slice(None), multipliers, np.zeros(1, np.int64), least, most)
        fits &= best + near >= 1
        at = np.where(fits, most - least, -_FAR).argmax(axis=0)[None]
        chosen = [np.take_along_axis(values, at, axis=0)[0] for values in (fits, multipliers, offset)]
        return _cleared(*chosen, np.zeros_like(best))

    def by_addend(self, best: Array) -> tuple[Array, ...]:
        """With the best multipliers, the addend next to gain * bias that makes the offset an integer."""
        least, most = self.room(best)
        found, offset, addend = np.zeros(len(best), bool), np.zeros_like(best), np.zeros_like(best)
        left = np.arange(len(best))
        for near in np.split(alternating(0, _ADDENDS), 2 * _ADDENDS // _AT_ONCE):
            addends = (self.gain * self.bias)[left] + near[:, None]
            taken = addends * best[left]
            offsets, fits = self._offset(left, best[left], addends, least[left] - taken, most[left] - taken)
            has, at = fits.any(axis=0), fits.argmax(axis=0)
            done, column = left[has], np.flatnonzero(has)
            found[done], offset[done], addend[done] = True, offsets[at[has], column], addends[at[has], column]
            left = left[~has]
            if not len(left):
                break
        return _cleared(found, best, offset, addend)

    def _offset(
        self, which: Array | slice, multiplier: Array, addend: Array, least: Array, most: Array
    ) -> tuple[Array, Array]:
        """Offsets, and whether they do and nothing overflows on the way. Shapes: [tries, channels]."""
        low, high, gain = self.low[which], self.high[which], self.gain[which]
        wanted = self.zero * self.one + self.one // 2 + (gain * self.bias[which] - addend) * multiplier
        lowest = -(-least >> 32)
        offset = np.clip(wanted >> 32, lowest, np.maximum(most >> 32, lowest))
        fits = (offset << 32 <= most) & (np.abs(offset) < 2**31)
        for end in (low, high):
            operand = gain * end + addend
            fits &= (np.abs(operand) < 2**31) & (np.abs((operand * multiplier >> 32) + offset) < 2**31)
        return offset, fits


def _each(room: Room, multipliers: Array) -> tuple[Array, Array]:
    """`room(multipliers)`, level by level, which takes less memory. Shapes: multipliers [tries, channels]."""
    least, most = np.full(multipliers.shape, -_FAR, np.int64), np.full(multipliers.shape, _FAR, np.int64)
    for level in range(room.level.shape[1]):
        one = slice(level, level + 1)
        part = Room(room.level[:, one], room.first[:, one], room.rises[:, one], room.starts[:, one], room.gain)
        low, high = part(multipliers)
        np.maximum(least, low, out=least)
        np.minimum(most, high, out=most)
    return least, most


def _cleared(found: Array, *values: Array) -> tuple[Array, ...]:
    """The same with zeros where nothing was found."""
    return found, *(np.where(found, value, 0) for value in values)
