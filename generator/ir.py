"""The intermediate representation: Graph, Node, Tensor, data types. No protobuf, no input or output.

A Graph is static single assignment: every tensor has a static shape and is a graph input, a constant
(it has `data`), or the output of exactly one node; nodes are in an order that can be executed.
Graphs are values: a pass takes one and returns another (`Editor` is the way to make it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DType(Enum):
    """Element types; the value is numpy's name for it, or that of ml_dtypes.

    In memory an element takes whole bytes: bfloat16 and float8 are their bits, bool is 0 or 1, integers of four or two
    bits are an int8 or uint8 of the same value, and float4 is its code in the low four bits of a uint8.
    """

    F32 = "float32"
    F16 = "float16"
    F64 = "float64"
    S8 = "int8"
    U8 = "uint8"
    S16 = "int16"
    U16 = "uint16"
    S32 = "int32"
    U32 = "uint32"
    S64 = "int64"
    U64 = "uint64"
    B8 = "bool"
    BF16 = "bfloat16"
    F8E4M3FN = "float8_e4m3fn"
    F8E4M3FNUZ = "float8_e4m3fnuz"
    F8E5M2 = "float8_e5m2"
    F8E5M2FNUZ = "float8_e5m2fnuz"
    F8E8M0 = "float8_e8m0fnu"
    F4E2M1 = "float4_e2m1fn"
    S4 = "int4"
    U4 = "uint4"
    S2 = "int2"
    U2 = "uint2"

    @property
    def size_bytes(self) -> int:
        """Bytes an element takes in memory."""
        return self.numpy.itemsize

    @property
    def bits(self) -> int:
        """Bits that tell an element from another one."""
        return {"S4": 4, "U4": 4, "S2": 2, "U2": 2, "F4E2M1": 4}.get(self.name, 8 * self.size_bytes)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype."""
        return np.dtype(getattr(ml_dtypes, self.value, self.value))

    @property
    def stored(self) -> np.dtype[Any]:
        """The numpy dtype of what lies in memory."""
        if self in (DType.S4, DType.S2):
            return np.dtype(np.int8)
        return self.numpy if self.numpy.isbuiltin == 1 and self is not DType.B8 else np.dtype(f"u{self.size_bytes}")

    @property
    def is_integer(self) -> bool:
        """Whether elements are whole numbers; bool is not."""
        return self.name[0] in "SU"

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return "F" in self.name[:2]

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest value of an integer type."""
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.name[0] == "S" else (0, (1 << self.bits) - 1)

    @property
    def suffix(self) -> str:
        """The short name that C kernels carry: f32, s8, ..."""
        return self.name.lower()

    def to_memory(self, values: Array) -> Array:
        """Return elements of this type as they lie in memory: of the dtype `stored`."""
        dense = np.asarray(values, self.numpy, order="C")
        return dense.astype(self.stored) if self in _RESIZED else dense.view(self.stored)

    def from_memory(self, stored: Array) -> Array:
        """Return what lies in memory as elements of this type."""
        return stored.astype(self.numpy) if self in _RESIZED else stored.view(self.numpy)

    @staticmethod
    def of(array: Array) -> DType:
        """Return the type of a numpy array's elements; ValueError where there is none."""
        return DType(array.dtype.name)


_RESIZED = frozenset({DType.B8, DType.S4, DType.S2})  # whose bytes in memory are not numpy's


@dataclass(frozen=True)
class TensorType:
    """What shape inference knows about a tensor."""

    shape: Shape
    dtype: DType


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value in the graph; a constant where `data` is given."""

    name: str
    shape: Shape
    dtype: DType
    data: Array | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of a dense copy."""
        return self.elements * self.dtype.size_bytes

    @property
    def type(self) -> TensorType:
        """Shape and data type."""
        return TensorType(self.shape, self.dtype)


@dataclass(frozen=True)
class Node:
    """One operator applied to tensors; an absent optional input, or an output nobody reads, is the empty string."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output that is wanted."""
        return next((name for name in self.outputs if name), self.outputs[0])

    def with_attrs(self, **changes: Any) -> Node:
        """Return the node with some attributes changed."""
        return replace(self, attrs={**self.attrs, **changes})


