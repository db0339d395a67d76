"""Cast between any two element types, and BitCast, which keeps the bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    ints,
    required,
)
from edgewright.ops.reshape import copy_call

_FLOAT8 = frozenset({DType.F8E4M3FN, DType.F8E4M3FNUZ, DType.F8E5M2, DType.F8E5M2FNUZ})
_LARGEST = {DType.F8E4M3FN: 448.0, DType.F8E4M3FNUZ: 240.0, DType.F8E5M2: 57344.0, DType.F8E5M2FNUZ: 57344.0}
_ROUNDINGS = {"up": "EW_ROUND_UP", "down": "EW_ROUND_DOWN", "nearest": "EW_ROUND_NEAREST"}


def converted(x: Array, to: DType, saturate: bool = True, rounding: str = "up") -> Array:
    """Return the same numbers in another type, as the kernel makes them. Source: ONNX Cast-28."""
    source = DType.of(x)
    if x.dtype.isbuiltin != 1:  # exact in these
        x = x.astype(np.float32 if source.is_float else np.int8)
    with np.errstate(all="ignore"):
        if to is DType.B8:
            return np.asarray(x != 0)
        if to.is_integer:
            whole = x if not source.is_float else _truncated(x, to if to.bits >= 8 else DType.S32)
            return whole.astype(to.numpy)
        if to.numpy.isbuiltin == 1:
            return x.astype(to.numpy)
        single = x.astype(np.float32)
        if to is DType.F8E8M0:
            return _power_of_two(single, saturate, rounding)
        if to is DType.F4E2M1:  # has no NaN
            single = np.where(np.isnan(single), np.float32(-0.0), single)
        if to in _FLOAT8 and saturate:
            single = np.clip(single, -_LARGEST[to], _LARGEST[to])
        return single.astype(to.numpy)


def _truncated(x: Array, to: DType) -> Array:
    """Floats as integers: toward zero, saturating; NaN is 0."""
    low, high = to.range
    wide = np.where(np.isnan(x), 0.0, np.trunc(x.astype(np.float64)))
    inside = np.where((wide >= float(high)) | (wide <= float(low)), 0.0, wide).astype(to.numpy)
    return np.where(wide >= float(high), to.numpy.type(high), np.where(wide <= float(low), to.numpy.type(low), inside))


def _power_of_two(x: Array, saturate: bool, rounding: str) -> Array:
    """float32 as float8e8m0: the exponent of a power of two in -127..127."""
    fraction, exponent = np.frexp(np.abs(x).astype(np.float64))  # fraction in [0.5, 1)
    up = {"up": fraction > 0.5, "down": np.zeros(x.shape, bool), "nearest": fraction >= 0.75}[rounding]
    code = exponent - 1 + up + 127
    too_small, too_large = np.abs(x) < 2.0**-127, ~np.isfinite(x) | (code > 254)
    code = np.where(too_small, 0 if saturate else 255, np.where(too_large, 254 if saturate else 255, code))
    return np.where(np.isnan(x), 255, code).astype(np.uint8).view(DType.F8E8M0.numpy)


class Cast(Operator):
    """The same numbers in another type; see ew_cast.h for what does not fit. Source: ONNX Cast-28."""

    name = "Cast"
    arity = (1, 1)
    attributes = {"to": ..., "saturate": True, "round_mode": "up"}
    dtypes = frozenset(DType)
    elementwise = True
    rounds_once = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        if self.attr(node, "round_mode") not in _ROUNDINGS:
            raise ShapeError(f"{describe(node)}: round_mode '{self.attr(node, 'round_mode')}'")
        return [TensorType(required(inputs[0], node, "input").shape, DType(node.attrs["to"]))]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy and ml_dtypes."""
        to, saturate = DType(node.attrs["to"]), bool(self.attr(node, "saturate"))
        return [converted(np.asarray(inputs[0]), to, saturate, self.attr(node, "round_mode"))]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        return (_cast_call(x, y, x.dtype, y.dtype, self.attr(node, "saturate"), self.attr(node, "round_mode")),)


def _cast_call(x: Tensor, y: Tensor, source: DType, to: DType, saturate: bool = True, mode: str = "up") -> KernelCall:
    params: dict[str, ParamValue] = {
        "count": x.elements, "from": f"EW_NUMBER_{source.name}", "to": f"EW_NUMBER_{to.name}",
        "saturate": int(saturate), "rounding": _ROUNDINGS[mode],
    }  # fmt: skip
    return KernelCall("ew_cast", "cast/ew_cast.h", "ew_cast_params", params, (x.name, y.name))


