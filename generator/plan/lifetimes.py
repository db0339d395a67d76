"""How long a piece of the arena is needed, and the least that all pieces together need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array


@dataclass(frozen=True)
class Lifetime:
    """A piece of the arena: written first at step `first`, read last at step `last`. Units: bytes."""

    root: str
    size_bytes: int
    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are live at some step."""
        return self.first <= other.last and other.first <= self.last


def live_bytes(lifetimes: Sequence[Lifetime], first: int, steps: int) -> Array:
    """Return the bytes that are live at each of `steps` steps from `first` on. Shapes: [steps]."""
    change = np.zeros(steps + 1, np.int64)
    for life in lifetimes:
        change[min(max(life.first - first, 0), steps)] += life.size_bytes
        change[min(max(life.last + 1 - first, 0), steps)] -= life.size_bytes
    return np.cumsum(change)[:-1]


def lower_bound_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """Return the largest sum of live bytes over time: no plan for these pieces needs less."""
    if not lifetimes:
        return 0
    first, last = min(life.first for life in lifetimes), max(life.last for life in lifetimes)
    return int(live_bytes(lifetimes, first, last + 1 - first).max())
