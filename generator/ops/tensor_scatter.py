"""TensorScatter: new rows in a cache, where an index says. Any data type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    ints,
    normalize_axis,
    required,
)
from edgewright.ops.elements import C_ELEMENTS, required_indices


class TensorScatter(Operator):
    """y = x but y[b, .., indices[b] + i, ..] = update[b, .., i, ..] on one axis. Source: ONNX TensorScatter-24.

    ONNX leaves places outside the axis open: nothing is written there. In mode circular they are taken modulo the size.
    """

    name = "TensorScatter"
    arity = (2, 3)
    attributes = {"axis": -2, "mode": "linear"}
    dtypes = frozenset(DType)
    rounds_once = True
    in_place = frozenset({0})
    same_in_onnx = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: update as x, but shorter on the axis; indices [x.shape[0]]."""
        x, update = required(inputs[0], node, "past_cache"), required(inputs[1], node, "update")
        check_same_type(node, x, update)
        axis = normalize_axis(self.attr(node, "axis"), len(x.shape), describe(node))
        pairs = list(zip(x.shape, update.shape, strict=False))
        fits = len(x.shape) == len(update.shape) and all(a == b or i == axis for i, (a, b) in enumerate(pairs))
        if axis == 0 or not fits or update.shape[axis] > x.shape[axis] or not update.elements:
            raise ShapeError(f"{describe(node)}: {list(update.shape)} into {list(x.shape)} on axis {axis}")
        if len(inputs) > 2 and required_indices(inputs[2], node).shape != x.shape[:1]:
            raise ShapeError(f"{describe(node)}: write_indices do not have one number for each of {x.shape[0]}")
        if self.attr(node, "mode") not in ("linear", "circular"):
            raise ShapeError(f"{describe(node)}: mode '{self.attr(node, 'mode')}'")
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one row after the other."""
        y, axis = np.array(inputs[0]), self.attr(node, "axis") % np.ndim(np.asarray(inputs[0]))
        lines, update = np.moveaxis(y, axis, 1), np.moveaxis(np.asarray(inputs[1]), axis, 1)
        size = lines.shape[1]
        for b in range(len(y)):
            first = int(np.asarray(inputs[2])[b]) if len(inputs) > 2 else 0
            for i in range(update.shape[1]):
                place = (first + i) % size if self.attr(node, "mode") == "circular" else first + i
                if 0 <= place < size:
                    lines[b, place] = update[b, i]
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, update = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
        indices = graph.tensors[node.inputs[2]] if len(node.inputs) > 2 else None
        axis = self.attr(node, "axis") % len(x.shape)
        params: dict[str, ParamValue] = {
            "bytes": x.size_bytes, "batch": x.shape[0], "outer": math.prod(x.shape[1:axis]), "size": x.shape[axis],
            "count": update.shape[axis], "row_bytes": math.prod(x.shape[axis + 1 :]) * x.dtype.size_bytes,
            "index_type": C_ELEMENTS[indices.dtype if indices else DType.S64],
            "circular": int(self.attr(node, "mode") == "circular"),
        }  # fmt: skip
        arguments = (x.name, update.name, indices.name if indices else None, node.output)
        header = "scatter/ew_tensor_scatter.h"
        return (KernelCall("ew_tensor_scatter", header, "ew_tensor_scatter_params", params, arguments),)


@from_onnx("TensorScatter")
def _tensor_scatter(foreign: Any) -> None:
    attrs = {"axis": int(foreign.attrs.get("axis", -2)), "mode": foreign.attrs.get("mode", "linear")}
    foreign.emit("TensorScatter", [foreign.tensor(i).name for i in range(3) if foreign.has(i)], final=0, **attrs)


cases(
    Case("TensorScatter", "linear", (given(2, 3, 6, 2), given(2, 3, 2, 2), Fixed(ints(1, 4))), opset=24),
    Case("TensorScatter", "circular", (given(3, 6, 2), given(3, 4, 2), Fixed(ints(5, 0, 9))), {"mode": "circular"},
         opset=24, slow=True),
    Case("TensorScatter", "start", (given(2, 3, 2, 5), given(2, 3, 2, 1)), {"axis": 3}, opset=24, dtype="int8",
         slow=True),
)  # fmt: skip
