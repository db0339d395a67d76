"""Operators that only move elements: Transpose, Slice (and Split), Concat, Pad. Any data type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
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
from edgewright.ops.q_core import C_QTYPES
from edgewright.ops.reshape import axes_of, copy_call


def strided_copy(
    graph: Graph, dims: Shape, x: str, y: str, x_strides: Shape, y_strides: Shape, x_offset: int, y_offset: int
) -> KernelCall:
    """A strided copy of elements, with the dense innermost axis as one block. Units: elements."""
    size = graph.tensors[x].dtype.size_bytes
    axes, (xs, ys) = merge_axes(dims, x_strides, y_strides)
    block = 1
    if axes and xs[-1] == ys[-1] == 1:
        block, axes, xs, ys = axes[-1], axes[:-1], xs[:-1], ys[:-1]
    return copy_call(
        axes, [s * size for s in xs], [s * size for s in ys], x_offset * size, y_offset * size, block * size, x, y
    )


class Transpose(Operator):
    """Axis i of the output is axis perm[i] of the input; of the output only the band, where there is one.

    Source: ONNX Transpose-13; the band is the planner's.
    """

    name = "Transpose"
    moves = True
    rows = "anywhere"
    arity = (1, 1)
    attributes = {"perm": ..., "band": None}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x, perm = required(inputs[0], node, "data"), tuple(node.attrs["perm"])
        if sorted(perm) != list(range(len(x.shape))):
            raise ShapeError(f"{describe(node)}: perm {list(perm)} does not fit rank {len(x.shape)}")
        shape = [x.shape[axis] for axis in perm]
        if self.attr(node, "band"):
            axis, first, stop = self.attr(node, "band")
            shape[axis] = stop - first
        return [TensorType(tuple(shape), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        axis, first, stop = self.attr(node, "band") or (0, 0, None)
        return [np.asarray(inputs[0]).transpose(node.attrs["perm"])[(slice(None),) * axis + (slice(first, stop),)]]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One strided copy."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        steps = dense_strides(x.shape)
        x_strides = tuple(steps[axis] for axis in node.attrs["perm"])
        axis, first, _ = self.attr(node, "band") or (0, 0, 0)
        offset = first * x_strides[axis]
        return (strided_copy(graph, y.shape, x.name, y.name, x_strides, dense_strides(y.shape), offset, 0),)


@from_onnx("Transpose")
def _transpose(foreign: Any) -> None:
    x = foreign.tensor(0)
    perm = foreign.attrs.get("perm", tuple(reversed(range(len(x.shape)))))
    foreign.emit("Transpose", [x.name], final=0, perm=tuple(perm))


class Copy(Operator):
    """The same tensor in another place: made by the planner alone, to carry rows along."""

    name = "Copy"
    moves = True
    rows = "each"
    arity = (1, 1)
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        return [required(inputs[0], node, "data").type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.array(inputs[0])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One block, which may overlap its source."""
        params = {"bytes": graph.tensors[node.output].size_bytes}
        return (KernelCall("ew_move", "copy/ew_move.h", "ew_move_params", params, (node.inputs[0], node.output)),)


