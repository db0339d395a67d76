"""Linear models from ai.onnx.ml: LinearRegressor, LinearClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ops.core import Case, cases, from_onnx, given
from edgewright.ops.ml_common import (
    as_floats,
    best_label,
    class_labels,
    constant,
    give,
    label_of_two,
    rows,
    transformed,
    with_second_class,
)


def _scores(foreign: Any, targets: int) -> str:
    """x times coefficients, and intercepts. Shapes: [rows, features] to [rows, targets]."""
    x = rows(foreign, as_floats(foreign))
    features = foreign.type_of(x).shape[1]
    coefficients = np.asarray(foreign.attrs.get("coefficients", ()), np.float32)
    intercepts = np.asarray(foreign.attrs.get("intercepts", ()), np.float32)
    if coefficients.size != targets * features or intercepts.size not in (0, targets):
        raise ShapeError(
            f"{coefficients.size} coefficients and {intercepts.size} intercepts for {features} features and {targets} "
            "results"
        )
    weights = constant(foreign, "coefficients", coefficients.reshape(targets, features).T)
    product = str(foreign.emit("MatMul", [x, weights]))
    if not intercepts.any():
        return product
    return str(foreign.emit("Add", [product, constant(foreign, "intercepts", intercepts)]))


@from_onnx("ai.onnx.ml.LinearRegressor")
def _regressor(foreign: Any) -> None:
    """Source: ai.onnx.ml LinearRegressor-1."""
    scores = _scores(foreign, int(foreign.attrs.get("targets", 1)))
    give(foreign, 0, transformed(foreign, scores, foreign.attrs.get("post_transform", "NONE")))


@from_onnx("ai.onnx.ml.LinearClassifier")
def _classifier(foreign: Any) -> None:
    """Two classes may have one score, the second's: ONNX Runtime's rules. Source: ai.onnx.ml LinearClassifier-1."""
    labels, post = class_labels(foreign, "classlabels_ints"), foreign.attrs.get("post_transform", "NONE")
    features = foreign.tensor(0).shape[-1]
    targets = len(foreign.attrs.get("coefficients", ())) // max(features, 1)
    if len(labels) == 2 and targets == 1:
        score = _scores(foreign, 1)
        if post not in ("NONE", "LOGISTIC"):
            foreign.unsupported(f"one score of two classes with post_transform {post}")
        if foreign.output_is_used(0):
            give(foreign, 0, label_of_two(foreign, score, 0.0, labels))
        give(foreign, 1, transformed(foreign, with_second_class(foreign, score, post == "NONE"), post))
        return
    scores = _scores(foreign, len(labels))
    if foreign.output_is_used(0):
        give(foreign, 0, best_label(foreign, scores, labels))
    give(foreign, 1, transformed(foreign, scores, post))


_ONE = {"coefficients": [0.5, -1.0, 2.0], "intercepts": [0.25]}
_THREE = {"coefficients": [0.5, -1.0, 2.0, 1.0, 0.0, -0.5, -1.5, 0.75, 0.25], "intercepts": [0.25, -0.5, 0.125]}
cases(
    Case("ai.onnx.ml.LinearRegressor", "one", (given(4, 3),), _ONE, slow=True),
    Case("ai.onnx.ml.LinearRegressor", "three", (given(4, 3),), {**_THREE, "targets": 3}, slow=True),
    Case("ai.onnx.ml.LinearClassifier", "three", (given(4, 3),), {
        **_THREE, "classlabels_ints": [2, 5, 3], "post_transform": "SOFTMAX"}, outputs=2, slow=True),
    Case("ai.onnx.ml.LinearClassifier", "two", (given(4, 3),), {
        **_ONE, "classlabels_ints": [3, 7], "post_transform": "LOGISTIC"}, outputs=2),
    Case("ai.onnx.ml.LinearClassifier", "two_plain", (given(4, 3),), {**_ONE, "classlabels_ints": [0, 1]}, outputs=2,
         slow=True),
)  # fmt: skip
