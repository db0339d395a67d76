"""Functions of one element: elementary functions, rounding, activations beside those of activation.py."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops.activation import Sigmoid, softplus
from edgewright.ops.core import Case, KernelCall, ParamValue, cases, from_onnx, given
from edgewright.ops.elementwise import BOOL, FLOATS, INTEGERS, NUMBERS, SIGNED, UNSIGNED, Unary, define

_MATH, _CONSTANTS, _INTEGER = "unary/ew_math.h", "unary/ew_math_constants.h", "unary/ew_integer_math.h"


def _by_python(function: Any) -> Any:
    """An array function from one of Python's math module."""
    each = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(each(x)).astype(x.dtype)


erf, erfc = _by_python(math.erf), _by_python(math.erfc)


def _gelu(x: Array) -> Array:
    return np.asarray(x * x.dtype.type(0.5) * erfc(x * x.dtype.type(-math.sqrt(0.5))))


def _gelu_tanh(x: Array) -> Array:
    f = x.dtype.type
    return np.asarray(f(0.5) * x * (1 + np.tanh(f(math.sqrt(2 / math.pi)) * (x + f(0.044715) * x * x * x))))


# Operators that ONNX names alike: what they are, whether one operation rounds once, and the formula.
_FLOAT: dict[str, tuple[bool, Any]] = {
    "Ceil": (True, np.ceil), "Floor": (True, np.floor), "Round": (True, np.rint), "Sqrt": (True, np.sqrt),
    "Reciprocal": (True, lambda x: 1 / x), "Exp": (False, np.exp), "Log": (False, np.log),
    "Sin": (False, np.sin), "Cos": (False, np.cos), "Tan": (False, np.tan),
    "Asin": (False, np.arcsin), "Acos": (False, np.arccos), "Atan": (False, np.arctan),
    "Sinh": (False, np.sinh), "Cosh": (False, np.cosh),
    "Asinh": (False, np.arcsinh), "Acosh": (False, np.arccosh), "Atanh": (False, np.arctanh),
    "Erf": (False, erf), "Softplus": (False, softplus),
    "Softsign": (False, lambda x: x / (1 + np.abs(x))), "Mish": (False, lambda x: x * np.tanh(softplus(x))),
}  # fmt: skip

for _name, (_once, _formula) in _FLOAT.items():
    define(
        Unary, _name, f"Element by element. Source: ONNX {_name}.", dtypes=FLOATS, rounds_once=_once,
        formula=staticmethod(_formula), kernel=f"ew_{_name.lower()}", header=_MATH,
    )  # fmt: skip


class _FloatOrInteger(Unary):
    """A function with a formula for floats and one for integers."""

    rounds_once = True
    header = _MATH

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        (call,) = super().lower(node, graph)
        header = _MATH if graph.tensors[node.inputs[0]].dtype in FLOATS else _INTEGER
        return (replace(call, header=header),)


for _name, _dtypes, _formula in (("Abs", NUMBERS, np.abs), ("Neg", FLOATS | SIGNED, np.negative),
                                 ("Sign", NUMBERS, np.sign)):  # fmt: skip
    define(
        _FloatOrInteger, _name, f"Element by element; the least integer has no opposite. Source: ONNX {_name}-13.",
        dtypes=_dtypes, formula=staticmethod(_formula), kernel=f"ew_{_name.lower()}",
    )  # fmt: skip

define(
    Unary, "Not", "Source: ONNX Not-1.", dtypes=BOOL, formula=staticmethod(np.logical_not), kernel="ew_not",
    header=_INTEGER,
)  # fmt: skip
define(
    Unary, "BitwiseNot", "Source: ONNX BitwiseNot-18.", dtypes=INTEGERS, formula=staticmethod(np.invert),
    kernel="ew_bitwise_not", header=_INTEGER,
)  # fmt: skip
define(
    Unary, "IsNaN", "Source: ONNX IsNaN-20.", dtypes=FLOATS, formula=staticmethod(np.isnan), kernel="ew_isnan",
    header=_INTEGER, result=DType.B8, rounds_once=True,
)  # fmt: skip
define(
    Unary, "IsInf", "Source: ONNX IsInf-20.", dtypes=FLOATS, kernel="ew_isinf", header=_INTEGER, result=DType.B8,
    rounds_once=True, attributes={"detect_negative": 1, "detect_positive": 1},
    formula=staticmethod(
        lambda x, detect_negative, detect_positive:
        (np.isneginf(x) & bool(detect_negative)) | (np.isposinf(x) & bool(detect_positive))
    ),
)  # fmt: skip


class Gelu(Unary):
    """x / 2 * (1 + erf(x / sqrt(2))), or its approximation by tanh. Source: ONNX Gelu-20."""

    name = "Gelu"
    dtypes = FLOATS
    attributes = {"approximate": "none"}
    header = _MATH
    kernel = "ew_gelu"
    formula = staticmethod(lambda x, approximate: _gelu_tanh(x) if approximate == "tanh" else _gelu(x))

    def params(self, node: Node) -> Mapping[str, ParamValue]:
        """None: the approximation is another kernel."""
        return {}

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        (call,) = super().lower(node, graph)
        suffix = call.function.removeprefix("ew_gelu")
        function = f"ew_gelu_tanh{suffix}" if self.attr(node, "approximate") == "tanh" else call.function
        return (replace(call, function=function),)


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)), x)


def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return np.asarray(x.dtype.type(gamma) * np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0))))


def _celu(x: Array, alpha: float) -> Array:
    scale = x.dtype.type(alpha)
    return np.where(x < 0, scale * np.expm1(np.where(x < 0, x, 0) / scale), x)


