"""Features for classical models, from ai.onnx.ml: Scaler, Normalizer, Binarizer, Imputer, OneHotEncoder and others."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import DType
from edgewright.ops.core import Case, Fixed, cases, from_onnx, given, ints
from edgewright.ops.ml_common import as_floats, constant, give, rows

_INTEGERS = frozenset({DType.S32, DType.S64})


@from_onnx("ai.onnx.ml.ArrayFeatureExtractor")
def _array_feature_extractor(foreign: Any) -> None:
    """Elements of the last axis by index; one axis becomes a row. Source: ai.onnx.ml ArrayFeatureExtractor-1."""
    x, indices = foreign.tensor(0), foreign.tensor(1)
    if not x.shape or not indices.elements:
        raise ShapeError(f"elements {list(indices.shape)} of {list(x.shape)}")
    flat = foreign.emit("Reshape", [indices.name], shape=(indices.elements,))
    if indices.data is not None and (indices.data.min() < 0 or indices.data.max() >= x.shape[-1]):
        raise ShapeError(f"indices {indices.data.reshape(-1).tolist()} in an axis of {x.shape[-1]}")
    picked = foreign.emit("Gather", [x.name, flat], axis=len(x.shape) - 1)
    give(foreign, 0, picked, *(x.shape[:-1] or (1,)), indices.elements)


@from_onnx("ai.onnx.ml.Binarizer")
def _binarizer(foreign: Any) -> None:
    """1 above the threshold, else 0. Source: ai.onnx.ml Binarizer-1."""
    x, threshold = foreign.tensor(0), float(foreign.attrs.get("threshold", 0.0))
    if x.dtype in _INTEGERS and not threshold.is_integer():
        foreign.unsupported(f"a threshold of {threshold} for {x.dtype.value}")
    limit, one, zero = (constant(foreign, "limit", value, x.dtype.numpy) for value in (threshold, 1, 0))
    above = foreign.emit("Greater", [x.name, limit])
    foreign.emit("Where", [above, one, zero], final=0)


@from_onnx("ai.onnx.ml.Scaler")
def _scaler(foreign: Any) -> None:
    """(x - offset) * scale. Source: ai.onnx.ml Scaler-1."""
    x = as_floats(foreign)
    offset, scale = (np.asarray(foreign.attrs.get(key, ()), np.float32) for key in ("offset", "scale"))
    features = foreign.type_of(x).shape[-1:]
    if len(offset) != len(scale) or offset.shape not in ((1,), features):
        raise ShapeError(f"{len(offset)} offsets and {len(scale)} scales for features {list(features)}")
    moved = foreign.emit("Sub", [x, constant(foreign, "offset", offset)]) if offset.any() else x
    foreign.emit("Mul", [moved, constant(foreign, "scale", scale)], final=0)


@from_onnx("ai.onnx.ml.Normalizer")
def _normalizer(foreign: Any) -> None:
    """Each row over its norm. Source: ai.onnx.ml Normalizer-1."""
    norm = foreign.attrs.get("norm", "MAX")
    if norm not in ("L1", "L2"):
        foreign.unsupported(f"norm {norm}, which ONNX and ONNX Runtime define differently")
    x = as_floats(foreign)
    axis = len(foreign.type_of(x).shape) - 1
    if axis not in (0, 1):
        foreign.unsupported(f"an input of {axis + 1} axes")
    foreign.emit("Normalize", [x], final=0, axes=(axis,), kind=norm.lower())


@from_onnx("ai.onnx.ml.Imputer")
def _imputer(foreign: Any) -> None:
    """Another number in place of one, or of NaN. Source: ai.onnx.ml Imputer-1."""
    x = foreign.tensor(0)
    kind = "int64" if x.dtype in _INTEGERS else "float"
    values = np.asarray(foreign.attrs.get(f"imputed_value_{kind}s", ()), x.dtype.numpy)
    replaced = foreign.attrs.get(f"replaced_value_{kind}", 0)
    if values.shape not in ((1,), x.shape[-1:]):
        raise ShapeError(f"{len(values)} imputed values for features {list(x.shape[-1:])}")
    if replaced != replaced:
        found = foreign.emit("IsNaN", [x.name])
    else:
        found = foreign.emit("Equal", [x.name, constant(foreign, "replaced", replaced, x.dtype.numpy)])
    foreign.emit("Where", [found, constant(foreign, "imputed", values, x.dtype.numpy), x.name], final=0)


@from_onnx("ai.onnx.ml.OneHotEncoder")
def _one_hot_encoder(foreign: Any) -> None:
    """1.0 at the place of the category, in a new last axis. Source: ai.onnx.ml OneHotEncoder-1."""
    if foreign.attrs.get("cats_strings"):
        foreign.unsupported("categories that are strings")
    if not foreign.attrs.get("zeros", 1):
        foreign.unsupported("zeros=0: on a device nothing can fail")
    x, categories = foreign.tensor(0), np.asarray(foreign.attrs.get("cats_int64s", ()), np.int64)
    if not categories.size or len(set(categories.tolist())) < categories.size:
        raise ShapeError(f"categories {categories.tolist()}")
    name = x.name
    if x.dtype not in _INTEGERS:
        name = foreign.emit("Cast", [name], to=DType.S64.value)
    kind = foreign.type_of(name).dtype.numpy
    if (categories.astype(kind) != categories).any():
        raise ShapeError(f"categories {categories.tolist()} of {kind.name}")
    spread = foreign.emit("Reshape", [name], shape=(*x.shape, 1))
    same = foreign.emit("Equal", [spread, constant(foreign, "categories", categories, kind)])
    foreign.emit("Where", [same, constant(foreign, "on", 1.0), constant(foreign, "off", 0.0)], final=0)


@from_onnx("ai.onnx.ml.FeatureVectorizer")
def _feature_vectorizer(foreign: Any) -> None:
    """All inputs beside each other. Source: ai.onnx.ml FeatureVectorizer-1."""
    names = [rows(foreign, as_floats(foreign, index)) for index in range(foreign.n_inputs)]
    sizes = [foreign.type_of(name).shape[1] for name in names]
    if list(foreign.attrs.get("inputdimensions", sizes)) != sizes:
        raise ShapeError(f"inputdimensions {foreign.attrs['inputdimensions']} for inputs of {sizes}")
    foreign.emit("Concat", names, final=0, axis=1)


cases(
    Case("ai.onnx.ml.ArrayFeatureExtractor", "plain", (given(3, 5), ints(4, 0, 2)), slow=True),
    Case("ai.onnx.ml.Binarizer", "plain", (given(3, 5),), {"threshold": 0.25}, slow=True),
    Case("ai.onnx.ml.Scaler", "features", (given(3, 2),), {"offset": [0.5, -1.0], "scale": [2.0, 0.25]}),
    Case("ai.onnx.ml.Scaler", "integers", (given(3, 2),), {"offset": [3.0], "scale": [0.5]}, dtype="int64", slow=True),
    Case("ai.onnx.ml.Normalizer", "l2", (given(3, 5),), {"norm": "L2"}, slow=True),
    Case("ai.onnx.ml.Normalizer", "l1", (given(3, 5),), {"norm": "L1"}, slow=True),
    Case("ai.onnx.ml.Imputer", "nan", (given(3, 4),), {
        "imputed_value_floats": [1.0, 2.0, 3.0, 4.0], "replaced_value_float": float("nan")}, special=True, slow=True),
    Case("ai.onnx.ml.Imputer", "integers", (given(3, 4),), {
        "imputed_value_int64s": [7], "replaced_value_int64": 2}, dtype="int64", between=(0, 3), slow=True),
    Case("ai.onnx.ml.OneHotEncoder", "integers", (given(2, 5),), {"cats_int64s": [3, 0, 1]}, dtype="int64",
         between=(0, 3), slow=True),
    Case("ai.onnx.ml.OneHotEncoder", "floats", (Fixed(np.array([0.0, 1.0, 3.0, 9.0], np.float32)),), {
        "cats_int64s": [3, 0, 1]}, slow=True),
    Case("ai.onnx.ml.FeatureVectorizer", "two", (given(3, 2), given(3, 4)), {"inputdimensions": [2, 4]}, slow=True),
)  # fmt: skip
