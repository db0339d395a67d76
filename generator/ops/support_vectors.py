"""Support vector machines from ai.onnx.ml: SVMRegressor, also with one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    required,
    weights,
)
from edgewright.ops.ml_common import as_floats, constant, give, rows

_KINDS = ("POLY", "RBF", "SIGMOID")


class Support(Operator):
    """A function of each row of x and each support vector: see ew_support_f32.h. Inputs: x, vectors."""

    name = "Support"
    arity = (2, 2)
    attributes = {"kind": ..., "gamma": ..., "constant": 0.0, "degree": 1.0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x [rows, features], vectors [count, features] to [rows, count]."""
        x, vectors = required(inputs[0], node, "x"), required(inputs[1], node, "vectors")
        check_same_type(node, x, vectors)
        if len(x.shape) != 2 or len(vectors.shape) != 2 or x.shape[1] != vectors.shape[1]:
            raise ShapeError(f"{describe(node)}: vectors {list(vectors.shape)} for {list(x.shape)}")
        return [TensorType((x.shape[0], vectors.shape[0]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, vectors = (np.asarray(array) for array in inputs)
        gamma, extra, degree = (np.float32(self.attr(node, key)) for key in ("gamma", "constant", "degree"))
        if node.attrs["kind"] == "RBF":
            return [np.exp(-gamma * ((x[:, None] - vectors) ** 2).sum(axis=2))]
        inner = gamma * (x @ vectors.T) + extra
        with np.errstate(invalid="ignore"):
            return [np.tanh(inner) if node.attrs["kind"] == "SIGMOID" else np.power(inner, degree)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each number of each vector."""
        return graph.tensors[node.inputs[0]].shape[0] * graph.tensors[node.inputs[1]].elements

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, vectors = (graph.tensors[name] for name in node.inputs)
        params: dict[str, ParamValue] = {
            "rows": x.shape[0], "vectors": vectors.shape[0], "features": x.shape[1],
            "kind": f"EW_SUPPORT_{node.attrs['kind']}",
            **{key: float(self.attr(node, key)) for key in ("gamma", "constant", "degree")},
        }  # fmt: skip
        arguments = (x.name, vectors.name, node.output)
        return (KernelCall("ew_support_f32", "linalg/ew_support_f32.h", "ew_support_f32_params", params, arguments),)


@from_onnx("ai.onnx.ml.SVMRegressor")
def _svm_regressor(foreign: Any) -> None:
    """The sum of coefficients times functions, plus rho; one_class: its sign. Source: ai.onnx.ml SVMRegressor-1."""
    attrs, kind = foreign.attrs, foreign.attrs.get("kernel_type", "LINEAR")
    if attrs.get("post_transform", "NONE") != "NONE" or kind not in ("LINEAR", *_KINDS):
        foreign.unsupported(f"kernel_type {kind}, post_transform {attrs.get('post_transform', 'NONE')}")
    x = rows(foreign, as_floats(foreign))
    count, features = int(attrs.get("n_supports", 0)), foreign.type_of(x).shape[1]
    coefficients = np.asarray(attrs.get("coefficients", ()), np.float32)
    vectors = np.asarray(attrs.get("support_vectors", ()), np.float32)
    rho = np.asarray(attrs.get("rho", (0.0,)), np.float32)
    if vectors.size != count * features or coefficients.size != (count or features) or rho.size != 1:
        raise ShapeError(f"{vectors.size} numbers in {count} support vectors of {features}, {rho.size} rho")
    if count and kind == "LINEAR":
        turned = constant(foreign, "vectors", vectors.reshape(count, features).T)
        x = foreign.emit("MatMul", [x, turned])
    elif count:
        gamma, extra, degree = (*map(float, attrs.get("kernel_params", ())), 0.0, 0.0, 0.0)[:3]
        table = constant(foreign, "vectors", vectors.reshape(count, features))
        x = foreign.emit("Support", [x, table], kind=kind, gamma=gamma, constant=extra, degree=degree)
    product = foreign.emit("MatMul", [x, constant(foreign, "coefficients", coefficients.reshape(-1, 1))])
    score = foreign.emit("Add", [product, constant(foreign, "rho", rho)])
    if attrs.get("one_class", 0):
        positive = foreign.emit("Greater", [score, constant(foreign, "zero", 0.0)])
        score = foreign.emit("Where", [positive, constant(foreign, "one", 1.0), constant(foreign, "minus", -1.0)])
    give(foreign, 0, score)


def _attrs(kind: str, *params: float, **more: Any) -> dict[str, Any]:
    return {"kernel_type": kind, "kernel_params": list(params), "n_supports": 5, "rho": [0.25],
            "coefficients": weights(5).tolist(), "support_vectors": weights(5, 3, seed=2).reshape(-1).tolist(),
            **more}  # fmt: skip


cases(
    Case("ai.onnx.ml.SVMRegressor", "rbf", (given(4, 3),), _attrs("RBF", 0.5, 0.0, 3.0)),
    Case("ai.onnx.ml.SVMRegressor", "poly", (given(4, 3),), _attrs("POLY", 0.5, 1.0, 3.0), slow=True),
    Case("ai.onnx.ml.SVMRegressor", "sigmoid", (given(4, 3),), _attrs("SIGMOID", 0.5, 0.1, 0.0), slow=True),
    Case("ai.onnx.ml.SVMRegressor", "linear", (given(4, 3),), _attrs("LINEAR", 0.0, 0.0, 0.0), slow=True),
    Case("ai.onnx.ml.SVMRegressor", "one_class", (given(4, 3),), _attrs("RBF", 0.5, 0.0, 3.0, one_class=1), slow=True),
)
