"""Where: a choice between two operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    broadcast_shape,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    required,
    weights,
)
from edgewright.ops.elementwise import BOOL, NUMBERS, walk


class Where(Operator):
    """x where the condition holds, else y. Source: ONNX Where-16, multidirectional broadcasting."""

    name = "Where"
    arity = (3, 3)
    dtypes = BOOL
    rows = "each"
    in_place = frozenset({0, 1, 2})
    rounds_once = True
    same_in_onnx = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any that broadcast."""
        condition, x, y = (required(t, node, what) for t, what in zip(inputs, ("condition", "X", "Y"), strict=True))
        check_same_type(node, x, y)
        both = broadcast_shape(x.shape, y.shape, describe(node))
        return [TensorType(broadcast_shape(condition.shape, both, describe(node)), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        condition, x, y = (np.asarray(array) for array in inputs)
        return [np.where(condition, x, y)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call over the fewest axes that describe the broadcasting."""
        dtype = graph.tensors[node.output].dtype
        function = f"ew_where_{dtype.suffix if dtype in NUMBERS | BOOL else DType(dtype.stored.name).suffix}"
        params = walk(node, graph, ("c", "a", "b"))
        return (KernelCall(function, "select/ew_where.h", "ew_where_params", params, (*node.inputs, node.output)),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Operands are permuted alike; broadcasting is the pass's concern."""
        return node


@from_onnx("Where")
def _where(foreign: Any) -> None:
    condition, x, y = (foreign.tensor(index) for index in range(3))
    foreign.emit("Where", [condition.name, x.name, y.name], final=0)


def _typed(dtype: str, slow: bool = True) -> Case:
    inputs = (given(2, 3, 4), given(3, 1), given(4))
    return Case("Where", dtype, inputs, dtype=dtype, dtypes={0: "bool"}, slow=slow)


cases(
    _typed("float32", slow=False),
    *(_typed(dtype.value) for dtype in sorted(NUMBERS | BOOL, key=lambda d: d.value) if dtype.value != "float32"),
    Case("Where", "constant", (given(1, 4), given(3, 4), weights()), dtypes={0: "bool"}, opset=9),
)
