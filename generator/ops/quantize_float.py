"""QuantizeLinear and DequantizeLinear by float arithmetic: for what the integer form is not.

The steps are those of ONNX's formula, in its order, so that each result is the standard's to the bit.
"""

from __future__ import annotations

import math
from typing import Any

from edgewright.errors import ShapeError
from edgewright.ir import DType
from edgewright.ops.core import normalize_axis

_FLOAT8 = frozenset({DType.F8E4M3FN, DType.F8E4M3FNUZ, DType.F8E5M2, DType.F8E5M2FNUZ})
_RESULTS = _FLOAT8 | {
    DType.S8, DType.U8, DType.S16, DType.U16, DType.S4, DType.U4, DType.S2, DType.U2, DType.F4E2M1,
}  # fmt: skip
_DIVIDED_AS_THEY_ARE = frozenset({DType.F32, DType.F16, DType.F64})


def cast(foreign: Any, name: str, to: DType, final: int | None = None, **attrs: Any) -> str:
    """Convert a tensor, where it is of another type."""
    if foreign.type_of(name).dtype is to and final is None:
        return name
    return str(foreign.emit("Cast", [name], final=final, to=to.value, **attrs))


def dequantize_by_arithmetic(foreign: Any, to: Any) -> None:
    """(x - zero) * scale in float32, or float64 where the result is that, rounded once. Source: DequantizeLinear-28."""
    x = foreign.tensor(0)
    if not isinstance(to, DType) or not to.is_float or (x.dtype.is_float and x.dtype.bits > 8):
        foreign.unsupported(f"DequantizeLinear from {x.dtype.value} to {getattr(to, 'value', to)}")
    wide = DType.F64 if to is DType.F64 else DType.F32
    value = cast(foreign, x.name, wide)
    if foreign.has(2) and x.dtype not in _FLOAT8:  # which have none but 0
        value = foreign.emit("Sub", [value, spread(foreign, cast(foreign, foreign.tensor(2).name, wide))])
    scale = spread(foreign, cast(foreign, foreign.tensor(1).name, wide))
    if to is wide:
        foreign.emit("Mul", [value, scale], final=0)
    else:
        cast(foreign, foreign.emit("Mul", [value, scale]), to, final=0)


def quantize_by_arithmetic(foreign: Any, dtype: DType) -> None:
    """saturate(rint(x / scale) + zero), or x / scale + zero rounded to a small float. Source: QuantizeLinear-28.

    The division is in the type of the scale, or as the attribute `precision` says.
    """
    if dtype not in _RESULTS:
        foreign.unsupported(f"QuantizeLinear to {dtype.value}")
    steps = _divided(foreign)
    wide = foreign.type_of(steps).dtype
    zero = None
    if foreign.has(2) and dtype not in _FLOAT8:
        zero = spread(foreign, cast(foreign, foreign.tensor(2).name, wide))
    if dtype.is_integer:
        steps = foreign.emit("Round", [steps])
    if zero is not None:
        steps = foreign.emit("Add", [steps, zero])
    if dtype.is_integer:
        low, high = dtype.range
        steps = cast(foreign, steps, DType.F32)
        steps = foreign.emit("Clamp", [steps], min=float(low), max=float(high))
    cast(foreign, steps, dtype, final=0, saturate=bool(foreign.attrs.get("saturate", 1)))


def _divided(foreign: Any) -> str:
    """x / scale, rounded to the type of the division, in float32 or float64."""
    x, scale = foreign.tensor(0), foreign.tensor(1)
    precision = foreign.attrs.get("precision") or scale.dtype
    if precision not in (*_DIVIDED_AS_THEY_ARE, DType.BF16):
        foreign.unsupported(f"a division in {getattr(precision, 'value', precision)}")
    operands = [cast(foreign, x.name, precision), spread(foreign, cast(foreign, scale.name, precision))]
    if precision is DType.BF16:
        operands = [cast(foreign, name, DType.F32) for name in operands]
    result = foreign.emit("Div", operands)
    if precision is DType.BF16:
        result = cast(foreign, result, DType.BF16)
    return result if precision is DType.F64 else cast(foreign, result, DType.F32)


def spread(foreign: Any, name: str) -> str:
    """Give a scale or zero point a shape that broadcasts to the first input: for all, along an axis, or in blocks.

    Raises: ShapeError.
    """
    shape, own = foreign.tensor(0).shape, foreign.type_of(name).shape
    if math.prod(own) == 1:
        return name if not own else str(foreign.emit("Reshape", [name], shape=()))
    axis = normalize_axis(foreign.attrs.get("axis", 1), len(shape), foreign.op_type)
    block = int(foreign.attrs.get("block_size", 0))
    if not block:
        if own != (shape[axis],):
            raise ShapeError(f"scales or zero points of shape {list(own)} for axis {axis} of {list(shape)}")
        return str(foreign.emit("Reshape", [name], shape=tuple(d if i == axis else 1 for i, d in enumerate(shape))))
    if block < 0 or own != tuple(-(-d // block) if i == axis else d for i, d in enumerate(shape)):
        raise ShapeError(f"scales or zero points of shape {list(own)} for blocks of {block} on axis {axis} of {shape}")
    apart = foreign.emit("Reshape", [name], shape=(*own[: axis + 1], 1, *own[axis + 1 :]))
    repeated = foreign.emit("Expand", [apart], shape=(*own[: axis + 1], block, *own[axis + 1 :]))
    whole = tuple(d * block if i == axis else d for i, d in enumerate(own))
    flat = foreign.emit("Reshape", [repeated], shape=whole)
    if whole == shape:
        return str(flat)
    return str(foreign.emit("Slice", [flat], starts=(0,) * len(shape), steps=(1,) * len(shape), sizes=shape))
