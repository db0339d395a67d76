"""Inputs of an ONNX model that become constants before it is imported: `--bind NAME=VALUE`.

Shapes are static here, so what an operator takes as a shape (of Reshape, the starts of Slice, ...) has to be known at
import. Where a model takes it as an input, a value given for that input specialises the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgewright.errors import DataError, EdgewrightError, ShapeError
from edgewright.frontends.onnx_elements import dtype_of
from edgewright.ir import Array

Bindings = Mapping[str, Any]  # an input's name -> an array, a number, or nested lists of numbers

_OLDEST_IR_WITH_FREE_INITIALIZERS = 4  # before, an initializer had to be an input as well


def parse_bindings(texts: Sequence[str] | None) -> dict[str, Any]:
    """Read --bind NAME=VALUE: a number, a list as JSON has it, or the path of an .npy file. Raises: EdgewrightError."""
    result: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise EdgewrightError(f"--bind {text}: expected NAME=VALUE, as in shape=[1,-1] or shape=shape.npy")
        if name in result:
            raise EdgewrightError(f"--bind {text}: '{name}' was given a value before")
        result[name] = _from_file(Path(value)) if value.endswith(".npy") else _from_json(text, value)
    return result


def _from_json(text: str, value: str) -> Any:
    try:
        parsed = json.loads(value)
        array = np.asarray(parsed)
    except (ValueError, RecursionError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise EdgewrightError(f"--bind {text}: the value is no number, no list of numbers, and no .npy file")
    return parsed


def _from_file(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or 'it is damaged'}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"'{path}' is not an .npy file of numbers") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DataError(f"'{path}' is not an .npy file of numbers")
    return array


def bind_inputs(proto: onnx.ModelProto, bindings: Bindings) -> onnx.ModelProto:
    """Return a copy of the model in which some inputs are initializers; without bindings, the model itself.

    Raises: ShapeError for a name that is no input, or a value that does not fit the input's shape or type.
    """
    if not bindings:
        return proto
    inputs = {value.name: value for value in graph_inputs(proto)}
    strange = sorted(set(bindings) - set(inputs))
    if strange:
        raise ShapeError(f"--bind names {', '.join(strange)}; the model's inputs are {', '.join(inputs)}")
    bound = onnx.ModelProto()
    bound.CopyFrom(proto)
    bound.ir_version = max(bound.ir_version, _OLDEST_IR_WITH_FREE_INITIALIZERS)
    del bound.graph.input[:]
    bound.graph.input.extend(value for value in proto.graph.input if value.name not in bindings)
    for name, value in bindings.items():
        bound.graph.initializer.append(onnx.numpy_helper.from_array(_fitted(value, inputs[name]), name))
    return bound


def graph_inputs(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that have no initializer."""
    constants = {initializer.name for initializer in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in constants]


def _fitted(value: Any, info: onnx.ValueInfoProto) -> Array:
    """Return a value as an array of the input's type."""
    name = info.name
    if not info.type.HasField("tensor_type"):
        raise ShapeError(f"--bind {name}: that input is not a tensor")
    try:
        wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
    except KeyError:
        raise ShapeError(f"--bind {name}: that input has no element type") from None
    given = np.asarray(value)
    if given.dtype != wanted:
        if given.dtype.kind not in "biuf" or wanted.kind not in "biuf":
            raise ShapeError(f"--bind {name}: a value of type {given.dtype}; the input has {wanted}")
        with np.errstate(all="ignore"):
            converted = given.astype(wanted)
        exact = np.array_equal(converted.astype(given.dtype), given, equal_nan=given.dtype.kind == "f")
        if not exact and not (given.dtype == np.float64 and wanted.kind == "f"):  # a decimal fraction is rounded
            raise ShapeError(f"--bind {name}: not every value is exact in the input's type, {wanted}")
        given = converted
    if info.type.tensor_type.HasField("shape"):
        dims = info.type.tensor_type.shape.dim
        declared = [d.dim_value if d.HasField("dim_value") else None for d in dims]
        fits = len(declared) == given.ndim and all(d in (None, n) for d, n in zip(declared, given.shape, strict=True))
        if not fits:
            shown = "[" + ",".join("?" if d is None else str(d) for d in declared) + "]"
            raise ShapeError(f"--bind {name}: a value of shape {list(given.shape)}; the input has {shown}")
    return given


def empty_inputs(proto: onnx.ModelProto, pins: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Return the value of each input that has no elements; open dimensions that are not pinned count as 1."""
    found: dict[str, Array] = {}
    for value in graph_inputs(proto):
        kind = value.type.tensor_type
        pin = list(pins.get(value.name, ()))
        dims = pin or [d.dim_value if d.HasField("dim_value") else 1 for d in kind.shape.dim]
        if value.type.HasField("tensor_type") and 0 in dims and dtype_of(kind.elem_type) is not None:
            found[value.name] = np.zeros(dims, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return found
