"""Exact search in the manner of MiniMalloc (Moffitt, 2023): a packing within a capacity, or proof that there is none.

Pieces are placed from the bottom up, each on the floor that those before it leave. Some best packing is such that no
piece can be lowered; in it, take the unplaced piece that could end lowest of all: it or one of its neighbours begins
below that end, on its present floor. So only these are tried next. A node is given up where a section's floor and
what has still to be placed in it exceed the capacity, or where the same pieces were placed before with floors that
are nowhere higher.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from edgewright.plan.packing_problem import UNPLACED, Problem
from edgewright.plan.packing_search import Budget

MAX_REMEMBERED = 8  # floors for one set of pieces


class _OutOfBudget(Exception):  # noqa: N818  not an error
    """The work ran out before the answer."""


def minimize(problem: Problem, positions: list[int], goal_bytes: int, budget: Budget) -> tuple[list[int], bool]:
    """Return the best packing found, and whether none is smaller (of those above `goal_bytes`)."""
    best_bytes = problem.arena_bytes(positions)
    while best_bytes > goal_bytes:
        try:
            found = _Search(problem, best_bytes - 1, budget).run()
        except _OutOfBudget:
            return positions, False
        if found is None:
            return positions, True
        positions, best_bytes = found, problem.arena_bytes(found)
    return positions, True


@dataclass
class _Search:
    """A depth-first search within one capacity. `floors`: the lowest position that each unplaced piece still has."""

    problem: Problem
    capacity_bytes: int
    budget: Budget
    positions: list[int] = field(init=False)
    seen: dict[int, list[tuple[int, ...]]] = field(init=False)

    def __post_init__(self) -> None:
        problem = self.problem
        self.positions = [UNPLACED] * problem.count
        self.seen = defaultdict(list)
        self.limits = problem.limits(self.capacity_bytes)
        self.tops = [limit + units for limit, units in zip(self.limits, problem.units, strict=True)]
        spans = list(zip(problem.first, problem.end, strict=True))
        self.live = [[i for i, (f, e) in enumerate(spans) if f <= s < e] for s in range(problem.sections)]
        self.near = [{*neighbours, piece} for piece, neighbours in enumerate(problem.neighbours)]

    def run(self) -> list[int] | None:
        """Return a packing, or None where there is none."""
        return self.positions if self._place([0] * self.problem.count, 0) else None

    def _place(self, floors: list[int], placed: int) -> bool:
        """Place the pieces that are not in the bit set `placed`."""
        units, positions = self.problem.units, self.positions
        rest = [piece for piece, at in enumerate(positions) if at < 0]
        if not rest:
            return True
        if self.budget.spent:
            raise _OutOfBudget
        self.budget.work -= 4 * self.problem.count
        if any(floors[piece] > self.limits[piece] for piece in rest) or self._overfull(floors):
            return False
        known = self.seen[placed]
        state = tuple(floors[piece] for piece in rest)
        if any(all(a <= b for a, b in zip(other, state, strict=True)) for other in known):
            return False
        if len(known) < MAX_REMEMBERED:
            known.append(state)
        first = min(rest, key=lambda piece: (floors[piece] + units[piece], piece))
        end = floors[first] + units[first]
        choices = [piece for piece in rest if floors[piece] < end and piece in self.near[first]]
        tried = set()
        for piece in sorted(choices, key=lambda piece: (floors[piece], -self.problem.areas[piece], piece)):
            twin = (self.problem.sizes[piece], self.problem.first[piece], self.problem.end[piece])
            if twin in tried:
                continue
            tried.add(twin)
            positions[piece] = floors[piece]
            top = floors[piece] + units[piece]
            raised = floors.copy()
            for other in self.problem.neighbours[piece]:
                raised[other] = max(raised[other], top)
            if self._place(raised, placed | 1 << piece):
                return True
            positions[piece] = UNPLACED
        return False

    def _overfull(self, floors: list[int]) -> bool:
        """Whether some section cannot hold what is still to be placed in it."""
        units, positions, tops = self.problem.units, self.positions, self.tops
        for live in self.live:
            rest = [piece for piece in live if positions[piece] < 0]
            if not rest:
                continue
            if min(floors[p] for p in rest) + sum(units[p] for p in rest) > max(tops[p] for p in rest):
                return True
        return False
