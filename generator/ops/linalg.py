"""Determinants: Det."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Tensor, TensorType
from edgewright.ops.core import SCRATCH, Case, KernelCall, Operator, cases, describe, from_onnx, given, required


class Det(Operator):
    """The determinant of the last two axes. Source: ONNX Det-22."""

    name = "Det"
    arity = (1, 1)
    same_in_onnx = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [..., n, n] to [...]."""
        x = required(inputs[0], node, "X")
        if len(x.shape) < 2 or x.shape[-1] != x.shape[-2] or not x.elements:
            raise ShapeError(f"{describe(node)}: {list(x.shape)} is no square matrix")
        return [TensorType(x.shape[:-2], x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.asarray(np.linalg.det(np.asarray(inputs[0])))]

    def macs(self, node: Node, graph: Graph) -> int:
        """Of the elimination: about a third of n^3."""
        x = graph.tensors[node.inputs[0]]
        return x.elements * x.shape[-1] // 3

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; scratch holds a matrix."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        size = x.shape[-1]
        params = {"count": y.elements, "size": size}
        arguments = (x.name, SCRATCH, y.name)
        return (
            KernelCall("ew_det_f32", "linalg/ew_det_f32.h", "ew_det_f32_params", params, arguments, 4 * size * size),
        )


@from_onnx("Det")
def _det(foreign: Any) -> None:
    foreign.emit("Det", [foreign.tensor(0).name], final=0)


cases(
    Case("Det", "batch", (given(2, 3, 5, 5),)),
    Case("Det", "one", (given(1, 1),), opset=11, slow=True),
)
