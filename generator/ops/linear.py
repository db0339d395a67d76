"""Matrix products: FullyConnected (weights by output feature) and MatMul. ONNX Gemm becomes these."""

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
    activation_params,
    broadcast_shape,
    broadcast_strides,
    cases,
    check_same_type,
    clamped,
    describe,
    from_onnx,
    given,
    padded_to_max_rank,
    required,
    weights,
)


class FullyConnected(Operator):
    """y[..., o] = clamp(sum_i x[..., i] * W[o, i] + B[o])."""

    name = "FullyConnected"
    arity = (2, 3)
    fuses_activation = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x [..., in], W [out, in], B [out] -> [..., out]."""
        x, w = required(inputs[0], node, "x"), required(inputs[1], node, "W")
        check_same_type(node, *inputs)
        bias = inputs[2] if len(inputs) > 2 else None
        if not x.shape or len(w.shape) != 2 or x.shape[-1] != w.shape[1]:
            raise ShapeError(f"{describe(node)}: input {list(x.shape)} and weights {list(w.shape)} do not fit")
        if bias is not None and bias.shape != w.shape[:1]:
            raise ShapeError(f"{describe(node)}: bias {list(bias.shape)} for {w.shape[0]} outputs")
        return [TensorType((*x.shape[:-1], w.shape[0]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        y = np.asarray(inputs[0]) @ np.asarray(inputs[1]).T
        if len(inputs) > 2 and inputs[2] is not None:
            y = y + inputs[2]
        return [clamped(y, self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; all leading axes are rows."""
        x, w = (graph.tensors[name] for name in node.inputs[:2])
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        params = {
            "rows": x.elements // w.shape[1], "in_features": w.shape[1], "out_features": w.shape[0],
            **activation_params(self, node),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_fully_connected_f32", "fully_connected/ew_fully_connected_f32.h", "ew_fully_connected_f32_params",
                params, (x.name, w.name, bias, node.output),
            ),
        )  # fmt: skip

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output and input feature."""
        return graph.tensors[node.output].elements * graph.tensors[node.inputs[1]].shape[1]


class MatMul(Operator):
    """Y = A @ B with numpy's rules for batches and vectors. Source: ONNX MatMul-13."""

    name = "MatMul"
    arity = (2, 2)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: A [..., m, k], B [..., k, n] -> [..., m, n]."""
        a, b = required(inputs[0], node, "A"), required(inputs[1], node, "B")
        check_same_type(node, *inputs)
        if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError(f"{describe(node)}: shapes {list(a.shape)} and {list(b.shape)} do not multiply")
        batch = broadcast_shape(a.shape[:-2], b.shape[:-2], describe(node))
        return [TensorType((*batch, a.shape[-2], b.shape[-1]), a.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.matmul(np.asarray(inputs[0]), np.asarray(inputs[1]))]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with a stride for each batch axis."""
        params, arguments = batch_params(node, graph), (*node.inputs, node.output)
        return (KernelCall("ew_matmul_f32", "matmul/ew_matmul_f32.h", "ew_matmul_f32_params", params, arguments),)

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and step of the sum."""
        return graph.tensors[node.output].elements * graph.tensors[node.inputs[0]].shape[-1]


def batch_params(node: Node, graph: Graph) -> dict[str, ParamValue]:
    """The parameters of a batched matrix product."""
    a, b = (graph.tensors[name].shape for name in node.inputs)
    batch = graph.tensors[node.output].shape[:-2]
    where = describe(node)
    (m, k), n = a[-2:], b[-1]
    a_strides = [s * m * k for s in broadcast_strides(a[:-2], batch)]
    b_strides = [s * k * n for s in broadcast_strides(b[:-2], batch)]
    return {
        "batch_rank": len(batch), "batch_dims": padded_to_max_rank(batch, where),
        "a_batch_strides": padded_to_max_rank(a_strides, where),
        "b_batch_strides": padded_to_max_rank(b_strides, where), "m": m, "k": k, "n": n,
    }  # fmt: skip


def matmul_for(dtype: DType) -> str:
    """Return the operator that multiplies matrices of a type; it may refuse it."""
    return "MatMul" if dtype is DType.F32 else "PlainMatMul"


@from_onnx("MatMul")
def _matmul(foreign: Any) -> None:
    a, b = foreign.tensor(0), foreign.tensor(1)
    if not a.shape or not b.shape:
        raise ShapeError("MatMul does not take scalars")
    left, right, op = a.name, b.name, matmul_for(a.dtype)
    if len(a.shape) == 1:
        left = foreign.emit("Reshape", [left], shape=(1, *a.shape))
    if len(b.shape) == 1:
        right = foreign.emit("Reshape", [right], shape=(*b.shape, 1))
    if len(a.shape) > 1 and len(b.shape) > 1:
        foreign.emit(op, [left, right], final=0)
        return
    result = foreign.emit(op, [left, right])
    shape = foreign.type_of(result).shape
    if len(b.shape) == 1:
        shape = shape[:-1]
    if len(a.shape) == 1:
        shape = (*shape[:-2], shape[-1]) if len(b.shape) > 1 else shape[:-1]
    foreign.emit("Reshape", [result], final=0, shape=shape)


def _scaled(foreign: Any, name: str, factor: float) -> str:
    if factor == 1.0:
        return name
    dtype = foreign.type_of(name).dtype
    if dtype.is_integer and factor != int(factor):
        foreign.unsupported(f"a factor of {factor} for {dtype.value}")
    scale = foreign.add_constant(f"{name}.scale", np.array(factor).astype(dtype.numpy))
    return str(foreign.emit("Mul", [name, scale]))


@from_onnx("Gemm")
def _gemm(foreign: Any) -> None:
    """Y = alpha * A' @ B' + beta * C. Scaling and transposing of constants is folded by the passes."""
    a, b = foreign.tensor(0), foreign.tensor(1)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ShapeError(f"Gemm takes matrices, not {list(a.shape)} and {list(b.shape)}")
    left = foreign.emit("Transpose", [a.name], perm=(1, 0)) if foreign.attrs.get("transA", 0) else a.name
    if a.dtype is not DType.F32:
        _plain_gemm(foreign, left, b)
        return
    right = b.name if foreign.attrs.get("transB", 0) else foreign.emit("Transpose", [b.name], perm=(1, 0))
    right = _scaled(foreign, right, foreign.attrs.get("alpha", 1.0))
    if not foreign.has(2) or foreign.attrs.get("beta", 1.0) == 0.0:
        foreign.emit("FullyConnected", [left, right], final=0)
        return
    c = foreign.tensor(2)
    bias = _scaled(foreign, c.name, foreign.attrs.get("beta", 1.0))
    out_features = foreign.type_of(right).shape[0]
    if c.elements == out_features and (not c.shape or c.shape[-1] == out_features):
        row = foreign.emit("Reshape", [bias], shape=(out_features,))
        foreign.emit("FullyConnected", [left, right, row], final=0)
        return
    product = foreign.emit("FullyConnected", [left, right])
    if broadcast_shape(c.shape, foreign.type_of(product).shape, "Gemm") != foreign.type_of(product).shape:
        raise ShapeError(f"C of shape {list(c.shape)} does not broadcast to {list(foreign.type_of(product).shape)}")
    foreign.emit("Add", [product, bias], final=0)


def _plain_gemm(foreign: Any, left: str, b: Tensor) -> None:
    right = foreign.emit("Transpose", [b.name], perm=(1, 0)) if foreign.attrs.get("transB", 0) else b.name
    right = _scaled(foreign, right, foreign.attrs.get("alpha", 1.0))
    if not foreign.has(2) or foreign.attrs.get("beta", 1.0) == 0.0:
        foreign.emit("PlainMatMul", [left, right], final=0)
        return
    product = foreign.emit("PlainMatMul", [left, right])
    c, shape = foreign.tensor(2), foreign.type_of(product).shape
    if broadcast_shape(c.shape, shape, "Gemm") != shape:
        raise ShapeError(f"C of shape {list(c.shape)} does not broadcast to {list(shape)}")
    bias = _scaled(foreign, c.name, foreign.attrs.get("beta", 1.0))
    foreign.emit("Add", [product, bias], final=0)


cases(
    Case("Gemm", "plain", (given(1, 7), weights(7, 5), weights(5))),
    Case("Gemm", "transposed", (given(7, 3), weights(5, 7), weights(5)), {"transA": 1, "transB": 1}),
    Case("Gemm", "scaled", (given(2, 7), weights(5, 7), weights(1, 5)), {"alpha": 0.5, "beta": 2.0, "transB": 1}),
    Case("Gemm", "no_bias", (given(2, 7), weights(7, 5))),
    Case("Gemm", "scalar_bias", (given(2, 7), weights(7, 5), weights(1))),
    Case("Gemm", "column_bias", (given(2, 7), weights(7, 5), weights(2, 1))),
    Case("Gemm", "given_weights", (given(2, 7), given(7, 5), given(5))),
    Case("MatMul", "constant", (given(1, 10), weights(10, 4))),
    Case("MatMul", "rows", (given(3, 5, 10), weights(10, 7))),
    Case("MatMul", "given", (given(2, 3, 4), given(2, 4, 5))),
    Case("MatMul", "broadcast", (given(2, 1, 3, 4), given(5, 4, 2))),
    Case("MatMul", "vectors", (given(6), given(6))),
    Case("MatMul", "row_vector", (given(6), weights(6, 3))),
    Case("MatMul", "column_vector", (given(2, 3, 6), weights(6))),
    Case("MatMul", "constant_left", (weights(4, 6), given(6, 3))),
)
