"""Operators that repeat or rearrange blocks of elements, of any type: Expand, Tile, DepthToSpace, SpaceToDepth,
CenterCropPad, ReverseSequence, Trilu, EyeLike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    broadcast_shape,
    broadcast_strides,
    cases,
    dense_strides,
    describe,
    from_onnx,
    given,
    ints,
    normalize_axis,
    required,
)
from edgewright.ops.elements import C_ELEMENTS, INDICES
from edgewright.ops.movement import strided_copy
from edgewright.ops.reshape import axes_of


class Expand(Operator):
    """Axes of size 1 repeated, and new ones in front. Source: ONNX Expand-13; `shape` is the output's."""

    name = "Expand"
    moves = True
    arity = (1, 1)
    attributes = {"shape": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any that broadcasts to `shape`."""
        x, shape = required(inputs[0], node, "input"), tuple(node.attrs["shape"])
        if broadcast_shape(x.shape, shape, describe(node)) != shape:
            raise ShapeError(f"{describe(node)}: {list(x.shape)} does not expand to {list(shape)}")
        return [TensorType(shape, x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.array(np.broadcast_to(np.asarray(inputs[0]), node.attrs["shape"]))]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One strided copy."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        strides = broadcast_strides(x.shape, y.shape)
        return (strided_copy(graph, y.shape, x.name, y.name, strides, dense_strides(y.shape), 0, 0),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The shape is permuted along."""
        return node.with_attrs(shape=tuple(node.attrs["shape"][axis] for axis in perm))


@from_onnx("Expand")
def _expand(foreign: Any) -> None:
    x = foreign.tensor(0)
    wanted = tuple(int(d) for d in foreign.constant(1, "shape").reshape(-1))
    foreign.emit("Expand", [x.name], final=0, shape=broadcast_shape(x.shape, wanted, "Expand"))


@from_onnx("Tile")
def _tile(foreign: Any) -> None:
    """An axis of size n repeated r times is [1, n] expanded to [r, n]."""
    x = foreign.tensor(0)
    repeats = [int(r) for r in foreign.constant(1, "repeats").reshape(-1)]
    if len(repeats) != len(x.shape) or min(repeats, default=1) < 0:
        raise ShapeError(f"repeats {repeats} do not fit {list(x.shape)}")
    split, expanded = [], []
    for size, times in zip(x.shape, repeats, strict=True):
        split += [size] if times == 1 else [1, size]
        expanded += [size] if times == 1 else [times, size]
    apart = foreign.emit("Reshape", [x.name], shape=tuple(split))
    repeated = foreign.emit("Expand", [apart], shape=tuple(expanded))
    shape = tuple(size * times for size, times in zip(x.shape, repeats, strict=True))
    foreign.emit("Reshape", [repeated], final=0, shape=shape)


# Axes of [n, c, h, w] in blocks of b, and where the axes that make up the depth stand: [b, b, c] or [c, b, b].
_TO_SPACE = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
_TO_DEPTH = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}


