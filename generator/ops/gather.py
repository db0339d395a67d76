"""Operators that pick elements by index: Gather, GatherND, GatherElements, Compress, OneHot. Any data type.

ONNX leaves indices outside a dimension open. Here constant ones are an error; at run time Gather, GatherND and
GatherElements pick the nearest element, and OneHot, whose standard speaks of them, has no element that is on.
"""

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
    ParamValue,
    cases,
    dense_strides,
    describe,
    from_onnx,
    given,
    ints,
    normalize_axis,
    padded_to_max_rank,
    refuse,
    required,
    weights,
)
from edgewright.ops.elements import C_ELEMENTS, required_indices


def nearest(indices: Array, size: int) -> Array:
    """Positions in a dimension, as the kernels make them of indices."""
    return np.clip(np.where(indices < 0, indices + size, indices), 0, size - 1)


def check_constant_indices(node: Node, indices: Tensor, sizes: Shape) -> None:
    """Refuse constant indices outside [-size, size). Shapes: indices [..., len(sizes)], or any for one size."""
    if indices.data is None:
        return
    values = indices.data.reshape(-1, len(sizes))
    for axis, size in enumerate(sizes):
        wrong = values[:, axis][(values[:, axis] < -size) | (values[:, axis] >= size)]
        if wrong.size:
            raise ShapeError(f"{describe(node)}: index {wrong[0]} is outside a dimension of {size}")


class _Gather(Operator):
    picks = True
    rounds_once = True
    arity = (2, 2)
    dtypes = frozenset(DType)

    @staticmethod
    def call(node: Node, graph: Graph, params: dict[str, ParamValue], function: str) -> tuple[KernelCall, ...]:
        """One call; `index_type` is added."""
        params["index_type"] = C_ELEMENTS[graph.tensors[node.inputs[1]].dtype]
        arguments = (*node.inputs, node.output)
        return (KernelCall(function, f"gather/{function}.h", f"{function}_params", params, arguments),)


