"""Resizing: ResizeNearest, which only moves elements (any data type), and ResizeLinear. ONNX Resize becomes these,
or ResizeWeighted.

Where each output element comes from is computed at import, in float32 as ONNX Runtime does it, and stands in the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    ForeignNode,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    ints,
    refuse,
    required,
)
from edgewright.ops.reshape import axes_of
from edgewright.ops.resize_weighted import MAX_SIZE, filter_table

_AXES_AT_ONCE = 2  # that one kernel call resizes
_WHOLE = (np.float32(0), np.float32(1))  # the roi that crops nothing
_HALF = 1e-6  # what ONNX Runtime 1.31 still takes for a half (found by trying)

Positions = tuple[tuple[int, ...] | None, ...]  # for each axis, None where it stays


def check_positions(node: Node, x: Tensor, positions: Positions, reach: int) -> Shape:
    """Return the output's shape, or refuse positions that do not fit; each reads `reach` elements from there."""
    resized = [axis for axis, places in enumerate(positions) if places is not None]
    if len(positions) != len(x.shape) or not 1 <= len(resized) <= _AXES_AT_ONCE:
        raise ShapeError(f"{describe(node)}: positions for {resized} of {len(x.shape)} axes")
    for axis in resized:
        size, places = x.shape[axis], positions[axis] or ()
        if not places or min(places) < 0 or max(places) > max(size - reach, 0) or max(size, len(places)) > MAX_SIZE:
            raise ShapeError(f"{describe(node)}: axis {axis} does not go from {size} to {len(places)} elements")
    return tuple(size if places is None else len(places) for size, places in zip(x.shape, positions, strict=True))


def resize_sizes(shape: Shape, positions: Positions, unit: int = 1) -> tuple[dict[str, int], tuple[int, ...]]:
    """Return the sizes of ew_resize_params (`unit`: of the innermost block), and the axes that are resized."""
    axes = tuple(axis for axis, places in enumerate(positions) if places is not None)
    a, last = axes[0], axes[-1]
    sizes = {
        "outer": math.prod(shape[:a]), "a_in": shape[a], "a_out": len(positions[a] or ()),
        "mid": math.prod(shape[a + 1 : last]), "b_in": 1, "b_out": 1, "inner": math.prod(shape[last + 1 :]) * unit,
    }  # fmt: skip
    if last != a:
        sizes.update(b_in=shape[last], b_out=len(positions[last] or ()))
    return sizes, axes


def permuted_axes(node: Node, perm: Shape, *names: str) -> Node:
    """The node with attributes that have an entry an axis permuted along."""
    return node.with_attrs(**{name: tuple(node.attrs[name][i] for i in perm) for name in names})


