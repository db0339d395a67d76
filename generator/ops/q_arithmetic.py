"""Integer arithmetic of two operands with broadcasting: QAdd, QSub, QMul."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from edgewright.ir import Array, Node, Shape, Tensor, TensorType
from edgewright.ops.core import Operator, broadcast_shape, describe, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    IntegerMatch,
    check_factor,
    check_reals,
    from_float,
    output_type,
    requantize,
    required_quantized,
    shifted,
    store,
)


class _Binary(Operator):
    arity = (2, 2)
    rows = "each"
    zeros = ("a_zero", "b_zero")
    dtypes = QUANTIZED
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any two that broadcast."""
        a, b = (required_quantized(required(t, node, name), node) for t, name in zip(inputs, "AB", strict=True))
        return [output_type(node, broadcast_shape(a.shape, b.shape, describe(node)))]

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Both operands are permuted alike."""
        return node


class _Sum(_Binary):
    attributes = {"a_zero": ..., "a_scale": ..., "b_zero": ..., "b_scale": ..., "y_scale": ..., **OUTPUT_ATTRIBUTES}
    sign: ClassVar[int]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any two that broadcast."""
        result = super().infer(node, inputs)
        for tensor, side in zip(inputs, "ab", strict=True):
            zero, scale = node.attrs[f"{side}_zero"], node.attrs[f"{side}_scale"]
            check_reals(node, required(tensor, node, side).dtype, zero, scale)
        return result

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in float32."""
        t = node.attrs
        a = shifted(inputs[0], t["a_zero"]).astype(np.float32) * np.float32(t["a_scale"])
        b = shifted(inputs[1], t["b_zero"]).astype(np.float32) * np.float32(t["b_scale"])
        with np.errstate(over="ignore"):  # infinity saturates
            return [store((a + b if self.sign > 0 else a - b) / np.float32(t["y_scale"]), node)]


class QAdd(_Sum):
    """clamp(rint(((a - a_zero) * a_scale + (b - b_zero) * b_scale) / y_scale) + y_zero), in float32."""

    name = "QAdd"
    sign = 1


class QSub(_Sum):
    """clamp(rint(((a - a_zero) * a_scale - (b - b_zero) * b_scale) / y_scale) + y_zero), in float32."""

    name = "QSub"
    sign = -1


class QMul(_Binary):
    """clamp(rint(float32((a - a_zero) * (b - b_zero)) * scale) + y_zero)."""

    name = "QMul"
    attributes = {"a_zero": ..., "b_zero": ..., "scale": ..., **OUTPUT_ATTRIBUTES}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any two that broadcast."""
        check_factor(node.attrs["scale"], node)
        return super().infer(node, inputs)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        acc = shifted(inputs[0], node.attrs["a_zero"]) * shifted(inputs[1], node.attrs["b_zero"])
        return [requantize(acc, node.attrs["scale"], node)]


@from_float("Add", "Sub")
def _sum(match: IntegerMatch) -> bool:
    a, b = match.quantized(0), match.quantized(1)
    if a is None or b is None:
        return False
    match.emit(
        f"Q{match.node.op}", [a.tensor, b.tensor], a_zero=a.zero, a_scale=float(a.scale), b_zero=b.zero,
        b_scale=float(b.scale), y_scale=float(match.output.scale), **match.output.attrs,
    )  # fmt: skip
    return True


@from_float("Mul")
def _mul(match: IntegerMatch) -> bool:
    a, b = match.quantized(0), match.quantized(1)
    if a is None or b is None:
        return False
    with np.errstate(over="ignore"):
        scale = np.float32(np.float32(a.scale * b.scale) / match.output.scale)
    match.emit("QMul", [a.tensor, b.tensor], a_zero=a.zero, b_zero=b.zero, scale=float(scale), **match.output.attrs)
    return True