@from_onnx("DepthToSpace", "SpaceToDepth")
def _depth_and_space(foreign: Any) -> None:
    x, block = foreign.tensor(0), int(foreign.attrs["blocksize"])
    mode, to_space = foreign.attrs.get("mode", "DCR"), foreign.op_type == "DepthToSpace"
    if mode not in _TO_SPACE:
        foreign.unsupported(f"mode '{mode}'")
    if len(x.shape) != 4 or block < 1:
        raise ShapeError(f"blocks of {block} do not fit {list(x.shape)}")
    n, c, h, w = x.shape
    if (c % (block * block)) if to_space else (h % block or w % block):
        raise ShapeError(f"blocks of {block} do not divide {list(x.shape)}")
    if to_space:
        c //= block * block
        split = (n, block, block, c, h, w) if mode == "DCR" else (n, c, block, block, h, w)
        shape: Shape = (n, c, h * block, w * block)
    else:
        split = (n, c, h // block, block, w // block, block)
        shape = (n, c * block * block, h // block, w // block)
    perm = (_TO_SPACE if to_space else _TO_DEPTH)[mode]
    moved = foreign.emit("Transpose", [foreign.emit("Reshape", [x.name], shape=split)], perm=perm)
    foreign.emit("Reshape", [moved], final=0, shape=shape)


@from_onnx("CenterCropPad")
def _center_crop_pad(foreign: Any) -> None:
    """Source: ONNX CenterCropPad-18: of an odd difference, the larger part is at the end."""
    x = foreign.tensor(0)
    sizes = [int(d) for d in foreign.constant(1, "shape").reshape(-1)]
    axes = axes_of(foreign, -1, 1 << 30, len(x.shape))
    axes = tuple(range(len(x.shape))) if axes is None else axes
    if len(axes) != len(sizes) or min(sizes, default=1) < 0:
        raise ShapeError(f"shape {sizes} does not fit axes {list(axes)}")
    begins, ends = [0] * len(x.shape), [0] * len(x.shape)
    for axis, size in zip(axes, sizes, strict=True):
        more = size - x.shape[axis]
        begins[axis] = more // 2 if more >= 0 else -(-more // 2)
        ends[axis] = more - begins[axis]
    foreign.emit("Pad", [x.name], final=0, begins=tuple(begins), ends=tuple(ends))


@from_onnx("EyeLike")
def _eye_like(foreign: Any) -> None:
    """Nothing of the input counts but its shape."""
    x = foreign.tensor(0)
    dtype = foreign.attrs.get("dtype", x.dtype)  # the frontend has turned ONNX's number into a DType or a name
    if not isinstance(dtype, DType):
        foreign.unsupported(f"a result of {dtype}")
    shape = x.shape * 2 if len(x.shape) == 1 else x.shape
    if len(shape) != 2:
        raise ShapeError(f"{list(x.shape)} is no matrix")
    eye = np.eye(shape[0], shape[1], int(foreign.attrs.get("k", 0)))
    name = foreign.add_constant(f"{foreign.name}.eye", eye.astype(dtype.numpy))
    foreign.emit("Reshape", [name], final=0, shape=shape)


class ReverseSequence(Operator):
    """The first `lengths[b]` elements of sequence b backwards. Source: ONNX ReverseSequence-10.

    Lengths outside [0, size] count as the nearest of these.
    """

    name = "ReverseSequence"
    picks = True
    rounds_once = True
    arity = (2, 2)
    attributes = {"batch_axis": ..., "time_axis": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x of rank 2 or more, lengths [batch]."""
        x, lengths = required(inputs[0], node, "input"), required(inputs[1], node, "sequence_lens")
        if {node.attrs["batch_axis"], node.attrs["time_axis"]} != {0, 1} or len(x.shape) < 2:
            raise ShapeError(f"{describe(node)}: batch and time have to be the first two axes")
        if lengths.shape != (x.shape[node.attrs["batch_axis"]],) or lengths.dtype not in INDICES:
            raise ShapeError(f"{describe(node)}: sequence_lens {list(lengths.shape)} do not fit {list(x.shape)}")
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        swapped = node.attrs["batch_axis"] == 1
        x = np.asarray(inputs[0]).swapaxes(0, 1) if swapped else np.asarray(inputs[0])
        y = x.copy()
        for sequence, length in enumerate(np.clip(np.asarray(inputs[1]), 0, x.shape[1])):
            y[sequence, :length] = x[sequence, :length][::-1]
        return [y.swapaxes(0, 1) if swapped else y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, lengths = (graph.tensors[name] for name in node.inputs)
        strides = dense_strides(x.shape)
        batch, time, size = node.attrs["batch_axis"], node.attrs["time_axis"], x.dtype.size_bytes
        params = {
            "batch": x.shape[batch], "time": x.shape[time], "batch_bytes": strides[batch] * size,
            "time_bytes": strides[time] * size, "block_bytes": math.prod(x.shape[2:]) * size,
            "length_type": C_ELEMENTS[lengths.dtype],
        }  # fmt: skip
        return (
            KernelCall(
                "ew_reverse_sequence", "copy/ew_reverse_sequence.h", "ew_reverse_sequence_params", params,
                (x.name, lengths.name, node.output),
            ),
        )  # fmt: skip


@from_onnx("ReverseSequence")
def _reverse_sequence(foreign: Any) -> None:
    x, rank = foreign.tensor(0), len(foreign.tensor(0).shape)
    batch, time = (
        normalize_axis(int(foreign.attrs.get(f"{which}_axis", default)), rank, "ReverseSequence")
        for which, default in (("batch", 1), ("time", 0))
    )
    foreign.emit("ReverseSequence", [x.name, foreign.tensor(1).name], final=0, batch_axis=batch, time_axis=time)


class Trilu(Operator):
    """The upper or lower triangle of the last two axes, zeros elsewhere. Source: ONNX Trilu-14, with a constant k."""

    name = "Trilu"
    rounds_once = True
    in_place = frozenset({0})
    arity = (1, 1)
    attributes = {"k": 0, "upper": True}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [..., rows, columns]."""
        x = required(inputs[0], node, "input")
        if len(x.shape) < 2:
            raise ShapeError(f"{describe(node)}: {list(x.shape)} has no matrices")
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, k = np.asarray(inputs[0]), self.attr(node, "k")
        return [np.triu(x, k) if self.attr(node, "upper") else np.tril(x, k)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params = {
            "matrices": math.prod(x.shape[:-2]), "rows": x.shape[-2], "columns": x.shape[-1],
            "k": min(max(self.attr(node, "k"), -x.shape[-2]), x.shape[-1]), "upper": int(self.attr(node, "upper")),
            "element_bytes": x.dtype.size_bytes,
        }  # fmt: skip
        return (KernelCall("ew_trilu", "copy/ew_trilu.h", "ew_trilu_params", params, (x.name, node.output)),)


@from_onnx("Trilu")
def _trilu(foreign: Any) -> None:
    k = int(foreign.constant(1, "k").reshape(())) if foreign.has(1) else 0
    foreign.emit("Trilu", [foreign.tensor(0).name], final=0, k=k, upper=bool(foreign.attrs.get("upper", 1)))


_LENGTHS = Fixed(np.array([3, 0, 5, 1], np.int64))
cases(
    Case("Expand", "both", (given(3, 1, 2), ints(2, 1, 4, 1))),
    Case("Expand", "integers", (given(3, 1), ints(3, 4)), dtype="int64"),
    Case("Expand", "nothing", (given(3, 4), ints(1)), opset=8),
    Case("Tile", "plain", (given(2, 3, 1), ints(1, 2, 3)), opset=13),
    Case("Tile", "bytes", (given(3), ints(4)), opset=7, dtype="uint8"),
    Case("DepthToSpace", "default", (given(1, 8, 2, 3),), {"blocksize": 2}),
    Case("DepthToSpace", "crd", (given(2, 8, 2, 3),), {"blocksize": 2, "mode": "CRD"}),
    Case("DepthToSpace", "opset_7", (given(1, 9, 2, 3),), {"blocksize": 3}, opset=7),
    Case("SpaceToDepth", "plain", (given(2, 3, 4, 6),), {"blocksize": 2}),
    Case("CenterCropPad", "both", (given(5, 4), ints(2, 7)), opset=18),
    Case("CenterCropPad", "axes", (given(4, 2, 5), ints(7, 2)), {"axes": [0, -1]}, opset=18),
    Case("CenterCropPad", "integers", (given(4, 3), ints(7, 2)), opset=18, dtype="int64"),
    Case("EyeLike", "plain", (given(3, 4),), {"k": 1}),
    Case("EyeLike", "dtype", (given(3, 3),), {"dtype": 7}),
    Case("ReverseSequence", "time_first", (given(5, 4, 2), _LENGTHS), opset=10),
    Case("ReverseSequence", "batch_first", (given(4, 5), _LENGTHS), {"batch_axis": 0, "time_axis": 1}),
    Case("Trilu", "upper", (given(2, 3, 4),)),
    Case("Trilu", "lower", (given(4, 3), np.array(-1)), {"upper": 0}),
    Case("Trilu", "beyond", (given(3, 4), np.array(100)), dtype="int64"),
    Case("Trilu", "all", (given(3, 4), np.array(-100)), {"upper": 1}),
)
