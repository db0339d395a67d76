"""Arithmetic of two operands with broadcasting: Add, Sub, Mul, Div, Mod, PRelu; of several: Sum and Mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Graph, Node, Tensor
from edgewright.ops.core import Case, KernelCall, activation_params, cases, clamped, from_onnx, given, weights
from edgewright.ops.elementwise import FLOATS, NUMBERS, Broadcast, from_the_left, one_way, walk


def divided(a: Array, b: Array) -> Array:
    """a / b; integers are truncated toward zero, and divided by zero give 0."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    divisor = np.where(b == 0, a.dtype.type(1), b)
    whole, rest = np.floor_divide(a, divisor), np.remainder(a, divisor)
    whole = whole + ((rest != 0) & ((a < 0) != (divisor < 0))).astype(a.dtype)
    return np.asarray(np.where(b == 0, a.dtype.type(0), whole))


def remainder(a: Array, b: Array, fmod: int) -> Array:
    """The remainder with the sign of b, or with `fmod` that of a; of integers by zero 0."""
    function: Callable[..., Any] = np.fmod if fmod else np.mod
    if a.dtype.kind == "f":
        return np.asarray(function(a, b))
    no_remainder = (b == 0) | (b == -1 if a.dtype.kind == "i" else b == 1)
    values = function(a, np.where(no_remainder, a.dtype.type(1), b))
    return np.asarray(np.where(no_remainder, a.dtype.type(0), values))


