"""Local search for a packing within a capacity: pieces that find no gap push others out.

A piece without a place takes the position whose present owners are worth least together, and they have to find new
places. A piece gets dearer each time it had to push, so the search does not go in circles. From time to time all
pieces fall to the floor or rise to the ceiling, which gathers the gaps.

Ends by a budget of work, not of time, with random numbers from a fixed seed: the same problem gives the same packing.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from edgewright.plan.packing_problem import UNPLACED, Problem

SEED = 1
ROUND_STEPS = 1500  # a capacity not met after so many steps is taken for too small, at first
STEP_WORK = 16  # work of a step, in pieces looked at, before its neighbours are counted
FIRST_CUT, LARGEST_CUT = 0.2, 0.5  # of the gap, by which the capacity is lowered


@dataclass
class Budget:
    """Work that may still be done, in pieces looked at, and a moment that only a slow machine reaches before.

    `deadline` is on the clock of this thread's processor time, which stands still while a busy machine does other work.
    """

    work: int
    deadline: float

    @property
    def spent(self) -> bool:
        """Whether the search has to end."""
        return self.work <= 0 or time.thread_time() > self.deadline

    def part(self, share: float) -> Budget:
        """Return a share of what is left; what it uses is not taken from this one."""
        now = time.thread_time()
        return Budget(int(self.work * share), now + (self.deadline - now) * share)


def improve(problem: Problem, positions: list[int], goal_bytes: int, budget: Budget) -> list[int]:
    """Return a packing at least as good, looking for one of at most `goal_bytes`.

    The capacity is lowered by a part of what is left to the goal: a larger part after a success, a smaller one after
    a failure.
    """
    rng = random.Random(SEED)  # noqa: S311  not for secrets
    goal_bytes = max(goal_bytes, problem.lower_bound_bytes)
    best, best_bytes, cut, steps = positions, problem.arena_bytes(positions), FIRST_CUT, ROUND_STEPS
    while best_bytes > goal_bytes and not budget.spent:
        capacity = best_bytes - max(1, int((best_bytes - goal_bytes) * cut))
        found = _fit(problem, best, capacity, steps, budget, rng)
        if found is not None:
            best, best_bytes, cut = found, problem.arena_bytes(found), min(LARGEST_CUT, cut * 1.5)
        else:
            cut, steps = cut / 2, steps + ROUND_STEPS // 4
    return best


def _fit(
    problem: Problem, start: list[int], capacity: int, steps: int, budget: Budget, rng: random.Random
) -> list[int] | None:
    """Return a packing within a capacity that every piece fits, or None where the steps or the budget end first."""
    units, neighbours, limits = problem.units, problem.neighbours, problem.limits(capacity)
    positions = [at if at <= limit else UNPLACED for at, limit in zip(start, limits, strict=True)]
    tops = [at + size for at, size in zip(positions, units, strict=True)]  # of no meaning where there is no place
    out = [piece for piece, at in enumerate(positions) if at < 0]
    mean = sum(area**0.5 for area in problem.areas) / problem.count
    worth = [area**0.5 / mean for area in problem.areas]
    raise_by = [value / 2 for value in worth]
    period = max(30, problem.count // 8)
    for step in range(1, steps + 1):
        if step % 64 == 0 and budget.spent:
            return None
        if step % period == 0:
            budget.work -= problem.count
            _settle(problem, positions, limits if step // period % 2 else None)
            tops = [at + size for at, size in zip(positions, units, strict=True)]
        pick = rng.randrange(len(out))
        piece = out[pick]
        out[pick] = out[-1]
        out.pop()
        placed = [j for j in neighbours[piece] if positions[j] >= 0]
        budget.work -= STEP_WORK + len(placed)
        at = _cheapest(placed, positions, tops, worth, units[piece], limits[piece], rng.random)
        top = at + units[piece]
        pushed = [j for j in placed if positions[j] < top and tops[j] > at]
        if pushed:
            for j in pushed:
                positions[j] = UNPLACED
            out += pushed
            worth[piece] += raise_by[piece]
        positions[piece], tops[piece] = at, top
        if not out:
            return positions
    return None


def _cheapest(
    placed: list[int], positions: list[int], tops: list[int], worth: list[float], size: int, limit: int,
    uniform: Callable[[], float],
) -> int:  # fmt: skip
    """Return the position for a piece of `size` units whose owners, of those placed, are worth least together.

    Positions that touch a piece, the floor or the ceiling are enough. Of free ones the lowest is taken, of others any.
    """
    by_start = sorted(placed, key=positions.__getitem__)
    by_end = sorted(placed, key=tops.__getitem__)
    start_at = [positions[j] for j in by_start]
    end_at = [tops[j] for j in by_end]
    started = [0.0, *accumulate([worth[j] for j in by_start])]
    ended = [0.0, *accumulate([worth[j] for j in by_end])]
    best, best_price, ties = 0, float("inf"), 1
    for at in sorted({0, limit, *end_at, *[start - size for start in start_at]}):
        if at < 0:
            continue
        if at > limit:
            break
        began, over = bisect_left(start_at, at + size), bisect_right(end_at, at)
        if began == over:
            return at
        price = started[began] - ended[over]
        if price < best_price - 1e-9:
            best, best_price, ties = at, price, 1
        elif price < best_price + 1e-9:
            ties += 1
            if uniform() * ties < 1:
                best = at
    return best


def _settle(problem: Problem, positions: list[int], limits: list[int] | None) -> None:
    """Let the placed pieces fall in the order in which they lie or, with limits, rise as far as these allow."""
    units, first, end = problem.units, problem.first, problem.end
    if limits is None:
        heights = [0] * problem.sections
        for at, piece in sorted((at, piece) for piece, at in enumerate(positions) if at >= 0):
            low, high = first[piece], end[piece]
            at = max(heights[low:high])
            positions[piece] = at
            heights[low:high] = [at + units[piece]] * (high - low)
        return
    heights = [max(limit + size for limit, size in zip(limits, units, strict=True))] * problem.sections
    tops = sorted(((at + units[piece], piece) for piece, at in enumerate(positions) if at >= 0), reverse=True)
    for _, piece in tops:
        low, high = first[piece], end[piece]
        at = min(min(heights[low:high]) - units[piece], limits[piece])
        positions[piece] = at
        heights[low:high] = [at] * (high - low)
