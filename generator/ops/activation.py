"""Functions of one element, and Softmax. Relu and Clip are one operator here: Clamp."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    FREE,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    normalize_axis,
    required,
)


class Unary(Operator):
    """y = f(x), element by element."""

    arity = (1, 1)
    elementwise = True
    in_place = frozenset({0})
    kernel: ClassVar[str]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; the output has the input's."""
        return [required(inputs[0], node, "X").type]

    def params(self, node: Node) -> Mapping[str, ParamValue]:
        """The kernel's parameters beside the number of elements."""
        return {name: float(self.attr(node, name)) for name in self.attributes}

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        count = graph.tensors[node.output].elements
        return (
            KernelCall(
                self.kernel, f"unary/{self.kernel}.h", f"{self.kernel}_params",
                {"count": count, **self.params(node)}, (node.inputs[0], node.output),
            ),
        )  # fmt: skip


class Clamp(Unary):
    """min(max(x, low), high); NaN passes through."""

    name = "Clamp"
    dtypes = frozenset({DType.F32, DType.S8, DType.U8, DType.S16})  # integers until `fuse_integer_clamps`
    attributes = {"min": FREE[0], "max": FREE[1]}
    rounds_once = True
    kernel = "ew_clamp_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        if x.dtype.kind != "f":
            return [np.clip(x, *(self.attr(node, key) for key in ("min", "max"))).astype(x.dtype)]
        low, high = (x.dtype.type(self.attr(node, key)) for key in ("min", "max"))
        return [np.where(x < low, low, np.where(x > high, high, x))]


@from_onnx("Relu")
def _relu(foreign: Any) -> None:
    foreign.emit("Clamp", [foreign.tensor(0).name], final=0, min=0.0, max=math.inf)


@from_onnx("Clip")
def _clip(foreign: Any) -> None:
    bounds = []
    for index, (key, free) in enumerate(zip(("min", "max"), FREE, strict=True), start=1):
        if foreign.opset < 11:
            bounds.append(float(foreign.attrs.get(key, free)))
        else:
            bounds.append(float(foreign.constant(index, key).reshape(())) if foreign.has(index) else free)
    low, high = bounds
    if math.isnan(low) or math.isnan(high):
        foreign.unsupported("a bound that is NaN")
    if low > high:  # Source: ONNX Clip-13: every element becomes max
        low = high
    foreign.emit("Clamp", [foreign.tensor(0).name], final=0, min=low, max=high)


class LeakyRelu(Unary):
    """x where x >= 0, else alpha * x. Source: ONNX LeakyRelu-16."""

    name = "LeakyRelu"
    attributes = {"alpha": 0.01}
    rounds_once = True
    kernel = "ew_leaky_relu_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        return [np.where(x < 0, x * x.dtype.type(self.attr(node, "alpha")), x)]


class Sigmoid(Unary):
    """1 / (1 + exp(-x)). Source: ONNX Sigmoid-13."""

    name = "Sigmoid"
    kernel = "ew_sigmoid_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, without overflow."""
        x = np.asarray(inputs[0])
        small = np.exp(-np.abs(x))
        return [np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)]


class Tanh(Unary):
    """tanh(x). Source: ONNX Tanh-13."""

    name = "Tanh"
    kernel = "ew_tanh_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.tanh(np.asarray(inputs[0]))]


class HardSigmoid(Unary):
    """max(0, min(1, alpha * x + beta)). Source: ONNX HardSigmoid-22."""

    name = "HardSigmoid"
    attributes = {"alpha": 0.2, "beta": 0.5}
    kernel = "ew_hard_sigmoid_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        line = x * x.dtype.type(self.attr(node, "alpha")) + x.dtype.type(self.attr(node, "beta"))
        return [np.clip(line, 0, 1).astype(x.dtype)]


class HardSwish(Unary):
    """x * max(0, min(1, x / 6 + 0.5)). Source: ONNX HardSwish-22."""

    name = "HardSwish"
    kernel = "ew_hard_swish_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        return [(x * np.clip(x / 6 + x.dtype.type(0.5), 0, 1)).astype(x.dtype)]


@from_onnx("LeakyRelu", "HardSigmoid")
def _with_constants(foreign: Any) -> None:
    attrs = {key: float(foreign.attrs[key]) for key in ("alpha", "beta") if key in foreign.attrs}
    foreign.emit(foreign.op_type, [foreign.tensor(0).name], final=0, **attrs)


@from_onnx("Sigmoid", "Tanh", "HardSwish")
def _plain(foreign: Any) -> None:
    foreign.emit(foreign.op_type, [foreign.tensor(0).name], final=0)


class Softmax(Operator):
    """exp(x) / sum(exp(x)) along an axis. Source: ONNX Softmax-13."""

    name = "Softmax"
    arity = (1, 1)
    attributes = {"axis": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any of rank 1 or more."""
        x = required(inputs[0], node, "X")
        normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        powers = np.exp(x - x.max(axis=node.attrs["axis"], keepdims=True))
        return [powers / powers.sum(axis=node.attrs["axis"], keepdims=True)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        shape, axis = graph.tensors[node.output].shape, node.attrs["axis"]
        params = {"outer": math.prod(shape[:axis]), "axis": shape[axis], "inner": math.prod(shape[axis + 1 :])}
        return (
            KernelCall(
                "ew_softmax_f32", "softmax/ew_softmax_f32.h", "ew_softmax_f32_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))


@from_onnx("Softmax")
def _softmax(foreign: Any) -> None:
    x = foreign.tensor(0)
    axis = normalize_axis(foreign.attrs.get("axis", -1 if foreign.opset >= 13 else 1), len(x.shape), "Softmax")
    if foreign.opset >= 13:
        foreign.emit("Softmax", [x.name], final=0, axis=axis)
        return
    # Source: ONNX Softmax-11: the axes from `axis` on are one
    flat = foreign.emit("Reshape", [x.name], shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    foreign.emit("Reshape", [foreign.emit("Softmax", [flat], axis=1)], final=0, shape=x.shape)


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
    Case("Softmax", "last", (given(2, 3, 7),)),
    Case("Softmax", "middle", (given(2, 5, 7),), {"axis": 1}),
    Case("Softmax", "opset_11", (given(2, 3, 4),), opset=11),
    Case("Softmax", "opset_11_axis", (given(2, 3, 4),), {"axis": 2}, opset=11),
)
