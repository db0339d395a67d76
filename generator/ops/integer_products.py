"""Products of integers that are no layers between DequantizeLinear and QuantizeLinear: MatMulInteger, ConvInteger, and
QLinearMatMul and QLinearConv whose weights, scales or zero points are computed at run time.

Operands become int32 less their zero points, and int32 products follow; that is exact, and simple rather than fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import DType
from edgewright.ops.core import Case, Fixed, cases, from_onnx, given
from edgewright.ops.quantize_float import cast
from edgewright.ops.window import ImageNode

_OPERANDS = frozenset({DType.S8, DType.U8})


def _centred(foreign: Any, at: int, zero_at: int, axis: int | None) -> str:
    """An operand less its zero point, in int32; the zero point is one for all, or has a number for each of an axis.

    Raises: ShapeError.
    """
    x = foreign.tensor(at)
    if x.dtype not in _OPERANDS:
        foreign.unsupported(f"{foreign.op_type} on {x.dtype.value}")
    wide = cast(foreign, x.name, DType.S32)
    if not foreign.has(zero_at):
        return wide
    zero = foreign.tensor(zero_at)
    name = cast(foreign, zero.name, DType.S32)
    return str(foreign.emit("Sub", [wide, _along(foreign, name, x.shape, axis, "zero points")]))


def _along(foreign: Any, name: str, shape: tuple[int, ...], axis: int | None, what: str) -> str:
    """Give a vector a shape that broadcasts along an axis; one number broadcasts anywhere. Raises: ShapeError."""
    own = foreign.type_of(name).shape
    if int(np.prod(own)) == 1:
        return str(foreign.emit("Reshape", [name], shape=()))
    if axis is None:
        raise ShapeError(f"{what} of shape {list(own)} for an operand that takes one")
    if own == (shape[axis],):
        return str(foreign.emit("Reshape", [name], shape=tuple(d if i == axis else 1 for i, d in enumerate(shape))))
    if len(own) == len(shape) and all(size in (1, d) for size, d in zip(own, shape, strict=True)):
        return name
    raise ShapeError(f"{what} of shape {list(own)} for axis {axis} of {list(shape)}")


@from_onnx("MatMulInteger")
def _matmul_integer(foreign: Any) -> None:
    ranks = [len(foreign.tensor(index).shape) for index in range(2)]
    if min(ranks) < 2:
        foreign.unsupported("operands that are no matrices")
    operands = [_centred(foreign, 0, 2, ranks[0] - 2), _centred(foreign, 1, 3, ranks[1] - 1)]
    foreign.emit("PlainMatMul", operands, final=0)


@from_onnx("ConvInteger")
def _conv_integer(foreign: Any) -> None:
    w = foreign.tensor(1)
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])))
    operands = [image.widened(_centred(foreign, 0, 2, None)), image.widened(_centred(foreign, 1, 3, 0))]
    image.emit("PlainConv", operands, group=foreign.attrs.get("group", 1))


def qlinear_matmul(foreign: Any) -> None:
    """QLinearMatMul of anything: int32 products, requantized by float32 arithmetic."""
    ranks = [len(foreign.tensor(index).shape) for index in (0, 3)]
    operands = [_centred(foreign, 0, 2, ranks[0] - 2), _centred(foreign, 3, 5, ranks[1] - 1)]
    _requantized(foreign, foreign.emit("PlainMatMul", operands), (ranks[0] - 2, ranks[1] - 1))


def qlinear_conv(foreign: Any) -> None:
    """QLinearConv of anything: int32 sums, requantized by float32 arithmetic."""
    w = foreign.tensor(3)
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])))
    operands = [image.widened(_centred(foreign, 0, 2, None)), image.widened(_centred(foreign, 3, 5, 0))]
    if foreign.has(8):
        operands.append(foreign.tensor(8).name)
    _requantized(foreign, image.apply("PlainConv", operands, group=foreign.attrs.get("group", 1)), (None, 1))


def _requantized(foreign: Any, sums: str, axes: tuple[int | None, int]) -> None:
    """Emit saturate(rint(sums * (a_scale * b_scale / y_scale)) + y_zero), which is the node's output.

    `axes` are those of the sums along which the scales of the two operands run.
    """
    shape = foreign.type_of(sums).shape
    scales = [cast(foreign, foreign.tensor(index).name, DType.F32) for index in (1, 4, 6)]
    left, right, result = (
        _along(foreign, name, shape, axis, "scales") for name, axis in zip(scales, (*axes, None), strict=True)
    )
    factor = foreign.emit("Div", [foreign.emit("Mul", [left, right]), result])
    dtype = foreign.tensor(7).dtype
    if dtype not in _OPERANDS:
        foreign.unsupported(f"a result of {dtype.value}")
    steps = foreign.emit("Round", [foreign.emit("Mul", [cast(foreign, sums, DType.F32), factor])])
    zero = _along(foreign, cast(foreign, foreign.tensor(7).name, DType.F32), shape, None, "zero points")
    low, high = dtype.range
    bounded = foreign.emit("Clamp", [foreign.emit("Add", [steps, zero])], min=float(low), max=float(high))
    cast(foreign, bounded, dtype, final=0)


def _i8(*values: int) -> Any:
    return np.array(values[0] if len(values) == 1 else values, np.int8)


_SCALE = Fixed(np.array(0.02, np.float32))
_ZERO = Fixed(_i8(3))

cases(
    Case("MatMulInteger", "zeros", (given(3, 4), given(4, 2), np.uint8(12), np.uint8(7)), dtype="uint8"),
    Case("MatMulInteger", "columns", (given(2, 3, 4), given(4, 2), _i8(1), _i8(-2, 5)), dtype="int8"),
    Case("MatMulInteger", "plain", (given(3, 4), given(4, 2)), dtype="int8", slow=True),
    Case("ConvInteger", "padding", (given(1, 2, 5, 4), given(3, 2, 3, 3), np.uint8(9)), {"pads": [1, 1, 1, 1]},
         dtype="uint8"),
    Case("QLinearMatMul", "run_time",
         (given(3, 5), _SCALE, _ZERO, given(5, 4), _SCALE, _ZERO, _SCALE, _ZERO), dtype="int8", slow=True),
    Case("QLinearConv", "run_time",
         (given(1, 2, 5, 5), _SCALE, _ZERO, given(3, 2, 3, 3), _SCALE, _ZERO, _SCALE, _ZERO), dtype="int8"),
)  # fmt: skip
