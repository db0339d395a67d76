"""Ensembles of decision trees, as tables of nodes in preorder. The ways in from ONNX are in trees_import.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import KernelCall, Operator, check_same_type, describe, required

MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")  # in the order of ew_trees_mode, which has MIXED behind them
_COMPARE: Mapping[str, Any] = {
    "LEQ": np.less_equal, "LT": np.less, "GTE": np.greater_equal, "GT": np.greater, "EQ": np.equal, "NEQ": np.not_equal,
}  # fmt: skip
_FEATURE, _TARGET, _FLAG = 0xFFF, 0x7FFF, 0x8000  # EW_TREES_FEATURE, .._TARGET, .._FLAG
_MOST_NODES = 1 << 20


@dataclass(frozen=True)
class Branch:
    """An inner node: where to go on if `x[feature] mode values` is true, and else. A set of values: if x is one."""

    feature: int
    mode: str  # of `MODES`, or "MEMBER"
    values: tuple[float, ...]
    true: Any  # what names a node to `Tables.add`
    false: Any
    tracks: bool = False  # NaN counts as true


Leaf = tuple[tuple[int, float], ...]  # votes: a target and a weight


@dataclass
class Tables:
    """Trees on their way into tables: see ew_trees.h."""

    values: list[float] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    jumps: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(self, root: Any, node_at: Any) -> None:
        """Append a tree. `node_at(name)` gives a Branch or a Leaf. Raises: UnsupportedError."""
        self.roots.append(len(self.values))
        waiting: list[tuple[Any, list[int]]] = [(root, [])]
        while waiting:
            name, jumping = waiting.pop()
            here = len(self.values)
            for place in jumping:
                self.jumps[place] = here - place
            if here > _MOST_NODES:
                raise UnsupportedError(f"trees of more than {_MOST_NODES:,} nodes, or in circles")
            node = node_at(name)
            if isinstance(node, Branch):
                waiting += self._branch(node)
                continue
            for more, (target, weight) in zip(range(len(node) - 1, -1, -1), node, strict=True):
                self._entry(weight, target | (_FLAG if more else 0))

    def _branch(self, node: Branch) -> list[tuple[Any, list[int]]]:
        """Append a branch; returns what is behind it, the last first."""
        if node.feature > _FEATURE:
            raise UnsupportedError(f"feature {node.feature}; the kernel takes {_FEATURE + 1}")
        here = len(self.values)
        if node.mode != "MEMBER":
            bits = node.feature | MODES.index(node.mode) << 12 | (_FLAG if node.tracks else 0)
            self._entry(node.values[0], bits)
            return [(node.false, [here]), (node.true, [])]
        for value in node.values:  # one that differs from all of them goes on to "false"
            self._entry(value, node.feature | MODES.index("NEQ") << 12)
        return [(node.true, list(range(here, len(self.values)))), (node.false, [])]

    def _entry(self, value: float, bits: int) -> None:
        self.values.append(value)
        self.features.append(bits)
        self.jumps.append(0)

    def arrays(self, dtype: np.dtype[Any]) -> list[Array]:
        """The inputs of a Trees node behind an x of this type. Raises: UnsupportedError."""
        if max(self.jumps, default=0) > 0xFFFF:
            raise UnsupportedError("a tree of more than 65,535 nodes")
        jumps = np.array(self.jumps, np.uint16)
        return [np.array(self.values, dtype), np.array(self.features, np.uint16), jumps, np.array(self.roots, np.int32)]


class Trees(Operator):
    """Votes of decision trees for each row of x. Inputs: x, values, features, jumps, roots: see ew_trees.h."""

    name = "Trees"
    arity = (5, 5)
    attributes = {"targets": ..., "aggregate": "SUM"}
    dtypes = frozenset({DType.F32, DType.F64})

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x [rows, features] to [rows, targets]."""
        x, values, features, jumps, roots = (required(tensor, node, "table") for tensor in inputs)
        check_same_type(node, x, values)
        inner = np.asarray(features.data)[np.asarray(jumps.data) != 0] & _FEATURE
        if len(x.shape) != 2 or not x.elements or int(inner.max(initial=0)) >= x.shape[1] or not roots.elements:
            raise ShapeError(f"{describe(node)}: {list(x.shape)} does not have the features of its trees")
        return [TensorType((x.shape[0], node.attrs["targets"]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, row by row."""
        x, values, features, jumps, roots = (np.asarray(array) for array in inputs)
        join = {"SUM": np.add, "MIN": np.fmin, "MAX": np.fmax}[self.attr(node, "aggregate")]
        y = np.full((len(x), node.attrs["targets"]), 0 if join is np.add else np.nan, x.dtype)
        for row, result in zip(x, y, strict=True):
            for root in roots:
                at = int(root)
                while jumps[at]:
                    bits = int(features[at])
                    value = row[bits & _FEATURE]
                    is_true = _COMPARE[MODES[bits >> 12 & 7]](value, values[at]) or (np.isnan(value) and bits & _FLAG)
                    at += 1 if is_true else int(jumps[at])
                more = True
                while more:
                    target, more = int(features[at]) & _TARGET, bool(features[at] & _FLAG)
                    result[target] = join(result[target], values[at])
                    at += 1
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call. Where all nodes compare alike, the kernel knows."""
        x, (_, features, jumps, roots) = graph.tensors[node.inputs[0]], (graph.tensors[n] for n in node.inputs[1:])
        inner = np.asarray(features.data)[np.asarray(jumps.data) != 0]
        modes = sorted(set((inner >> 12 & 7).tolist()))
        params = {
            "rows": x.shape[0], "features": x.shape[1], "trees": roots.elements, "targets": node.attrs["targets"],
            "mode": f"EW_TREES_{MODES[modes[0]] if len(modes) == 1 else 'MIXED'}",
            "tracks": int((inner & _FLAG).any()), "aggregate": f"EW_TREES_{self.attr(node, 'aggregate')}",
        }  # fmt: skip
        arguments = (*node.inputs, node.output)
        return (KernelCall(f"ew_trees_{x.dtype.suffix}", "trees/ew_trees.h", "ew_trees_params", params, arguments),)
