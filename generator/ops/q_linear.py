"""Integer matrix products: QFullyConnected and QMatMul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Operator, broadcast_shape, describe, required
from edgewright.ops.q_conv import weight_bits
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    IntegerMatch,
    QuantizedConstant,
    accumulator_bound,
    check_accumulator,
    check_factor,
    from_float,
    limits,
    output_type,
    requantize,
    shifted,
    weights_and_bias,
)


class QFullyConnected(Operator):
    """y[..., o] = clamp(rint(float32(bias[o] + sum (x[..., i] - x_zero) * w[o, i]) * scale[o]) + y_zero)."""

    name = "QFullyConnected"
    zeros = ("x_zero",)
    arity = (4, 4)
    attributes = {"x_zero": ..., "w_bits": 8, **OUTPUT_ATTRIBUTES}
    dtypes = QUANTIZED
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x [..., in], w [out, in], bias and scale [out] -> [..., out]."""
        names = ("x", "w", "bias", "scale")
        x, w, bias, scale = (required(t, node, name) for t, name in zip(inputs, names, strict=True))
        if not x.shape or len(w.shape) != 2 or x.shape[-1] != w.shape[1]:
            raise ShapeError(f"{describe(node)}: input {list(x.shape)} and weights {list(w.shape)} do not fit")
        if {bias.shape, scale.shape} != {w.shape[:1]} or (bias.dtype, scale.dtype) != (DType.S32, DType.F32):
            raise ShapeError(f"{describe(node)}: bias or scale do not fit weights {list(w.shape)}")
        if w.data is not None and bias.data is not None:
            check_accumulator(node, accumulator_bound(w.data, bias.data, node.attrs["x_zero"], x.dtype), x.dtype)
        return [output_type(node, (*x.shape[:-1], w.shape[0]))]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: sums in float64, where they are exact."""
        acc = shifted(inputs[0], node.attrs["x_zero"]) @ np.asarray(inputs[1], np.float64).T
        return [requantize(acc + np.asarray(inputs[2], np.float64), np.asarray(inputs[3]), node)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output and input feature."""
        return graph.tensors[node.output].elements * graph.tensors[node.inputs[1]].shape[1]


class QMatMul(Operator):
    """Y = clamp(rint(float32(sum (a - a_zero) * (b - b_zero)) * scale) + y_zero), with numpy's rules for batches."""

    name = "QMatMul"
    zeros = ("a_zero", "b_zero")
    arity = (2, 2)
    attributes = {"a_zero": ..., "b_zero": ..., "scale": ..., **OUTPUT_ATTRIBUTES}
    dtypes = QUANTIZED
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: A [..., m, k], B [..., k, n] -> [..., m, n]."""
        a, b = required(inputs[0], node, "A"), required(inputs[1], node, "B")
        if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError(f"{describe(node)}: shapes {list(a.shape)} and {list(b.shape)} do not multiply")
        reach = [
            max(abs(edge - node.attrs[zero]) for edge in limits(t.dtype)) for t, zero in ((a, "a_zero"), (b, "b_zero"))
        ]
        check_accumulator(node, a.shape[-1] * reach[0] * reach[1], a.dtype)
        check_factor(node.attrs["scale"], node)
        batch = broadcast_shape(a.shape[:-2], b.shape[:-2], describe(node))
        return [output_type(node, (*batch, a.shape[-2], b.shape[-1]))]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: sums in float64, where they are exact."""
        acc = np.matmul(shifted(inputs[0], node.attrs["a_zero"]), shifted(inputs[1], node.attrs["b_zero"]))
        return [requantize(acc, node.attrs["scale"], node)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and step of the sum."""
        return graph.tensors[node.output].elements * graph.tensors[node.inputs[0]].shape[-1]


def _fully_connected(match: IntegerMatch, weights: QuantizedConstant) -> bool:
    x = match.quantized(0)
    packed = None if x is None else weights_and_bias(match, x, weights)
    if x is None or packed is None:
        return False
    values, integers, scales = packed
    name = match.node.name
    match.emit(
        "QFullyConnected",
        [x.tensor, match.add_constant(f"{name}.weights", values), match.add_constant(f"{name}.bias", integers),
         match.add_constant(f"{name}.scale", scales)],
        x_zero=x.zero, w_bits=weight_bits(values), **match.output.attrs,
    )  # fmt: skip
    return True


@from_float("FullyConnected")
def _from_fully_connected(match: IntegerMatch) -> bool:
    weights = match.constant(1)
    return weights is not None and _fully_connected(match, weights)


@from_float("MatMul")
def _from_matmul(match: IntegerMatch) -> bool:
    weights = match.constant(1)
    if weights is not None and weights.values.ndim == 2:
        by_output = QuantizedConstant(*(_transposed(array) for array in (weights.values, weights.scale, weights.zero)))
        return _fully_connected(match, by_output)
    a, b, added, gain = match.quantized(0), match.quantized(1), match.added(), match.gain()
    if a is None or b is None or gain is None or isinstance(added, QuantizedConstant) or added is None:
        return False
    if np.any(added) or np.any(gain != 1):
        return False
    with np.errstate(over="ignore"):
        scale = np.float32(np.float32(a.scale * b.scale) / match.output.scale)
    match.emit(
        "QMatMul", [a.tensor, b.tensor], a_zero=a.zero, b_zero=b.zero, scale=float(scale), **match.output.attrs
    )
    return True


def _transposed(array: Array) -> Array:
    return array.T if array.ndim == 2 else array
