"""What operators of ai.onnx.ml share: inputs as floats, what happens to scores, and labels of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.ir import Array, DType
from edgewright.ops.core import refuse

_AS_FLOAT = frozenset({DType.S32, DType.S64})  # ONNX Runtime computes them in float32, too


def as_floats(foreign: Any, index: int = 0, wide: bool = False) -> str:
    """An input in float32; with `wide`, one in float64 stays what it is."""
    x = foreign.tensor(index)
    if x.dtype is DType.F32 or (wide and x.dtype is DType.F64):
        return str(x.name)
    if x.dtype not in _AS_FLOAT:
        foreign.unsupported(f"{foreign.op_type} on {x.dtype.value}")
    return str(foreign.emit("Cast", [x.name], to=DType.F32.value))


def rows(foreign: Any, name: str) -> str:
    """A tensor as [rows, features]: one axis is one row."""
    shape = foreign.type_of(name).shape
    if len(shape) == 1:
        return str(foreign.emit("Reshape", [name], shape=(1, *shape)))
    if len(shape) != 2:
        foreign.unsupported(f"an input of shape {list(shape)}; it has one or two axes")
    return name


def constant(foreign: Any, what: str, values: Any, dtype: Any = np.float32) -> str:
    """Add a constant."""
    return str(foreign.add_constant(f"{foreign.name}.{what}", np.asarray(values, dtype)))


def numbers(foreign: Any, name: str) -> Array:
    """An attribute of floats in the type of the first input, float32 or float64 [n].

    Refused where it is given in doubles that are no float32 numbers, for an input of another type.
    """
    dtype = np.float64 if foreign.tensor(0).dtype is DType.F64 else np.float32
    wide = foreign.attrs.get(f"{name}_as_tensor")
    if wide is None:
        return np.asarray(foreign.attrs.get(name, ()), np.float32).astype(dtype)
    exact = np.asarray(wide).reshape(-1).astype(dtype)
    if (exact != np.asarray(wide).reshape(-1)).any():
        foreign.unsupported(f"{name}_as_tensor with numbers that float32 does not have")
    return exact


def narrowed(foreign: Any, name: str) -> str:
    """A tensor in float32, which scores are."""
    if foreign.type_of(name).dtype is DType.F32:
        return name
    return str(foreign.emit("Cast", [name], to=DType.F32.value))


def transformed(foreign: Any, scores: str, post_transform: str) -> str:
    """Scores behind a post_transform. Shapes: [rows, classes]."""
    if post_transform == "NONE":
        return scores
    if post_transform == "LOGISTIC":
        return str(foreign.emit("Sigmoid", [scores]))
    if post_transform == "SOFTMAX" and foreign.type_of(scores).shape[-1] > 1:
        return str(foreign.emit("Softmax", [scores], axis=1))
    raise UnsupportedError(f"post_transform {post_transform}")


def give(foreign: Any, index: int, name: str, *shape: int) -> None:
    """Make a tensor an output of the foreign node, where it has that one."""
    if index < foreign.n_outputs and foreign.output_is_used(index):
        foreign.emit("Reshape", [name], final=index, shape=shape or foreign.type_of(name).shape)


def class_labels(foreign: Any, name: str) -> list[int]:
    """The labels of classes by the attribute of this name. Strings are refused."""
    if foreign.attrs.get("classlabels_strings"):
        foreign.unsupported("labels that are strings: train with numbers as labels")
    labels = [int(label) for label in foreign.attrs.get(name, ())]
    if len(labels) < 2:
        foreign.unsupported(f"{len(labels)} labels of classes")
    return labels


def best_label(foreign: Any, scores: str, labels: list[int]) -> str:
    """The label of the class with the most points, the first of equal ones. Shapes: [rows, classes] to [rows]."""
    place = foreign.emit("ArgMax", [scores], axis=1)
    flat = str(foreign.emit("Reshape", [place], shape=foreign.type_of(scores).shape[:1]))
    if labels == list(range(len(labels))):
        return flat
    return str(foreign.emit("Gather", [constant(foreign, "labels", labels, np.int64), flat], axis=0))


def label_of_two(foreign: Any, score: str, limit: float, labels: list[int]) -> str:
    """The second label where a score is above the limit. Shapes: [rows, 1] to [rows]."""
    above = foreign.emit("Greater", [score, constant(foreign, "limit", limit, foreign.type_of(score).dtype.numpy)])
    first, second = (constant(foreign, "label", label, np.int64) for label in labels)
    chosen = foreign.emit("Where", [above, second, first])
    return str(foreign.emit("Reshape", [chosen], shape=foreign.type_of(score).shape[:1]))


def with_second_class(foreign: Any, score: str, from_one: bool) -> str:
    """Scores of both classes by that of the second: s beside 1 - s, or -s. Shapes: [rows, 1] to [rows, 2]."""
    one = constant(foreign, "one", 1.0)
    other = foreign.emit("Sub", [one, score]) if from_one else foreign.emit("Neg", [score])
    return str(foreign.emit("Concat", [other, score], axis=1))


refuse(
    "its result is a list of maps: export with zipmap=False (skl2onnx: options={'zipmap': False})", "ai.onnx.ml.ZipMap"
)
