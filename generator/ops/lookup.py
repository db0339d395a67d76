"""LabelEncoder of ai.onnx.ml, with numbers as keys and values: a table that is searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Case, KernelCall, Operator, cases, describe, from_onnx, given, required

_KEYS = frozenset({DType.S16, DType.S32, DType.S64, DType.F32, DType.F64})


class Lookup(Operator):
    """The value of each element's key. Inputs: x, keys [n], rising; values [n + 1], the last of no key."""

    name = "Lookup"
    arity = (3, 3)
    dtypes = _KEYS
    rounds_once = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x of any."""
        x, keys, values = (required(t, node, what) for t, what in zip(inputs, ("X", "keys", "values"), strict=True))
        if keys.dtype is not x.dtype or values.shape != (keys.elements + 1,):
            raise ShapeError(f"{describe(node)}: keys of {keys.dtype.value} for {x.dtype.value}")
        return [TensorType(x.shape, values.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, keys, values = (np.asarray(array) for array in inputs)
        places = np.searchsorted(keys, x)
        found = keys[np.minimum(places, len(keys) - 1)] == x if len(keys) else np.zeros(x.shape, bool)
        places = np.where(found, places, len(keys))
        return [values[places]]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, keys, values = (graph.tensors[name] for name in node.inputs)
        params = {
            "count": x.elements, "keys": keys.elements, "value_bytes": values.dtype.size_bytes,
        }  # fmt: skip
        arguments = (*node.inputs, node.output)
        return (KernelCall(f"ew_lookup_{x.dtype.suffix}", "select/ew_lookup.h", "ew_lookup_params", params, arguments),)


def _listed(foreign: Any, side: str) -> Array:
    """The keys or the values."""
    attrs = foreign.attrs
    if attrs.get(f"{side}_strings"):
        foreign.unsupported(f"{side} that are strings")
    for name, dtype in (("int64s", np.int64), ("floats", np.float32)):
        if attrs.get(f"{side}_{name}"):
            return np.asarray(attrs[f"{side}_{name}"], dtype)
    if f"{side}_tensor" not in attrs:
        foreign.unsupported(f"no {side} that are numbers")
    return np.asarray(attrs[f"{side}_tensor"]).reshape(-1)


@from_onnx("ai.onnx.ml.LabelEncoder")
def _label_encoder(foreign: Any) -> None:
    """Source: ai.onnx.ml LabelEncoder-4."""
    attrs, keys, values = foreign.attrs, _listed(foreign, "keys"), _listed(foreign, "values")
    if len(keys) != len(values) or not {keys.dtype.name, values.dtype.name} <= {key.value for key in _KEYS}:
        raise ShapeError(f"{len(keys)} keys of {keys.dtype.name}, {len(values)} values of {values.dtype.name}")
    floats = values.dtype.kind == "f"
    default = attrs.get("default_float", -0.0) if floats else attrs.get("default_int64", -1)
    default = np.asarray(attrs.get("default_tensor", default), values.dtype).reshape(-1)[:1]
    if len(np.unique(keys)) < len(keys) or (keys != keys).any():  # what they mean differs between versions
        foreign.unsupported("a key that is there twice, or NaN")
    order = np.argsort(keys)
    names = [foreign.add_constant(f"{foreign.name}.{what}", array)
             for what, array in (("keys", keys[order]), ("values", np.append(values[order], default)))]  # fmt: skip
    foreign.emit("Lookup", [foreign.tensor(0).name, *names], final=0)


cases(
    Case("ai.onnx.ml.LabelEncoder", "integers", (given(3, 5),), {
        "keys_int64s": [3, 0, 2], "values_floats": [1.5, 2.5, -1.0], "default_float": 9.0}, dtype="int64",
        between=(-1, 4)),
    Case("ai.onnx.ml.LabelEncoder", "floats", (given(3, 5),), {
        "keys_floats": [1.0, 0.0], "values_int64s": [5, 6]}, special=True, slow=True),
)  # fmt: skip