class Binary(Broadcast):
    """y = clamp(a op b). Integers wrap around. Source: ONNX Add-14 and its like, multidirectional broadcasting."""

    dtypes = NUMBERS
    fuses_activation = True
    rounds_once = True
    same_in_onnx = False
    header = "binary/ew_arithmetic.h"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        arrays = [np.asarray(array) for array in inputs]
        with np.errstate(all="ignore"):
            values = np.asarray(type(self).formula(*arrays)).astype(arrays[0].dtype)
            return [clamped(values, self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call over the fewest axes that describe the broadcasting; float32 with the clamp."""
        if graph.tensors[node.output].dtype is not DType.F32:
            return super().lower(node, graph)
        params = walk(node, graph, ("a", "b"), dense=True)
        kernel = f"{self.kernel}_f32"
        return (
            KernelCall(
                kernel, f"binary/{kernel}.h", "ew_binary_f32_params", {**params, **activation_params(self, node)},
                (*node.inputs, node.output),
            ),
        )  # fmt: skip


class Add(Binary):
    """a + b."""

    name = "Add"
    formula = np.add
    kernel = "ew_add"


class Sub(Binary):
    """a - b."""

    name = "Sub"
    formula = np.subtract
    kernel = "ew_sub"


class Mul(Binary):
    """a * b."""

    name = "Mul"
    formula = np.multiply
    kernel = "ew_mul"


class Div(Binary):
    """a / b; integers truncate toward zero, and by zero give 0 on every processor, as ONNX leaves open."""

    name = "Div"
    formula = staticmethod(divided)
    kernel = "ew_div"


class Mod(Broadcast):
    """What is left of a / b. Integers by zero give 0. Source: ONNX Mod-28."""

    name = "Mod"
    same_in_onnx = False
    dtypes = NUMBERS
    attributes = {"fmod": 0}
    rounds_once = True
    formula = staticmethod(remainder)
    kernel = "ew_mod"
    header = "binary/ew_arithmetic.h"

    def function(self, node: Node, graph: Graph) -> str:
        """The C function."""
        kind = "fmod" if self.attr(node, "fmod") else "mod"
        return f"ew_{kind}_{graph.tensors[node.inputs[0]].dtype.suffix}"


class PRelu(Broadcast):
    """a where a >= 0, else a * b. Source: ONNX PRelu-16, unidirectional broadcasting."""

    name = "PRelu"
    dtypes = FLOATS | {DType.S32, DType.S64, DType.U32, DType.U64}
    rounds_once = True
    formula = staticmethod(lambda a, b: np.where(a < 0, a * b, a))
    kernel = "ew_prelu"
    header = "binary/ew_arithmetic.h"

    def check_types(self, node: Node, a: Tensor, b: Tensor) -> None:
        """Also that the slope broadcasts to the data."""
        super().check_types(node, a, b)
        one_way(node, a, b)


@from_onnx("Add", "Sub", "Mul", "Div", "PRelu")
def _binary(foreign: Any) -> None:
    foreign.emit(foreign.op_type, [foreign.tensor(0).name, foreign.tensor(1).name], final=0)


@from_onnx("Mod")
def _mod(foreign: Any) -> None:
    x, fmod = foreign.tensor(0), int(foreign.attrs.get("fmod", 0))
    if x.dtype in FLOATS and not fmod and foreign.opset < 28:
        foreign.unsupported("fmod=0 on floats before operator set 28")
    foreign.emit("Mod", [x.name, foreign.tensor(1).name], final=0, fmod=fmod)


@from_onnx("Sum", "Mean")
def _sum(foreign: Any) -> None:
    """Source: ONNX Sum-13, Mean-13: any number of operands, from the left."""
    is_mean = foreign.op_type == "Mean" and foreign.n_inputs > 1
    total = from_the_left(foreign, "Add", is_final=not is_mean)
    if is_mean:
        count = np.array(foreign.n_inputs, foreign.tensor(0).dtype.numpy)
        foreign.emit("Div", [total, foreign.add_constant(f"{foreign.name}.count", count)], final=0)


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
    Case("Mean", "one", (given(2, 3),)),
    Case("Mean", "three", (given(2, 3), given(3), given(2, 1))),
    *(Case(op, dtype, (given(3, 4), given(4)), dtype=dtype, between=(-99, 99), slow=(op, dtype) != ("Mul", "int8"))
      for op in ("Add", "Sub", "Mul") for dtype in ("int8", "int16", "int32", "int64", "float64", "float16")),
    *(Case(op, dtype, (given(3, 4), given(4)), dtype=dtype, slow=True)
      for op in ("Add", "Sub", "Mul") for dtype in ("uint8", "uint16", "uint32", "uint64")),
    *(Case(op, dtype, (given(5, 1), np.array([7, 1, *more], dtype)), dtype=dtype, between=between,
           slow=dtype != "int16")
      for op in ("Div", "Mod")
      for more, between, dtypes in (((-3, -1), (-99, 99), ("int8", "int16", "int32", "int64")),
                                    ((3, 200), (0, 255), ("uint8", "uint16", "uint32", "uint64")))
      for dtype in dtypes),
    *(Case("Mod", f"fmod_{dtype}", (given(5, 1), np.array([7, 1, -3, 2.5], dtype)), {"fmod": 1}, dtype=dtype,
           between=(-99, 99), slow=dtype != "float32")
      for dtype in ("int32", "int64", "float32", "float64", "float16")),
    *(Case("Div", dtype, (given(3, 4), given(4)), dtype=dtype, between=(1.0, 9.0), slow=True)
      for dtype in ("float64", "float16")),
    *(Case("Mod", f"floor_{dtype}", (given(5, 1), np.array([7, 1, -3, 2.5], dtype)), dtype=dtype, between=(-99, 99),
           opset=28, slow=dtype != "float32") for dtype in ("float32", "float64", "float16")),
    *(Case("PRelu", dtype, (given(1, 3, 4, 4), given(3, 1, 1)), dtype=dtype, between=(-9, 9), slow=dtype != "float32")
      for dtype in ("float32", "float64", "float16", "int32", "int64")),
    *(Case("PRelu", dtype, (given(1, 3, 4, 4), given(3, 1, 1)), dtype=dtype, slow=True)
      for dtype in ("uint32", "uint64")),
    Case("PRelu", "scalar_opset_7", (given(2, 3), np.float32(0.3)), opset=7),
)  # fmt: skip
