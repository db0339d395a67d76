"""Which parts of a program to cut into bands: RAM against the time that calls and carried rows take.

Every run of work that can be cut is estimated for several heights of a band; for a limit of RAM, dynamic programming
over the order then picks the cheapest mix of whole steps and cut runs that keeps to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from edgewright.plan.bands import Segment, run_of
from edgewright.plan.liveness import FIRST, LAST, rectangles
from edgewright.plan.rounds import Run, row_axis
from edgewright.plan.storage import Program

CALL_CYCLES = 60  # of a step: its arguments, the call, what a kernel sets up
CARRY_CYCLES = 0.6  # a byte
_HEIGHTS = (1, 2, 3, 4, 6, 8, 12, 16)
_FEW_HEIGHTS = (1, 2, 4, 8)
_LENGTHS = (24, 16, 12, 8, 6, 4)  # work items in a run, at most
_MOST_ESTIMATES = 12_000  # a large network is looked at less closely
_MOST_ROUNDS = 64
_LAG_ROUNDS = 3  # how far behind its operand's rows a result can be written


@dataclass(frozen=True)
class Estimate:
    """A run cut into bands. Units: bytes, cycles on top of those of the whole steps."""

    segment: Segment
    peak: int
    cycles: float


class Estimator:
    """Estimates cut runs of a program. Units: bytes; `live` is what each whole step needs, `scratch` what of it its
    kernel does.
    """

    def __init__(self, program: Program, live: Sequence[int], scratch: Sequence[int]) -> None:
        self.program, self.live, self.scratch = program, live, scratch
        tensors = program.graph.tensors
        self.axes = [row_axis(work.node, tensors) for work in program.work]
        self.spans = {
            root: (int(rows[:, FIRST].min()), int(rows[:, LAST].max())) for root, rows in rectangles(program).items()
        }

    def all(self, above: int) -> list[Estimate]:
        """Estimates of all runs that have a step which needs more than `above` bytes, in bands of several heights."""
        for longest, heights in product(_LENGTHS, (_HEIGHTS, _FEW_HEIGHTS)):
            runs = list(self._runs(above, longest))
            if len(runs) * len(heights) <= _MOST_ESTIMATES:
                break
        return [estimate for first, stop in runs for estimate in self._estimates(first, stop, heights)]

    def _runs(self, above: int, longest: int) -> Iterator[tuple[int, int]]:
        steps = len(self.axes)
        for first in range(steps):
            for stop in range(first + 1, min(first + longest, steps) + 1):
                if self.axes[stop - 1] is None or self.axes[stop - 1] != self.axes[first]:
                    break
                if max(self.live[first:stop]) > above:
                    yield first, stop

    def _estimates(self, first: int, stop: int, heights: Sequence[int]) -> Iterator[Estimate]:
        run = run_of(self.program, first, stop)
        for rows in heights if run is not None else ():
            if run is not None and 1 < run.rounds(rows) <= _MOST_ROUNDS:
                yield self._estimate(Segment(first, stop, rows), run)

    def _estimate(self, segment: Segment, run: Run) -> Estimate:
        row_bytes = [run.tensors[name].size_bytes // rows for name, rows in zip(run.names, run.heights, strict=True)]
        low, widest, calls, carried = [0] * len(run.nodes), [0] * len(run.nodes), 0, 0
        for piece in run.schedule(segment.rows):
            item = piece.item
            calls += 1
            if low[item] < piece.low < piece.first:
                calls += 1
                carried += (piece.first - piece.low) * row_bytes[item]
            low[item] = piece.low
            widest[item] = max(widest[item], (piece.stop - piece.low) * row_bytes[item])
        windows = sum(size for name, size in zip(run.names, widest, strict=True) if name in run.windows)
        gone = {self.program.storage[name].root for name in run.windows}
        whole = [root for root, (a, b) in self.spans.items()
                 if a < segment.stop and b >= segment.first and root not in gone]  # fmt: skip
        peak = sum(self.program.root_bytes[root] for root in whole) + windows
        peak += max(self.scratch[segment.first : segment.stop]) - self._shared(segment, whole, run.rounds(segment.rows))
        cycles = (calls - len(run.nodes)) * CALL_CYCLES + carried * CARRY_CYCLES
        return Estimate(segment, peak, cycles)

    def _shared(self, segment: Segment, whole: Sequence[str], rounds: int) -> int:
        """Bytes that a result takes over from an operand that is read here for the last time: one from one."""
        sizes = self.program.root_bytes
        dying = [sizes[r] for r in whole if self.spans[r][0] < segment.first and self.spans[r][1] < segment.stop]
        born = [sizes[r] for r in whole if self.spans[r][0] >= segment.first]
        return int(min(max(dying, default=0), max(born, default=0)) * max(0.0, 1 - _LAG_ROUNDS / rounds))


def cheapest(live: Sequence[int], found: Sequence[Estimate], limit: int) -> tuple[Segment, ...] | None:
    """Return the cut runs that keep every step to `limit` bytes for the fewest cycles; None where nothing does.

    `live`: what each step needs as a whole. Units: bytes.
    """
    by_first: dict[int, list[Estimate]] = {}
    for estimate in found:
        if estimate.peak <= limit:
            by_first.setdefault(estimate.segment.first, []).append(estimate)
    cost = [0.0] + [math.inf] * len(live)
    came: list[Segment | None] = [None] * (len(live) + 1)
    for step, needed in enumerate(live):
        if needed <= limit and cost[step] < cost[step + 1]:
            cost[step + 1], came[step + 1] = cost[step], None
        for estimate in by_first.get(step, ()):
            stop, total = estimate.segment.stop, cost[step] + estimate.cycles
            if total < cost[stop]:
                cost[stop], came[stop] = total, estimate.segment
    if cost[-1] == math.inf:
        return None
    segments, step = [], len(live)
    while step:
        segment = came[step]
        step = segment.first if segment is not None else step - 1
        segments += [segment] if segment is not None else []
    return _turned(segments[::-1])


def _turned(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Single steps that follow each other run their bands down and up in turn: a result slides one way behind its
    operand's rows, and the next slides back.
    """
    result: list[Segment] = []
    for segment in segments:
        before = result[-1] if result else None
        follows = before is not None and before.stop == segment.first and not before.up
        result.append(replace(segment, up=follows and segment.stop == segment.first + 1))
    return tuple(result)


def lowest_limit(live: Sequence[int], found: Sequence[Estimate]) -> int:
    """Return the least limit that `cheapest` can keep, by the estimates. Units: bytes."""
    values = sorted({*live, *(estimate.peak for estimate in found)})
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if cheapest(live, found, values[middle]) is None:
            low = middle + 1
        else:
            high = middle
    return values[low] if values else 0
