"""How long a piece of the arena is needed, and the least that all pieces together need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


def lower_bound_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """Return the largest sum of live bytes over time: no plan for these pieces needs less."""
    steps = {life.first for life in lifetimes}
    return max((sum(life.size_bytes for life in lifetimes if life.first <= s <= life.last) for s in steps), default=0)
