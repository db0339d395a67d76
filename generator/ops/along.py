"""Along one axis: ArgMax, ArgMin, CumSum, CumProd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    cases,
    describe,
    from_onnx,
    given,
    normalize_axis,
    required,
)
from edgewright.ops.elementwise import FLOATS, NUMBERS, define, widened
from edgewright.ops.softmax import axis_params


class _Along(Operator):
    arity = (1, 1)
    kernel: ClassVar[str]

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))


class Arg(_Along):
    """Where the largest or smallest element along an axis is. The axis stays with size 1; a NaN counts as both.

    Source: ONNX ArgMax-13 with keepdims=1.
    """

    attributes = {"axis": ..., "select_last_index": 0}
    dtypes = NUMBERS
    rounds_once = True
    same_in_onnx = True
    formula: ClassVar[Callable[..., Any]]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any of rank 1 or more."""
        x = required(inputs[0], node, "data")
        axis = normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        return [TensorType((*x.shape[:axis], 1, *x.shape[axis + 1 :]), DType.S64)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, axis = widened(inputs[0]), node.attrs["axis"]
        if not self.attr(node, "select_last_index"):
            return [np.expand_dims(type(self).formula(x, axis=axis), axis).astype(np.int64)]
        place = x.shape[axis] - 1 - type(self).formula(np.flip(x, axis), axis=axis)
        return [np.expand_dims(place, axis).astype(np.int64)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params = {**axis_params(x.shape, node.attrs["axis"]), "last": int(self.attr(node, "select_last_index"))}
        function = f"{self.kernel}_{x.dtype.suffix}"
        return (KernelCall(function, "reduce/ew_along.h", "ew_arg_params", params, (x.name, node.output)),)


define(Arg, "ArgMax", "Of the largest element.", formula=staticmethod(np.argmax), kernel="ew_argmax")
define(Arg, "ArgMin", "Of the smallest element.", formula=staticmethod(np.argmin), kernel="ew_argmin")


class Cumulate(_Along):
    """Sums or products of all elements up to each along an axis. Source: ONNX CumSum-14, CumProd-26."""

    attributes = {"axis": ..., "exclusive": 0, "reverse": 0}
    dtypes = FLOATS | {DType.S32, DType.S64, DType.U32, DType.U64}
    in_place = frozenset({0})
    formula: ClassVar[Callable[..., Any]]
    first: ClassVar[int]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any of rank 1 or more."""
        x = required(inputs[0], node, "x")
        normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        values, axis = widened(inputs[0]), node.attrs["axis"]
        if self.attr(node, "reverse"):
            values = np.flip(values, axis)
        with np.errstate(all="ignore"):
            totals = type(self).formula(values, axis=axis, dtype=values.dtype)
        if self.attr(node, "exclusive"):
            start = np.full_like(values.take([0], axis), self.first)
            totals = np.concatenate([start, totals.take(range(values.shape[axis] - 1), axis)], axis)
        if self.attr(node, "reverse"):
            totals = np.flip(totals, axis)
        return [np.ascontiguousarray(totals).astype(np.asarray(inputs[0]).dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params = {
            **axis_params(x.shape, node.attrs["axis"]),
            **{key: int(self.attr(node, key)) for key in ("exclusive", "reverse")},
        }
        function = f"{self.kernel}_{x.dtype.suffix}"
        return (KernelCall(function, "reduce/ew_along.h", "ew_cumulate_params", params, (x.name, node.output)),)


define(Cumulate, "CumSum", "Sums.", formula=staticmethod(np.cumsum), kernel="ew_cumsum", first=0)
define(Cumulate, "CumProd", "Products.", formula=staticmethod(np.cumprod), kernel="ew_cumprod", first=1)


@from_onnx("ArgMax", "ArgMin")
def _arg(foreign: Any) -> None:
    x, op = foreign.tensor(0), foreign.op_type
    axis = normalize_axis(foreign.attrs.get("axis", 0), len(x.shape), op)
    last = int(foreign.attrs.get("select_last_index", 0))
    if foreign.attrs.get("keepdims", 1):
        foreign.emit(op, [x.name], final=0, axis=axis, select_last_index=last)
        return
    kept = foreign.emit(op, [x.name], axis=axis, select_last_index=last)
    foreign.emit("Reshape", [kept], final=0, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


@from_onnx("CumSum", "CumProd")
def _cumulate(foreign: Any) -> None:
    x = foreign.tensor(0)
    axis = normalize_axis(int(foreign.constant(1, "axis").reshape(())), len(x.shape), foreign.op_type)
    flags = {key: int(foreign.attrs.get(key, 0)) for key in ("exclusive", "reverse")}
    foreign.emit(foreign.op_type, [x.name], final=0, axis=axis, **flags)


_AXIS = np.array(1, np.int64)

cases(
    *(Case(op, "plain", (given(3, 4, 5),), {"axis": 1}, opset=7) for op in ("ArgMax", "ArgMin")),
    *(Case(op, "last_of_equal", (given(3, 40),), {"axis": -1, "select_last_index": 1, "keepdims": 0},
           dtype="int8", between=(-3, 3)) for op in ("ArgMax", "ArgMin")),
    *(Case(op, "first_of_equal", (given(3, 40),), {"axis": 1}, dtype="int8", between=(-3, 3), slow=True)
      for op in ("ArgMax", "ArgMin")),
    *(Case(op, dtype, (given(3, 4, 5),), dtype=dtype, slow=True) for op in ("ArgMax", "ArgMin")
      for dtype in ("float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")),
    Case("CumSum", "plain", (given(3, 4), _AXIS), opset=11),
    Case("CumSum", "exclusive", (given(2, 3, 4), _AXIS), {"exclusive": 1}),
    Case("CumSum", "reverse", (given(2, 3, 4), np.array(-3, np.int32)), {"reverse": 1}),
    Case("CumSum", "both", (given(2, 3, 4), _AXIS), {"exclusive": 1, "reverse": 1}, dtype="int32", between=(-99, 99)),
    *(Case("CumSum", dtype, (given(2, 3, 4), _AXIS), dtype=dtype, slow=True)
      for dtype in ("float64", "float16", "int32", "int64", "uint32", "uint64")),
    Case("CumProd", "both", (given(2, 3, 4), _AXIS), {"exclusive": 1, "reverse": 1}, opset=26),
    *(Case("CumProd", dtype, (given(2, 3, 4), _AXIS), dtype=dtype, opset=26, slow=True)
      for dtype in ("float64", "float16", "int32", "int64", "uint32", "uint64")),
)  # fmt: skip
