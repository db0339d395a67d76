"""A memory map: which bytes of which memory region hold what, from which step to which; made from a plan.

It is only facts: `memory_text` and `memory_svg` draw it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from edgewright.ir import Array
from edgewright.plan import Plan
from edgewright.plan.liveness import rectangles
from edgewright.plan.storage import Program

Kind = Literal["input", "output", "activation", "window", "scratch", "weights"]
KINDS: Mapping[Kind, str] = {
    "input": "input", "output": "output", "activation": "activation", "window": "window of a band",
    "scratch": "scratch", "weights": "weights",
}  # fmt: skip
NAME_LENGTH = 28


@dataclass(frozen=True)
class MapRow:
    """A tensor, or a part of one, in bytes start to end - 1 of its region, from when it is written to when last read.

    `layer` is the whole tensor's name. Two tensors that one step writes side by side can be one row.
    """

    tensor: str
    layer: str
    kind: Kind
    start: int
    end: int
    first_step: int
    last_step: int
    shape: tuple[int, ...] = ()
    dtype: str = ""


@dataclass(frozen=True)
class MapPiece:
    """What the packer placed as one: bytes of a region, kept from the first step to the last, both included.

    `rows` say what is in them when; a piece can hold several tensors, side by side and one after the other.
    """

    name: str
    region: str
    offset: int
    size_bytes: int
    first_step: int
    last_step: int
    kind: Kind
    rows: tuple[MapRow, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Whole tensors that it holds, or holds parts of, over time."""
        return tuple(dict.fromkeys(row.layer for row in self.rows))


@dataclass(frozen=True)
class MapRegion:
    """A memory region, as large as it has to be."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class MapStep:
    """A step; `segment` numbers the part of the network that runs in bands of rows, None for a step of its own.

    The steps -1 and behind the last stand for the caller, who fills inputs and fetches outputs.
    """

    index: int
    op: str
    layer: str
    segment: int | None = None


@dataclass(frozen=True)
class Port:
    """An input or output that lies in the caller's memory, not in a region."""

    name: str
    kind: Kind
    size_bytes: int


@dataclass(frozen=True)
class MemoryMap:
    """Regions, steps, and what lies where and when. `steps` are in order, without gaps in their numbers."""

    title: str
    regions: tuple[MapRegion, ...]
    steps: tuple[MapStep, ...]
    pieces: tuple[MapPiece, ...]
    outside: tuple[Port, ...] = ()

    @property
    def first_step(self) -> int:
        """The number of the first step: 0, or -1 where inputs lie in a region."""
        return self.steps[0].index if self.steps else 0

    def step(self, index: int) -> MapStep:
        """The step of that number."""
        return self.steps[index - self.first_step]

    def of(self, region: MapRegion) -> tuple[MapPiece, ...]:
        """The pieces in a region."""
        return tuple(piece for piece in self.pieces if piece.region == region.name)

    def live(self, region: MapRegion) -> Array:
        """Bytes that are kept at each step. Shapes: [steps]."""
        change = np.zeros(len(self.steps) + 1, np.int64)
        for piece in self.of(region):
            change[piece.first_step - self.first_step] += piece.size_bytes
            change[piece.last_step - self.first_step + 1] -= piece.size_bytes
        return np.cumsum(change)[:-1]

    def lower_bound_bytes(self, region: MapRegion) -> int:
        """The most bytes that are kept at once: no order of the pieces in memory takes less."""
        return int(self.live(region).max(initial=0))

    def peak_steps(self, region: MapRegion) -> list[int]:
        """The steps at which most bytes are kept."""
        live = self.live(region)
        return [self.first_step + int(at) for at in np.flatnonzero((live == live.max(initial=0)) & (live > 0))]

    def needed_bytes(self, region: MapRegion, step: int) -> int:
        """Bytes of a region in which something is that a step, or a later one, reads; what is only kept is left out."""
        rows = [row for piece in self.of(region) for row in piece.rows if row.first_step <= step <= row.last_step]
        total = behind = 0
        for start, end in sorted((row.start, row.end) for row in rows):
            total += max(end - max(start, behind), 0)  # results in place of operands lie over them
            behind = max(behind, end)
        return total

    @cached_property
    def runs(self) -> tuple[tuple[MapStep, ...], ...]:
        """The steps in groups: what runs in bands together, any other step alone."""
        runs: list[list[MapStep]] = []
        for step in self.steps:
            if runs and step.segment is not None and runs[-1][-1].segment == step.segment:
                runs[-1].append(step)
            else:
                runs.append([step])
        return tuple(map(tuple, runs))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Short names for the tensors, layers and pieces of the map."""
        texts = [*(text for piece in self.pieces for text in (piece.name, *piece.layers)),
                 *(step.layer for step in self.steps), *(port.name for port in self.outside)]  # fmt: skip
        return short_names(texts)


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return numbers, which are in order, as ranges of neighbours: the first and the last of each."""
    result: list[tuple[int, int]] = []
    for number in numbers:
        if result and number == result[-1][1] + 1:
            result[-1] = result[-1][0], number
        else:
            result.append((number, number))
    return result


