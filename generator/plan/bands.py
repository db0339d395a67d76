"""Part of a program cut into bands of rows that run through several steps one after the other.

Between the steps of a run, a tensor then exists only as a window: the rows that are still needed, those of the band and
what later bands see of earlier ones (the halo), which are carried along instead of computed twice. Tensors are
channels-last, so that rows are one block of memory: bands are read from and written into whole tensors in place.
Every element is computed as before, by the same arithmetic, from the same operands: results keep their bits.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from edgewright.ir import Node, Tensor
from edgewright.ops import operator
from edgewright.ops.window import output_size
from edgewright.plan.rounds import Piece, Reach, Run, row_axis, row_operands
from edgewright.plan.storage import Program, Storage, Work, fresh

CARRIED = " carried"  # ends the layer of a move inside a window, which computes nothing


@dataclass(frozen=True)
class Segment:
    """Work items first to stop - 1, in bands of `rows` rows of the last one's result; `up`: the last rows first."""

    first: int
    stop: int
    rows: int
    up: bool = False  # one item alone


def run_of(program: Program, first: int, stop: int) -> Run | None:
    """Return work items first to stop - 1 as a run to be cut, or None where one of them cannot be."""
    nodes = [work.node for work in program.work[first:stop]]
    tensors = program.graph.tensors
    axes = {row_axis(node, tensors) for node in nodes}
    axis = axes.pop() if len(axes) == 1 else None
    if axis is None:
        return None
    made = {node.output for node in nodes}
    for node in nodes:
        by_rows = {node.inputs[index] for index in row_operands(node, tensors, axis) or ()}
        if made.intersection(node.inputs) - by_rows:
            return None  # it needs all of something that the run makes
    return Run(nodes, tensors, axis, _windows(program, first, stop))


def _windows(program: Program, first: int, stop: int) -> Set[str]:
    """Results that nothing outside the run touches, and that share their root with nothing."""
    made = {work.node.output for work in program.work[first:stop]}
    return {
        name for name in made.difference(program.graph.outputs)
        if program.last_reads.get(name, stop) < stop
        and program.storage[name].kind == "arena" and program.storage[name].root in program.roots_of_one
    }  # fmt: skip


class _Cutter:
    """One run of a program being cut."""

    def __init__(self, program: Program, segment: Segment, run: Run) -> None:
        self.program, self.segment, self.run = program, segment, run
        self.items = program.work[segment.first : segment.stop]
        self.tensors = dict(program.graph.tensors)
        self.storage = dict(program.storage)
        self.root_bytes = dict(program.root_bytes)
        self.low = dict.fromkeys(run.windows, 0)  # the first row in a window
        self.work: list[Work] = []
        for name in run.windows:
            self.root_bytes[self.storage[name].root] = 0

    def height(self, name: str) -> int:
        return self.tensors[name].shape[self.run.axis]

    def part(self, name: str, first: int, stop: int) -> str:
        """Rows of a tensor as a tensor of their own, in the whole one or in its window as that is now."""
        whole, axis = self.tensors[name], self.run.axis
        if (first, stop) == (0, self.height(name)) and name not in self.run.windows:
            return name
        row_bytes, low = whole.size_bytes // self.height(name), self.low.get(name, 0)
        part = fresh(self.tensors, f"{name}[{first}:{stop}]")
        self.tensors[part] = Tensor(part, (*whole.shape[:axis], stop - first, *whole.shape[axis + 1 :]), whole.dtype)
        place = self.storage[name]
        self.storage[part] = Storage(place.kind, place.root, place.offset_bytes + (first - low) * row_bytes)
        if name in self.run.windows:
            self.root_bytes[place.root] = max(self.root_bytes[place.root], (stop - low) * row_bytes)
        return part

    def carry(self, name: str, low: int, done: int) -> None:
        """Move rows `low` to `done` - 1 to the front of the window."""
        if low == self.low[name]:
            return
        source = self.part(name, low, done) if low < done else ""
        self.low[name] = low
        if source:
            node = Node("Copy", f"{name} rows {low} to {done - 1}", (source,), (self.part(name, low, done),))
            self.work.append(Work(node, f"{name}{CARRIED}"))

    def add(self, piece: Piece) -> bool:
        """Add the computation of a piece; False where the operator does not take it."""
        work, axis = self.items[piece.item], self.run.axis
        node = work.node
        inputs, attrs = list(node.inputs), dict(node.attrs)
        low, high = Reach.of(node, axis).needed(piece.first, piece.stop)
        for index in row_operands(node, self.tensors, axis) or ():
            size = self.height(node.inputs[index])
            if low >= size or high <= 0:
                return False  # a band that sees nothing but padding
            inputs[index] = self.part(node.inputs[index], max(low, 0), min(high, size))
            if operator(node.op).rows == "window":
                pads = list(attrs["pads"])
                pads[axis - 1], pads[axis + 1] = max(-low, 0), max(high - size, 0)
                attrs["pads"] = tuple(pads)
        if operator(node.op).rows == "anywhere":
            attrs["band"] = (axis, piece.first, piece.stop)
        if node.output in self.run.windows:
            self.carry(node.output, piece.low, piece.first)
        output = self.part(node.output, piece.first, piece.stop)
        name = f"{node.name} rows {piece.first} to {piece.stop - 1}"
        banded = Node(node.op, name, tuple(inputs), (output,), attrs)
        self.work.append(Work(banded, work.layer, piece.first))
        return self._fits(banded)

    def _fits(self, node: Node) -> bool:
        """Whether the shape rule gives the band that was asked for: a window that ceil_mode adds does not."""
        if operator(node.op).rows != "window":
            return True
        at, attrs = self.run.axis - 1, node.attrs
        rows = output_size(
            self.height(node.inputs[0]), attrs["kernel"][at], attrs["strides"][at], attrs["dilations"][at],
            (attrs["pads"][at], attrs["pads"][at + 2]), bool(attrs.get("ceil_mode", False)),
        )  # fmt: skip
        return rows == self.height(node.output)

    def result(self) -> Program:
        for name in self.run.windows:
            self.storage.pop(name)
        work = (*self.program.work[: self.segment.first], *self.work, *self.program.work[self.segment.stop :])
        used = {storage.root for storage in self.storage.values() if storage.kind == "arena"}
        roots = {root: size for root, size in self.root_bytes.items() if root in used}
        graph = replace(self.program.graph, tensors=self.tensors)
        return replace(self.program, graph=graph, work=work, storage=self.storage, root_bytes=roots)


def banded(program: Program, segment: Segment) -> Program | None:
    """Return the program with a segment cut into bands, or None where that is not possible."""
    run = run_of(program, segment.first, segment.stop)
    if run is None or (segment.up and len(run.nodes) > 1):
        return None
    cutter = _Cutter(program, segment, run)
    pieces = list(run.schedule(segment.rows))
    for piece in reversed(pieces) if segment.up else pieces:
        if not cutter.add(piece):
            return None
    return cutter.result()
