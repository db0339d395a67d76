"""A packing problem in whole units of the alignment, and the greedy placements. No clock, no randomness.

Time is cut into sections, one for each step at which some piece begins: pieces that overlap share a section, because
the later of two starts lies in both. A piece covers the sections `first` to `end`, `end` excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNPLACED = -1


@dataclass(frozen=True)
class Problem:
    """Pieces by index. Units: `sizes` and capacities in bytes, `units` and positions in multiples of `align`."""

    align: int
    sizes: tuple[int, ...]
    first: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def of_spans(cls, align: int, spans: Sequence[tuple[int, int, int]]) -> Problem:
        """Return the problem of pieces (size in bytes, first step, last step)."""
        starts = np.unique(np.array([first for _, first, _ in spans], dtype=np.int64))
        first = np.searchsorted(starts, [first for _, first, _ in spans], side="left").tolist()
        end = np.searchsorted(starts, [last for _, _, last in spans], side="right").tolist()
        return cls(align, tuple(size for size, _, _ in spans), tuple(first), tuple(end))

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self.sizes)

    @cached_property
    def sections(self) -> int:
        """Number of sections of time."""
        return max(self.end, default=0)

    @cached_property
    def units(self) -> tuple[int, ...]:
        """What each piece takes when another lies above it."""
        return tuple(-(-size // self.align) for size in self.sizes)

    @cached_property
    def areas(self) -> tuple[int, ...]:
        """Units times sections of each piece."""
        return tuple(u * (e - f) for u, f, e in zip(self.units, self.first, self.end, strict=True))

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """For each piece, those that are live at some time with it."""
        first, end = np.array(self.first), np.array(self.end)
        found = []
        for index in range(self.count):
            near = (first < self.end[index]) & (end > self.first[index])
            near[index] = False
            found.append(np.flatnonzero(near).tolist())
        return found

    @cached_property
    def lower_bound_bytes(self) -> int:
        """Return the most bytes live at once, each size rounded up but for the piece whose padding is largest.

        One piece is the topmost and its tail is not padded. Which one is free to choose in one section, so the bound
        takes the one that saves most.
        """
        load = np.zeros(self.sections + 1, dtype=np.int64)
        saved = np.zeros(self.sections, dtype=np.int64)
        for size, units, first, end in zip(self.sizes, self.units, self.first, self.end, strict=True):
            padded = units * self.align
            load[first] += padded
            load[end] -= padded
            np.maximum(saved[first:end], padded - size, out=saved[first:end])
        return int((np.cumsum(load[:-1]) - saved).max(initial=0))

    def arena_bytes(self, positions: Iterable[int]) -> int:
        """Return the end of the topmost piece."""
        return max((at * self.align + size for at, size in zip(positions, self.sizes, strict=True)), default=0)

    def limits(self, capacity_bytes: int) -> list[int]:
        """Return the highest position of each piece that ends within a capacity; negative where it is too big."""
        return [(capacity_bytes - size) // self.align for size in self.sizes]


def greedy_orders(problem: Problem) -> dict[str, list[int]]:
    """Return orders of placement by name, the best on average first."""
    units, areas, first, end = problem.units, problem.areas, problem.first, problem.end
    keys: dict[str, Callable[[int], tuple[int, ...]]] = {
        "greedy by size": lambda i: (-units[i], first[i], i),
        "greedy by area": lambda i: (-areas[i], first[i], i),
        "greedy by length": lambda i: (first[i] - end[i], -units[i], i),
        "greedy by start": lambda i: (first[i], -units[i], i),
    }
    return {name: sorted(range(problem.count), key=key) for name, key in keys.items()}


def first_fit(problem: Problem, order: Iterable[int]) -> list[int]:
    """Place each piece into the lowest gap that takes it."""
    units, neighbours = problem.units, problem.neighbours
    positions = [UNPLACED] * problem.count
    for piece in order:
        at, size = 0, units[piece]
        taken = sorted([(positions[j], positions[j] + units[j]) for j in neighbours[piece] if positions[j] >= 0])
        for start, stop in taken:
            if start >= at + size:
                break
            if stop > at:
                at = stop
        positions[piece] = at
    return positions


def stack(problem: Problem, order: Iterable[int]) -> list[int]:
    """Place each piece on top of those before it, without looking for gaps: for problems too big for more."""
    heights = np.zeros(problem.sections, dtype=np.int64)
    positions = [UNPLACED] * problem.count
    for piece in order:
        under = heights[problem.first[piece] : problem.end[piece]]
        positions[piece] = int(under.max())
        under[:] = positions[piece] + problem.units[piece]
    return positions
