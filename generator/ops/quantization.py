"""The borders between real numbers and integers: Quantize, Dequantize, and QRescale from integers to integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import QuantizationError, ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Node, Tensor, TensorType
from edgewright.ops.core import Case, Fixed, Operator, cases, describe, from_onnx, given, normalize_axis, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    limits,
    output_type,
    required_quantized,
    shifted,
    store,
)
from edgewright.ops.quantize_float import dequantize_by_arithmetic, quantize_by_arithmetic

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


def _constants(foreign: Any, x: Tensor) -> tuple[Array, Array | None] | None:
    """Return scale and zero point, where they are constants, float32 and small integers, for the tensor or an axis.

    Shapes: both broadcast to x. Raises: QuantizationError, UnsupportedError, ShapeError.
    """
    scale, zero = foreign.tensor(1), foreign.tensor(2) if foreign.has(2) else None
    if foreign.attrs.get("block_size", 0) or foreign.attrs.get("precision", DType.F32) is not DType.F32:
        return None
    if scale.data is None or scale.dtype is not DType.F32 or (zero is not None and zero.data is None):
        return None
    values, zeros = scale.data, None if zero is None or zero.data is None else in_bytes(zero.data)
    check_scales(values, x.dtype, f"{foreign.op_type} '{foreign.name}'")
    if zeros is not None and zeros.size != values.size:
        raise ShapeError(f"{zeros.size} zero points for {values.size} scales")
    if values.size > 1:
        axis = normalize_axis(foreign.attrs.get("axis", 1), len(x.shape), foreign.op_type)
        if values.ndim != 1 or values.size != x.shape[axis]:
            raise ShapeError(f"scales of shape {list(values.shape)} for axis {axis} of {list(x.shape)}")
        values = _broadcast(values, axis, len(x.shape))
        zeros = None if zeros is None else _broadcast(zeros.reshape(-1), axis, len(x.shape))
    return values, zeros


def in_bytes(values: Array) -> Array:
    """Return integers of four and two bits as bytes, which the kernels pack where they can; others as they are."""
    dtype = DType.of(values)
    return dtype.to_memory(values) if dtype.is_integer and dtype.bits < 8 else values


@from_onnx("DequantizeLinear", "com.microsoft.DequantizeLinear")
def _dequantize(foreign: Any) -> None:
    # ONNX Runtime's quantizer writes its own domain where an operator set has no int16, or when asked to
    x, scales = foreign.tensor(0), foreign.tensor(1)
    to = foreign.attrs.get("output_dtype") or scales.dtype
    if foreign.has(2) and foreign.tensor(2).dtype is not x.dtype:
        raise QuantizationError(f"its zero point is {foreign.tensor(2).dtype.value}, and its input {x.dtype.value}")
    takes = x.dtype in QUANTIZED or (x.data is not None and x.dtype.is_integer and x.dtype.bits <= 32)
    known = _constants(foreign, x) if takes and to is DType.F32 else None
    if known is None:
        dequantize_by_arithmetic(foreign, to)
        return
    scale, zero = known
    name = x.name if x.data is None or x.dtype.bits >= 8 else foreign.add_constant(f"{x.name}.bytes", in_bytes(x.data))
    if scale.size == 1:
        value = 0 if zero is None else int(zero.reshape(()))
        foreign.emit("Dequantize", [name], final=0, scale=float(scale.reshape(())), zero=value)
        return
    zeros = np.zeros(scale.shape, x.dtype.stored) if zero is None else zero
    if x.data is not None:
        names = [foreign.add_constant(f"{x.name}.scale", scale), foreign.add_constant(f"{x.name}.zero", zeros)]
        foreign.emit("Dequantize", [name, *names], final=0)
        return
    # run-time values with a scale for each channel: whole steps first, then float arithmetic
    steps = foreign.emit("Dequantize", [x.name], scale=1.0, zero=0)
    centred = foreign.emit("Sub", [steps, foreign.add_constant(f"{x.name}.zero", zeros.astype(np.float32))])
    foreign.emit("Mul", [centred, foreign.add_constant(f"{x.name}.scale", scale)], final=0)


@from_onnx("QuantizeLinear", "com.microsoft.QuantizeLinear")
def _quantize(foreign: Any) -> None:
    x = foreign.tensor(0)
    wanted, zero_type = foreign.attrs.get("output_dtype"), foreign.tensor(2).dtype if foreign.has(2) else None
    if zero_type is not None and wanted not in (None, 0, zero_type):
        raise QuantizationError(f"its zero point is of type {zero_type.value}, and its attribute output_dtype another")
    dtype = zero_type or wanted or DType.U8
    if not isinstance(dtype, DType):
        foreign.unsupported(f"QuantizeLinear to {dtype}")
    known = _constants(foreign, x) if x.dtype is DType.F32 and dtype in QUANTIZED else None
    zeros = None if known is None else known[1]
    if known is None or (zeros is not None and zeros.size > 1 and np.any(zeros != zeros.reshape(-1)[0])):
        quantize_by_arithmetic(foreign, dtype)
        return
    scale = known[0]
    common = 0 if zeros is None else int(zeros.reshape(-1)[0])
    if scale.size == 1:
        foreign.emit("Quantize", [x.name], final=0, scale=float(scale.reshape(())), zero=common, dtype=dtype)
        return
    steps = foreign.emit("Div", [x.name, foreign.add_constant(f"{x.name}.scale", scale)])
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
    Case("QuantizeLinear", "uint16", (given(2, 3), _scalar(1e-4), np.array(30000, np.uint16)), opset=21),
    Case("QuantizeLinear", "axis_zeros", (given(2, 3, 4), np.array([0.01, 0.02, 0.03], np.float32),
         np.array([1, -2, 3], np.int8)), slow=True),
    Case("QuantizeLinear", "blocked", (given(3, 5), np.array([[0.1, 0.2, 0.3]] * 3, np.float32),
         np.array([[1, 2, 3]] * 3, np.uint8)), {"block_size": 2}, opset=21),
    Case("QuantizeLinear", "int4", (given(2, 3), _scalar(0.25), np.array(1).astype(DType.S4.numpy)), opset=21),
    Case("QuantizeLinear", "float8", (given(2, 3), _scalar(0.25), np.array(0).astype(DType.F8E5M2.numpy)), opset=19),
    Case("QuantizeLinear", "float4", (given(2, 3), _scalar(0.25), np.array(0).astype(DType.F4E2M1.numpy)), opset=23,
         slow=True),
    Case("QuantizeLinear", "float16", (given(2, 3), np.array(0.25, np.float16), np.array(1, np.int8)),
         dtype="float16", opset=19, slow=True),
    Case("QuantizeLinear", "bfloat16", (given(2, 3), np.array(0.25).astype(DType.BF16.numpy), np.array(1, np.int8)),
         dtype="bfloat16", opset=19, slow=True),
    Case("QuantizeLinear", "given_scale", (given(2, 3), Fixed(_scalar(0.02)), np.array(1, np.int8))),
    Case("DequantizeLinear", "uint16", (given(2, 3), _scalar(0.05), np.array(7, np.uint16)), dtype="uint16", opset=21),
    Case("DequantizeLinear", "int4", (given(2, 3), _scalar(0.05), np.array(-3).astype(DType.S4.numpy)), dtype="int4",
         opset=21),
    Case("DequantizeLinear", "blocked", (given(3, 4), np.array([[0.1, 0.2]] * 3, np.float32)), {"block_size": 2},
         dtype="int8", opset=21, slow=True),
    Case("DequantizeLinear", "float8", (given(2, 3), np.array(0.5, np.float16)), dtype="float8_e4m3fn", opset=19),
    Case("com.microsoft.QuantizeLinear", "int16", (given(2, 3), _scalar(1e-4), np.array(3, np.int16))),
    Case("com.microsoft.QuantizeLinear", "no_zero", (given(2, 3, 4), _scalar(0.02)), positive=True),
    Case("com.microsoft.DequantizeLinear", "int16", (given(2, 3), _scalar(1e-4), np.array(3, np.int16)), dtype="int16"),
    Case("com.microsoft.DequantizeLinear", "channels", (given(2, 3, 4), np.array([0.01, 0.02, 0.03], np.float32),
         np.array([1, 2, 3], np.int8)), {"axis": 1}, dtype="int8"),
)  # fmt: skip