class Gather(_Gather):
    """y[..., i, ...] = x[..., indices[i], ...] on one axis, for indices of any rank. Source: ONNX Gather-13."""

    name = "Gather"
    attributes = {"axis": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: the axis of x gives way to the indices' axes."""
        x, indices = required(inputs[0], node, "data"), required_indices(inputs[1], node)
        axis = normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        check_constant_indices(node, indices, (x.shape[axis],))
        return [TensorType((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, axis = np.asarray(inputs[0]), node.attrs["axis"]
        return [np.take(x, nearest(np.asarray(inputs[1]), x.shape[axis]), axis=axis)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call: all positions before the axis read the same indices."""
        x, indices, axis = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]], node.attrs["axis"]
        block = math.prod(x.shape[axis + 1 :]) * x.dtype.size_bytes
        params: dict[str, ParamValue] = {
            "batches": math.prod(x.shape[:axis]), "batch_bytes": x.shape[axis] * block, "tuples": indices.elements,
            "shared": 1, "depth": 1, "sizes": padded_to_max_rank((x.shape[axis],), describe(node)),
            "strides": padded_to_max_rank((block,), describe(node)), "block_bytes": block,
        }  # fmt: skip
        return self.call(node, graph, params, "ew_gather_nd")


@from_onnx("Gather")
def _gather(foreign: Any) -> None:
    x, indices = foreign.tensor(0), foreign.tensor(1)
    axis = normalize_axis(int(foreign.attrs.get("axis", 0)), len(x.shape), "Gather")
    _gather_or_slice(foreign, x, axis, indices)


def _gather_or_slice(foreign: Any, x: Tensor, axis: int, indices: Tensor) -> None:
    """Constant indices at equal distances are a Slice, which may need no copy; others become int32."""
    values, size = indices.data, x.shape[axis]
    if values is None or not values.size or values.min() < -size or values.max() >= size:
        foreign.emit("Gather", [x.name, indices.name], final=0, axis=axis)
        return
    places = np.where(values < 0, values + size, values).astype(np.int32)
    flat = places.reshape(-1)
    distances = set(np.diff(flat).tolist()) or {1}
    if len(distances) > 1 or 0 in distances:
        name = foreign.add_constant(f"{indices.name}.int32", places)
        foreign.emit("Gather", [x.name, name], final=0, axis=axis)
        return
    starts, steps, sizes = [0] * len(x.shape), [1] * len(x.shape), list(x.shape)
    starts[axis], steps[axis], sizes[axis] = int(flat[0]), int(distances.pop()), len(flat)
    part = foreign.emit("Slice", [x.name], starts=tuple(starts), steps=tuple(steps), sizes=tuple(sizes))
    foreign.emit("Reshape", [part], final=0, shape=(*x.shape[:axis], *values.shape, *x.shape[axis + 1 :]))


@from_onnx("Compress")
def _compress(foreign: Any) -> None:
    """The result's size is that of a constant condition."""
    x, condition = foreign.tensor(0), foreign.constant(1, "condition").reshape(-1)
    axis, name = foreign.attrs.get("axis"), foreign.tensor(0).name
    if axis is None:
        name, axis = foreign.emit("Reshape", [name], shape=(x.elements,)), 0
    shape = foreign.type_of(name).shape
    axis = normalize_axis(int(axis), len(shape), "Compress")
    if len(condition) > shape[axis]:
        raise ShapeError(f"a condition of {len(condition)} elements for an axis of {shape[axis]}")
    indices = foreign.add_constant(f"{foreign.name}.indices", np.flatnonzero(condition).astype(np.int32))
    foreign.emit("Gather", [name, indices], final=0, axis=axis)


class GatherND(_Gather):
    """y[b, i] = x[b, indices[b, i, 0], indices[b, i, 1], ...]. Source: ONNX GatherND-13."""

    name = "GatherND"
    attributes = {"batch_dims": 0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: indices [batch..., any..., depth] -> [batch..., any..., the axes of x behind those indexed]."""
        x, indices = required(inputs[0], node, "data"), required_indices(inputs[1], node)
        batch = self.attr(node, "batch_dims")
        depth = indices.shape[-1] if indices.shape else 0
        fits = 0 <= batch < len(indices.shape) and x.shape[:batch] == indices.shape[:batch]
        if not fits or not 1 <= depth <= len(x.shape) - batch:
            raise ShapeError(f"{describe(node)}: indices {list(indices.shape)} do not fit {list(x.shape)}")
        check_constant_indices(node, indices, x.shape[batch : batch + depth])
        return [TensorType((*indices.shape[:-1], *x.shape[batch + depth :]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: batch axes become one, and its positions another index."""
        x, indices, batch = np.asarray(inputs[0]), np.asarray(inputs[1]), self.attr(node, "batch_dims")
        depth, batches = indices.shape[-1], math.prod(x.shape[:batch])
        sizes, rest = x.shape[batch : batch + depth], x.shape[batch + depth :]
        tuples = indices.reshape(batches, -1, depth)
        places = [nearest(tuples[..., axis], size) for axis, size in enumerate(sizes)]
        picked = x.reshape(batches, *sizes, *rest)[(np.arange(batches)[:, None], *places)]
        return [picked.reshape(*indices.shape[:-1], *rest)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, indices = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
        batch, depth, where = self.attr(node, "batch_dims"), indices.shape[-1], describe(node)
        size = x.dtype.size_bytes
        strides = [step * size for step in dense_strides(x.shape)[batch : batch + depth]]
        params: dict[str, ParamValue] = {
            "batches": math.prod(x.shape[:batch]), "batch_bytes": math.prod(x.shape[batch:]) * size,
            "tuples": math.prod(indices.shape[batch:-1]), "shared": 0, "depth": depth,
            "sizes": padded_to_max_rank(x.shape[batch : batch + depth], where),
            "strides": padded_to_max_rank(strides, where), "block_bytes": strides[-1],
        }  # fmt: skip
        return self.call(node, graph, params, "ew_gather_nd")


@from_onnx("GatherND")
def _gather_nd(foreign: Any) -> None:
    batch = int(foreign.attrs.get("batch_dims", 0))
    foreign.emit("GatherND", [foreign.tensor(0).name, foreign.tensor(1).name], final=0, batch_dims=batch)


def check_element_indices(node: Node, x: Tensor, indices: Tensor) -> int:
    """Return the axis of GatherElements or ScatterElements. Raises: ShapeError where the shapes do not fit."""
    axis = normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
    fits = len(indices.shape) == len(x.shape) and all(
        i == axis or mine <= theirs for i, (mine, theirs) in enumerate(zip(indices.shape, x.shape, strict=True))
    )
    if not fits:
        raise ShapeError(f"{describe(node)}: indices {list(indices.shape)} do not fit {list(x.shape)}")
    check_constant_indices(node, indices, (x.shape[axis],))
    return axis


def element_params(node: Node, graph: Graph, prefix: str) -> dict[str, ParamValue]:
    """The parameters that ew_gather_elements and ew_scatter_elements share."""
    x, indices, axis = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]], node.attrs["axis"]
    strides, where = dense_strides(x.shape), describe(node)
    others = tuple(0 if i == axis else step for i, step in enumerate(strides))
    return {
        "rank": len(x.shape), "dims": padded_to_max_rank(indices.shape, where),
        f"{prefix}_strides": padded_to_max_rank(others, where), "size": x.shape[axis], "stride": strides[axis],
        "element_bytes": x.dtype.size_bytes,
    }  # fmt: skip


class GatherElements(_Gather):
    """y[i, j, k] = x[i, indices[i, j, k], k] for axis 1, and likewise for others. Source: ONNX GatherElements-13."""

    name = "GatherElements"
    attributes = {"axis": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: the indices', no larger than x but on the axis."""
        x, indices = required(inputs[0], node, "data"), required_indices(inputs[1], node)
        check_element_indices(node, x, indices)
        return [TensorType(indices.shape, x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, indices, axis = np.asarray(inputs[0]), np.asarray(inputs[1]), node.attrs["axis"]
        grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
        grid[axis] = nearest(indices, x.shape[axis])
        return [x[tuple(grid)]]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return self.call(node, graph, element_params(node, graph, "x"), "ew_gather_elements")


@from_onnx("GatherElements")
def _gather_elements(foreign: Any) -> None:
    x, indices = foreign.tensor(0), foreign.tensor(1)
    axis = normalize_axis(int(foreign.attrs.get("axis", 0)), len(x.shape), "GatherElements")
    foreign.emit("GatherElements", [x.name, indices.name], final=0, axis=axis)


class OneHot(Operator):
    """values[1] at each index along a new axis of size `depth`, values[0] elsewhere. Source: ONNX OneHot-11."""

    name = "OneHot"
    rounds_once = True
    arity = (2, 2)
    attributes = {"axis": ..., "depth": ...}
    dtypes = frozenset(C_ELEMENTS)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: indices of any, values [2]."""
        indices, values = required(inputs[0], node, "indices"), required(inputs[1], node, "values")
        axis, depth = node.attrs["axis"], node.attrs["depth"]
        if values.shape != (2,) or depth < 1 or not 0 <= axis <= len(indices.shape):
            raise ShapeError(f"{describe(node)}: depth {depth} on axis {axis}, values {list(values.shape)}")
        return [TensorType((*indices.shape[:axis], depth, *indices.shape[axis:]), values.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        axis, depth = node.attrs["axis"], node.attrs["depth"]
        with np.errstate(invalid="ignore"):
            indices = np.expand_dims(np.trunc(np.asarray(inputs[0]).astype(np.float64)), axis)
        shape = [1] * indices.ndim
        shape[axis] = depth
        on = np.where(indices < 0, indices + depth, indices) == np.arange(depth).reshape(shape)
        off_value, on_value = np.asarray(inputs[1])
        return [np.where(on, on_value, off_value)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        indices, values = (graph.tensors[name] for name in node.inputs)
        axis = node.attrs["axis"]
        params: dict[str, ParamValue] = {
            "outer": math.prod(indices.shape[:axis]), "depth": node.attrs["depth"],
            "inner": math.prod(indices.shape[axis:]), "element_bytes": values.dtype.size_bytes,
            "index_type": C_ELEMENTS[indices.dtype],
        }  # fmt: skip
        return (
            KernelCall(
                "ew_one_hot", "gather/ew_one_hot.h", "ew_one_hot_params", params, (*node.inputs, node.output)
            ),
        )  # fmt: skip


@from_onnx("OneHot")
def _one_hot(foreign: Any) -> None:
    indices = foreign.tensor(0)
    depth = int(foreign.constant(1, "depth").reshape(-1)[0])
    axis = normalize_axis(int(foreign.attrs.get("axis", -1)), len(indices.shape) + 1, "OneHot")
    foreign.emit("OneHot", [indices.name, foreign.tensor(2).name], final=0, axis=axis, depth=depth)


def _at(*values: Any, dtype: str = "int64") -> Fixed:
    return Fixed(np.array(values, dtype))


refuse("the shape of its result depends on the numbers it reads", "Unique")

_RAGGED = np.array([True, False, True, True])
cases(
    Case("Gather", "run_time", (given(5, 4), _at([0, -1], [3, 2]))),
    Case("Gather", "axis", (given(2, 5, 3), _at(4, -5, 1, dtype="int32")), {"axis": 1}),
    Case("Gather", "scalar", (given(4, 3), Fixed(np.array(2))), {"axis": -1}),
    Case("Gather", "table", (weights(6, 4), _at(5, 0, 5))),
    Case("Gather", "constant", (given(2, 5), ints(3, 0, -1)), {"axis": 1}),
    Case("Gather", "slice", (given(2, 7), ints(5, 3, 1)), {"axis": 1}),
    Case("Gather", "constant_scalar", (given(2, 7), np.array(-2)), {"axis": 1}, opset=7),
    Case("Gather", "bytes", (given(5, 3), _at(4, 1)), dtype="uint8"),
    Case("Compress", "axis", (given(2, 5), _RAGGED), {"axis": 1}, opset=11),
    Case("Compress", "flat", (given(2, 5), _RAGGED), opset=11),
    Case("GatherND", "elements", (given(3, 4), _at([0, 1], [-1, -4]))),
    Case("GatherND", "rows", (given(3, 4, 2), _at([[2]], [[0]]))),
    Case("GatherND", "batch", (given(2, 3, 4), _at([1], [2])), {"batch_dims": 1}),
    Case("GatherND", "constant", (given(3, 4), np.array([[0, 1], [2, 3]])), opset=11),
    Case("GatherElements", "last", (given(2, 4), _at([0, -1, 2], [3, 3, 0])), {"axis": 1}),
    Case("GatherElements", "first", (given(4, 3), _at([3, 0], [1, 2], dtype="int32"))),
    Case("GatherElements", "integers", (given(2, 2, 2), _at([[1, 0]])), {"axis": -1}, dtype="int64"),
    Case("OneHot", "last", (_at([0, 2], [-1, 7]), np.array(3), np.array([0.5, 2], np.float32))),
    Case("OneHot", "axis", (_at(1, 0, dtype="int32"), np.array(4), ints(0, 1)), {"axis": 0}),
    Case("OneHot", "floats", (_at(1.0, 0.0, dtype="float32"), np.array(2.0, np.float32), given(2))),
)
