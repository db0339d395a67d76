"""The QOperator form of quantized ONNX models: each node becomes Dequantize, its float operator, Quantize.

The pass `lower_to_integers` then makes of it what it makes of a model in QDQ form: there is one way to integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright.errors import QuantizationError, ShapeError
from edgewright.ir import DType, Tensor
from edgewright.ops.core import Case, ForeignNode, cases, from_onnx, given, normalize_axis
from edgewright.ops.integer_products import qlinear_conv, qlinear_matmul
from edgewright.ops.q_core import QUANTIZED
from edgewright.ops.quantization import check_scales
from edgewright.ops.window import ImageNode


def _dequantized(foreign: ForeignNode, x: Tensor, scale_at: int, zero_at: int, axis: int | None = None) -> str:
    """Emit the Dequantize of a tensor whose scale and zero point are these inputs of the node."""
    scale = foreign.constant(scale_at, "scale")
    zero = foreign.constant(zero_at, "zero_point") if foreign.has(zero_at) else np.zeros(scale.shape, x.dtype.numpy)
    check_scales(scale, x.dtype, f"{foreign.op_type} '{foreign.name}'")
    if DType.of(zero) is not x.dtype or x.dtype not in QUANTIZED:
        raise QuantizationError(f"a zero point of type {zero.dtype} for an input of {x.dtype.value}")
    if scale.size == 1 and zero.size == 1:
        return str(foreign.emit("Dequantize", [x.name], scale=float(scale.reshape(())), zero=int(zero.reshape(()))))
    size = 0 if axis is None else x.shape[axis]
    if axis is None or x.data is None or scale.size not in (1, size) or zero.size not in (1, size):
        foreign.unsupported(f"{scale.size} scales and {zero.size} zero points for a tensor of shape {list(x.shape)}")
    shape = [1] * len(x.shape)
    shape[axis] = -1
    arrays = [np.broadcast_to(a.reshape(-1), (x.shape[axis],)).reshape(shape) for a in (scale, zero)]
    names = [foreign.add_constant(f"{x.name}.{hint}", a) for hint, a in zip(("scale", "zero"), arrays, strict=True)]
    return foreign.emit("Dequantize", [x.name, *names])


def _quantized(foreign: Any, real: str, scale_at: int, zero_at: int, default: DType) -> None:
    """Emit the Quantize that makes the node's output."""
    scale = foreign.constant(scale_at, "y_scale")
    zero = foreign.constant(zero_at, "y_zero_point") if foreign.has(zero_at) else np.zeros((), default.numpy)
    check_scales(scale, DType.of(zero), f"{foreign.op_type} '{foreign.name}'")
    if scale.size != 1 or zero.size != 1 or DType.of(zero) not in QUANTIZED:
        foreign.unsupported("an output with several scales, or of another type than int8, uint8 or int16")
    foreign.emit(
        "Quantize", [real], final=0, scale=float(scale.reshape(())), zero=int(zero.reshape(())), dtype=DType.of(zero)
    )


def _bias(foreign: Any, index: int, x_scale_at: int, w_scale_at: int) -> list[str]:
    """The int32 bias, which has the scale of the accumulator."""
    if not foreign.has(index):
        return []
    bias = foreign.constant(index, "B")
    with np.errstate(over="ignore"):  # what is infinite is refused with the layer's other scales
        product = foreign.constant(x_scale_at, "x").reshape(-1) * foreign.constant(w_scale_at, "w").reshape(-1)
    if bias.dtype != np.int32 or bias.ndim != 1 or product.size not in (1, bias.size):
        raise ShapeError(f"a bias of {bias.dtype} {list(bias.shape)} for {product.size} scales")
    scale = np.broadcast_to(product.astype(np.float32), bias.shape)
    names = [foreign.tensor(index).name, foreign.add_constant("bias.scale", scale),
             foreign.add_constant("bias.zero", np.zeros(bias.shape, np.int32))]  # fmt: skip
    return [str(foreign.emit("Dequantize", names))]


def _has_constants(foreign: Any, *indices: int) -> bool:
    """Whether all of these inputs that are there are constants, and the scales among them float32."""
    known = [foreign.tensor(index) for index in indices if foreign.has(index)]
    return all(x.data is not None and (not x.dtype.is_float or x.dtype is DType.F32) for x in known)