class ResizeNearest(Operator):
    """On each axis with positions, output element i is input element positions[i]. Source: ONNX Resize-19, nearest."""

    name = "ResizeNearest"
    moves = True
    arity = (1, 1)
    attributes = {"positions": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; one or two axes change."""
        x = required(inputs[0], node, "X")
        return [TensorType(check_positions(node, x, node.attrs["positions"], 1), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        y = np.asarray(inputs[0])
        for axis, places in enumerate(node.attrs["positions"]):
            y = y if places is None else y.take(places, axis=axis)
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with a table for each axis."""
        x, positions = graph.tensors[node.inputs[0]], node.attrs["positions"]
        sizes, axes = resize_sizes(x.shape, positions, x.dtype.size_bytes)
        tables = [np.array(positions[axis], np.uint16) for axis in axes]
        params: dict[str, ParamValue] = {**sizes}
        return (
            KernelCall(
                "ew_resize_nearest", "resize/ew_resize_nearest.h", "ew_resize_params", params,
                (x.name, tables[0], tables[1] if len(tables) > 1 else None, node.output),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The positions are permuted along."""
        return permuted_axes(node, perm, "positions")


class ResizeLinear(Operator):
    """Output element i lies between inputs positions[i] and positions[i] + 1, parts[i] of the way.

    Source: ONNX Resize-19, linear.
    """

    name = "ResizeLinear"
    arity = (1, 1)
    attributes = {"positions": ..., "parts": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; one or two axes change."""
        x = required(inputs[0], node, "X")
        return [TensorType(check_positions(node, x, node.attrs["positions"], 2), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, axis by axis, the last one first."""
        y = np.asarray(inputs[0])
        for axis in reversed(range(y.ndim)):
            if node.attrs["positions"][axis] is not None:
                first, second, part = neighbours(y, axis, node)
                y = first + part.astype(y.dtype) * (second - first)
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with tables for each axis."""
        x, positions = graph.tensors[node.inputs[0]], node.attrs["positions"]
        sizes, axes = resize_sizes(x.shape, positions)
        tables: list[Array | None] = [None] * 4
        for i, axis in enumerate(axes):
            tables[2 * i] = np.array(positions[axis], np.uint16)
            tables[2 * i + 1] = np.array(node.attrs["parts"][axis], np.float32)
        params: dict[str, ParamValue] = {**sizes}
        return (
            KernelCall(
                "ew_resize_linear_f32", "resize/ew_resize_linear_f32.h", "ew_resize_params", params,
                (x.name, *tables, node.output),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Positions and parts are permuted along."""
        return permuted_axes(node, perm, "positions", "parts")


def neighbours(x: Array, axis: int, node: Node) -> tuple[Array, Array, Array]:
    """Return both neighbours of each output element along an axis, and the parts, shaped to broadcast."""
    places = np.array(node.attrs["positions"][axis])
    shape = [1] * x.ndim
    shape[axis] = -1
    second = x.take(np.minimum(places + 1, x.shape[axis] - 1), axis=axis)
    return x.take(places, axis=axis), second, np.array(node.attrs["parts"][axis]).reshape(shape)


# ---- import


@dataclass(frozen=True)
class _Axis:
    """One axis to resize."""

    axis: int
    size: int
    out: int
    scale: np.float32
    roi: tuple[np.float32, np.float32]  # where tf_crop_and_resize begins and ends

    @property
    def length(self) -> np.float32:
        """The size that the corners are aligned to: a fraction where a scale gives one.

        The standard's text has `out` here, and so has ONNX Runtime 1.31; its reference and its test cases do not.
        """
        fraction = self.scale * np.float32(self.size)
        return np.float32(self.out) if abs(fraction - np.float32(self.out)) <= 1e-3 else fraction


def _coordinates(foreign: ForeignNode, mode: str, a: _Axis) -> Array:
    """Where output elements lie in the input: float32 [out], float64 where it matters what is outside."""
    f = np.float32
    at, half, size, out = np.arange(a.out, dtype=f), f(0.5), f(a.size), f(a.out)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and a.out > 1):
        return (at + half) / a.scale - half
    if mode == "pytorch_half_pixel":
        return np.zeros_like(at)
    if mode == "asymmetric":
        return at / a.scale
    if mode == "align_corners":
        return at * (size - f(1)) / (a.length - f(1)) if a.out > 1 else np.zeros_like(at)
    if mode == "tf_crop_and_resize":
        span, first = np.float64(a.roi[1] - a.roi[0]) * (a.size - 1), np.float64(a.roi[0]) * (a.size - 1)
        if a.out > 1:
            return np.arange(a.out) * span / (np.float64(a.length) - 1) + first
        return np.array([first + span / 2 if a.length == 1 else first])
    if mode == "half_pixel_symmetric":
        offset = size / f(2) * (f(1) - out / (a.scale * size))
        return (np.float64(offset) + (at + np.float64(0.5)) / np.float64(a.scale) - 0.5).astype(f)
    if mode != "tf_half_pixel_for_nn":
        foreign.unsupported(f"coordinate_transformation_mode '{mode}'")
    return (at + half) / a.scale


def _nearest(foreign: ForeignNode, mode: str, at: Array, scale: np.float32) -> Array:
    """Round coordinates."""
    if mode == "simple":  # operator set 10
        mode = "ceil" if scale < 1 else "floor"
    floor = np.floor(at.astype(np.float64))
    above = at - floor - 0.5
    rounded = {
        "round_prefer_floor": floor + (above > _HALF), "round_prefer_ceil": floor + (above >= -_HALF),
        "floor": floor, "ceil": np.ceil(at),
    }  # fmt: skip
    if mode not in rounded:
        foreign.unsupported(f"nearest_mode '{mode}'")
    return rounded[mode]


def _targets(foreign: Any, x: Tensor, crops: bool) -> list[_Axis]:
    """The axes that are not left as they are, from scales or sizes, and from the roi where it counts."""
    rank = len(x.shape)
    axes = axes_of(foreign, 0, 1 << 30, rank) or tuple(range(rank))  # an attribute always
    by_sizes = foreign.opset >= 11 and foreign.has(3) and foreign.tensor(3).elements > 0
    if "scales" in foreign.attrs:  # Upsample before operator set 9
        numbers = np.array(foreign.attrs["scales"], np.float32)
    else:
        at = 3 if by_sizes else 2 if foreign.opset >= 11 else 1
        numbers = foreign.constant(at, "sizes" if by_sizes else "scales").reshape(-1)
    if len(numbers) != len(axes):
        raise ShapeError(f"{len(numbers)} {'sizes' if by_sizes else 'scales'} for {rank} axes")
    extents = [x.shape[axis] for axis in axes]
    if not by_sizes:
        scales = numbers.astype(np.float32)
        outs = [int(np.float32(scale) * np.float32(size)) for scale, size in zip(scales, extents, strict=True)]
    else:
        outs = [int(n) for n in numbers]
        policy = foreign.attrs.get("keep_aspect_ratio_policy", "stretch")
        if policy in ("not_larger", "not_smaller"):
            ratios = [np.float32(out) / np.float32(size) for out, size in zip(outs, extents, strict=True)]
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            scales = np.full(len(axes), ratio, np.float32)
            outs = [int(np.floor(ratio * np.float32(size) + np.float32(0.5))) for size in extents]
        elif policy != "stretch":
            foreign.unsupported(f"keep_aspect_ratio_policy '{policy}'")
        else:
            scales = np.asarray(np.array(outs, np.float32) / np.array(extents, np.float32), np.float32)
    if min(outs) < 1 or not np.isfinite(scales).all() or scales.min() <= 0:
        foreign.unsupported(f"sizes {outs}, scales {scales.tolist()}")
    regions = [_WHOLE] * len(axes)
    if crops:  # an axis that keeps its size, too, which ONNX Runtime 1.31 leaves as it is
        roi = foreign.constant(1, "roi").reshape(-1).astype(np.float32)
        if len(roi) != 2 * len(axes):
            raise ShapeError(f"a roi of {len(roi)} numbers for {len(axes)} axes")
        regions = list(zip(roi[: len(axes)], roi[len(axes) :], strict=True))
    if outs == extents and all(region == _WHOLE for region in regions):  # whatever the scales are
        return []
    found = zip(axes, extents, outs, scales, regions, strict=True)
    return [_Axis(*each) for each in found if each[1] != each[2] or each[3] != 1 or each[4] != _WHOLE]


@from_onnx("Resize", "Upsample")
def _resize(foreign: Any) -> None:
    x, mode = foreign.tensor(0), foreign.attrs.get("mode", "nearest")
    old = foreign.opset < 11
    transformation = "asymmetric" if old else foreign.attrs.get("coordinate_transformation_mode", "half_pixel")
    rounding = "simple" if old else foreign.attrs.get("nearest_mode", "round_prefer_floor")
    if mode not in ("nearest", "linear", "cubic"):
        foreign.unsupported(f"mode '{mode}'")
    crops = transformation == "tf_crop_and_resize"
    targets = _targets(foreign, x, crops)
    places = [_coordinates(foreign, transformation, a) for a in targets]
    filters = bool(foreign.attrs.get("antialias", 0)) and any(a.scale < 1 for a in targets)
    if filters and mode == "nearest":
        foreign.unsupported("antialias for mode 'nearest'")
    inside = [(at >= 0) & (at <= a.size - 1) | (not crops) for a, at in zip(targets, places, strict=True)]
    if mode == "nearest":
        places = [_nearest(foreign, rounding, at, a.scale) for a, at in zip(targets, places, strict=True)]
    name = x.name
    if not targets:
        foreign.emit("Reshape", [name], final=0, shape=x.shape)
    elif mode == "cubic" or filters or not all(each.all() for each in inside):
        _weighted(foreign, mode, targets, places, inside)
    else:
        _by_positions(foreign, mode, targets, places)


def _weighted(
    foreign: ForeignNode, mode: str, targets: Sequence[_Axis], places: Sequence[Array], inside: Sequence[Array]
) -> None:
    name = foreign.tensor(0).name
    filters, cubic = bool(foreign.attrs.get("antialias", 0)), float(foreign.attrs.get("cubic_coeff_a", -0.75))
    exclude = bool(foreign.attrs.get("exclude_outside", 0))
    for number, (a, at, is_inside) in enumerate(zip(targets, places, inside, strict=True), 1):
        scale = min(float(a.scale), 1.0) if filters else 1.0
        firsts, weights = filter_table(mode, at, a.size, scale, cubic, exclude, is_inside)
        name = foreign.emit(
            "ResizeWeighted", [name], final=0 if number == len(targets) else None, axis=a.axis, firsts=firsts,
            weights=weights, value=float(foreign.attrs.get("extrapolation_value", 0.0)),
        )  # fmt: skip


def _by_positions(foreign: ForeignNode, mode: str, targets: Sequence[_Axis], places: Sequence[Array]) -> None:
    """Two axes a node."""
    x = foreign.tensor(0)
    name, tables = x.name, [_table(a, mode, at) for a, at in zip(targets, places, strict=True)]
    for start in range(0, len(targets), _AXES_AT_ONCE):
        stop = start + _AXES_AT_ONCE
        chosen = {a.axis: table for a, table in zip(targets[start:stop], tables[start:stop], strict=True)}
        last = 0 if stop >= len(targets) else None
        rows = [chosen.get(axis, (None, None)) for axis in range(len(x.shape))]
        positions, parts = (tuple(row[i] for row in rows) for i in (0, 1))
        if mode == "nearest":
            name = foreign.emit("ResizeNearest", [name], final=last, positions=positions)
        else:
            name = foreign.emit("ResizeLinear", [name], final=last, positions=positions, parts=parts)


def _table(a: _Axis, mode: str, at: Array) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return positions and, for linear, parts of one axis."""
    if mode == "nearest":
        return tuple(int(v) for v in np.clip(at, 0, a.size - 1)), ()
    inside = np.clip(at, np.float32(0), np.float32(a.size - 1))
    first = np.minimum(np.floor(inside), np.float32(max(a.size - 2, 0)))
    return tuple(int(v) for v in first), tuple(float(v) for v in inside - first)


refuse("image files are decoded before they reach a network", "ImageDecoder")


def _scales(*values: float) -> Array:
    return np.array(values, np.float32)


_NONE = np.zeros(0, np.float32)  # an absent roi or scales of operator set 11


cases(
    Case("Resize", "nearest_up", (given(1, 2, 3, 4), None, _scales(1, 1, 2, 3))),
    Case("Resize", "nearest_down", (given(1, 2, 7, 9), None, _scales(1, 1, 0.5, 0.45)),
         {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    Case("Resize", "nearest_sizes", (given(2, 3, 5), None, None, ints(2, 3, 8)), {"nearest_mode": "ceil"}),
    Case("Resize", "nearest_all", (given(3, 2, 4), None, None, ints(5, 6, 2)),
         {"coordinate_transformation_mode": "align_corners", "nearest_mode": "round_prefer_ceil"}, opset=13),
    Case("Resize", "nearest_integers", (given(1, 3, 4, 5), None, _scales(1, 1, 2, 2)), dtype="int8"),
    Case("Resize", "nearest_tensorflow", (given(1, 1, 4, 5), _NONE, _scales(1, 1, 0.7, 1.7)),
         {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}, opset=11),
    Case("Resize", "opset_10", (given(1, 2, 6, 5), _scales(1, 1, 0.5, 2)), opset=10),
    Case("Resize", "opset_10_linear", (given(1, 2, 3, 5), _scales(1, 1, 2, 1.5)), {"mode": "linear"}, opset=10),
    Case("Resize", "linear", (given(1, 3, 4, 5), None, _scales(1, 1, 2, 2)), {"mode": "linear"}),
    Case("Resize", "linear_sizes", (given(1, 2, 7, 5), _NONE, _NONE, ints(1, 2, 4, 11)),
         {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, opset=11),
    Case("Resize", "linear_corners", (given(1, 2, 4, 5), None, None, ints(1, 2, 1, 9)),
         {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    Case("Resize", "linear_rows", (given(1, 2, 4, 1), None, _scales(1, 1, 2.5, 1)), {"mode": "linear"}),
    Case("Resize", "linear_three", (given(1, 1, 3, 4, 2), None, _scales(1, 1, 2, 1.5, 3)), {"mode": "linear"}),
    Case("Resize", "axes", (given(1, 4, 5, 2), None, _scales(2, 1.5)), {"mode": "linear", "axes": [1, 2]}, opset=18),
    Case("Resize", "not_larger", (given(1, 2, 4, 6), None, None, ints(7, 8)),
         {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}, opset=18),
    Case("Resize", "symmetric", (given(1, 2, 4, 6), None, _scales(1, 1, 0.8, 0.4)),
         {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"}, opset=19),
    Case("Resize", "cubic", (given(1, 2, 4, 5), None, _scales(1, 1, 1.7, 0.6)), {"mode": "cubic"}),
    Case("Resize", "cubic_outside", (given(1, 2, 4, 5), None, None, ints(1, 2, 7, 3)),
         {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, slow=True),
    Case("Resize", "cubic_antialias", (given(1, 2, 9, 5), None, None, ints(4, 7)),
         {"mode": "cubic", "antialias": 1, "axes": [2, 3], "exclude_outside": 1}, opset=18, slow=True),
    Case("Resize", "antialias", (given(1, 2, 9, 8), None, _scales(1, 1, 0.4, 0.6)),
         {"mode": "linear", "antialias": 1, "exclude_outside": 1}, opset=18, slow=True),
    Case("Resize", "crop_beyond", (given(1, 2, 6, 5), np.array([0, 0, 0.4, 0.3, 1, 1, 1.2, 0.9], np.float32), None,
         ints(1, 2, 4, 7)), {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize",
         "extrapolation_value": 10.0}, slow=True),
    Case("Resize", "crop_nearest", (given(1, 2, 6, 5), np.array([0, 0, -0.2, 0.3, 1, 1, 0.7, 1.5], np.float32), None,
         ints(1, 2, 4, 7)), {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0},
         slow=True),
    Case("Resize", "same", (given(2, 3), None, _scales(1, 1))),
    Case("Upsample", "nearest", (given(1, 2, 3, 4), _scales(1, 1, 2, 3)), opset=9),
    Case("Upsample", "opset_7", (given(1, 2, 3, 4),), {"mode": "linear", "scales": [1.0, 1.0, 2.0, 2.0]}, opset=7),
)  # fmt: skip
