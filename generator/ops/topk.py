"""TopK, with a constant k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    ints,
    normalize_axis,
    required,
)
from edgewright.ops.elements import C_ELEMENTS


class TopK(Operator):
    """The k largest or smallest elements along an axis in order, and their positions. Source: ONNX TopK-11.

    Of equal elements the first comes first; where there is a NaN the order is open.
    """

    name = "TopK"
    rounds_once = True
    arity = (1, 1)
    attributes = {"k": ..., "axis": ..., "largest": True}
    dtypes = frozenset(C_ELEMENTS)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: the axis of x becomes k."""
        x, k = required(inputs[0], node, "X"), node.attrs["k"]
        axis = normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        if not 1 <= k <= x.shape[axis]:
            raise ShapeError(f"{describe(node)}: k = {k} of an axis of {x.shape[axis]}")
        shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
        return [TensorType(shape, x.dtype), TensorType(shape, DType.S64)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: a stable sort; backwards for the largest, so that the first of equal ones stays first."""
        x, axis, k = np.asarray(inputs[0]), node.attrs["axis"], node.attrs["k"]
        if self.attr(node, "largest"):
            order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        else:
            order = np.argsort(x, axis=axis, kind="stable")
        best = np.take(order, np.arange(k), axis=axis).astype(np.int64)
        return [np.take_along_axis(x, best, axis), best]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, axis, k = graph.tensors[node.inputs[0]], node.attrs["axis"], node.attrs["k"]
        params: dict[str, ParamValue] = {
            "outer": math.prod(x.shape[:axis]), "axis": x.shape[axis], "inner": math.prod(x.shape[axis + 1 :]), "k": k,
            "largest": int(self.attr(node, "largest")), "type": C_ELEMENTS[x.dtype],
            "element_bytes": x.dtype.size_bytes,
        }  # fmt: skip
        values, indices = (node.outputs[i] or None if i < len(node.outputs) else None for i in range(2))
        return (
            KernelCall(
                "ew_topk", "topk/ew_topk.h", "ew_topk_params", params, (x.name, SCRATCH, values, indices), 4 * k
            ),
        )


@from_onnx("TopK")
def _topk(foreign: Any) -> None:
    x = foreign.tensor(0)
    k = int(foreign.attrs["k"] if foreign.opset < 10 else foreign.constant(1, "K").reshape(()))
    axis = normalize_axis(int(foreign.attrs.get("axis", -1)), len(x.shape), "TopK")
    foreign.emit_all("TopK", [x.name], k=k, axis=axis, largest=bool(foreign.attrs.get("largest", 1)))


cases(
    Case("TopK", "plain", (given(3, 7), ints(3)), outputs=2, opset=11),
    Case("TopK", "smallest_axis_0", (given(5, 2, 3), ints(2)), {"axis": 0, "largest": 0}, outputs=2, opset=11),
    Case("TopK", "all_integers", (given(2, 9), ints(9)), outputs=2, opset=11, dtype="int64"),
    Case("TopK", "opset_9", (given(2, 9),), {"k": 4}, outputs=2, opset=9),
)
