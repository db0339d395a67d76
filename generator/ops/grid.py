"""GridSample and AffineGrid: images and volumes sampled where a grid says, and the grid of an affine map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    ints,
    required,
)

_TAPS: Mapping[str, int] = {"nearest": 1, "linear": 2, "cubic": 4}  # elements an axis
_PADDINGS = ("zeros", "border", "reflection")


class GridSample(Operator):
    """The input at the points of a grid, whose numbers run from -1 to 1 across it. Source: ONNX GridSample-22.

    As its reference has it: a coordinate beyond the border is moved inside, then those elements of its cubic curve that
    are outside. ONNX Runtime 1.31 only does the latter to cubic curves; that differs with padding_mode 'border'.
    """

    name = "GridSample"
    arity = (2, 2)
    attributes = {"mode": "linear", "padding_mode": "zeros", "align_corners": 0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, (d,) h, w], grid [n, (out_d,) out_h, out_w, 2 or 3] -> [n, c, (out_d,) out_h, out_w]."""
        x, grid = required(inputs[0], node, "X"), required(inputs[1], node, "grid")
        check_same_type(node, x, grid)
        rank = len(x.shape) - 2
        fits = len(grid.shape) == rank + 2 and grid.shape[0] == x.shape[0] and grid.shape[-1] == rank
        if rank not in (2, 3) or not fits:
            raise ShapeError(f"{describe(node)}: a grid of shape {list(grid.shape)} for an input of {list(x.shape)}")
        return [TensorType((*x.shape[:2], *grid.shape[1:-1]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one tap of all points after the other."""
        x, grid = np.asarray(inputs[0]), np.asarray(inputs[1])
        batch, channels, *sizes = x.shape
        points = grid.reshape(batch, -1, len(sizes))
        taps = _TAPS[self.attr(node, "mode")]
        axes = [self._taps(node, points[..., len(sizes) - 1 - i], size) for i, size in enumerate(sizes)]
        y = np.zeros((batch, points.shape[1], channels), x.dtype)
        for chosen in itertools.product(range(taps), repeat=len(sizes)):
            places = [index[tap] for (index, _), tap in zip(axes, chosen, strict=True)]
            weight = np.prod([weight[tap] for (_, weight), tap in zip(axes, chosen, strict=True)], axis=0)
            images: Any = (np.arange(batch)[:, None], slice(None))
            values = x[(*images, *(np.maximum(place, 0) for place in places))]
            is_inside = np.all([place >= 0 for place in places], axis=0)
            y += np.where(is_inside[..., None], values * weight[..., None], 0)
        return [np.ascontiguousarray(y.transpose(0, 2, 1)).reshape(batch, channels, *grid.shape[1:-1])]

    def _taps(self, node: Node, numbers: Array, size: int) -> tuple[list[Array], list[Array]]:
        """Return the indices (-1: a zero) and the weights of each tap along an axis. Shapes: all like `numbers`."""
        mode, padding = self.attr(node, "mode"), self.attr(node, "padding_mode")
        f = np.float32
        low = f(0) if self.attr(node, "align_corners") else f(-0.5)
        high = f(size - 1) - low
        if self.attr(node, "align_corners"):
            at = (numbers + f(1)) / f(2) * f(size - 1)
        else:
            at = ((numbers + f(1)) * f(size) - f(1)) / f(2)
        if mode == "nearest":
            at = np.rint(at)
        if padding == "border":
            at = np.where((at < low) | (at > high), np.clip(at, f(0), f(size - 1)), at)
        elif padding == "reflection":
            at = _reflected(at, low, high)
        base = np.floor(at)
        first = base - 1 if mode == "cubic" else base
        indices = []
        for tap in range(_TAPS[mode]):
            place = first + f(tap)
            if padding == "zeros":
                indices.append(np.where((place >= 0) & (place < size), place, -1).astype(np.int64))
                continue
            inside = _reflected(place, low, high) if padding == "reflection" else place
            indices.append(np.clip(inside, 0, size - 1).astype(np.int64))
        return indices, _weights(mode, at - base)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, grid = (graph.tensors[name] for name in node.inputs)
        batch, channels, *sizes = x.shape
        params: dict[str, ParamValue] = {
            "batch": batch, "channels": channels, "rank": len(sizes), "sizes": (*(1,) * (3 - len(sizes)), *sizes),
            "points": math.prod(grid.shape[1:-1]), "taps": _TAPS[self.attr(node, "mode")],
            "padding": f"EW_GRID_{self.attr(node, 'padding_mode').upper()}",
            "align_corners": int(self.attr(node, "align_corners")),
        }  # fmt: skip
        function = "ew_grid_sample_f32"
        return (KernelCall(function, f"grid/{function}.h", f"{function}_params", params, (*node.inputs, node.output)),)


def _reflected(at: Array, low: np.float32, high: np.float32) -> Array:
    """Mirror coordinates at `low` and `high` until they lie between."""
    span = high - low
    if span <= 0:
        return np.full_like(at, low)
    rest = np.fmod(np.maximum(low - at, at - high), 2 * span)
    offset = np.where(rest > span, 2 * span - rest, rest)
    return np.where(at < low, low + offset, np.where(at > high, high - offset, at))


def _weights(mode: str, part: Array) -> list[Array]:
    """Weights of the taps, for a point `part` of the way from one element to the next."""
    if mode == "nearest":
        return [np.ones_like(part)]
    if mode == "linear":
        return [1 - part, part]
    a = np.float32(-0.75)

    def near(v: Array) -> Array:
        return np.asarray(((a + 2) * v - (a + 3)) * v * v + 1)

    def far(v: Array) -> Array:
        return np.asarray(((a * v - 5 * a) * v + 8 * a) * v - 4 * a)

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


@from_onnx("GridSample")
def _grid_sample(foreign: Any) -> None:
    mode = foreign.attrs.get("mode", "linear")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)  # as operator set 16 has it
    padding = foreign.attrs.get("padding_mode", "zeros")
    if mode not in _TAPS or padding not in _PADDINGS:
        foreign.unsupported(f"mode '{mode}' with padding_mode '{padding}'")
    foreign.emit(
        "GridSample", [foreign.tensor(0).name, foreign.tensor(1).name], final=0, mode=mode, padding_mode=padding,
        align_corners=int(bool(foreign.attrs.get("align_corners", 0))),
    )  # fmt: skip


class AffineGrid(Operator):
    """Where an affine map takes the elements of an image or a volume: a grid for GridSample.

    `sizes` is (d, h, w), or (h, w). Source: ONNX AffineGrid-20.
    """

    name = "AffineGrid"
    arity = (1, 1)
    attributes = {"sizes": ..., "align_corners": 0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: theta [n, 2, 3] -> [n, h, w, 2], [n, 3, 4] -> [n, d, h, w, 3]."""
        theta, sizes = required(inputs[0], node, "theta"), tuple(node.attrs["sizes"])
        rank = len(sizes)
        if rank not in (2, 3) or len(theta.shape) != 3 or theta.shape[1:] != (rank, rank + 1):
            raise ShapeError(f"{describe(node)}: theta of shape {list(theta.shape)} for sizes {list(sizes)}")
        if min(sizes) < 1 or (self.attr(node, "align_corners") and min(sizes) < 2):
            raise ShapeError(f"{describe(node)}: sizes {list(sizes)} have no corners to align")
        return [TensorType((theta.shape[0], *sizes, rank), theta.dtype)]

    def _coordinates(self, node: Node) -> list[tuple[float, float]]:
        """The first coordinate on each axis, and the step to the next."""
        steps = [2 / (size - 1 if self.attr(node, "align_corners") else size) for size in node.attrs["sizes"]]
        return [(-1.0 if self.attr(node, "align_corners") else step / 2 - 1, step) for step in steps]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        theta, sizes = np.asarray(inputs[0]), node.attrs["sizes"]
        along = [
            first + np.arange(size) * step
            for (first, step), size in zip(self._coordinates(node), sizes, strict=True)
        ]  # fmt: skip
        columns = [*np.meshgrid(*along, indexing="ij")][::-1]
        homogeneous = np.stack([*columns, np.ones(sizes)], axis=-1)
        return [np.einsum("nij,...j->n...i", theta, homogeneous).astype(theta.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        sizes = tuple(node.attrs["sizes"])
        missing = 3 - len(sizes)
        coordinates = [(0.0, 0.0)] * missing + self._coordinates(node)
        params: dict[str, ParamValue] = {
            "batch": graph.tensors[node.inputs[0]].shape[0], "rank": len(sizes), "sizes": (*(1,) * missing, *sizes),
            "first": tuple(first for first, _ in coordinates), "step": tuple(step for _, step in coordinates),
        }  # fmt: skip
        function = "ew_affine_grid_f32"
        return (KernelCall(function, f"grid/{function}.h", f"{function}_params", params, (*node.inputs, node.output)),)


@from_onnx("AffineGrid")
def _affine_grid(foreign: Any) -> None:
    theta, size = foreign.tensor(0), [int(n) for n in foreign.constant(1, "size").reshape(-1)]
    if size[:1] != [theta.shape[0]]:
        raise ShapeError(f"size {size} for theta of shape {list(theta.shape)}")
    align = int(bool(foreign.attrs.get("align_corners", 0)))
    foreign.emit("AffineGrid", [theta.name], final=0, sizes=tuple(size[2:]), align_corners=align)


_IMAGE, _VOLUME = (given(2, 2, 4, 5), given(2, 3, 4, 2)), (given(1, 2, 3, 4, 2), given(1, 2, 3, 2, 3))
cases(
    *(Case("GridSample", f"{mode}_{padding}", _IMAGE, {"mode": mode, "padding_mode": padding}, opset=20,
           slow=mode != "cubic") for mode, padding in zip(_TAPS, ("zeros", "border", "reflection"), strict=True)),
    Case("GridSample", "corners", _IMAGE, {"mode": "linear", "padding_mode": "reflection", "align_corners": 1},
         opset=20, slow=True),
    *(Case("GridSample", f"volume_{mode}", _VOLUME, {"mode": mode, "padding_mode": padding}, opset=20, slow=True)
      for mode, padding in (("nearest", "reflection"), ("linear", "border"))),
    Case("GridSample", "opset_16", _IMAGE, {"mode": "bicubic", "align_corners": 1}, opset=16, slow=True),
    Case("AffineGrid", "image", (given(2, 2, 3), ints(2, 1, 3, 4)), opset=20),
    Case("AffineGrid", "corners", (given(1, 2, 3), ints(1, 1, 3, 4)), {"align_corners": 1}, opset=20, slow=True),
    Case("AffineGrid", "volume", (given(1, 3, 4), ints(1, 1, 2, 3, 4)), opset=20, slow=True),
)  # fmt: skip
