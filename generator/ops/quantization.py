"""The borders between real numbers and integers: Quantize, Dequantize, and QRescale from integers to integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import QuantizationError, ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Node, Tensor, TensorType
from edgewright.ops.core import Case, Operator, cases, describe, from_onnx, given, normalize_axis, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    limits,
    output_type,
    required_quantized,
    shifted,
    store,
)

_SOURCES = QUANTIZED | {DType.S32, DType.U16}


def check_scales(scale: Array, dtype: DType, what: str) -> None:
    """Refuse scales that are not positive float32 numbers, or with which the tensor's numbers are none.

    Raises: QuantizationError, UnsupportedError, ShapeError.
    """
    if scale.dtype != np.float32:
        raise UnsupportedError(f"{what} has a scale of type {scale.dtype}; only float32 is supported")
    if scale.size == 0:
        raise ShapeError(f"{what} has no scale")
    wrong = scale[~(np.isfinite(scale) & (scale > 0))]
    if wrong.size:
        raise QuantizationError(f"{what} has the scale {wrong.reshape(-1)[0]}, which is not a positive number")
    reach = float(scale.max()) * 2.0 ** (8 * dtype.size_bytes)
    if dtype in QUANTIZED and reach > float(np.finfo(np.float32).max):
        raise QuantizationError(f"{what} has the scale {scale.max()}, with which its numbers are beyond float32")


def check_scale(scale: float, where: str) -> None:
    """Refuse a scale that is not a positive float32 number. Raises: QuantizationError."""
    if not (math.isfinite(scale) and scale > 0 and float(np.float32(scale)) == scale):
        raise QuantizationError(f"{where}: the scale {scale} is not a positive float32 number")


class Quantize(Operator):
    """clamp(rint(x / scale) + zero). Source: ONNX QuantizeLinear-21, one scale for the tensor."""

    name = "Quantize"
    zeros = ()
    arity = (1, 1)
    attributes = {"scale": ..., "zero": ..., "dtype": ...}
    has_kernel = False
    elementwise = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        check_scale(node.attrs["scale"], describe(node))
        dtype: DType = node.attrs["dtype"]
        if dtype not in QUANTIZED:
            raise ShapeError(f"{describe(node)} does not make {dtype.value}")
        return [TensorType(required(inputs[0], node, "x").shape, dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in float32; NaN becomes the zero point."""
        x, a = np.asarray(inputs[0], np.float32), node.attrs
        low, high = limits(a["dtype"])
        with np.errstate(over="ignore"):
            steps = x / np.float32(a["scale"])
        bounded = np.clip(np.where(np.isnan(steps), np.float32(0), steps), low - a["zero"], high - a["zero"])
        return [(np.rint(bounded).astype(np.int64) + a["zero"]).astype(a["dtype"].numpy)]