def plain_text(text: str) -> str:
    """Return text from a model file as printable ASCII: no control characters, nothing of more than one column."""
    return re.sub(r"[^ -~]", "_", text)


def short_names(texts: Iterable[str], length: int = NAME_LENGTH) -> dict[str, str]:
    """Return for each text a printable one of at most `length` characters, all different."""
    result: dict[str, str] = {}
    used: Counter[str] = Counter()
    for text in dict.fromkeys(texts):
        plain = plain_text(text)
        number = 1
        name = _cut(plain, length)
        while used[name]:
            number += 1
            mark = f"~{number}"
            name = _cut(plain, length - len(mark)) + mark
        used[name] += 1
        result[text] = name
    return result


def _cut(text: str, length: int) -> str:
    """The end of a text that is too long: names are paths, and begin alike."""
    return text if len(text) <= length else f"..{text[len(text) - length + 2 :]}"


def memory_map(plan: Plan, title: str) -> MemoryMap:
    """Return the map of a plan."""
    program = plan.draft.placed
    regions = tuple(MapRegion(arena.region, arena.bytes) for arena in plan.arenas)
    offsets = {root: at - plan.arena(root).start for root, at in plan.offsets.items()}
    rows = _rows(program, offsets)
    staged = {stage.piece for stage in plan.stages.values()}
    scratch = set(plan.draft.scratch.values())
    pieces = []
    for life in plan.lifetimes:
        offset = offsets[life.root]
        found = tuple(rows.get(life.root, ()))
        if life.root in scratch or life.root in staged:
            end = offset + life.size_bytes
            what: Kind = "weights" if life.root in staged else "scratch"
            found = (MapRow(life.root, life.root, what, offset, end, life.first, life.last),)
        kind = max(found, key=lambda row: row.end - row.start).kind
        region = plan.regions[life.root]
        pieces.append(MapPiece(life.root, region, offset, life.size_bytes, life.first, life.last, kind, found))
    graph = program.graph
    ports: tuple[tuple[Kind, tuple[str, ...]], ...] = (("input", graph.inputs), ("output", graph.outputs))
    outside = tuple(
        Port(name, kind, graph.tensors[name].size_bytes)
        for kind, names in ports for name in names if program.place(name) is None
    )  # fmt: skip
    first = min((life.first for life in plan.lifetimes), default=0)
    last = max((life.last for life in plan.lifetimes), default=0)
    return MemoryMap(title, regions, tuple(_steps(plan, first, last)), tuple(pieces), outside)


def _steps(plan: Plan, first: int, last: int) -> Iterator[MapStep]:
    """The plan's steps, and the caller before and behind them where that has something in the arena."""
    if first < 0:
        yield MapStep(-1, "", "inputs")
    work = plan.draft.program.work
    item, step = 0, 0
    starts = {segment.first: number for number, segment in enumerate(sorted(plan.segments, key=lambda s: s.first))}
    counts = {segment.first: segment.stop - segment.first for segment in plan.segments}
    while step < len(work):
        number, count = starts.get(item), counts.get(item, 1)
        layers: set[str] = set()
        while step < len(work):
            layer = _layer(plan.draft.program, step)
            if layer not in layers and len(layers) == count:
                break
            layers.add(layer)
            yield MapStep(step, work[step].node.op, layer, number)
            step += 1
            if number is None:
                break
        item += count
    if last >= len(work):
        yield MapStep(len(work), "", "outputs")


def _layer(program: Program, step: int) -> str:
    """The layer of a step; of one that carries rows along, the layer whose rows they are."""
    work = program.work[step]
    return work.layer.removesuffix(" carried") if work.node.op == "Copy" else work.layer


def _rows(program: Program, offsets: Mapping[str, int]) -> dict[str, list[MapRow]]:
    """What of each root is live when, named by the tensor that was written there."""
    written: dict[tuple[str, int], list[tuple[int, int, str, str]]] = defaultdict(list)

    def note(step: int, name: str, layer: str) -> None:
        place = program.place(name) if name else None
        if place is not None:
            written[place[0], step].append((*place[1:], name, layer))

    for name in program.inputs:
        note(-1, name, name)
    for step, work in enumerate(program.work):
        for name in work.node.outputs:
            note(step, name, _layer(program, step) if name == work.node.output else name)
    result: dict[str, list[MapRow]] = {}
    for root, found in rectangles(program).items():
        at = offsets[root]
        result[root] = []
        for start, end, first, last in sorted(map(tuple, found.tolist()), key=lambda row: (row[2], row[0])):
            holders = [w for w in written[root, first] if w[0] < end and start < w[1]] or [(start, end, root, root)]
            tensors, layers = " and ".join(w[2] for w in holders), " and ".join(w[3] for w in holders)
            tensor = program.graph.tensors.get(tensors)
            shape, dtype = ((), "") if tensor is None else (tensor.shape, tensor.dtype.value)
            kind = _kind(program, holders[0][2], holders[0][3])
            result[root].append(MapRow(tensors, layers, kind, at + start, at + end, first, last, shape, dtype))
    return result


def _kind(program: Program, name: str, layer: str) -> Kind:
    if name in program.inputs:
        return "input"
    if layer in program.outputs:
        return "output"
    return "activation" if layer in program.storage else "window"
