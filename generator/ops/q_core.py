"""What integer operators share: output attributes, the requantization formula, bounds of accumulators.

The formulas are defined in docs/ARITHMETIC.md; here is their numpy reference, which shares no code with the C.
A quantized tensor stands for real numbers by `real = (q - zero) * scale`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgewright.errors import InternalError, QuantizationError, ShapeError
from edgewright.ir import Array, DType, Node, Tensor, TensorType
from edgewright.ops.core import describe

Q8 = frozenset({DType.S8, DType.U8})
QUANTIZED = Q8 | {DType.S16}
C_QTYPES: Mapping[DType, str] = {DType.S8: "EW_QS8", DType.U8: "EW_QU8", DType.S16: "EW_QS16"}  # enum ew_qtype

# `act_min` and `act_max` are integers of y's type: the range of the type, narrowed by a fused Relu or Clip.
OUTPUT_ATTRIBUTES: Mapping[str, Any] = {"y_zero": ..., "act_min": ..., "act_max": ..., "dtype": ...}

INT32_MAX = 2**31 - 1


def limits(dtype: DType) -> tuple[int, int]:
    """Return the lowest and the highest value of an integer type."""
    return dtype.range


def output_type(node: Node, shape: tuple[int, ...]) -> TensorType:
    """Return the type of an integer node's output, its attributes checked."""
    a = node.attrs
    dtype: DType = a["dtype"]
    low, high = limits(dtype)
    if dtype not in QUANTIZED or not low <= a["act_min"] <= a["act_max"] <= high or not low <= a["y_zero"] <= high:
        raise ShapeError(f"{describe(node)}: zero {a['y_zero']} and range {a['act_min']} to {a['act_max']} do not fit")
    return TensorType(shape, dtype)


def store(values: Array, node: Node) -> Array:
    """Round float32 values (half to even), add y's zero point, saturate to its range. Shapes: any."""
    a = node.attrs
    low, high = a["act_min"] - a["y_zero"], a["act_max"] - a["y_zero"]
    if values.dtype != np.float32:
        raise InternalError(f"{describe(node)}: its reference left float32")
    rounded = np.rint(np.clip(values, np.float32(low), np.float32(high)))
    return np.asarray(rounded.astype(np.int64) + a["y_zero"], a["dtype"].numpy)


def requantize(acc: Array, scale: Array | float, node: Node) -> Array:
    """clamp(rint(float32(acc) * scale) + y_zero). Shapes: `scale` broadcasts to `acc`, which holds exact integers."""
    with np.errstate(over="ignore"):  # infinity saturates
        return store(acc.astype(np.int64).astype(np.float32) * np.asarray(scale, np.float32), node)


def shifted(values: Array | None, zero: int) -> Array:
    """Return q - zero in float64, in which sums of integer products are exact (below 2^53)."""
    return np.asarray(values, np.float64) - zero


def accumulator_bound(weights: Array, bias: Array | None, x_zero: int, x_dtype: DType) -> int:
    """Return a bound on |bias + any partial sum of (x - x_zero) * w|, the worst over the output channels.

    Shapes: weights [out, ...], bias [out]. No order of summation exceeds it.
    """
    low, high = limits(x_dtype)
    reach = max(abs(low - x_zero), abs(high - x_zero))
    sums = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(axis=1) * reach
    if bias is not None:
        sums = sums + np.abs(bias.astype(np.int64))
    return int(sums.max())


def check_accumulator(node: Node, bound: int, x_dtype: DType) -> None:
    """Refuse 8-bit sums that could leave int32; 16-bit activations have int64 accumulators.

    Raises: QuantizationError.
    """
    if x_dtype in Q8 and bound > INT32_MAX:
        raise QuantizationError(
            f"{describe(node)}: its accumulator can reach {bound:,}, beyond int32's {INT32_MAX:,}. "
            "Scale its weights down, or split the layer."
        )


def check_factor(factor: float, node: Node) -> None:
    """Refuse a factor from sums to the output that leaves float32. Raises: QuantizationError."""
    if not (math.isfinite(factor) and factor > 0):
        raise QuantizationError(f"{describe(node)}: its scales multiply to {factor}, no float32 number above 0")


def check_reals(node: Node, dtype: DType, zero: int, scale: float) -> None:
    """Refuse a scale with which the tensor's real numbers leave float32. Raises: QuantizationError."""
    if max(abs(end - zero) for end in limits(dtype)) * scale > float(np.finfo(np.float32).max):
        raise QuantizationError(f"{describe(node)}: with the scale {scale} its operands are no float32 numbers")


