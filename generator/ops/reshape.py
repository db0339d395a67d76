"""Operators that move nothing: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout. All become Reshape, a view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
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
    padded_to_max_rank,
    required,
)


class Reshape(Operator):
    """The same elements under another shape."""

    name = "Reshape"
    moves = True
    arity = (1, 1)
    attributes = {"shape": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any to `shape`, with as many elements."""
        x, shape = required(inputs[0], node, "data"), tuple(node.attrs["shape"])
        if math.prod(shape) != x.elements or any(d < 0 for d in shape):
            raise ShapeError(f"{describe(node)}: {list(x.shape)} does not reshape to {list(shape)}")
        return [TensorType(shape, x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.asarray(inputs[0]).reshape(node.attrs["shape"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """A copy, where the planner could not make it a view."""
        size = graph.tensors[node.output].size_bytes
        return (copy_call((), (), (), 0, 0, size, node.inputs[0], node.output),)


def copy_call(
    dims: Sequence[int], x_strides: Sequence[int], y_strides: Sequence[int],
    x_offset: int, y_offset: int, block_bytes: int, x: str, y: str,
) -> KernelCall:  # fmt: skip
    """The strided block copy. Units: bytes, but for `dims`."""
    params: dict[str, ParamValue] = {
        "rank": len(dims), "dims": padded_to_max_rank(dims, y), "x_strides": padded_to_max_rank(x_strides, y),
        "y_strides": padded_to_max_rank(y_strides, y), "x_offset": x_offset, "y_offset": y_offset,
        "block_bytes": block_bytes,
    }  # fmt: skip
    return KernelCall("ew_copy_nd", "copy/ew_copy_nd.h", "ew_copy_nd_params", params, (x, y))


@from_onnx("Reshape")
def _reshape(foreign: Any) -> None:
    x = foreign.tensor(0)
    wanted = [int(d) for d in foreign.constant(1, "shape").reshape(-1)]
    if not foreign.attrs.get("allowzero", 0):
        if any(d == 0 and i >= len(x.shape) for i, d in enumerate(wanted)):
            raise ShapeError(f"shape {wanted} copies a dimension that {list(x.shape)} does not have")
        wanted = [x.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    if wanted.count(-1) > 1 or any(d < -1 for d in wanted):
        raise ShapeError(f"shape {wanted} is not a shape")
    if -1 in wanted:
        rest = math.prod(d for d in wanted if d != -1)
        if rest == 0 or x.elements % rest:
            raise ShapeError(f"{list(x.shape)} does not reshape to {wanted}")
        wanted[wanted.index(-1)] = x.elements // rest
    foreign.emit("Reshape", [x.name], final=0, shape=tuple(wanted))


@from_onnx("Flatten")
def _flatten(foreign: Any) -> None:
    x = foreign.tensor(0)
    axis = foreign.attrs.get("axis", 1)
    if not -len(x.shape) <= axis <= len(x.shape):
        raise ShapeError(f"axis {axis} is outside a tensor of rank {len(x.shape)}")
    axis = axis + len(x.shape) if axis < 0 else axis
    foreign.emit("Reshape", [x.name], final=0, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def axes_of(foreign: Any, index: int, since_input: int, rank: int) -> tuple[int, ...] | None:
    """Return an `axes` operand, an attribute before opset `since_input` and an input from then on; None if absent."""
    if foreign.opset < since_input:
        axes = foreign.attrs.get("axes")
    else:
        axes = foreign.constant(index, "axes").reshape(-1).tolist() if foreign.has(index) else None
    if axes is None:
        return None
    result = tuple(normalize_axis(int(axis), rank, foreign.op_type) for axis in axes)
    if len(set(result)) != len(result):
        raise ShapeError(f"axes {list(axes)} has one twice")
    return result


@from_onnx("Squeeze")
def _squeeze(foreign: Any) -> None:
    x = foreign.tensor(0)
    axes = axes_of(foreign, 1, 13, len(x.shape))
    if axes is None:
        axes = tuple(i for i, d in enumerate(x.shape) if d == 1)
    if any(x.shape[axis] != 1 for axis in axes):
        raise ShapeError(f"axes {list(axes)} of {list(x.shape)} are not all of size 1")
    foreign.emit("Reshape", [x.name], final=0, shape=tuple(d for i, d in enumerate(x.shape) if i not in axes))


@from_onnx("Unsqueeze")
def _unsqueeze(foreign: Any) -> None:
    x = foreign.tensor(0)
    given_axes = foreign.attrs.get("axes", ()) if foreign.opset < 13 else foreign.constant(1, "axes").reshape(-1)
    rank = len(x.shape) + len(given_axes)
    axes = axes_of(foreign, 1, 13, rank) or ()
    rest = iter(x.shape)
    foreign.emit("Reshape", [x.name], final=0, shape=tuple(1 if i in axes else next(rest) for i in range(rank)))


@from_onnx("Identity")
def _identity(foreign: Any) -> None:
    x = foreign.tensor(0)
    foreign.emit("Reshape", [x.name], final=0, shape=x.shape)


@from_onnx("Dropout")
def _dropout(foreign: Any) -> None:
    """At inference, and with a ratio of 0, nothing is dropped. Source: ONNX Dropout-13."""
    trains = foreign.has(2) and bool(foreign.constant(2, "training_mode").reshape(()))
    if trains and not (foreign.has(1) and foreign.constant(1, "ratio").item() == 0):
        foreign.unsupported("training_mode=1: it draws random numbers")
    if foreign.output_is_used(1):
        if foreign.opset < 10:
            foreign.unsupported(f"the output 'mask', which operator set {foreign.opset} does not define")
        shape = foreign.tensor(0).shape
        mask = foreign.add_constant(f"{foreign.name}.mask", np.ones(shape, np.bool_))
        foreign.emit("Reshape", [mask], final=1, shape=shape)
    _identity(foreign)


cases(
    Case("Reshape", "plain", (given(2, 3, 4), ints(4, -1))),
    Case("Reshape", "zero", (given(2, 3, 4), ints(0, 2, 6))),
    Case("Flatten", "plain", (given(2, 3, 4),)),
    Case("Flatten", "axis_0", (given(2, 3, 4),), {"axis": 0}),
    Case("Flatten", "negative", (given(2, 3, 4),), {"axis": -1}),
    Case("Squeeze", "axes", (given(1, 3, 1, 4), ints(0, 2))),
    Case("Squeeze", "all", (given(1, 3, 1, 4),)),
    Case("Squeeze", "opset_11", (given(1, 3, 1, 4),), {"axes": [2]}, opset=11),
    Case("Unsqueeze", "axes", (given(3, 4), ints(0, -1))),
    Case("Unsqueeze", "opset_11", (given(3, 4),), {"axes": [1]}, opset=11),
    Case("Identity", "plain", (given(3, 4),)),
    Case("Identity", "integers", (given(3, 4),), dtype="int32"),
    Case("Dropout", "inference", (given(3, 4),)),
    Case("Dropout", "mask", (given(3, 4), np.float32(0.5), np.array(False)), opset=13, outputs=2),
)
