"""Checks a memory plan by replaying the program: no step may read bytes that another tensor has overwritten.

Independent of the planner: it knows nothing of lifetimes. The program is run twice, in an ideal memory where every
root has room of its own, and in the arena as planned; both remember who wrote each byte, and all that is read has to be
of the same writer, at the same place of what that wrote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, Node
from edgewright.ops.core import describe
from edgewright.plan.storage import Program

Span = tuple[int, int]  # the first byte, and the byte behind the last


def check_plan(
    ideal: Program, placed: Program, offsets: Mapping[str, int], arena_bytes: int,
    scratch: Mapping[int, Span] | None = None, in_place: Sequence[frozenset[int]] | None = None,
    fetched: Mapping[int, Span] | None = None, borders: Sequence[int] = (),
) -> None:  # fmt: skip
    """Replay `ideal` beside `placed`, whose roots lie at `offsets` of the arena.

    `scratch` is what each step may overwrite besides, `in_place` the inputs that its kernel may write over; `fetched`
    what a step reads that is written while the step before it runs. Nothing may lie across one of the `borders`,
    where one region's arena ends and another's begins.
    Raises: InternalError naming the step and the tensor that was lost.
    """
    _Replay(ideal, placed, offsets, arena_bytes, scratch or {}, in_place, fetched or {}, borders).run()


class _Replay:
    def __init__(
        self, ideal: Program, placed: Program, offsets: Mapping[str, int], arena_bytes: int,
        scratch: Mapping[int, Span], in_place: Sequence[frozenset[int]] | None,
        fetched: Mapping[int, Span], borders: Sequence[int],
    ) -> None:  # fmt: skip
        self.ideal, self.placed, self.offsets, self.arena_bytes = ideal, placed, offsets, arena_bytes
        self.scratch, self.in_place, self.fetched, self.borders = scratch, in_place, fetched, borders
        for step, extra in (*scratch.items(), *fetched.items()):
            if self._crosses(extra):
                raise InternalError(f"memory plan: scratch or weights of step {step} lie in two arenas")
        spans = [self.span(name) for name in self.names()] + [*scratch.values(), *fetched.values()]
        spans += [place[1:] for name in self.names() if (place := ideal.place(name)) is not None]
        edges = {edge for span in spans if span for edge in span}
        self.unit = math.gcd(*edges, arena_bytes) or 1
        self.arena = np.full(-(-arena_bytes // self.unit), -1, np.int64)
        self.rooms: dict[str, Array] = {}
        self.writes = 0

    def names(self) -> list[str]:
        """Every tensor that the program touches, in order."""
        nodes = [work.node for work in self.ideal.work]
        touched = [name for node in nodes for name in (*node.inputs, *node.outputs) if name]
        return list(dict.fromkeys([*touched, *self.ideal.inputs, *self.ideal.outputs]))

    def span(self, name: str) -> Span | None:
        """Bytes of a tensor in the arena; None where it is not there. Raises: InternalError where it sticks out."""
        place = self.placed.place(name)
        if place is None:
            return None
        start, end = (self.offsets[place[0]] + byte for byte in place[1:])
        element = self.placed.graph.tensors[name].dtype.size_bytes
        if start < 0 or end > self.arena_bytes or start % element:
            raise InternalError(
                f"memory plan: '{name}' at {start}, {end - start} bytes, is not in the arena's {self.arena_bytes}"
            )
        if self._crosses((start, end)):
            raise InternalError(f"memory plan: '{name}' at {start}, {end - start} bytes, lies in two arenas")
        return start, end

    def _crosses(self, span: Span) -> bool:
        return any(span[0] < border < span[1] for border in self.borders)

    def room(self, name: str) -> Array:
        """The tensor's units in the ideal memory."""
        place = self.ideal.place(name)
        if place is None:
            raise InternalError(f"memory plan: '{name}' is in the arena, and ought not to be")
        root, start, end = place
        if root not in self.rooms:
            self.rooms[root] = np.full(-(-self.ideal.root_bytes[root] // self.unit), -1, np.int64)
        return self.rooms[root][start // self.unit : end // self.unit]

    def write(self, name: str, span: Span) -> None:
        units = (span[1] - span[0]) // self.unit
        marks = np.arange(self.writes, self.writes + units)  # one number for every unit ever written
        self.writes += units
        self.room(name)[:] = marks
        self.arena[span[0] // self.unit : span[1] // self.unit] = marks

    def run(self) -> None:
        """All steps in order."""
        for name in self.ideal.inputs:
            self.write(name, self._required(name))
        for step, work in enumerate(self.ideal.work):
            if step == 0:
                self._fetch(0)
            self._fetch(step + 1)
            self._step(step, work.node)
        for name in self.ideal.outputs:
            self._read(name, "the end")

    def _fetch(self, step: int) -> None:
        """The step's weights come into the arena: each unit is marked with what no tensor has."""
        span = self.fetched.get(step)
        if span is not None:
            if not (0 <= span[0] <= span[1] <= self.arena_bytes):
                raise InternalError(f"memory plan: the weights of step {step} are not in the arena")
            self.arena[span[0] // self.unit : span[1] // self.unit] = -2 - step

    def _required(self, name: str) -> Span:
        span = self.span(name)
        if span is None:
            raise InternalError(f"memory plan: '{name}' ought to be in the arena")
        return span

    def _step(self, step: int, node: Node) -> None:
        where = describe(node)
        reads = [(i, name, span) for i, name in enumerate(node.inputs) if name and (span := self.span(name))]
        writes = [(name, span) for name in node.outputs if name and (span := self.span(name))]
        for name in filter(None, node.outputs):
            if self.placed.storage[name].kind in ("constant", "input"):
                raise InternalError(f"memory plan: {where} writes into the {self.placed.storage[name].kind} '{name}'")
        for _, name, _ in reads:
            self._read(name, where)
        weights = self.fetched.get(step)
        if weights is not None:
            there = self.arena[weights[0] // self.unit : weights[1] // self.unit]
            if bool((there != -2 - step).any()) or any(_overlap(weights, span) for _, span in writes):
                raise InternalError(f"memory plan: the weights of {where} are overwritten")
        free = self.scratch.get(step)
        if free is not None:
            if not (0 <= free[0] <= free[1] <= self.arena_bytes):
                raise InternalError(f"memory plan: the scratch of {where} is not in the arena")
            taken = [*(r[2] for r in reads), *(w[1] for w in writes), *([weights] if weights is not None else [])]
            if any(_overlap(free, span) for span in taken):
                raise InternalError(f"memory plan: the scratch of {where} overlaps what it reads or writes")
            self.arena[free[0] // self.unit : -(-free[1] // self.unit)] = -1
        allowed = self.in_place[step] if self.in_place is not None else frozenset()
        for _, span in writes:
            for index, other, theirs in reads:
                meets = _overlap(span, theirs) and node.op != "Copy"
                if meets and not (index in allowed and span[0] == theirs[0]):
                    raise InternalError(f"memory plan: {where} writes into its own input '{other}'")
        for number, (name, span) in enumerate(writes):
            if any(_overlap(span, other) for _, other in writes[:number]):
                raise InternalError(f"memory plan: {where} writes '{name}' over another of its outputs")
            self.write(name, span)

    def _read(self, name: str, where: str) -> None:
        span = self._required(name)
        there = self.arena[span[0] // self.unit : span[1] // self.unit]
        wanted = self.room(name)
        if wanted.size and (wanted.min() < 0 or not np.array_equal(there, wanted)):
            raise InternalError(f"memory plan: {where} reads '{name}' after it was overwritten")


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]
