"""Reductions over some axes: ReduceSum, ReduceMean, ReduceProd, ReduceMax, ReduceMin, norms and logarithms of sums."""

from __future__ import annotations

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
    dense_strides,
    describe,
    from_onnx,
    given,
    ints,
    merge_axes,
    normalize_axis,
    padded_to_max_rank,
    required,
)
from edgewright.ops.elementwise import BOOL, FLOATS, define, widened
from edgewright.ops.reshape import axes_of

_WIDE = frozenset({DType.S32, DType.S64, DType.U32, DType.U64})
_BYTES = frozenset({DType.S8, DType.U8})


class Reduce(Operator):
    """A function of all elements along some axes, which stay with size 1. Source: ONNX ReduceSum-13 with keepdims=1."""

    arity = (1, 1)
    attributes = {"axes": ...}
    formula: ClassVar[Callable[..., Any]]  # of an array and its axes
    kernel: ClassVar[str]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x = required(inputs[0], node, "data")
        axes = {normalize_axis(axis, len(x.shape), describe(node)) for axis in node.attrs["axes"]}
        return [TensorType(tuple(1 if i in axes else d for i, d in enumerate(x.shape)), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        with np.errstate(all="ignore"):
            values = type(self).formula(widened(x), tuple(node.attrs["axes"]))
            return [np.asarray(values).astype(x.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call: a walk over the kept axes, and inside it one over the others."""
        x = graph.tensors[node.inputs[0]]
        function = f"{self.kernel}_{x.dtype.suffix}"
        header = "ew_reduce_float" if x.dtype in FLOATS else "ew_reduce_integer"
        params = _walks(node, x.shape)
        return (KernelCall(function, f"reduce/{header}.h", "ew_reduce_params", params, (x.name, node.output)),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axes move along."""
        return node.with_attrs(axes=tuple(sorted(perm.index(axis) for axis in node.attrs["axes"])))


def _walks(node: Node, shape: Shape) -> dict[str, ParamValue]:
    steps, where = dense_strides(shape), describe(node)
    axes = set(node.attrs["axes"])

    def walk(chosen: list[int]) -> tuple[Shape, Shape]:
        dims, (strides,) = merge_axes(tuple(shape[i] for i in chosen), tuple(steps[i] for i in chosen))
        return dims, strides

    outer, outer_strides = walk([i for i in range(len(shape)) if i not in axes])
    inner, inner_strides = walk(sorted(axes))
    if not inner:  # axes of size 1, or none: one element
        inner, inner_strides = (1,), (0,)
    return {
        "outer_rank": len(outer), "outer_dims": padded_to_max_rank(outer, where),
        "outer_strides": padded_to_max_rank(outer_strides, where),
        "reduce_rank": len(inner), "reduce_dims": padded_to_max_rank(inner, where),
        "reduce_strides": padded_to_max_rank(inner_strides, where),
    }  # fmt: skip


def _sum(x: Array, axes: Shape) -> Array:
    return np.asarray(x.sum(axis=axes, keepdims=True, dtype=x.dtype))


def _wide(x: Array) -> Array:
    """Integers in 64 bits."""
    return x if x.dtype.kind == "f" else x.astype(np.int64 if x.dtype.kind == "i" else np.uint64)


def _mean(x: Array, axes: Shape) -> Array:
    if x.dtype.kind == "f":
        return np.asarray(x.mean(axis=axes, keepdims=True))
    total = _sum(_wide(x), axes)
    count = total.dtype.type(x.size // total.size)
    return np.asarray(np.where(total < 0, -((-total) // count), total // count))


def _root(x: Array, axes: Shape) -> Array:
    if x.dtype.kind == "f":
        return np.asarray(np.sqrt(_sum(np.square(x), axes)))
    squares = _sum(np.square(_wide(x).view(np.uint64)), axes)
    root = np.sqrt(squares.astype(np.float64)).astype(np.uint64).clip(0, 2**32 - 1)
    root -= (root * root > squares).astype(np.uint64)
    return np.asarray(root + ((root < 2**32 - 1) & ((root + 1) * (root + 1) <= squares)).astype(np.uint64))


def _largest(x: Array, axes: Shape) -> Array:
    """Of no elements: the lowest number of the type."""
    return np.asarray(x.max(axis=axes, keepdims=True, initial=_limits(x)[0]))


def _least(x: Array, axes: Shape) -> Array:
    return np.asarray(x.min(axis=axes, keepdims=True, initial=_limits(x)[1]))


def _limits(x: Array) -> tuple[Any, Any]:
    if x.dtype.kind == "b":
        return False, True
    return (-np.inf, np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)


def _log_sum_exp(x: Array, axes: Shape) -> Array:
    largest = _largest(x, axes)
    shift = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    return np.asarray(np.log(_sum(np.exp(x - shift), axes)) + shift)


# The formula, and the integer types that there are kernels for: the logarithms are of floats.
_REDUCTIONS: dict[str, tuple[str, frozenset[DType], Callable[[Array, Shape], Array]]] = {
    "ReduceSum": ("sum", _WIDE, _sum),
    "ReduceMean": ("mean", _WIDE, _mean),
    "ReduceProd": ("prod", _WIDE, lambda x, axes: np.asarray(x.prod(axis=axes, keepdims=True, dtype=x.dtype))),
    "ReduceMax": ("max", _WIDE | _BYTES | BOOL, _largest),
    "ReduceMin": ("min", _WIDE | _BYTES | BOOL, _least),
    "ReduceL1": ("l1", _WIDE, lambda x, axes: _sum(np.abs(x), axes)),
    "ReduceL2": ("l2", _WIDE, _root),
    "ReduceSumSquare": ("sum_square", _WIDE, lambda x, axes: _sum(np.square(x), axes)),
    "ReduceLogSum": ("log_sum", frozenset(), lambda x, axes: np.asarray(np.log(_sum(x, axes)))),
    "ReduceLogSumExp": ("log_sum_exp", frozenset(), _log_sum_exp),
}  # fmt: skip

for _name, (_kernel, _integers, _formula) in _REDUCTIONS.items():
    define(
        Reduce, _name, f"Source: ONNX {_name}.", dtypes=FLOATS | _integers, formula=staticmethod(_formula),
        kernel=f"ew_reduce_{_kernel}", rounds_once=_name in ("ReduceMax", "ReduceMin"),
    )  # fmt: skip


@from_onnx(*_REDUCTIONS)
def _reduce(foreign: Any) -> None:
    x, op = foreign.tensor(0), foreign.op_type
    axes = axes_of(foreign, 1, 13 if op == "ReduceSum" else 18, len(x.shape))
    if not axes and not foreign.attrs.get("noop_with_empty_axes", 0):
        axes = tuple(range(len(x.shape)))
    axes = tuple(sorted(axes or ()))  # none: the function of each element alone
    if foreign.attrs.get("keepdims", 1):
        foreign.emit(op, [x.name], final=0, axes=axes)
        return
    kept = foreign.emit(op, [x.name], axes=axes)
    foreign.emit("Reshape", [kept], final=0, shape=tuple(d for i, d in enumerate(x.shape) if i not in axes))


_RANGE = {"ReduceLogSum": (0.1, 3.0), "ReduceProd": (0.5, 2.0)}

cases(
    *(Case(op, "last", (given(2, 3, 4), ints(-1)), opset=18, between=_RANGE.get(op)) for op in _REDUCTIONS),
    *(Case(op, "opset_11", (given(2, 3, 4),), {"axes": [-1, 0], "keepdims": 0}, opset=11, between=_RANGE.get(op),
           slow=op != "ReduceSum") for op in _REDUCTIONS),
    *(Case(op, "nothing", (given(2, 3),), {"noop_with_empty_axes": 1}, opset=18, between=_RANGE.get(op),
           slow=op != "ReduceSumSquare") for op in _REDUCTIONS),
    *(Case(op, dtype, (given(2, 3, 4), ints(1)), dtype=dtype, opset=20, between=_RANGE.get(op), slow=True)
      for op in _REDUCTIONS for dtype in ("float64", "float16")),
    *(Case(op, dtype, (given(2, 3, 4), ints(1)), dtype=dtype, opset=20, between=(-9, 9),
           slow=(op, dtype) not in (("ReduceSum", "int64"), ("ReduceMean", "int32"), ("ReduceL2", "int32")))
      for op in _REDUCTIONS if "Log" not in op for dtype in ("int32", "int64")),
    *(Case(op, dtype, (given(2, 3, 4), ints(1)), dtype=dtype, opset=20, slow=True)
      for op in _REDUCTIONS if "Log" not in op for dtype in ("uint32", "uint64")),
    *(Case(op, dtype, (given(2, 3, 4), ints(1)), dtype=dtype, opset=20, slow=(op, dtype) != ("ReduceMax", "bool"))
      for op in ("ReduceMax", "ReduceMin") for dtype in ("int8", "uint8", "bool")),
    Case("ReduceMean", "outer_and_inner", (given(2, 3, 4), ints(0, 2)), opset=18),
    Case("ReduceMean", "all", (given(2, 3, 4),), opset=18),
    Case("ReduceMean", "dropped", (given(1, 3, 4, 5),), {"axes": [2, 3], "keepdims": 0}, opset=13),
    Case("ReduceMean", "axes_of_size_1", (given(2, 1, 3), ints(1)), opset=18),
    Case("ReduceMean", "kept", (given(1, 3, 4, 5),), {"axes": [1]}, opset=13),
    Case("ReduceLogSumExp", "large", (given(3, 7), ints(1)), opset=18, between=(90.0, 120.0)),
)  # fmt: skip
