"""Pow, of mixed types."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Tensor
from edgewright.ops.core import Case, cases, describe, from_onnx, given
from edgewright.ops.elementwise import FLOATS, NUMBERS, Broadcast


def _of_integers(base: Array, exponent: Array) -> Array:
    """Exact, modulo the type's size; a negative power is the reciprocal without its fraction, of 0 also 0."""
    base, exponent = np.broadcast_arrays(base, exponent)
    factor = base.astype(np.int64).view(np.uint64)
    left = exponent.astype(np.int64).view(np.uint64) if exponent.dtype.kind == "i" else exponent.astype(np.uint64)
    negative = exponent < 0
    left = np.where(negative, left & np.uint64(1), left)
    result = np.ones_like(factor)
    while left.any():
        result = np.where(left & np.uint64(1), result * factor, result)
        factor, left = factor * factor, left >> np.uint64(1)
    result = np.where(negative & (np.abs(base) != 1), np.uint64(0), result)
    return result.view(np.int64).astype(base.dtype)


def _saturated(values: Array, dtype: np.dtype[Any]) -> Array:
    """Truncated toward zero, NaN as 0."""
    limits = np.iinfo(dtype)
    clean = np.where(np.isnan(values), 0, np.trunc(values))
    inside = np.where((clean >= float(limits.max)) | (clean <= float(limits.min)), 0, clean).astype(dtype)
    return np.where(clean >= float(limits.max), limits.max, np.where(clean <= float(limits.min), limits.min, inside))


def power(base: Array, exponent: Array) -> Array:
    """Return base to the power of exponent, of the base's type. float16 has been widened."""
    if base.dtype.kind == "f":
        return np.asarray(np.power(base, exponent)).astype(base.dtype)
    if exponent.dtype.kind != "f":
        return _of_integers(base, exponent)
    return _saturated(np.power(base.astype(np.float64), exponent.astype(np.float64)), base.dtype)


class Pow(Broadcast):
    """a to the power of b, of a's type. Source: ONNX Pow-15."""

    name = "Pow"
    dtypes = FLOATS | {DType.S32, DType.S64}
    formula = staticmethod(power)
    kernel = "ew_pow"
    header = "binary/ew_pow.h"
    in_place = frozenset({0, 1})

    def check_types(self, node: Node, a: Tensor, b: Tensor) -> None:
        """Any two of the types."""
        if b.dtype not in NUMBERS:
            raise UnsupportedError(f"{describe(node)}: an exponent of {b.dtype.value}")

    def function(self, node: Node, graph: Graph) -> str:
        """The C function."""
        a, b = (graph.tensors[name].dtype.suffix for name in node.inputs)
        return f"ew_pow_{a}_{b}"


@from_onnx("Pow")
def _pow(foreign: Any) -> None:
    x, exponent = foreign.tensor(0), foreign.tensor(1)
    is_square = exponent.data is not None and exponent.elements == 1 and float(exponent.data.reshape(())) == 2.0
    if is_square and x.dtype in Pow.dtypes and len(exponent.shape) <= len(x.shape):
        foreign.emit("Mul", [x.name, x.name], final=0)
        return
    foreign.emit("Pow", [x.name, exponent.name], final=0)


_EXPONENTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "float16")

cases(
    Case("Pow", "plain", (given(3, 4), given(4)), between=(0.1, 3.0), opset=7),
    Case("Pow", "square", (given(3, 4), np.float32(2.0))),
    Case("Pow", "square_of_integers", (given(3, 4), np.float32(2.0)), dtype="int32", between=(-99, 99)),
    Case("Pow", "root", (given(3, 4), np.float32(0.5)), positive=True),
    Case("Pow", "negative_base", (given(3, 4), np.array([3, -2, 0, 1], np.int64)), between=(-3.0, 3.0)),
    *(Case("Pow", f"{base}_{exponent}", (given(3, 4), np.array([0, 1, 3, 5], exponent)), dtype=base, between=(-9, 9),
           slow=(base, exponent) != ("int64", "int32"))
      for base in ("int32", "int64", "float32", "float64", "float16") for exponent in _EXPONENTS),
)  # fmt: skip
