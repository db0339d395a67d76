"""Softmax, LogSoftmax and Hardmax along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    normalize_axis,
    required,
)
from edgewright.ops.elementwise import FLOATS, define, widened


def axis_params(shape: Shape, axis: int) -> dict[str, ParamValue]:
    """A dense tensor as [outer, axis, inner]."""
    return {"outer": math.prod(shape[:axis]), "axis": shape[axis], "inner": math.prod(shape[axis + 1 :])}


class _AlongAxis(Operator):
    """A function of the lines along an axis. Source: ONNX Softmax-13, LogSoftmax-13, Hardmax-13."""

    arity = (1, 1)
    attributes = {"axis": ...}
    dtypes = FLOATS | {DType.BF16}
    formula: ClassVar[Callable[..., Array]]
    kernel: ClassVar[str]
    own_float32: ClassVar[bool] = False  # the float32 kernel has a header of its own, named after it

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any of rank 1 or more."""
        x = required(inputs[0], node, "X")
        normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        return [type(self).formula(x, node.attrs["axis"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        function = f"{self.kernel}_{x.dtype.suffix}"
        own = self.own_float32 and x.dtype is DType.F32
        header, kind = (function, f"{function}_params") if own else ("ew_softmax", "ew_softmax_params")
        params = axis_params(x.shape, node.attrs["axis"])
        return (KernelCall(function, f"softmax/{header}.h", kind, params, (node.inputs[0], node.output)),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(powers / _sum(powers, axis))


def _sum(x: Array, axis: int) -> Array:
    """float16 is added in float32 and rounded at the end, bfloat16 rounded after each addition."""
    return np.asarray(widened(x).sum(axis=axis, keepdims=True)).astype(x.dtype)


def _log_softmax(x: Array, axis: int) -> Array:
    centred = x - x.max(axis=axis, keepdims=True)
    return np.asarray(centred - np.log(_sum(np.exp(centred), axis)))


def _hardmax(x: Array, axis: int) -> Array:
    place = np.expand_dims(x.argmax(axis=axis), axis)
    result = np.zeros_like(x)
    np.put_along_axis(result, place, 1, axis)
    return result


define(
    _AlongAxis, "Softmax", "exp(x) / sum(exp(x)).", formula=staticmethod(_softmax), kernel="ew_softmax",
    own_float32=True,
)  # fmt: skip
define(
    _AlongAxis, "LogSoftmax", "x - log(sum(exp(x))).", formula=staticmethod(_log_softmax), kernel="ew_log_softmax",
    in_place=frozenset({0}),
)  # fmt: skip
define(
    _AlongAxis, "Hardmax", "1 at the first of the largest elements, else 0.", formula=staticmethod(_hardmax),
    kernel="ew_hardmax", rounds_once=True,
)  # fmt: skip


@from_onnx("Softmax", "LogSoftmax", "Hardmax")
def _along(foreign: Any) -> None:
    x, op = foreign.tensor(0), foreign.op_type
    axis = normalize_axis(foreign.attrs.get("axis", -1 if foreign.opset >= 13 else 1), len(x.shape), op)
    if foreign.opset >= 13:
        foreign.emit(op, [x.name], final=0, axis=axis)
        return
    # Source: ONNX Softmax-11: the axes from `axis` on are one
    flat = foreign.emit("Reshape", [x.name], shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    foreign.emit("Reshape", [foreign.emit(op, [flat], axis=1)], final=0, shape=x.shape)


cases(
    *(Case(op, "last", (given(2, 3, 7),)) for op in ("Softmax", "LogSoftmax", "Hardmax")),
    *(Case(op, "middle", (given(2, 5, 7),), {"axis": 1}) for op in ("Softmax", "LogSoftmax", "Hardmax")),
    *(Case(op, "opset_11", (given(2, 3, 4),), opset=11) for op in ("Softmax", "LogSoftmax", "Hardmax")),
    Case("Softmax", "opset_11_axis", (given(2, 3, 4),), {"axis": 2}, opset=11),
    *(Case(op, dtype, (given(2, 3, 4),), {"axis": 1}, dtype=dtype, slow=True)
      for op in ("Softmax", "LogSoftmax", "Hardmax") for dtype in ("float64", "float16")),
)  # fmt: skip
