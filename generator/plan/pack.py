"""Arena offsets: where each piece lies, so that the arena is small.

Greedy orders come first, and end the matter where the arena is as small as the lower bound. What is left is glued
into blocks, searched exactly where there are few pieces, and improved by local search. Parts of the program that
share no piece are packed one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.packing_blocks import glue
from edgewright.plan.packing_exact import minimize
from edgewright.plan.packing_problem import Problem, first_fit, greedy_orders, stack
from edgewright.plan.packing_search import Budget, improve

ARENA_ALIGN_BYTES = 16  # MVE and NEON load 16 bytes at a time

PROVEN = "proven optimal"
WORK_PER_SECOND = 700_000  # about half of what a core of 2020 does, so that work runs out before the time does
MAX_EXACT = 40  # pieces of a component that the exact search tries
MAX_SEARCHED = 2_000  # pieces of a component: above, greedy orders only
MAX_OVERLAPS = 1_000_000  # pairs of pieces, estimated: above, pieces are only stacked


@dataclass(frozen=True)
class Packing:
    """Where each piece lies. Units: bytes; `arena_bytes` ends with the topmost piece and is not rounded up.

    `lower_bound_bytes` is the largest sum of live sizes, each rounded up to the alignment except that of one topmost
    piece. `method` is "proven optimal" or what found the packing.
    """

    offsets: dict[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    method: str

    @property
    def gap_bytes(self) -> int:
        """Bytes above the lower bound. A proven optimum can have a gap: the bound cannot always be reached."""
        return self.arena_bytes - self.lower_bound_bytes


def align_up(value: int, to: int = ARENA_ALIGN_BYTES) -> int:
    """Return the least multiple of `to` that is not below `value`."""
    return -(-value // to) * to


def pack(lifetimes: Sequence[Lifetime], *, align: int = ARENA_ALIGN_BYTES, time_limit_s: float = 2.0) -> Packing:
    """Return offsets for all pieces, at multiples of `align`.

    The search ends with a budget of work in proportion to `time_limit_s`, of which it takes about half on a computer
    of today: the same pieces give the same offsets. Only where the limit passes first, on a slow machine, does the
    result depend on it. Units: `time_limit_s` in processor seconds.
    """
    budget = Budget(int(WORK_PER_SECOND * time_limit_s), time.thread_time() + time_limit_s)
    sized = [life for life in lifetimes if life.size_bytes > 0]
    offsets = {life.root: 0 for life in lifetimes}
    groups = _components(sized)
    alone = max((group[0].size_bytes for group in groups if len(group) == 1), default=0)
    parts = [(group, Problem.of_spans(align, [(life.size_bytes, life.first, life.last) for life in group]))
             for group in groups if len(group) > 1]  # fmt: skip
    bound = max((problem.lower_bound_bytes for _, problem in parts), default=0)
    bound = max(bound, alone)
    drafts = [(group, problem, *_best_greedy(problem, bound, budget)) for group, problem in parts]
    drafts.sort(key=lambda draft: -draft[1].arena_bytes(draft[2]))  # stable
    arena, method = bound, PROVEN
    pieces_left = sum(problem.count for _, problem in parts)
    for group, problem, positions, found_by in drafts:
        if problem.arena_bytes(positions) > arena:
            share = budget.part(problem.count / pieces_left)
            given = share.work
            positions, found_by = _refine(problem, positions, found_by, arena, share)
            budget.work -= given - share.work
        pieces_left -= problem.count
        offsets.update((life.root, align * at) for life, at in zip(group, positions, strict=True))
        if problem.arena_bytes(positions) > arena:
            arena, method = problem.arena_bytes(positions), found_by
    return Packing(offsets, arena, bound, method)


def _components(lifetimes: Sequence[Lifetime]) -> list[list[Lifetime]]:
    """Return the groups of pieces between moments at which nothing is live."""
    groups: list[list[Lifetime]] = []
    last = -1
    for life in sorted(lifetimes, key=lambda life: life.first):
        if not groups or life.first > last:
            groups.append([])
        groups[-1].append(life)
        last = max(last, life.last)
    return groups


def _refine(
    problem: Problem, positions: list[int], method: str, goal_bytes: int, budget: Budget
) -> tuple[list[int], str]:
    """Return better positions and what found them, or those given. Less than `goal_bytes` is no gain."""
    if problem.count > MAX_SEARCHED:
        return positions, method
    if problem.count <= MAX_EXACT:
        positions, proven = minimize(problem, positions, goal_bytes, budget.part(0.2))
        if proven:
            return positions, PROVEN
    else:
        glued = _pack_blocks(problem, goal_bytes, budget)
        if problem.arena_bytes(glued) < problem.arena_bytes(positions):
            positions, method = glued, "blocks"
        if problem.arena_bytes(positions) <= goal_bytes:
            return positions, method
    improved = improve(problem, positions, goal_bytes, budget)
    if problem.arena_bytes(improved) < problem.arena_bytes(positions):
        return improved, "local search"
    return positions, method


def _best_greedy(problem: Problem, goal_bytes: int, budget: Budget) -> tuple[list[int], str]:
    """Return the best packing of the greedy orders; the first that reaches the goal."""
    live = sum(end - first for first, end in zip(problem.first, problem.end, strict=True)) / problem.sections
    place = first_fit if problem.count * live < MAX_OVERLAPS else stack
    best: list[int] = []
    method = ""
    for name, order in greedy_orders(problem).items():
        positions = place(problem, order)
        if not best or problem.arena_bytes(positions) < problem.arena_bytes(best):
            best, method = positions, name
        if problem.arena_bytes(best) <= goal_bytes or budget.spent:
            break
    return best, method


def _pack_blocks(problem: Problem, goal_bytes: int, budget: Budget) -> list[int]:
    """Glue pieces into blocks, and pack these with a part of the budget."""
    blocks = glue(problem)
    glued = Problem(
        problem.align,
        tuple(problem.sizes[b.piece] if not b.parts else b.units * problem.align for b in blocks),
        tuple(b.first for b in blocks),
        tuple(b.end for b in blocks),
    )
    at, _ = _best_greedy(glued, goal_bytes, budget)
    if glued.count < 0.9 * problem.count:
        at = improve(glued, at, goal_bytes, budget.part(0.3))
    positions = [0] * problem.count
    for block, position in zip(blocks, at, strict=True):
        for piece, place in block.places(position):
            positions[piece] = place
    return positions
