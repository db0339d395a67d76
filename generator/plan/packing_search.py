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
        pick = rng.randrange(len(out))
        piece = out[pick]
        out[pick] = out[-1]
        out.pop()
        placed = [j for j in neighbours[piece] if positions[j] >= 0]
        budget.work -= STEP_WORK + len(placed)
        at, price = _cheapest(
            sorted([(positions[j], worth[j]) for j in placed]),
            sorted([(positions[j] + units[j], worth[j]) for j in placed]),
            units[piece], limits[piece], rng.random,
        )  # fmt: skip
        if price > 0:
            top = at + units[piece]
            for j in placed:
                if positions[j] < top and positions[j] + units[j] > at:
                    positions[j] = UNPLACED
                    out.append(j)
            worth[piece] += raise_by[piece]
        positions[piece] = at
        if not out:
            return positions
    return None


def _cheapest(
    starts: list[tuple[int, float]], ends: list[tuple[int, float]], size: int, limit: int, uniform: Callable[[], float]
) -> tuple[int, float]:
    """Return the position for a piece of `size` units whose owners are worth least, and their worth.

    Positions that touch a piece, the floor or the ceiling are enough. Of free ones the lowest is taken, of others any.
    """
    start_at, end_at = [at for at, _ in starts], [at for at, _ in ends]
    started = [0.0, *accumulate(value for _, value in starts)]
    ended = [0.0, *accumulate(value for _, value in ends)]
    best, best_price, ties = 0, float("inf"), 1
    touching = {0, limit, *end_at, *(at - size for at in start_at)}
    for at in sorted(at for at in touching if 0 <= at <= limit):
        began, over = bisect_left(start_at, at + size), bisect_right(end_at, at)
        if began == over:
            return at, 0.0
        price = started[began] - ended[over]
        if price < best_price - 1e-9:
            best, best_price, ties = at, price, 1
        elif price < best_price + 1e-9:
            ties += 1
            if uniform() * ties < 1:
                best = at
    return best, best_price


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