@from_onnx("QLinearConv")
def _conv(foreign: Any) -> None:
    x, w = foreign.tensor(0), foreign.tensor(3)
    if w.data is None or not _has_constants(foreign, 1, 2, 4, 5, 6, 7, 8):
        qlinear_conv(foreign)
        return
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])))
    inputs = [image.widened(_dequantized(foreign, x, 1, 2)), image.widened(_dequantized(foreign, w, 4, 5, axis=0))]
    inputs += _bias(foreign, 8, 1, 4)
    result = image.apply("Conv", inputs, group=foreign.attrs.get("group", 1))
    _quantized(foreign, result, 6, 7, x.dtype)


@from_onnx("QLinearMatMul")
def _matmul(foreign: Any) -> None:
    a, b = foreign.tensor(0), foreign.tensor(3)
    if min(len(a.shape), len(b.shape)) < 2:
        raise ShapeError("QLinearMatMul takes matrices")
    if not _has_constants(foreign, 1, 2, 4, 5, 6, 7):
        qlinear_matmul(foreign)
        return
    right = _dequantized(foreign, b, 4, 5, axis=len(b.shape) - 1)
    product = foreign.emit("MatMul", [_dequantized(foreign, a, 1, 2), right])
    _quantized(foreign, product, 6, 7, a.dtype)


@from_onnx("com.microsoft.QGemm")
def _gemm(foreign: Any) -> None:
    a, b = foreign.tensor(0), foreign.tensor(3)
    if foreign.attrs.get("alpha", 1.0) != 1.0 or foreign.attrs.get("transA", 0) or len(a.shape) != 2:
        foreign.unsupported("alpha or transA")
    if not foreign.has(7):
        foreign.unsupported("an output that is not quantized")
    by_row = foreign.attrs.get("transB", 0)
    right = _dequantized(foreign, b, 4, 5, axis=0 if by_row else 1)
    right = right if by_row else foreign.emit("Transpose", [right], perm=(1, 0))
    result = foreign.emit("FullyConnected", [_dequantized(foreign, a, 1, 2), right, *_bias(foreign, 6, 1, 4)])
    _quantized(foreign, result, 7, 8, a.dtype)