def _shrink(x: Array, lambd: float, bias: float) -> Array:
    wide = x if x.dtype.kind == "f" else x.astype(np.float64)
    low, shift = wide.dtype.type(lambd), wide.dtype.type(np.float32(bias))
    moved = np.where(wide < -low, wide + shift, np.where(wide > low, wide - shift, 0))
    if x.dtype.kind == "f":
        return moved
    limits = np.iinfo(x.dtype)
    return np.clip(np.trunc(moved), limits.min, limits.max)


_NARROW = frozenset({DType.S8, DType.U8, DType.S16, DType.U16, DType.S32, DType.U32})

# Attributes in the order of the kernel's alpha and beta.
_WITH_CONSTANTS: dict[str, tuple[dict[str, float], str, Any]] = {
    "Elu": ({"alpha": 1.0}, "elu", _elu),
    "Selu": ({"alpha": 1.6732631921768188, "gamma": 1.0507010221481323}, "selu", _selu),
    "Celu": ({"alpha": 1.0}, "celu", _celu),
    "Swish": ({"alpha": 1.0}, "swish", lambda x, alpha: x * Sigmoid.formula(x * x.dtype.type(alpha))),
    "ThresholdedRelu": (
        {"alpha": 1.0}, "thresholded_relu", lambda x, alpha: np.where(x > x.dtype.type(alpha), x, 0)
    ),
    "Shrink": ({"lambd": 0.5, "bias": 0.0}, "shrink", _shrink),
}  # fmt: skip

for _name, (_attributes, _kernel, _formula) in _WITH_CONSTANTS.items():
    define(
        Unary, _name, f"Element by element. Source: ONNX {_name}.", attributes=_attributes,
        dtypes=FLOATS | _NARROW if _name == "Shrink" else FLOATS, formula=staticmethod(_formula),
        rounds_once=_name in ("ThresholdedRelu", "Shrink"), kernel=f"ew_{_kernel}", header=_CONSTANTS,
    )  # fmt: skip


@from_onnx(*_FLOAT, *_WITH_CONSTANTS, "Abs", "Neg", "Sign", "Not", "BitwiseNot", "IsNaN", "IsInf", "Gelu")
def _plain(foreign: Any) -> None:
    """Attributes have ONNX's names."""
    if foreign.op_type == "Celu" and foreign.attrs.get("alpha", 1.0) == 0:
        foreign.unsupported("alpha of 0, by which it divides")
    x = foreign.tensor(0)
    if x.dtype in UNSIGNED and foreign.op_type == "Abs":
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
        return
    foreign.emit(foreign.op_type, [x.name], final=0, **foreign.attrs)


_RANGES = {"Log": (0.01, 5.0), "Sqrt": (0.0, 5.0), "Asin": (-1.0, 1.0), "Acos": (-1.0, 1.0), "Acosh": (1.0, 9.0),
           "Atanh": (-0.99, 0.99), "Round": (-9.0, 9.0)}  # fmt: skip
_OPSETS = {"Gelu": 20, "Mish": 18, "BitwiseNot": 18, "Swish": 24, "Celu": 28}

cases(
    *(Case(name, "plain", (given(3, 7),), between=_RANGES.get(name, (-4.0, 4.0)), opset=_OPSETS.get(name, 17))
      for name in (*_FLOAT, *_WITH_CONSTANTS, "Abs", "Neg", "Sign", "Gelu")),
    *(Case(name, dtype, (given(3, 7),), dtype=dtype, between=_RANGES.get(name, (-4.0, 4.0)), slow=True,
           opset=_OPSETS.get(name, 17))
      for name in (*_FLOAT, *_WITH_CONSTANTS, "Gelu") for dtype in ("float64", "float16")),
    *(Case(name, dtype, (given(3, 7),), dtype=dtype, between=(-99, 99), slow=(name, dtype) != ("Abs", "int8"))
      for name in ("Abs", "Neg", "Sign") for dtype in ("int8", "int16", "int32", "int64", "float64", "float16")),
    *(Case(name, dtype, (given(3, 7),), dtype=dtype, slow=True) for name in ("Abs", "Sign")
      for dtype in ("uint8", "uint16", "uint32", "uint64")),
    Case("Gelu", "tanh", (given(3, 7),), {"approximate": "tanh"}, opset=20),
    Case("Elu", "alpha", (given(3, 7),), {"alpha": 0.7}, opset=7),
    Case("Selu", "constants", (given(3, 7),), {"alpha": 1.5, "gamma": 0.9}),
    Case("Celu", "alpha", (given(3, 7),), {"alpha": 2.5}, opset=12),
    Case("Shrink", "bias", (given(3, 7),), {"lambd": 0.75, "bias": 0.25}),
    Case("Shrink", "integers", (given(3, 7),), {"lambd": 20.0, "bias": 3.0}, dtype="int16", between=(-99, 99)),
    Case("ThresholdedRelu", "alpha", (given(3, 7),), {"alpha": 0.25}),
    Case("Swish", "alpha", (given(3, 7),), {"alpha": 1.5}, opset=24),
    Case("Not", "plain", (given(3, 7),), dtype="bool"),
    *(Case("BitwiseNot", dtype, (given(3, 7),), dtype=dtype, opset=18, slow=dtype != "int16")
      for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")),
    *(Case(name, "plain", (given(3, 7),), special=True) for name in ("IsNaN", "IsInf")),
    *(Case(name, "float64", (given(3, 7),), special=True, dtype="float64", slow=True) for name in ("IsNaN", "IsInf")),
    *(Case(name, "float16", (given(3, 7),), special=True, dtype="float16", slow=True, opset=20)
      for name in ("IsNaN", "IsInf")),
    Case("IsInf", "positive", (given(3, 7),), {"detect_negative": 0}, special=True),
)  # fmt: skip
