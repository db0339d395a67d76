"""ResizeWeighted: one axis resized by weighted sums, and the weights of ONNX Resize that need it.

These are cubic curves, filters before an axis is made smaller (antialias), and places outside the input that get a
value of their own (tf_crop_and_resize). Everything is known at import; the kernel only reads tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import KernelCall, Operator, ParamValue, describe, required

MAX_SIZE = 1 << 16  # of a resized axis: positions are uint16 in the kernels


class ResizeWeighted(Operator):
    """Output j along `axis` is the sum of weights[j][t] times input firsts[j] + t; `value` where it has no weights.

    Source: ONNX Resize-19.
    """

    name = "ResizeWeighted"
    arity = (1, 1)
    attributes = {"axis": ..., "firsts": ..., "weights": ..., "value": 0.0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; the axis changes."""
        x, axis = required(inputs[0], node, "X"), node.attrs["axis"]
        firsts, weights = node.attrs["firsts"], node.attrs["weights"]
        size = x.shape[axis]
        fits = len(firsts) == len(weights) and all(
            first >= 0 and first + len(row) <= size for first, row in zip(firsts, weights, strict=True)
        )
        if not fits or not 1 <= max(size, len(firsts)) < MAX_SIZE:
            raise ShapeError(f"{describe(node)}: axis {axis} does not go from {size} to {len(firsts)} elements")
        return [TensorType((*x.shape[:axis], len(firsts), *x.shape[axis + 1 :]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in double precision."""
        x, axis = np.moveaxis(np.asarray(inputs[0]), node.attrs["axis"], -1), node.attrs["axis"]
        rows = [
            x[..., first : first + len(row)].astype(np.float64) @ np.array(row) if row
            else np.full(x.shape[:-1], float(self.attr(node, "value")))
            for first, row in zip(node.attrs["firsts"], node.attrs["weights"], strict=True)
        ]  # fmt: skip
        return [np.ascontiguousarray(np.stack(rows, axis)).astype(x.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with three tables."""
        x, axis, weights = graph.tensors[node.inputs[0]], node.attrs["axis"], node.attrs["weights"]
        taps = max(1, *map(len, weights))
        table = np.zeros((len(weights), taps), np.float32)
        for row, values in zip(table, weights, strict=True):
            row[: len(values)] = values
        params: dict[str, ParamValue] = {
            "outer": math.prod(x.shape[:axis]), "in": x.shape[axis], "out": len(weights),
            "inner": math.prod(x.shape[axis + 1 :]), "taps": taps, "value": float(self.attr(node, "value")),
        }  # fmt: skip
        firsts = np.array(node.attrs["firsts"], np.uint16)
        counts = np.array([len(row) for row in weights], np.uint16)
        function = "ew_resize_weighted_f32"
        return (
            KernelCall(
                function, f"resize/{function}.h", f"{function}_params", params,
                (x.name, firsts, counts, table, node.output),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each weight."""
        others = graph.tensors[node.output].elements // len(node.attrs["weights"])
        return others * sum(map(len, node.attrs["weights"]))


Table = tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]  # firsts and weights


def filter_table(
    mode: str, at: Array, size: int, scale: float, cubic: float, exclude_outside: bool, inside: Array
) -> Table:
    """Return the elements and weights that make the outputs at coordinates `at`; none where not `inside`.

    `scale` below 1 widens the filter (antialias; 1 for none), `cubic` is the coefficient a of cubic curves.
    Source: the reference of ONNX Resize-19, which ONNX Runtime 1.31 follows but for antialias at the borders: the
    standard repeats the outermost element unless exclude_outside is 1, ONNX Runtime leaves out what is outside.
    """
    firsts, weights = [], []
    reach = {"nearest": 0.5, "linear": 1.0, "cubic": 2.0}[mode] / scale
    for place, is_inside in zip(at.astype(np.float64).tolist(), inside.tolist(), strict=True):
        if not is_inside:
            firsts.append(0)
            weights.append(())
            continue
        if mode == "nearest":  # rounded already
            taps, values = np.array([int(place)]), np.ones(1)
        else:
            taps = np.arange(math.floor(place - reach) + 1, math.ceil(place + reach))
            values = _curve(mode, np.abs(taps - place) * scale, cubic)
            values = values / values.sum()
        if exclude_outside and mode != "nearest":
            values = np.where((taps >= 0) & (taps < size), values, 0)
            values = values / (values.sum() or 1)
        places = np.clip(taps, 0, size - 1)
        row = np.zeros(places[-1] - places[0] + 1)
        np.add.at(row, places - places[0], values)
        used = np.flatnonzero(row)
        begin, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        firsts.append(int(places[0]) + begin)
        weights.append(tuple(row[begin:end].tolist()))
    return tuple(firsts), tuple(weights)


def _curve(mode: str, distance: Array, a: float) -> Array:
    """The weight of an element at a distance, before they are made to sum to 1."""
    if mode == "linear":
        return np.asarray(np.clip(1 - distance, 0, 1))
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.asarray(np.where(distance <= 1, near, np.where(distance < 2, far, 0)))
