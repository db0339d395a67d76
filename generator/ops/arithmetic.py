"""Arithmetic of two operands with broadcasting: Add, Sub, Mul, Div."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    activation_params,
    broadcast_shape,
    broadcast_strides,
    cases,
    clamped,
    describe,
    from_onnx,
    given,
    merge_axes,
    padded_to_max_rank,
    required,
    weights,
)


class Binary(Operator):
    """y = clamp(a op b). Source: ONNX Add-14 and its like, multidirectional broadcasting."""

    arity = (2, 2)
    rows = "each"
    in_place = frozenset({0, 1})
    fuses_activation = True
    rounds_once = True
    function: ClassVar[Callable[..., Any]]
    kernel: ClassVar[str]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any two that broadcast."""
        a, b = required(inputs[0], node, "A"), required(inputs[1], node, "B")
        if a.dtype != b.dtype:
            raise ShapeError(f"{describe(node)}: operands of {a.dtype.value} and {b.dtype.value}")
        return [TensorType(broadcast_shape(a.shape, b.shape, describe(node)), a.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        with np.errstate(all="ignore"):
            return [clamped(np.asarray(type(self).function(inputs[0], inputs[1])), self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call over the fewest axes that describe the broadcasting."""
        shape = graph.tensors[node.output].shape
        steps = [broadcast_strides(graph.tensors[name].shape, shape) for name in node.inputs]
        dims, (a, b) = merge_axes(shape, *steps)
        if not dims or max(a[-1], b[-1]) > 1 or a[-1] == b[-1] == 0:  # the kernel's innermost axis is dense
            dims, a, b = (*dims, 1), (*a, 0), (*b, 0)
        where = describe(node)
        params = {
            "rank": len(dims), "dims": padded_to_max_rank(dims, where),
            "a_strides": padded_to_max_rank(a, where), "b_strides": padded_to_max_rank(b, where),
            **activation_params(self, node),
        }  # fmt: skip
        return (
            KernelCall(
                self.kernel, f"binary/{self.kernel}.h", "ew_binary_f32_params", params, (*node.inputs, node.output)
            ),
        )

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Both operands are permuted alike; broadcasting is the pass's concern."""
        return node


class Add(Binary):
    """a + b."""

    name = "Add"
    function = np.add
    kernel = "ew_add_f32"


class Sub(Binary):
    """a - b."""

    name = "Sub"
    function = np.subtract
    kernel = "ew_sub_f32"


class Mul(Binary):
    """a * b."""

    name = "Mul"
    function = np.multiply
    kernel = "ew_mul_f32"


class Div(Binary):
    """a / b."""

    name = "Div"
    function = np.divide
    kernel = "ew_div_f32"


@from_onnx("Add", "Sub", "Mul", "Div")
def _binary(foreign: Any) -> None:
    foreign.emit(foreign.op_type, [foreign.tensor(0).name, foreign.tensor(1).name], final=0)


@from_onnx("Sum")
def _sum(foreign: Any) -> None:
    """Source: ONNX Sum-13: any number of operands, from the left."""
    names = [foreign.tensor(index).name for index in range(foreign.n_inputs)]
    if len(names) == 1:
        foreign.emit("Reshape", names, final=0, shape=foreign.tensor(0).shape)
        return
    total = names[0]
    for index, name in enumerate(names[1:], 2):
        total = foreign.emit("Add", [total, name], final=0 if index == len(names) else None)


cases(
    Case("Sum", "one", (given(2, 3),)),
    Case("Sum", "two", (given(1, 4, 5), given(1, 4, 5))),
    Case("Sum", "three_broadcast", (given(2, 3, 4), given(4), weights(3, 1))),
    Case("Add", "same", (given(1, 4, 5), given(1, 4, 5))),
    Case("Add", "self_shape_1d", (given(7), given(7))),
    Case("Sub", "scalar_right", (given(2, 3, 4), weights())),
    Case("Sub", "scalar_left", (weights(), given(2, 3, 4))),
    Case("Mul", "row", (given(3, 4), given(4))),
    Case("Mul", "column", (given(3, 4), given(3, 1))),
    Case("Mul", "channel", (given(1, 3, 4, 4), weights(3, 1, 1))),
    Case("Div", "outer", (given(5, 1), given(1, 6))),
    Case("Div", "deep", (given(2, 1, 4, 1, 3), given(5, 1, 2, 3))),
    Case("Add", "one_element", (given(1), given(1, 1))),
)
