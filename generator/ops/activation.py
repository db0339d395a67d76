"""Activations of one element. Relu and Clip are one operator here: Clamp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Node
from edgewright.ops.core import FREE, Case, cases, from_onnx, given
from edgewright.ops.elementwise import FLOATS, Unary


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), which overflows only where the result does."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


class Clamp(Unary):
    """min(max(x, low), high); NaN passes through."""

    name = "Clamp"
    dtypes = frozenset({DType.F32, DType.S8, DType.U8, DType.S16})  # integers until `fuse_integer_clamps`
    attributes = {"min": FREE[0], "max": FREE[1]}
    rounds_once = True
    kernel = "ew_clamp"
    own_float32 = True
    same_in_onnx = False

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        if x.dtype.kind != "f":
            return [np.clip(x, *(self.attr(node, key) for key in ("min", "max"))).astype(x.dtype)]
        low, high = (x.dtype.type(self.attr(node, key)) for key in ("min", "max"))
        return [np.where(x < low, low, np.where(x > high, high, x))]


@from_onnx("Relu")
def _relu(foreign: Any) -> None:
    x = foreign.tensor(0)
    if x.dtype in Clamp.dtypes:
        foreign.emit("Clamp", [x.name], final=0, min=0.0, max=math.inf)
    else:
        zero = foreign.add_constant(f"{foreign.name}.zero", np.zeros((), x.dtype.numpy))
        foreign.emit("Max", [x.name, zero], final=0)


@from_onnx("Clip")
def _clip(foreign: Any) -> None:
    """One Clamp where the bounds are known now and there is a kernel for it, otherwise Max, then Min."""
    x = foreign.tensor(0)
    bounds: list[float | str | None] = []
    for index, key in enumerate(("min", "max"), start=1):
        if foreign.opset < 11:
            bounds.append(float(foreign.attrs[key]) if key in foreign.attrs else None)
        elif foreign.has(index) and (x.dtype not in Clamp.dtypes or foreign.tensor(index).data is None):
            bounds.append(_scalar(foreign, index, key))
        else:
            bounds.append(float(foreign.constant(index, key).reshape(())) if foreign.has(index) else None)
    if any(isinstance(bound, float) and math.isnan(bound) for bound in bounds):
        foreign.unsupported("a bound that is NaN")
    if x.dtype in Clamp.dtypes and not any(isinstance(bound, str) for bound in bounds):
        low, high = (
            free if bound is None else float(bound) for bound, free in zip(bounds, FREE, strict=True)
        )
        low = min(low, high)  # Source: ONNX Clip-13: where they are crossed, every element becomes max
        foreign.emit("Clamp", [x.name], final=0, min=low, max=high)
        return
    names = [
        foreign.add_constant(f"{foreign.name}.bound", np.array(bound, x.dtype.numpy))
        if isinstance(bound, float) else bound for bound in bounds
    ]  # fmt: skip
    steps = [(op, name) for op, name in zip(("Max", "Min"), names, strict=True) if name is not None]
    if not steps:
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
    value = x.name
    for number, (op, name) in enumerate(steps, start=1):
        value = foreign.emit(op, [value, name], final=0 if number == len(steps) else None)


def _scalar(foreign: Any, index: int, what: str) -> str:
    """The name of a bound, which holds one element; its shape must not count. Raises: ShapeError."""
    bound = foreign.tensor(index)
    if bound.elements != 1:
        raise ShapeError(f"its '{what}' has {bound.elements} elements; it has to be a scalar")
    return str(bound.name if not bound.shape else foreign.emit("Reshape", [bound.name], shape=()))


class LeakyRelu(Unary):
    """x where x >= 0, else alpha * x. Source: ONNX LeakyRelu-16."""

    name = "LeakyRelu"
    dtypes = FLOATS
    attributes = {"alpha": 0.01}
    rounds_once = True
    kernel = "ew_leaky_relu"
    header = "unary/ew_math_constants.h"
    own_float32 = True
    formula = staticmethod(lambda x, alpha: np.where(x < 0, x * x.dtype.type(alpha), x))


def _logistic(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


class Sigmoid(Unary):
    """1 / (1 + exp(-x)). Source: ONNX Sigmoid-13."""

    name = "Sigmoid"
    dtypes = FLOATS
    kernel = "ew_sigmoid"
    header = "unary/ew_math.h"
    own_float32 = True
    formula = staticmethod(_logistic)


class Tanh(Unary):
    """tanh(x). Source: ONNX Tanh-13."""

    name = "Tanh"
    dtypes = FLOATS
    kernel = "ew_tanh"
    header = "unary/ew_math.h"
    own_float32 = True
    formula = staticmethod(np.tanh)


class HardSigmoid(Unary):
    """max(0, min(1, alpha * x + beta)). Source: ONNX HardSigmoid-22."""

    name = "HardSigmoid"
    dtypes = FLOATS
    attributes = {"alpha": 0.2, "beta": 0.5}
    kernel = "ew_hard_sigmoid"
    header = "unary/ew_math_constants.h"
    own_float32 = True
    formula = staticmethod(lambda x, alpha, beta: np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), 0, 1))


class HardSwish(Unary):
    """x * max(0, min(1, x / 6 + 0.5)). Source: ONNX HardSwish-22."""

    name = "HardSwish"
    dtypes = FLOATS
    kernel = "ew_hard_swish"
    header = "unary/ew_math.h"
    own_float32 = True
    formula = staticmethod(lambda x: x * np.clip(x / 6 + x.dtype.type(0.5), 0, 1))


@from_onnx("LeakyRelu", "HardSigmoid", "Sigmoid", "Tanh", "HardSwish")
def _plain(foreign: Any) -> None:
    attrs = {key: float(foreign.attrs[key]) for key in ("alpha", "beta") if key in foreign.attrs}
    foreign.emit(foreign.op_type, [foreign.tensor(0).name], final=0, **attrs)


cases(
    Case("Relu", "plain", (given(1, 3, 5),)),
    Case("Clip", "both", (given(4, 5), np.float32(-0.5), np.float32(0.6))),
    Case("Clip", "low_only", (given(4, 5), np.float32(-0.5))),
    Case("Clip", "crossed", (given(4, 5), np.float32(0.5), np.float32(-0.25))),
    Case("Clip", "opset_6", (given(4, 5),), {"min": -0.5, "max": 0.5}, opset=7),
    Case("LeakyRelu", "plain", (given(3, 7),), {"alpha": 0.2}),
    Case("LeakyRelu", "default", (given(3, 7),)),
    Case("Sigmoid", "plain", (given(3, 7),)),
    Case("Tanh", "plain", (given(3, 7),)),
    Case("HardSigmoid", "plain", (given(3, 7),), {"alpha": 0.3}),
    Case("HardSwish", "plain", (given(3, 7),)),
    Case("Clip", "high_only_at_run_time", (given(4, 5), None, given())),
    Case("Clip", "crossed_at_run_time", (given(4, 5), given(), given(1))),
    *(Case("Clip", dtype, (given(4, 5), np.array(-20, dtype), np.array(30, dtype)), dtype=dtype, between=(-99, 99),
           slow=dtype != "int32") for dtype in ("float64", "float16", "int8", "int16", "int32", "int64")),
    *(Case("Clip", dtype, (given(4, 5), np.array(20, dtype), np.array(30, dtype)), dtype=dtype, slow=True)
      for dtype in ("uint8", "uint16", "uint32", "uint64")),
    *(Case("Relu", dtype, (given(4, 5),), dtype=dtype, between=(-99, 99), slow=True)
      for dtype in ("float64", "float16", "int8", "int16", "int32", "int64")),
    *(Case(name, dtype, (given(3, 7),), dtype=dtype, slow=True, between=(-4.0, 4.0)) for dtype in ("float64", "float16")
      for name in ("LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish")),
)  # fmt: skip
