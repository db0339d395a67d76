"""Operators that write elements where indices say: ScatterElements (Scatter), ScatterND. Any data type.

ONNX leaves indices outside a dimension open. Here constant ones are an error; at run time their updates are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    dense_strides,
    describe,
    from_onnx,
    given,
    normalize_axis,
    padded_to_max_rank,
    required,
)
from edgewright.ops.elements import C_ELEMENTS, required_indices
from edgewright.ops.gather import check_constant_indices, check_element_indices, element_params

_REDUCED = (DType.F32, DType.S32, DType.S64)
_REDUCTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "none": lambda y, update: update,
    "add": lambda y, update: y + update,
    "mul": lambda y, update: y * update,
    "max": lambda y, update: np.where(update > y, update, y),
    "min": lambda y, update: np.where(update < y, update, y),
}


class _Scatter(Operator):
    rounds_once = True
    arity = (3, 3)
    dtypes = frozenset(DType)
    in_place = frozenset({0})

    def operands(self, node: Node, inputs: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
        """Return data, indices and updates. Raises: ShapeError, UnsupportedError for their types."""
        x, updates = required(inputs[0], node, "data"), required(inputs[2], node, "updates")
        check_same_type(node, x, updates)
        if self.attr(node, "reduction") != "none" and x.dtype not in _REDUCED:
            raise UnsupportedError(f"{describe(node)}: reduction '{self.attr(node, 'reduction')}' on {x.dtype.value}")
        return x, required_indices(inputs[1], node), updates

    def call(self, node: Node, graph: Graph, params: dict[str, ParamValue], function: str) -> tuple[KernelCall, ...]:
        """One call; what the kernels share is added."""
        x, reduction = graph.tensors[node.inputs[0]], self.attr(node, "reduction")
        params["index_type"] = C_ELEMENTS[graph.tensors[node.inputs[1]].dtype]
        params["reduction"] = f"EW_SCATTER_{reduction.upper()}"
        params["type"] = C_ELEMENTS[x.dtype] if reduction != "none" else 0
        arguments = (*node.inputs, node.output)
        return (KernelCall(function, f"scatter/{function}.h", f"{function}_params", params, arguments),)


def _positions(indices: Array, size: int) -> Array:
    """Positions in a dimension, -1 for what is outside."""
    positions = np.where(indices < 0, indices + size, indices)
    return np.where((positions < 0) | (positions >= size), -1, positions)


class ScatterElements(_Scatter):
    """y = x but y[i, indices[i, j, k], k] = updates[i, j, k] for axis 1, and likewise for others, in row-major order.

    Source: ONNX ScatterElements-18.
    """

    name = "ScatterElements"
    attributes = {"axis": ..., "reduction": "none"}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: updates and indices alike, no larger than x but on the axis."""
        x, indices, updates = self.operands(node, inputs)
        check_element_indices(node, x, indices)
        if updates.shape != indices.shape:
            raise ShapeError(f"{describe(node)}: updates {list(updates.shape)}, indices {list(indices.shape)}")
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one element after the other: the last of several updates counts."""
        y, axis, join = np.array(inputs[0]), node.attrs["axis"], _REDUCTIONS[self.attr(node, "reduction")]
        updates, positions = np.asarray(inputs[2]), _positions(np.asarray(inputs[1]), y.shape[axis])
        with np.errstate(all="ignore"):
            for place in np.ndindex(*positions.shape):
                if positions[place] >= 0:
                    target = (*place[:axis], positions[place], *place[axis + 1 :])
                    y[target] = join(y[target], updates[place])
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        params = {"elements": graph.tensors[node.output].elements, **element_params(node, graph, "y")}
        return self.call(node, graph, params, "ew_scatter_elements")


class ScatterND(_Scatter):
    """y = x but y[indices[i, 0], indices[i, 1], ...] = updates[i], in order. Source: ONNX ScatterND-18."""

    name = "ScatterND"
    attributes = {"reduction": "none"}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: indices [any..., depth], updates [any..., the axes of x behind those indexed]."""
        x, indices, updates = self.operands(node, inputs)
        depth = indices.shape[-1] if indices.shape else 0
        if not 1 <= depth <= len(x.shape) or updates.shape != (*indices.shape[:-1], *x.shape[depth:]):
            raise ShapeError(
                f"{describe(node)}: indices {list(indices.shape)} and updates {list(updates.shape)} "
                f"do not fit {list(x.shape)}"
            )
        check_constant_indices(node, indices, x.shape[:depth])
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one tuple after the other: the last of several updates counts."""
        y, indices, join = np.array(inputs[0]), np.asarray(inputs[1]), _REDUCTIONS[self.attr(node, "reduction")]
        depth = indices.shape[-1]
        updates = np.asarray(inputs[2]).reshape(-1, *y.shape[depth:])
        places = [_positions(indices.reshape(-1, depth)[:, axis], y.shape[axis]) for axis in range(depth)]
        with np.errstate(all="ignore"):
            for update, place in zip(updates, zip(*places, strict=True), strict=True):
                if min(place) >= 0:
                    y[place] = join(y[place], update)
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, indices, where = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]], describe(node)
        depth, size = indices.shape[-1], x.dtype.size_bytes
        strides = [step * size for step in dense_strides(x.shape)[:depth]]
        params: dict[str, ParamValue] = {
            "bytes": x.size_bytes, "tuples": indices.elements // depth, "depth": depth,
            "sizes": padded_to_max_rank(x.shape[:depth], where), "strides": padded_to_max_rank(strides, where),
            "block_bytes": strides[-1],
        }  # fmt: skip
        return self.call(node, graph, params, "ew_scatter_nd")


@from_onnx("ScatterElements", "Scatter", "ScatterND")
def _scatter(foreign: Any) -> None:
    reduction = foreign.attrs.get("reduction", "none")
    if reduction not in _REDUCTIONS:
        foreign.unsupported(f"reduction '{reduction}'")
    names = [foreign.tensor(index).name for index in range(3)]
    if foreign.op_type == "ScatterND":
        foreign.emit("ScatterND", names, final=0, reduction=reduction)
        return
    axis = normalize_axis(int(foreign.attrs.get("axis", 0)), len(foreign.tensor(0).shape), foreign.op_type)
    foreign.emit("ScatterElements", names, final=0, axis=axis, reduction=reduction)


_INDICES = Fixed(np.array([[1, 0, -1], [0, 2, 0]]))
_TWICE = Fixed(np.array([[1, 1, -3], [0, 2, 0]], np.int32))
_TUPLES = Fixed(np.array([[1, 2], [-3, 0], [2, -1]]))
cases(
    Case("ScatterElements", "axis_0", (given(3, 3), _INDICES, given(2, 3)), opset=11),
    Case("ScatterElements", "axis_1", (given(2, 4), Fixed(np.array([[3, 0], [-2, 1]])), given(2, 2)), {"axis": -1}),
    Case("ScatterElements", "bytes", (given(3, 3), _INDICES, given(2, 3)), dtype="uint8"),
    Case("ScatterElements", "add", (given(3, 3), _TWICE, given(2, 3)), {"reduction": "add"}, opset=16),
    Case("ScatterElements", "mul", (given(3, 3), _TWICE, given(2, 3)), {"reduction": "mul"}, opset=16),
    Case("ScatterElements", "max", (given(3, 3), _TWICE, given(2, 3)), {"reduction": "max"}, opset=18),
    Case("ScatterElements", "min", (given(3, 3), _TWICE, given(2, 3)), {"reduction": "min"}, opset=18, dtype="int32"),
    Case("Scatter", "plain", (given(3, 3), _INDICES, given(2, 3)), opset=9),
    Case("ScatterND", "elements", (given(3, 4), _TUPLES, given(3)), opset=11),
    Case("ScatterND", "rows", (given(3, 2, 2), Fixed(np.array([[2], [0]])), given(2, 2, 2))),
    Case("ScatterND", "constant", (given(3, 4), _TUPLES.values, given(3)), opset=13, dtype="int64"),
    Case("ScatterND", "add", (given(3, 2), Fixed(np.array([[2], [2]])), given(2, 2)), {"reduction": "add"}, opset=18),
    Case("ScatterND", "max", (given(3, 2), Fixed(np.array([[2], [2]])), given(2, 2)), {"reduction": "max"}, opset=18),
)