@from_onnx("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def _binary(foreign: Any) -> None:
    a, b = foreign.tensor(0), foreign.tensor(3)
    op = foreign.op_type.removeprefix("QLinear")
    real = foreign.emit(op, [_dequantized(foreign, a, 1, 2), _dequantized(foreign, b, 4, 5)])
    _quantized(foreign, real, 6, 7, a.dtype)


def _unary(op: str, attributes: Callable[[Any], dict[str, Any]]) -> Callable[[Any], None]:
    def convert(foreign: Any) -> None:
        x = foreign.tensor(0)
        real = foreign.emit(op, [_dequantized(foreign, x, 1, 2)], **attributes(foreign))
        _quantized(foreign, real, 3, 4, x.dtype)

    return convert


from_onnx("com.microsoft.QLinearSigmoid")(_unary("Sigmoid", lambda foreign: {}))
from_onnx("com.microsoft.QLinearLeakyRelu")(
    _unary("LeakyRelu", lambda foreign: {"alpha": float(foreign.attrs.get("alpha", 0.01))})
)


@from_onnx("com.microsoft.QLinearSoftmax")
def _softmax(foreign: Any) -> None:
    x = foreign.tensor(0)
    axis = normalize_axis(foreign.attrs.get("axis", -1), len(x.shape), foreign.op_type)
    if axis != len(x.shape) - 1 and foreign.attrs.get("opset", 1) < 13:
        foreign.unsupported("the flattening softmax of old operator sets on another axis than the last")
    real = foreign.emit("Softmax", [_dequantized(foreign, x, 1, 2)], axis=axis)
    _quantized(foreign, real, 3, 4, x.dtype)


@from_onnx("com.microsoft.QLinearAveragePool", "com.microsoft.QLinearGlobalAveragePool")
def _average_pool(foreign: Any) -> None:
    x = foreign.tensor(0)
    if foreign.attrs.get("channels_last", 0):
        foreign.unsupported("channels_last=1")
    everything = "Global" in foreign.op_type
    image = ImageNode(foreign, x.shape[2:] if everything else tuple(foreign.attrs["kernel_shape"]))
    extra: dict[str, Any] = {}
    if not everything:
        extra = {"ceil_mode": bool(foreign.attrs.get("ceil_mode", 0)),
                 "count_include_pad": bool(foreign.attrs.get("count_include_pad", 0))}  # fmt: skip
    real = image.apply("AveragePool", [image.widened(_dequantized(foreign, x, 1, 2))], **extra)
    _quantized(foreign, real, 3, 4, x.dtype)


@from_onnx("com.microsoft.QLinearConcat")
def _concat(foreign: Any) -> None:
    """Inputs: y_scale, y_zero_point, then tensor, scale and zero point of each operand."""
    parts = [_dequantized(foreign, foreign.tensor(i), i + 1, i + 2) for i in range(2, foreign.n_inputs, 3)]
    rank = len(foreign.tensor(2).shape)
    real = foreign.emit("Concat", parts, axis=normalize_axis(foreign.attrs["axis"], rank, foreign.op_type))
    _quantized(foreign, real, 0, 1, foreign.tensor(2).dtype)


def _f(*values: float) -> Any:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def _i8(*values: int) -> Any:
    return np.array(values[0] if len(values) == 1 else values, np.int8)


def _u8(value: int) -> Any:
    return np.array(value, np.uint8)


def _ints(*shape: int, dtype: type = np.int8, low: int = -127, high: int = 127) -> Any:
    return np.random.default_rng(7).integers(low, high + 1, shape).astype(dtype)


_X, _Y = (_f(0.02), _i8(3)), (_f(0.05), _i8(-4))

cases(
    Case("QLinearConv", "channels", (given(1, 3, 7, 6), *_X, _ints(4, 3, 3, 3), _f(0.01, 0.02, 0.005, 0.01),
         _i8(0, 0, 0, 0), *_Y, _ints(4, dtype=np.int32)), {"pads": [1, 1, 1, 1]}, dtype="int8"),
    Case("QLinearConv", "unsigned", (given(1, 3, 7, 6), _f(0.02), _u8(120), _ints(4, 3, 3, 3, dtype=np.uint8, low=0),
         _f(0.01), _u8(131), _f(0.3), _u8(128)), {"strides": [2, 2]}, dtype="uint8"),
    Case("QLinearConv", "depthwise", (given(1, 4, 8, 5), *_X, _ints(4, 1, 3, 3), _f(0.01), _i8(0), *_Y),
         {"group": 4}, dtype="int8"),
    Case("QLinearMatMul", "constant", (given(3, 10), *_X, _ints(10, 5), _f(0.01), _i8(0), *_Y), dtype="int8"),
    Case("QLinearMatMul", "given", (given(2, 3, 4), *_X, given(2, 4, 5), _f(0.03), _i8(1), *_Y), dtype="int8"),
    Case("com.microsoft.QGemm", "rows", (given(3, 10), *_X, _ints(5, 10), _f(0.01), _i8(0), _ints(5, dtype=np.int32),
         *_Y), {"transB": 1}, dtype="int8"),
    Case("com.microsoft.QLinearAdd", "same", (given(2, 3, 4), *_X, given(2, 3, 4), _f(0.03), _i8(1), *_Y),
         dtype="int8"),
    Case("com.microsoft.QLinearMul", "row", (given(2, 3, 4), *_X, given(4), _f(0.03), _i8(1), *_Y), dtype="int8"),
    Case("com.microsoft.QLinearSigmoid", "plain", (given(3, 5), *_X, _f(1 / 256), _i8(-128)), dtype="int8"),
    Case("com.microsoft.QLinearLeakyRelu", "plain", (given(3, 5), *_X, *_Y), {"alpha": 0.1}, dtype="int8"),
    Case("com.microsoft.QLinearSoftmax", "last", (given(3, 9), _f(0.1), _i8(3), _f(1 / 256), _i8(-128)),
         {"axis": 1, "opset": 13}, dtype="int8"),
    Case("com.microsoft.QLinearAveragePool", "pads", (given(1, 3, 7, 9), *_X, _f(0.0371), _i8(-4)),
         {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, dtype="int8"),
    Case("com.microsoft.QLinearGlobalAveragePool", "image", (given(1, 5, 6, 7), *_X, *_Y), dtype="int8"),
    Case("com.microsoft.QLinearConcat", "rescaled", (*_Y, given(2, 3), *_X, given(2, 4), _f(0.03), _i8(1)),
         {"axis": 1}, dtype="int8"),
)  # fmt: skip
