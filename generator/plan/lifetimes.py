"""Which buffer holds each tensor, and from which step to which it is live.

A buffer is a caller's input or output, a constant, or a piece of the arena. Tensors that are views of each
other (Reshape) share one. A Reshape becomes a copy only where its two sides have to be different buffers:
a graph input and a graph output, say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgewright.ir import Graph, Node

Kind = Literal["input", "output", "constant", "arena"]


@dataclass(frozen=True)
class Storage:
    """The buffer of a tensor: `root` is the graph input, output or constant, or the first tensor in the arena piece."""

    kind: Kind
    root: str


@dataclass(frozen=True)
class Lifetime:
    """A piece of the arena: written first at step `first`, read last at step `last`. Units: bytes."""

    root: str
    size_bytes: int
    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are live at some step."""
        return self.first <= other.last and other.first <= self.last

    @staticmethod
    def of_steps(graph: Graph, nodes: Sequence[Node], storage: dict[str, Storage]) -> tuple[Lifetime, ...]:
        """Return the lifetimes of all arena pieces, in order of their first step."""
        spans: dict[str, tuple[int, int]] = {}
        for index, node in enumerate(nodes):
            for name in (*node.inputs, *node.outputs):
                if name and storage[name].kind == "arena":
                    first, _ = spans.get(storage[name].root, (index, index))
                    spans[storage[name].root] = (first, index)
        return tuple(Lifetime(root, graph.tensors[root].size_bytes, *span) for root, span in spans.items())


def assign_storage(graph: Graph) -> tuple[dict[str, Storage], tuple[Node, ...]]:
    """Return the buffer of every tensor, and the nodes that have work to do at run time."""
    fixed: dict[str, Storage] = {}
    for name, tensor in graph.tensors.items():
        if tensor.data is not None:
            fixed[name] = Storage("constant", name)
    fixed.update((name, Storage("input", name)) for name in graph.inputs)
    fixed.update((name, Storage("output", name)) for name in graph.outputs if name not in fixed)

    root = {name: name for name in graph.tensors}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    work = []
    for node in graph.nodes:
        if node.op == "Reshape":
            source, result = find(node.inputs[0]), find(node.output)
            if source not in fixed or result not in fixed:
                old, new = (result, source) if source in fixed or result not in fixed else (source, result)
                root[old] = new
                continue
        work.append(node)
    storage = {}
    for name in graph.tensors:
        holder = find(name)
        storage[name] = fixed.get(holder, Storage("arena", holder))
    return storage, tuple(work)


def lower_bound_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """Return the largest sum of live bytes over time: no plan without aliasing needs less."""
    steps = {life.first for life in lifetimes}
    return max((sum(life.size_bytes for life in lifetimes if life.first <= s <= life.last) for s in steps), default=0)
