"""Which buffer holds each tensor: the caller's, a constant, or a root, which is one piece of the arena.

Tensors that are views of each other share a root: Reshape; a Slice of whole leading rows, which is a part of its
source; a Concat on such an axis, whose producers write into their parts. Where a view is not possible (one tensor in
two places, a graph input in a graph output) a Copy does the work at run time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from edgewright.errors import InternalError
from edgewright.ir import Graph, Node, Tensor
from edgewright.ops.core import dense_strides

Kind = Literal["input", "output", "constant", "arena"]


@dataclass(frozen=True)
class Storage:
    """The buffer of a tensor: its root, and the tensor's first byte in that.

    `root` is named after the graph input, output or constant, or after a tensor that lies in it.
    """

    kind: Kind
    root: str
    offset_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Work:
    """A node that does something at run time; `layer` is the tensor that the node makes, or makes a part of.

    `row`: the first of the rows that it makes.
    """

    node: Node
    layer: str
    row: int = 0


@dataclass(frozen=True, eq=False)
class Program:
    """What runs, in order, and where its tensors lie.

    `graph.tensors` has parts of tensors besides the network's own. `root_bytes` sizes the roots in the arena, and
    `held` those that are live before the first step (-1) or behind the last: graph inputs and outputs in the arena.
    """

    graph: Graph
    work: tuple[Work, ...]
    storage: Mapping[str, Storage]
    root_bytes: Mapping[str, int]
    inputs: tuple[str, ...] = ()  # graph inputs that lie in the arena
    outputs: tuple[str, ...] = ()

    @cached_property
    def roots_of_one(self) -> Set[str]:
        """Roots that hold one tensor and no parts of it."""
        tensors = Counter(storage.root for storage in self.storage.values())
        return {root for root, count in tensors.items() if count == 1}

    @cached_property
    def last_reads(self) -> Mapping[str, int]:
        """The last item of the work that reads each tensor."""
        return {name: item for item, work in enumerate(self.work) for name in work.node.inputs}

    def place(self, name: str) -> tuple[str, int, int] | None:
        """Root, first byte, and the byte behind the last of a tensor in the arena; None for any other."""
        storage = self.storage[name]
        if storage.kind != "arena":
            return None
        size = self.graph.tensors[name].size_bytes
        return storage.root, storage.offset_bytes, storage.offset_bytes + size


class _Forest:
    """Tensors as parts of others, by their first byte there."""

    def __init__(self) -> None:
        self.whole: dict[str, tuple[str, int]] = {}

    def find(self, name: str) -> tuple[str, int]:
        """The outermost whole, and the first byte in it."""
        offset = 0
        while name in self.whole:
            name, more = self.whole[name]
            offset += more
        return name, offset

    def join(self, part: str, whole: str, offset: int) -> None:
        """Make `part`, which is no part yet, a part of `whole`."""
        if part in self.whole or self.find(whole)[0] == part:
            raise InternalError(f"memory plan: '{part}' would lie in two places")
        self.whole[part] = (whole, offset)


def make_program(graph: Graph, *, arena_ports: bool = False, join_concats: bool = True) -> Program:
    """Return the work of a graph in its order, with views found.

    `arena_ports`: graph inputs and outputs are in the arena, but for outputs without elements. `join_concats`:
    producers write into a Concat's result.
    """
    ports = {**dict.fromkeys(graph.inputs, "input"), **dict.fromkeys(graph.outputs, "output")}
    if arena_ports:
        ports = {name: kind for name, kind in ports.items() if not graph.tensors[name].elements}
    constants = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    fixed = {*graph.inputs, *graph.outputs, *constants}
    forest = _Forest()
    tensors = dict(graph.tensors)
    work: list[Work] = []
    for node in graph.nodes:
        work += _viewed(node, graph, forest, fixed, tensors, join_concats)
    storage, sizes = {}, {}
    for name in tensors:
        root, offset = forest.find(name)
        kind: Kind = "constant" if root in constants else ports.get(root, "arena")  # type: ignore[assignment]
        storage[name] = Storage(kind, root, offset)
        if kind == "arena":
            sizes[root] = tensors[root].size_bytes
    wide = Graph(graph.name, graph.nodes, tensors, graph.inputs, graph.outputs)
    outputs = tuple(name for name in graph.outputs if tensors[name].elements)
    held = (graph.inputs, outputs) if arena_ports else ((), ())
    return Program(wide, tuple(work), storage, sizes, *held)


def _viewed(
    node: Node, graph: Graph, forest: _Forest, fixed: set[str], tensors: dict[str, Tensor], join_concats: bool
) -> list[Work]:
    """What is left to do of a node once views are taken; enters them into the forest. Nothing, for no elements."""
    if not any(tensors[name].size_bytes for name in node.outputs if name):
        return []
    if node.op == "Reshape":
        source, result = forest.find(node.inputs[0]), node.output
        if result not in fixed:
            forest.join(result, node.inputs[0], 0)
            return []
        if source == (node.inputs[0], 0) and source[0] not in fixed:  # made in the output at once
            forest.join(source[0], result, 0)
            return []
    elif node.op == "Slice" and node.output not in fixed:
        offset = _slice_offset(node, tensors)
        if offset is not None:
            forest.join(node.output, node.inputs[0], offset)
            return []
    elif node.op == "Concat" and join_concats:
        return _joined(node, forest, fixed, tensors)
    return [Work(node, node.output)]


def _slice_offset(node: Node, tensors: Mapping[str, Tensor]) -> int | None:
    """First byte of a slice that is one block of its source; None where it is not."""
    x, a = tensors[node.inputs[0]], node.attrs
    axis = next((i for i, (size, whole) in enumerate(zip(a["sizes"], x.shape, strict=True)) if size != whole), 0)
    inner = zip(a["steps"], a["sizes"], strict=True)
    if any(size != 1 for size in a["sizes"][:axis]) or any(step != 1 and size != 1 for step, size in inner):
        return None
    if any(a["starts"][axis + 1 :]) or a["sizes"][axis + 1 :] != x.shape[axis + 1 :]:
        return None
    strides = dense_strides(x.shape)
    return sum(s * int(start) for s, start in zip(strides, a["starts"], strict=True)) * x.dtype.size_bytes


def _joined(node: Node, forest: _Forest, fixed: set[str], tensors: dict[str, Tensor]) -> list[Work]:
    """A Concat of blocks: every part that can be made in its place is; a Copy for each that cannot."""
    y, axis = tensors[node.output], node.attrs["axis"]
    if any(size != 1 for size in y.shape[:axis]):
        return [Work(node, node.output)]
    copies, offset = [], 0
    for index, name in enumerate(node.inputs):
        part = tensors[name]
        root, first = forest.find(name)
        whole = tensors[root].size_bytes == part.size_bytes and first == 0
        if whole and root not in fixed and root != forest.find(y.name)[0]:
            forest.join(root, y.name, offset)
        else:
            slot = fresh(tensors, f"{y.name}.{index}")
            tensors[slot] = replace(part, name=slot, data=None)
            forest.join(slot, y.name, offset)
            copies.append(Work(Node("Copy", f"{node.name}.{index}", (name,), (slot,)), slot))
        offset += part.size_bytes
    return copies


def fresh(tensors: Mapping[str, object], hint: str) -> str:
    """A tensor name that is not taken."""
    while hint in tensors:
        hint += "'"
    return hint
