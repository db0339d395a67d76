"""Gluing pieces into blocks that waste nothing: a heuristic for problems without room to spare.

Pieces that begin and end together can lie on each other as one stack. Where a stack that ends as another begins is
exactly as high, the two are one rectangle in time and size, that is, one larger piece. Where sizes are of many kinds,
equal sums are seldom chance. The larger pieces are then packed like any others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from edgewright.plan.packing_problem import Problem

MAX_IN_STACK = 3
MAX_ALIKE = 14  # pieces of one interval whose sums are tried
MAX_SUMS = 200_000


@dataclass(frozen=True)
class Block:
    """A rectangle of pieces. `parts`: stacks side by side in time, each from the bottom up; none for a single piece."""

    units: int
    first: int
    end: int
    piece: int = -1
    parts: tuple[tuple[Block, ...], ...] = ()

    def places(self, at: int) -> Iterator[tuple[int, int]]:
        """Yield (piece, position) for a block at a position."""
        if not self.parts:
            yield self.piece, at
        for part in self.parts:
            above = at
            for block in part:
                yield from block.places(above)
                above += block.units


def glue(problem: Problem) -> list[Block]:
    """Return blocks that together are the pieces."""
    spans = zip(problem.units, problem.first, problem.end, strict=True)
    blocks = {index: Block(*span, piece=index) for index, span in enumerate(spans)}
    made, tried = problem.count, 0
    while True:
        before: dict[int, list[int]] = defaultdict(list)
        after: dict[int, list[int]] = defaultdict(list)
        for key, block in blocks.items():
            before[block.end].append(key)
            after[block.first].append(key)
        matches = []
        for moment in sorted(before.keys() & after.keys()):
            left = _sums(blocks, before[moment])
            right = _sums(blocks, after[moment])
            tried += sum(map(len, left.values())) + sum(map(len, right.values()))
            for total in left.keys() & right.keys():
                matches += [(len(x) + len(y), -total, x, y) for x in left[total][:4] for y in right[total][:4]]
            if tried > MAX_SUMS:
                return list(blocks.values())
        used: set[int] = set()
        for _, total, x, y in sorted(matches):
            if used.isdisjoint(x) and used.isdisjoint(y):
                used.update(x, y)
                parts = tuple(blocks.pop(key) for key in x), tuple(blocks.pop(key) for key in y)
                blocks[made] = Block(-total, parts[0][0].first, parts[1][0].end, parts=parts)
                made += 1
        if not used:
            return list(blocks.values())


def _sums(blocks: dict[int, Block], keys: list[int]) -> dict[int, list[tuple[int, ...]]]:
    """Return stacks of blocks of one interval each, by height."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for key in keys:
        alike[blocks[key].first, blocks[key].end].append(key)
    found: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for group in alike.values():
        tried = group[:MAX_ALIKE]
        for count in range(1, MAX_IN_STACK + 1):
            for chosen in combinations(tried, count):
                found[sum(blocks[key].units for key in chosen)].append(chosen)
        if len(group) > MAX_IN_STACK:
            found[sum(blocks[key].units for key in group)].append(tuple(group))
    return found