class Dequantize(Operator):
    """float32(x - zero) * scale. Source: ONNX DequantizeLinear-21.

    With one scale and zero point as attributes; or, on constants, with arrays that broadcast (inputs 1 and 2).
    """

    name = "Dequantize"
    zeros = ("zero",)
    arity = (1, 3)
    attributes = {"scale": 1.0, "zero": 0}
    dtypes = _SOURCES
    has_kernel = False
    elementwise = True
    folds_at_import = False
    rounds_once = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x = required(inputs[0], node, "x")
        if len(inputs) == 1:
            check_scale(node.attrs["scale"], describe(node))
            if x.data is None and x.dtype not in QUANTIZED:
                raise ShapeError(f"{describe(node)} does not take {x.dtype.value} that is computed at run time")
        elif x.data is None:
            raise ShapeError(f"{describe(node)}: only a constant can have several scales")
        return [TensorType(x.shape, DType.F32)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in float32."""
        x = np.asarray(inputs[0], np.int64)
        arrays = inputs[1:3] if len(inputs) > 1 else (np.float32(node.attrs["scale"]), np.int64(node.attrs["zero"]))
        scale, zero = (np.asarray(array) for array in arrays)
        with np.errstate(over="ignore"):
            return [(x - zero.astype(np.int64)).astype(np.float32) * scale.astype(np.float32)]


class QRescale(Operator):
    """The same real numbers under another scale: clamp(rint(float32(x - x_zero) * x_scale / y_scale) + y_zero)."""

    name = "QRescale"
    zeros = ("x_zero",)
    arity = (1, 1)
    attributes = {"x_zero": ..., "x_scale": ..., "y_scale": ..., **OUTPUT_ATTRIBUTES}
    dtypes = QUANTIZED
    has_kernel = False
    elementwise = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x = required_quantized(required(inputs[0], node, "x"), node)
        return [output_type(node, x.shape)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, in float32."""
        a = node.attrs
        with np.errstate(over="ignore"):  # infinity saturates
            real = shifted(inputs[0], a["x_zero"]).astype(np.float32) * np.float32(a["x_scale"])
            return [store(real / np.float32(a["y_scale"]), node)]


def _broadcast(values: Array, axis: int, rank: int) -> Array:
    """Put a vector on an axis of a tensor of some rank."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _params(foreign: Any, x: Tensor) -> tuple[Array, Array | None]:
    """Return scale and zero point of a QuantizeLinear or DequantizeLinear, as they are in the model."""
    if foreign.attrs.get("block_size", 0):
        foreign.unsupported("scales for blocks of elements")
    scale = foreign.constant(1, "scale")
    zero = foreign.constant(2, "zero_point") if foreign.has(2) else None
    check_scales(scale, x.dtype, f"{foreign.op_type} '{foreign.name}'")
    if zero is not None and zero.size != scale.size:
        raise ShapeError(f"{zero.size} zero points for {scale.size} scales")
    if scale.size > 1:
        axis = normalize_axis(foreign.attrs.get("axis", 1), len(x.shape), foreign.op_type)
        if scale.ndim != 1 or scale.size != x.shape[axis]:
            raise ShapeError(f"scales of shape {list(scale.shape)} for axis {axis} of {list(x.shape)}")
        scale = _broadcast(scale, axis, len(x.shape))
        zero = None if zero is None else _broadcast(zero.reshape(-1), axis, len(x.shape))
    return scale, zero


@from_onnx("DequantizeLinear", "com.microsoft.DequantizeLinear")
def _dequantize(foreign: Any) -> None:
    # ONNX Runtime's quantizer writes its own domain where an operator set has no int16, or when asked to
    x = foreign.tensor(0)
    if x.dtype not in _SOURCES:
        foreign.unsupported(f"DequantizeLinear of {x.dtype.value}")
    scale, zero = _params(foreign, x)
    if zero is not None and (DType.of(zero), foreign.is_four_bit(2)) != (x.dtype, foreign.is_four_bit(0)):
        bits = ["4 bits of " if foreign.is_four_bit(i) else "" for i in (0, 2)]
        raise QuantizationError(f"its zero point is {bits[1]}{zero.dtype}, and its input {bits[0]}{x.dtype.value}")
    if scale.size == 1:
        if x.data is None and x.dtype not in QUANTIZED:
            foreign.unsupported(f"DequantizeLinear of {x.dtype.value} that is computed at run time")
        value = 0 if zero is None else int(zero.reshape(()))
        foreign.emit("Dequantize", [x.name], final=0, scale=float(scale.reshape(())), zero=value)
        return
    zeros = np.zeros(scale.shape, x.dtype.numpy) if zero is None else zero
    if x.data is not None:
        names = [foreign.add_constant(f"{x.name}.scale", scale), foreign.add_constant(f"{x.name}.zero", zeros)]
        foreign.emit("Dequantize", [x.name, *names], final=0)
        return
    # run-time values with a scale for each channel: whole steps first, then float arithmetic
    steps = foreign.emit("Dequantize", [x.name], scale=1.0, zero=0)
    centred = foreign.emit("Sub", [steps, foreign.add_constant(f"{x.name}.zero", zeros.astype(np.float32))])
    foreign.emit("Mul", [centred, foreign.add_constant(f"{x.name}.scale", scale)], final=0)


@from_onnx("QuantizeLinear", "com.microsoft.QuantizeLinear")
def _quantize(foreign: Any) -> None:
    x = foreign.tensor(0)
    if x.dtype is not DType.F32:
        foreign.unsupported(f"QuantizeLinear of {x.dtype.value}")
    scale, zero = _params(foreign, x)
    dtype = DType.U8 if zero is None else DType.of(zero)
    if foreign.attrs.get("output_dtype", 0):
        wanted = {2: DType.U8, 3: DType.S8, 5: DType.S16}.get(foreign.attrs["output_dtype"], DType.B8)
        if zero is not None and wanted is not dtype:
            raise QuantizationError(f"its zero point is of type {zero.dtype}, and its attribute output_dtype another")
        dtype = wanted
    if dtype not in QUANTIZED or foreign.is_four_bit(2):
        foreign.unsupported("QuantizeLinear to another type than int8, uint8 or int16")
    if scale.size == 1:
        value = 0 if zero is None else int(zero.reshape(()))
        foreign.emit("Quantize", [x.name], final=0, scale=float(scale.reshape(())), zero=value, dtype=dtype)
        return
    if zero is not None and len(np.unique(zero)) > 1:
        foreign.unsupported("QuantizeLinear with a zero point for each channel")
    steps = foreign.emit("Div", [x.name, foreign.add_constant(f"{x.name}.scale", scale)])
    common = 0 if zero is None else int(zero.reshape(-1)[0])
    foreign.emit("Quantize", [steps], final=0, scale=1.0, zero=common, dtype=dtype)


def _scalar(value: float) -> Array:
    return np.array(value, np.float32)


cases(
    Case("QuantizeLinear", "int8", (given(2, 3, 4), _scalar(0.03125), np.array(-5, np.int8))),
    Case("QuantizeLinear", "uint8", (given(2, 3, 4), _scalar(0.02), np.array(128, np.uint8))),
    Case("QuantizeLinear", "no_zero", (given(2, 3, 4), _scalar(0.02)), positive=True),
    Case("QuantizeLinear", "channels",
         (given(2, 3, 4), np.array([0.01, 0.02, 0.03], np.float32), np.zeros(3, np.int8))),
    Case("QuantizeLinear", "int16", (given(2, 3), _scalar(1e-4), np.array(3, np.int16)), opset=21),
    Case("DequantizeLinear", "int8", (given(2, 3, 4), _scalar(0.05), np.array(7, np.int8)), dtype="int8", opset=21),
    Case("DequantizeLinear", "uint8", (given(2, 3, 4), _scalar(0.05), np.array(7, np.uint8)), dtype="uint8", opset=21),
    Case("DequantizeLinear", "channels", (given(2, 3, 4), np.array([0.01, 0.02, 0.03], np.float32),
         np.array([1, 2, 3], np.int8)), dtype="int8", opset=21),
    Case("com.microsoft.QuantizeLinear", "int16", (given(2, 3), _scalar(1e-4), np.array(3, np.int16))),
    Case("com.microsoft.QuantizeLinear", "no_zero", (given(2, 3, 4), _scalar(0.02)), positive=True),
    Case("com.microsoft.DequantizeLinear", "int16", (given(2, 3), _scalar(1e-4), np.array(3, np.int16)), dtype="int16"),
    Case("com.microsoft.DequantizeLinear", "channels", (given(2, 3, 4), np.array([0.01, 0.02, 0.03], np.float32),
         np.array([1, 2, 3], np.int8)), {"axis": 1}, dtype="int8"),
)  # fmt: skip