@dataclass(frozen=True)
class Graph:
    """A whole network: nodes in execution order and every tensor they touch, by name."""

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def constant(self, name: str) -> Array | None:
        """Return the data of a constant tensor, None for anything else (absent inputs included)."""
        tensor = self.tensors.get(name)
        return None if tensor is None else tensor.data

    @property
    def parameters(self) -> int:
        """Number of elements in constants that some node reads."""
        used = {name for node in self.nodes for name in node.inputs if name}
        return sum(t.elements for t in self.tensors.values() if t.data is not None and t.name in used)


class Editor:
    """A mutable copy of a graph, for passes and frontends; `graph()` gives the result."""

    def __init__(self, graph: Graph) -> None:
        self.name = graph.name
        self.nodes: list[Node] = list(graph.nodes)
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.inputs = graph.inputs
        self.outputs = graph.outputs

    def mark(self) -> tuple[int, int]:
        """Return where the graph is now, for `back_to`."""
        return len(self.nodes), len(self.tensors)

    def back_to(self, mark: tuple[int, int]) -> None:
        """Forget the nodes and tensors that were added since."""
        del self.nodes[mark[0] :]
        for name in list(self.tensors)[mark[1] :]:
            del self.tensors[name]

    def producers(self) -> dict[str, Node]:
        """The node that writes each tensor."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    def uses(self) -> dict[str, int]:
        """How many node inputs and graph outputs read each tensor."""
        counts: dict[str, int] = dict.fromkeys(self.tensors, 0)
        for name in self.outputs:
            counts[name] += 1
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    counts[name] += 1
        return counts

    def fresh(self, hint: str) -> str:
        """Return a tensor name that is not taken, starting with `hint`."""
        if hint not in self.tensors:
            return hint
        number = 1
        while f"{hint}.{number}" in self.tensors:
            number += 1
        return f"{hint}.{number}"

    def add_tensor(self, hint: str, type_: TensorType) -> str:
        """Add a tensor that some node will write; returns its name."""
        name = self.fresh(hint)
        self.tensors[name] = Tensor(name, type_.shape, type_.dtype)
        return name

    def add_constant(self, hint: str, data: Array, copy: bool = True) -> str:
        """Add a constant; returns its name. Without a copy, `data` must not be written to any more."""
        name = self.fresh(hint)
        array = np.array(data, order="C", copy=copy or None)
        array.setflags(write=False)
        self.tensors[name] = Tensor(name, tuple(array.shape), DType.of(array), array)
        return name

    def sweep(self, rule: Callable[[Node, dict[str, Node]], bool]) -> bool:
        """Offer each node once to `rule(node, producers)`, which may rewrite and then returns True; was any rewritten?

        A node that an earlier rewrite of the sweep replaced is left to the next sweep.
        """
        changed = False
        producers, present = self.producers(), {id(node) for node in self.nodes}
        for node in list(self.nodes):
            if id(node) in present and rule(node, producers):
                changed = True
                producers, present = self.producers(), {id(other) for other in self.nodes}
        return changed

    def replace_node(self, old: Node, new: Iterable[Node]) -> None:
        """Put `new` where `old` stands."""
        at = next(i for i, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = list(new)

    def redirect(self, old: str, new: str) -> None:
        """Make every reader of tensor `old` read `new` instead; the graph's own outputs are not renamed."""
        self.nodes = [
            replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
            if old in node.inputs
            else node
            for node in self.nodes
        ]

    def graph(self) -> Graph:
        """The result: tensors nobody touches are dropped."""
        touched = {*self.inputs, *self.outputs}
        for node in self.nodes:
            touched.update(name for name in (*node.inputs, *node.outputs) if name)
        tensors = {name: tensor for name, tensor in self.tensors.items() if name in touched}
        return Graph(self.name, tuple(self.nodes), tensors, self.inputs, self.outputs)


def live_nodes(graph: Graph) -> Iterator[Node]:
    """Nodes that some graph output depends on, in order."""
    needed = set(graph.outputs)
    keep: list[Node] = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.outputs):
            keep.append(node)
            needed.update(name for name in node.inputs if name)
    return reversed(keep)