class BitCast(Operator):
    """The same bits read as another type of the same width. Source: ONNX BitCast-26."""

    name = "BitCast"
    arity = (1, 1)
    attributes = {"to": ...}
    dtypes = frozenset(DType)
    elementwise = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x, to = required(inputs[0], node, "input"), DType(node.attrs["to"])
        if x.dtype.bits != to.bits:
            raise ShapeError(f"{describe(node)}: {x.dtype.value} and {to.value} do not have the same number of bits")
        return [TensorType(x.shape, to)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, to = np.array(inputs[0], order="C"), DType(node.attrs["to"])
        return [x.view(np.uint8) != 0 if to is DType.B8 else x.view(to.numpy)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """A copy; where a byte in memory has room for more than the type, integers whose low bits stay."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        if x.dtype.bits >= 8 and y.dtype is not DType.B8:
            return (copy_call((), (), (), 0, 0, x.size_bytes, x.name, y.name),)
        codes = {DType.F4E2M1: DType.U4}
        ends = [codes.get(dtype, dtype if dtype.bits < 8 else DType.U8) for dtype in (x.dtype, y.dtype)]
        return (_cast_call(x, y, ends[0], DType.B8 if y.dtype is DType.B8 else ends[1]),)


@from_onnx("Cast", "CastLike")
def _cast(foreign: Any) -> None:
    x = foreign.tensor(0)
    # the frontend has turned ONNX's number into a DType or a name
    to = foreign.attrs["to"] if foreign.op_type == "Cast" else foreign.tensor(1).dtype
    if not isinstance(to, DType):
        foreign.unsupported(f"a cast to {to}")
    if to is x.dtype:
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
        return
    extra: dict[str, Any] = {}
    if not foreign.attrs.get("saturate", 1):
        extra["saturate"] = False
    if foreign.attrs.get("round_mode", "up") != "up":
        extra["round_mode"] = foreign.attrs["round_mode"]
    foreign.emit("Cast", [x.name], final=0, to=to.value, **extra)


@from_onnx("BitCast")
def _bit_cast(foreign: Any) -> None:
    x, to = foreign.tensor(0), foreign.attrs["to"]
    if not isinstance(to, DType):
        foreign.unsupported(f"a cast to {to}")
    if to is x.dtype:
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
    else:
        foreign.emit("BitCast", [x.name], final=0, to=to.value)


cases(
    Case("CastLike", "integers", (given(2, 3), ints(1)), opset=19),
    Case("CastLike", "same", (given(2, 3), given(1)), opset=15),
    Case("Cast", "f32_to_s32", (given(3, 4),), {"to": "int32"}),
    Case("Cast", "f32_to_u8", (given(3, 4),), {"to": "uint8"}, positive=True),
    Case("Cast", "f32_to_b8", (given(3, 4),), {"to": "bool"}),
    Case("Cast", "u8_to_f32", (given(3, 4),), {"to": "float32"}, dtype="uint8"),
    Case("Cast", "s64_to_f32", (given(3, 4),), {"to": "float32"}, dtype="int64"),
    Case("Cast", "b8_to_f32", (given(3, 4),), {"to": "float32"}, dtype="bool"),
    Case("Cast", "f64_to_f16", (given(3, 4),), {"to": "float16"}, dtype="float64"),
    Case("Cast", "f32_to_bf16", (given(3, 4),), {"to": "bfloat16"}, special=True),
    Case("Cast", "bf16_to_f32", (given(3, 4),), {"to": "float32"}, dtype="bfloat16", slow=True),
    Case("Cast", "f32_to_f8", (given(3, 4),), {"to": "float8_e4m3fn", "saturate": 0}, opset=19, special=True),
    Case("Cast", "f8_to_f16", (given(3, 4),), {"to": "float16"}, opset=19, dtype="float8_e5m2", slow=True),
    Case("Cast", "s8_to_s4", (given(3, 4),), {"to": "int4"}, opset=21, dtype="int8"),
    Case("Cast", "u4_to_f32", (given(3, 4),), {"to": "float32"}, opset=21, dtype="uint4", slow=True),
    Case("Cast", "f32_to_f4", (given(3, 4),), {"to": "float4_e2m1fn"}, opset=23, slow=True),
    Case("Cast", "f32_to_e8m0", (given(3, 4),), {"to": "float8_e8m0fnu", "round_mode": "nearest"}, opset=24,
         positive=True, slow=True),
    Case("Cast", "same", (given(3, 4),), {"to": "float32"}),
    Case("BitCast", "f32_to_s32", (given(3, 4),), {"to": "int32"}, opset=26),
    Case("BitCast", "u4_to_s4", (given(3, 4),), {"to": "int4"}, opset=26, dtype="uint4"),
    Case("BitCast", "b8_to_u8", (given(3, 4),), {"to": "uint8"}, opset=26, dtype="bool", slow=True),
    Case("CastLike", "a_constant", (given(3, 4), np.zeros(1, np.int32))),
)  # fmt: skip