@dataclass(frozen=True, eq=False)
class Quantized:
    """How a float tensor stands in integers: the tensor, and its one scale and zero point."""

    tensor: str
    dtype: DType
    scale: np.float32
    zero: int


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant as integers: real = (values - zero) * scale. Shapes: scale and zero broadcast to values."""

    values: Array
    scale: Array
    zero: Array


@dataclass(frozen=True)
class OutputParams:
    """What the QuantizeLinear behind a float operator asks for, a clamp between them included."""

    scale: np.float32
    zero: int
    dtype: DType
    act_min: int
    act_max: int

    @property
    def attrs(self) -> dict[str, Any]:
        """As an integer node has them."""
        return {"y_zero": self.zero, "act_min": self.act_min, "act_max": self.act_max, "dtype": self.dtype}


class IntegerMatch(Protocol):
    """A float node between DequantizeLinear and QuantizeLinear, as the rules `@from_float` see it."""

    node: Node
    output: OutputParams

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of an input."""
        ...

    def quantized(self, index: int) -> Quantized | None:
        """An input with one scale and zero point, constant or not; None where it has none."""
        ...

    def constant(self, index: int) -> QuantizedConstant | None:
        """A constant input as integers."""
        ...

    def bias(self, index: int) -> Array | QuantizedConstant | None:
        """The node's own bias by output channel (float, or integers), zeros where there is none; None: another form."""
        ...

    def added(self) -> Array | QuantizedConstant | None:
        """What is added behind the node by output channel, zeros where nothing is; None: another form."""
        ...

    def gain(self) -> Array | None:
        """What multiplies the result by output channel before that, ones where nothing does; None: another form."""
        ...

    def real(self, index: int) -> Array | None:
        """A constant input, float or integers, as real numbers in float64."""
        ...

    def add_constant(self, hint: str, data: Array) -> str:
        """Add a constant."""
        ...

    def emit(self, op: str, inputs: Sequence[str], final: bool = True, **attrs: Any) -> str:
        """Add an integer node; the final one makes the match's output."""
        ...

    which: int  # of the node's outputs: the one that is quantized
    result: str  # the tensor that the QuantizeLinear makes of it

    def is_used(self, output: int) -> bool:
        """Whether anything reads that output of the node."""
        ...

    def emit_all(self, op: str, inputs: Sequence[str], outputs: Sequence[str | None], **attrs: Any) -> list[str]:
        """Add a node whose outputs are these tensors (None: a new one), in the place of the float node.

        For nodes with several outputs: the rule adds what makes `result` and the float node's own others.
        """
        ...


FloatRule = Callable[[Any], bool]
FLOAT_RULES: dict[str, FloatRule] = {}


def from_float(*ops: str) -> Callable[[FloatRule], FloatRule]:
    """Register a rule that turns these float operators, where they stand between Q and DQ, into integer ones.

    The rule returns False, and has emitted nothing, where the node has to stay float.
    """

    def register(rule: FloatRule) -> FloatRule:
        for op in ops:
            if op in FLOAT_RULES:
                raise InternalError(f"float operator {op} has two integer rules")
            FLOAT_RULES[op] = rule
        return rule

    return register


def weights_and_bias(
    match: IntegerMatch, x: Quantized, weights: QuantizedConstant
) -> tuple[Array, Array, Array] | None:
    """Return weights less their zero points (int8, or int16 where they need it), int32 bias, and float32 scales.

    Shapes: weights [out, ...] as given, with one scale for each `out` or one for all; bias and scales [out].
    None where the node has another form, or a bias that is far from a step of the accumulator.
    Raises: QuantizationError where a scale or the bias leaves its type.
    """
    bias, added, gain = match.bias(2), match.added(), match.gain()
    if bias is None or added is None or gain is None or not channel_scales_only(weights):
        return None
    out = weights.values.shape[0]
    sign = np.sign(gain).astype(np.int64)
    centred = (weights.values.astype(np.int64) - weights.zero) * sign.reshape(-1, *(1,) * (weights.values.ndim - 1))
    centred = centred.astype(np.int8 if centred.min() >= -128 and centred.max() <= 127 else np.int16)
    first = weights.scale.astype(np.float32).reshape(weights.scale.shape[0], -1)[:, 0]
    w_scale = np.broadcast_to(first, (out,))
    with np.errstate(over="ignore"):
        before = np.float32(x.scale) * w_scale
        product = (before * np.abs(gain).astype(np.float32)).astype(np.float32)
        scales = (product / np.float32(match.output.scale)).astype(np.float32)
    if not np.isfinite(scales).all() or (scales <= 0).any():
        raise QuantizationError(
            f"{describe(match.node)}: its scales {x.scale} * {w_scale.min()} to {w_scale.max()} / {match.output.scale} "
            "are no float32 numbers above 0"
        )
    parts = _in_steps(bias, before) * sign, _in_steps(added, product)
    integers = np.rint(parts[0]) + np.rint(parts[1])
    if not (np.abs(integers) <= INT32_MAX).all():
        raise QuantizationError(
            f"{describe(match.node)}: its bias needs {np.abs(integers).max():,.0f} steps of the accumulator, "
            "beyond int32"
        )
    if (np.abs(integers - parts[0] - parts[1]) * scales > 1 / 2).any():
        return None  # one step of the accumulator is more than one of the output
    return centred, np.broadcast_to(integers, (out,)).astype(np.int32), scales


def _in_steps(values: Array | QuantizedConstant, step: Array) -> Array:
    """Return a bias in steps of the accumulator: its own integers where they have that scale, else fractions."""
    if not isinstance(values, QuantizedConstant):
        return np.asarray(values, np.float64) / step.astype(np.float64)
    integers = values.values.astype(np.float64) - values.zero
    scale = np.broadcast_to(values.scale, integers.shape).astype(np.float64)
    if np.allclose(scale, step, rtol=1e-4, atol=0):
        return integers
    return np.asarray(integers * scale / step.astype(np.float64))


def channel_scales_only(weights: QuantizedConstant) -> bool:
    """Whether scale and zero point differ along the first axis at most."""
    shapes = (weights.scale.shape, weights.zero.shape)
    return all(all(size == 1 for size in shape[1:]) for shape in shapes)


def required_quantized(tensor: Tensor, node: Node) -> Tensor:
    """Return a tensor of an integer type that stands for real numbers, or refuse it."""
    if tensor.dtype not in QUANTIZED:
        raise ShapeError(f"{describe(node)} does not take {tensor.dtype.value}")
    return tensor
