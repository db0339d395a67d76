"""Which tensors become integers, and which of them share scale and zero point.

Operators that only move elements (Reshape, Transpose, Slice, Pad, MaxPool) have the same parameters at both ends: the
integers move as they are. A Concat shares them too where its inputs' ranges are alike. What has no integer form stays
float, between explicit conversions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgewright.ir import DType, Graph, Node
from edgewright.ops import operator
from edgewright.ops.q_core import FLOAT_RULES
from edgewright.ops.recurrent import float_rule
from edgewright.quantization.params import INT32_MAX
from edgewright.quantization.prepare import main_output

MOVES = frozenset({"Reshape", "Transpose", "Slice", "MaxPool", "Pad", "Concat", "ResizeNearest", "Expand"})
SUMS = frozenset({"Conv", "FullyConnected", "Add", "Sub", "Mul", "AveragePool", "ReduceMean", "Clamp"})  # 8 and 16 bits
ONLY_8_BITS = frozenset({"MatMul", "Softmax"})  # beside functions of one element, which are tables of 256 entries
RANGES_FROM_0 = frozenset({"Softmax", "Sigmoid", "HardSigmoid"})  # to 1
_CHANGE_TYPE = frozenset({"Cast", "IsNaN", "IsInf"})  # functions of one element, but not to a float
RANGES_FROM_MINUS_1 = frozenset({"Tanh"})

RECURRENT = frozenset({"LSTM", "GRU"})  # inputs: X, W, R, and others that stay float; outputs: Y, last state, cell

Bits = Callable[[str], int]  # of an activation, by its tensor's name


def is_table(node: Node) -> bool:
    """Whether the node is a function of one element, which a table can hold."""
    rule = operator(node.op)
    return rule.elementwise and rule.arity == (1, 1) and DType.F32 in rule.dtypes and node.op not in SUMS | _CHANGE_TYPE


def moves(node: Node) -> bool:
    """Whether the node's integers are those of its inputs."""
    if node.op == "Pad":
        return node.attrs.get("mode", "constant") != "constant" or math.isfinite(node.attrs.get("value", 0.0))
    return node.op in MOVES


@dataclass(frozen=True, eq=False)
class Groups:
    """Tensors that share parameters: each float activation's name, and the name that stands for its group."""

    graph: Graph
    leader: dict[str, str]

    def members(self) -> dict[str, list[str]]:
        """The tensors of each group, in the order of execution."""
        result: dict[str, list[str]] = {}
        for name, leader in self.leader.items():
            result.setdefault(leader, []).append(name)
        return result

    def computes_in_integers(self, node: Node, bits: Bits) -> bool:
        """Whether the node does arithmetic and has an integer form with inputs of so many bits."""
        graph = self.graph
        if graph.tensors[main_output(node)].dtype is not DType.F32:
            return False
        variable = [name for name in node.inputs if name in self.leader]
        if not variable:
            return False
        if node.op == "MatMul" and graph.tensors[node.inputs[0]].shape[-1] * 255 * 255 > INT32_MAX:
            return False
        if node.op in ONLY_8_BITS or is_table(node):
            return all(bits(name) == 8 for name in variable)
        if node.op in RECURRENT:
            return _is_plain_recurrent(node, graph)
        if node.op in ("Conv", "FullyConnected"):
            return all(graph.constant(name) is not None for name in node.inputs[1:])
        return node.op in SUMS or node.op in FLOAT_RULES

    def integer_leaders(self, bits: Bits, float_nodes: Iterable[str] = ()) -> set[str]:
        """Return the groups that some integer operator reads or writes; the others stay float."""
        kept = set(float_nodes)
        result: set[str] = set()
        for node in self.graph.nodes:
            if node.name in kept or moves(node) or not self.computes_in_integers(node, bits):
                continue
            names = (*integer_operands(node), *node.outputs)
            result.update(self.leader[name] for name in names if name in self.leader)
        return result


def make_groups(graph: Graph, joined_concats: Iterable[str] = ()) -> Groups:
    """Group the float activations of a graph; `joined_concats` names the Concats whose inputs share parameters."""
    joined = set(joined_concats)
    activations = [*graph.inputs, *(name for node in graph.nodes for name in node.outputs if name)]
    parent = {name: name for name in activations if graph.tensors[name].dtype is DType.F32}

    def find(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    place = {name: index for index, name in enumerate(activations)}

    def join(one: str, other: str) -> None:
        first, second = sorted((find(one), find(other)), key=place.__getitem__)
        parent[second] = first

    for node in graph.nodes:
        if node.op in RECURRENT and len(node.outputs) > 1 and all(node.outputs[:2]):
            join(*node.outputs[:2])
        if node.output not in parent or not moves(node) or (node.op == "Concat" and node.name not in joined):
            continue
        for name in node.inputs:
            if name in parent:
                join(name, node.output)
    return Groups(graph, {name: find(name) for name in parent})


def integer_operands(node: Node) -> tuple[str, ...]:
    """Return the inputs of an integer operator that are integers."""
    return node.inputs[:3] if node.op in RECURRENT else node.inputs


def _is_plain_recurrent(node: Node, graph: Graph) -> bool:
    """Whether a recurrent layer has constant weights and none of the options that only the float one has."""
    constant = all(graph.constant(name) is not None for name in node.inputs[1:4] if name)
    return constant and float_rule(node.op).is_plain(node)


def is_fixed(node: Node | None) -> int | None:
    """Return the lower end (0 or -1) of what a function with a known range gives, None for other nodes."""
    if node is None:
        return None
    return 0 if node.op in RANGES_FROM_0 else -1 if node.op in RANGES_FROM_MINUS_1 else None
