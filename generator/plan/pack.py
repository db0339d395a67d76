"""Arena offsets: greedy by size. Each piece goes to the lowest gap between the pieces placed before it."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.plan.lifetimes import Lifetime

ARENA_ALIGN_BYTES = 16  # MVE and NEON load 16 bytes at a time


def align_up(value: int, to: int = ARENA_ALIGN_BYTES) -> int:
    """Return the least multiple of `to` that is not below `value`."""
    return -(-value // to) * to


def pack(lifetimes: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Return an offset for each piece, and the arena's size. Units: bytes."""
    placed: list[tuple[int, Lifetime]] = []
    for life in sorted(lifetimes, key=lambda piece: (-piece.size_bytes, piece.first, piece.root)):
        offset = 0
        for start, other in sorted(placed, key=lambda item: item[0]):
            if life.overlaps(other) and offset + life.size_bytes > start:
                offset = max(offset, align_up(start + other.size_bytes))
        placed.append((offset, life))
    total = align_up(max((offset + life.size_bytes for offset, life in placed), default=0))
    return {life.root: offset for offset, life in placed}, total