class Slice(Operator):
    """Every step-th element from start, `sizes` of them, on each axis. Source: ONNX Slice-13, resolved at import."""

    name = "Slice"
    moves = True
    arity = (1, 1)
    attributes = {"starts": ..., "steps": ..., "sizes": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x = required(inputs[0], node, "data")
        a = node.attrs
        if not len(a["starts"]) == len(a["steps"]) == len(a["sizes"]) == len(x.shape):
            raise ShapeError(f"{describe(node)}: its attributes do not have one number for each of {len(x.shape)} axes")
        for start, step, size, extent in zip(a["starts"], a["steps"], a["sizes"], x.shape, strict=True):
            last = start + step * (size - 1)
            if size < 0 or step == 0 or (size and not (0 <= start < extent and 0 <= last < extent)):
                raise ShapeError(f"{describe(node)}: {size} elements from {start} by {step} leave a size of {extent}")
        return [TensorType(tuple(a["sizes"]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        a = node.attrs
        index = np.ix_(
            *(start + step * np.arange(n) for start, step, n in zip(a["starts"], a["steps"], a["sizes"], strict=True))
        )
        return [np.asarray(inputs[0])[index]]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One strided copy."""
        x, y, a = graph.tensors[node.inputs[0]], graph.tensors[node.output], node.attrs
        steps = dense_strides(x.shape)
        x_strides = tuple(s * step for s, step in zip(steps, a["steps"], strict=True))
        offset = sum(s * start for s, start in zip(steps, a["starts"], strict=True))
        return (strided_copy(graph, y.shape, x.name, y.name, x_strides, dense_strides(y.shape), offset, 0),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The attributes are permuted along."""
        return node.with_attrs(**{key: tuple(node.attrs[key][i] for i in perm) for key in self.attributes})


@from_onnx("Slice")
def _slice(foreign: Any) -> None:
    x = foreign.tensor(0)
    rank = len(x.shape)
    if foreign.opset < 10:
        starts, ends = list(foreign.attrs["starts"]), list(foreign.attrs["ends"])
        axes, steps = foreign.attrs.get("axes"), None
    else:
        starts = foreign.constant(1, "starts").reshape(-1).tolist()
        ends = foreign.constant(2, "ends").reshape(-1).tolist()
        axes = foreign.constant(3, "axes").reshape(-1).tolist() if foreign.has(3) else None
        steps = foreign.constant(4, "steps").reshape(-1).tolist() if foreign.has(4) else None
    axes = list(range(len(starts))) if axes is None else [normalize_axis(int(a), rank, "Slice") for a in axes]
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps or len(set(axes)) != len(axes):
        raise ShapeError(f"starts {starts}, ends {ends}, axes {axes}, steps {steps} do not fit each other")
    ranges = [range(size) for size in x.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        ranges[axis] = range(*slice(int(start), int(end), int(step)).indices(x.shape[axis]))
        if step < 0 and end < -x.shape[axis]:  # Python would count such an end from the back
            ranges[axis] = range(min(_wrap(start, x.shape[axis]), x.shape[axis] - 1), -1, int(step))
    foreign.emit(
        "Slice", [x.name], final=0, starts=tuple(r.start for r in ranges), steps=tuple(r.step for r in ranges),
        sizes=tuple(len(r) for r in ranges),
    )  # fmt: skip


def _wrap(index: int, size: int) -> int:
    return int(index) + size if index < 0 else int(index)


@from_onnx("Split")
def _split(foreign: Any) -> None:
    x = foreign.tensor(0)
    axis = normalize_axis(foreign.attrs.get("axis", 0), len(x.shape), "Split")
    size, count = x.shape[axis], foreign.n_outputs
    parts: list[int] | None = None
    if foreign.opset < 13 and "split" in foreign.attrs:
        parts = list(foreign.attrs["split"])
    elif foreign.opset >= 13 and foreign.has(1):
        parts = foreign.constant(1, "split").reshape(-1).tolist()
    if parts is None:
        count = foreign.attrs.get("num_outputs", count)
        chunk = -(-size // count)
        parts = [max(min(chunk, size - chunk * i), 0) for i in range(count)]
    if sum(parts) != size or min(parts) < 0 or len(parts) < foreign.n_outputs:
        raise ShapeError(f"parts of {parts} do not split a size of {size} into {foreign.n_outputs} outputs")
    start = 0
    for index, part in enumerate(parts):
        starts, sizes = [0] * len(x.shape), list(x.shape)
        starts[axis], sizes[axis] = start, part
        start += part
        if index < foreign.n_outputs and foreign.output_is_used(index):
            steps = (1,) * len(x.shape)
            foreign.emit("Slice", [x.name], final=index, starts=tuple(starts), steps=steps, sizes=tuple(sizes))


class Concat(Operator):
    """Tensors one after the other along an axis. Source: ONNX Concat-13."""

    name = "Concat"
    moves = True
    rows = "each"
    arity = (1, 1 << 20)
    attributes = {"axis": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: alike but for the axis."""
        parts = [required(x, node, "input") for x in inputs]
        axis = normalize_axis(node.attrs["axis"], len(parts[0].shape), describe(node))
        rests = {(*x.shape[:axis], None, *x.shape[axis + 1 :]) for x in parts}
        if len(rests) > 1 or len({x.dtype for x in parts}) > 1:
            raise ShapeError(f"{describe(node)}: inputs {[list(x.shape) for x in parts]} do not fit on axis {axis}")
        total = sum(x.shape[axis] for x in parts)
        return [TensorType((*parts[0].shape[:axis], total, *parts[0].shape[axis + 1 :]), parts[0].dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.concatenate([np.asarray(x) for x in inputs], axis=node.attrs["axis"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """A strided copy for each input."""
        y, axis = graph.tensors[node.output], node.attrs["axis"]
        steps = dense_strides(y.shape)
        calls, position = [], 0
        for name in node.inputs:
            x = graph.tensors[name]
            offset = position * steps[axis]
            calls.append(strided_copy(graph, x.shape, name, y.name, dense_strides(x.shape), steps, 0, offset))
            position += x.shape[axis]
        return tuple(calls)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))


@from_onnx("Concat")
def _concat(foreign: Any) -> None:
    parts = [foreign.tensor(i) for i in range(foreign.n_inputs)]
    axis = normalize_axis(foreign.attrs["axis"], len(parts[0].shape), "Concat")
    rests = {(*x.shape[:axis], *x.shape[axis + 1 :]) for x in parts}
    if len(rests) == 1 and any(x.elements for x in parts):
        parts = [x for x in parts if x.elements]
    foreign.emit("Concat", [x.name for x in parts], final=0, axis=axis)


_PAD_MODES = {"constant": 0, "edge": 1, "reflect": 2, "wrap": 3}  # enum ew_pad_mode


class Pad(Operator):
    """Elements added (or cut, where negative) before and after each axis. Source: ONNX Pad-21."""

    name = "Pad"
    moves = True
    arity = (1, 1)
    dtypes = frozenset(DType)
    attributes = {"begins": ..., "ends": ..., "mode": "constant", "value": 0.0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x, a = required(inputs[0], node, "data"), node.attrs
        if not len(a["begins"]) == len(a["ends"]) == len(x.shape):
            raise ShapeError(f"{describe(node)}: its pads do not have two numbers for each of {len(x.shape)} axes")
        for begin, end, size in zip(a["begins"], a["ends"], x.shape, strict=True):
            farthest = {"reflect": size - 1, "wrap": size}.get(self.attr(node, "mode"))
            if size + begin + end < 1 or (farthest is not None and max(begin, end) > farthest):
                raise ShapeError(f"{describe(node)}: pads {begin} and {end} do not fit a size of {size}")
        sizes = (b + d + e for b, d, e in zip(a["begins"], x.shape, a["ends"], strict=True))
        return [TensorType(tuple(sizes), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: crop, then pad."""
        x, a = np.asarray(inputs[0]), node.attrs
        crop = tuple(
            slice(max(-b, 0), d - max(-e, 0)) for b, d, e in zip(a["begins"], x.shape, a["ends"], strict=True)
        )
        widths = [(max(b, 0), max(e, 0)) for b, e in zip(a["begins"], a["ends"], strict=True)]
        mode = self.attr(node, "mode")
        if mode == "constant":
            return [np.pad(x[crop], widths, constant_values=self.attr(node, "value"))]
        return [np.pad(x[crop], widths, mode=mode)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        where = describe(node)
        params: dict[str, ParamValue] = {
            "rank": len(x.shape), "in_dims": padded_to_max_rank(x.shape, where),
            "out_dims": padded_to_max_rank(y.shape, where),
            "pads_before": padded_to_max_rank(node.attrs["begins"], where),
            "mode": _PAD_MODES[self.attr(node, "mode")],
        }  # fmt: skip
        value = self.attr(node, "value")
        arguments: tuple[str | Array, ...] = (x.name, y.name)
        if x.dtype is DType.F32:
            kind = "f32"
            params["value"] = float(value)
        elif x.dtype in C_QTYPES:
            kind = "q"
            params.update(value=int(value), type=C_QTYPES[x.dtype])
        else:
            kind = "any"
            params["element_bytes"] = x.dtype.size_bytes
            arguments = (x.name, np.array([value], x.dtype.numpy), y.name)
        return (KernelCall(f"ew_pad_{kind}", f"pad/ew_pad_{kind}.h", f"ew_pad_{kind}_params", params, arguments),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The pads are permuted along."""
        return node.with_attrs(**{key: tuple(node.attrs[key][i] for i in perm) for key in ("begins", "ends")})


@from_onnx("Pad")
def _pad(foreign: Any) -> None:
    x = foreign.tensor(0)
    rank = len(x.shape)
    mode = foreign.attrs.get("mode", "constant")
    if mode not in _PAD_MODES:
        foreign.unsupported(f"mode '{mode}'")
    axes, value = tuple(range(rank)), 0.0
    if foreign.opset < 11:
        pads = list(foreign.attrs["pads"])
        value = float(foreign.attrs.get("value", 0.0))
    else:
        pads = foreign.constant(1, "pads").reshape(-1).tolist()
        if foreign.has(2):
            value = foreign.constant(2, "constant_value").reshape(()).item()
        axes = axes_of(foreign, 3, 18, rank) or axes
    if len(pads) != 2 * len(axes):
        raise ShapeError(f"pads {pads} does not have two numbers for each of {len(axes)} axes")
    if mode != "constant" and min(pads, default=0) < 0:
        foreign.unsupported(f"negative pads {pads} in mode '{mode}'")
    begins, ends = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        begins[axis], ends[axis] = int(pads[i]), int(pads[i + len(axes)])
    number = float(value) if x.dtype in (DType.F32, DType.F16, DType.F64) else int(value)
    foreign.emit("Pad", [x.name], final=0, begins=tuple(begins), ends=tuple(ends), mode=mode, value=number)


cases(
    Case("Transpose", "default", (given(2, 3, 4),)),
    Case("Transpose", "perm", (given(2, 3, 4, 5),), {"perm": [0, 2, 3, 1]}),
    Case("Transpose", "integers", (given(3, 4),), dtype="int32"),
    Case("Slice", "plain", (given(4, 6, 5), ints(1, 2), ints(3, 6), ints(0, 1))),
    Case("Slice", "steps", (given(4, 9), ints(0, 8), ints(4, -10), ints(0, 1), ints(2, -2))),
    Case("Slice", "backwards", (given(7,), ints(-1), ints(-100), ints(0), ints(-1))),
    Case("Slice", "negative", (given(4, 9), ints(-3), ints(-1), ints(1))),
    Case("Slice", "far_end", (given(4, 9), ints(2), ints(2**31 - 1), ints(1))),
    Case("Slice", "opset_9", (given(4, 9),), {"starts": [1], "ends": [3], "axes": [0]}, opset=9),
    Case("Split", "equal", (given(2, 6),), {"axis": 1}, outputs=2),
    Case("Split", "parts", (given(2, 6), ints(1, 3, 2)), {"axis": 1}, outputs=3),
    Case("Split", "uneven", (given(7, 2),), {"axis": 0, "num_outputs": 3}, opset=18, outputs=3),
    Case("Split", "opset_11", (given(2, 6),), {"axis": 1, "split": [2, 4]}, opset=11, outputs=2),
    Case("Concat", "last", (given(2, 3), given(2, 4), given(2, 1)), {"axis": 1}),
    Case("Concat", "first", (given(2, 3), given(1, 3)), {"axis": 0}),
    Case("Concat", "negative", (given(2, 3, 4), given(2, 5, 4)), {"axis": -2}),
    Case("Pad", "constant", (given(2, 3, 4), ints(0, 1, 2, 1, 0, 3), np.float32(1.5))),
    Case("Pad", "crop", (given(4, 6), ints(-1, 2, 1, -3))),
    Case("Pad", "edge", (given(3, 4), ints(1, 2, 2, 1)), {"mode": "edge"}),
    Case("Pad", "reflect", (given(3, 4), ints(1, 2, 2, 3)), {"mode": "reflect"}),
    Case("Pad", "wrap", (given(3, 4), ints(1, 2, 2, 3)), {"mode": "wrap"}, opset=19),
    Case("Pad", "axes", (given(2, 3, 4), ints(1, 2), np.float32(0), ints(2)), opset=18),
    Case("Pad", "int8", (given(3, 4), ints(1, 2, 0, 3), np.int8(-7)), dtype="int8"),
    Case("Pad", "uint8_edge", (given(3, 4), ints(1, 2, 0, 3)), {"mode": "edge"}, dtype="uint8"),
    Case("Pad", "int64", (given(3, 4), ints(1, 2, 0, 3), np.array(2**40)), dtype="int64"),
    Case("Pad", "bool", (given(3, 4), ints(1, 2, 0, 3), np.array(True)), opset=13, dtype="bool"),
    Case("Pad", "int32_reflect", (given(3, 4), ints(1, 2, 2, 3)), {"mode": "reflect"}, dtype="int32"),
    Case("Pad", "opset_10", (given(1, 1, 3, 4),), {"pads": [0, 0, 1, 1, 0, 0, 2, 2], "value": 0.5}, opset=10),
)  # fmt: skip
