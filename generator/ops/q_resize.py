"""QResizeLinear: lines between neighbours on 8-bit integers. Arithmetic: docs/ARITHMETIC.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Node, Shape, Tensor, TensorType
from edgewright.ops.core import Operator, describe, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    Q8,
    IntegerMatch,
    check_factor,
    from_float,
    output_type,
    requantize,
    shifted,
)
from edgewright.ops.resize import check_positions, neighbours, permuted_axes

ONE = 1 << 11  # a whole part: two axes of them and 8 bits stay below 2^31


class QResizeLinear(Operator):
    """Y = clamp(rint(float32(sum) * scale) + y_zero).

    The sum adds up (x - x_zero) times parts (ONE in all on each axis) of four neighbours; where one axis is resized, of
    two, times ONE.
    """

    name = "QResizeLinear"
    zeros = ("x_zero",)
    arity = (1, 1)
    attributes = {"positions": ..., "parts": ..., "x_zero": ..., "scale": ..., **OUTPUT_ATTRIBUTES}
    dtypes = Q8
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; one or two axes change."""
        x = required(inputs[0], node, "X")
        parts = [part for row in node.attrs["parts"] if row is not None for part in row]
        if min(parts, default=0) < 0 or max(parts, default=0) > ONE or node.attrs["dtype"] not in Q8:
            raise ShapeError(f"{describe(node)}: parts outside 0 to {ONE}, or an output of more than 8 bits")
        check_factor(node.attrs["scale"], node)
        return [output_type(node, check_positions(node, x, node.attrs["positions"], 2))]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in exact integers."""
        total = shifted(inputs[0], node.attrs["x_zero"]).astype(np.int64)
        axes = [axis for axis, places in enumerate(node.attrs["positions"]) if places is not None]
        for axis in axes:
            first, second, part = neighbours(total, axis, node)
            total = first * (ONE - part) + second * part
        total = total * ONE ** (2 - len(axes))
        return [requantize(total, node.attrs["scale"], node)]

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Positions and parts are permuted along."""
        return permuted_axes(node, perm, "positions", "parts")


@from_float("ResizeLinear")
def _resize_linear(match: IntegerMatch) -> bool:
    x, output = match.quantized(0), match.output
    if x is None or x.dtype not in Q8 or output.dtype not in Q8:
        return False
    parts = tuple(
        None if row is None else tuple(int(np.rint(part * ONE)) for part in row) for row in match.node.attrs["parts"]
    )
    with np.errstate(over="ignore"):
        scale = np.float32(x.scale / output.scale) * np.float32(1 / ONE**2)
    match.emit(
        "QResizeLinear", [x.tensor], positions=match.node.attrs["positions"], parts=parts, x_zero=x.zero,
        scale=float(scale), **output.attrs,
    )  # fmt: skip
    return True
