"""Static shapes for an ONNX model: of our graph's inputs, and in the copy that the reference runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import onnx
import onnx.helper

from edgewright.errors import ShapeError
from edgewright.frontends.onnx_elements import dtype_of
from edgewright.ir import Array, Shape

NEWEST_IR_VERSION = 10  # that a widespread ONNX Runtime reads; the difference is in what we do not use


# Protocol Buffers' tags (field number, length-delimited) of ModelProto.graph and GraphProto.initializer.
_GRAPH, _INITIALIZER = b"\x3a", b"\x2a"


_LARGE_BYTES = 1 << 16  # initializers from here on are not copied where that can be helped


def pinned_model(proto: onnx.ModelProto, pins: Mapping[str, Sequence[int]]) -> Serialized:
    """Return the model as the reference runs it: shapes fixed, readable for an older ONNX Runtime.

    Its initializers follow as a second part of the graph, which a reader adds to the first. A shape that cannot be
    fixed is left as it is.
    """
    pinned = _without_initializers(proto)
    pinned.ir_version = min(pinned.ir_version, NEWEST_IR_VERSION)
    constants = {initializer.name for initializer in proto.graph.initializer}
    for value in pinned.graph.input:
        if value.name not in constants and value.type.HasField("tensor_type"):
            with suppress(ShapeError):
                _set_shape(value, pinned_shape(value, pins.get(value.name)))
    for index, node in enumerate(pinned.graph.node):
        for i, name in enumerate(node.output):
            if not name:  # an output nobody wants; ONNX Runtime 1.31 crashes on some of these
                node.output[i] = f"edgewright.unused.{index}.{i}"
    sizes = [initializer.ByteSize() for initializer in proto.graph.initializer]
    heads = [_INITIALIZER + _varint(size) for size in sizes]
    whole, places = BytesIO(), {}
    whole.write(pinned.SerializeToString(deterministic=True))
    whole.write(_GRAPH + _varint(sum(sizes) + sum(map(len, heads))))
    for head, initializer in zip(heads, proto.graph.initializer, strict=True):
        whole.write(head)
        raw = initializer.SerializeToString(deterministic=True)
        data = initializer.raw_data if len(raw) >= _LARGE_BYTES else b""
        if data:
            places[initializer.name] = whole.tell() + raw.index(data)
        whole.write(raw)
    return Serialized(whole.getvalue(), places)


@dataclass(frozen=True)
class Serialized:
    """A serialized model, and where the raw data of its large initializers begin: read there, they are kept once."""

    whole: bytes
    places: Mapping[str, int]

    def array(self, initializer: onnx.TensorProto) -> Array | None:
        """Return a large initializer's elements, which cannot be written to; None for another one."""
        dtype, offset = dtype_of(initializer.data_type), self.places.get(initializer.name)
        if offset is None or dtype is None or dtype.stored != dtype.numpy:
            return None
        elements = len(initializer.raw_data) // dtype.size_bytes
        return np.frombuffer(self.whole, dtype.numpy, elements, offset).reshape(initializer.dims)


def _without_initializers(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy the rest of a model."""
    bare = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name != "graph":
            _set(bare, field.name, value)
    for field, value in proto.graph.ListFields():
        if field.name != "initializer":
            _set(bare.graph, field.name, value)
    return bare


def to_check(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy for the checker, which insists on outputs' shapes; large initializers are inputs in it."""
    copy = _without_initializers(proto)
    inputs = {value.name for value in copy.graph.input}
    for initializer in proto.graph.initializer:
        if len(initializer.raw_data) < _LARGE_BYTES:
            copy.graph.initializer.add().CopyFrom(initializer)
        elif initializer.name not in inputs:
            dims, kind = list(initializer.dims), initializer.data_type
            copy.graph.input.append(onnx.helper.make_tensor_value_info(initializer.name, kind, dims))
    for value in copy.graph.output:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    return copy


def _set(message: Any, name: str, value: Any) -> None:
    """Copy a field of a message."""
    if hasattr(value, "CopyFrom"):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        getattr(message, name).extend(value)
    else:
        setattr(message, name, value)


def _varint(value: int) -> bytes:
    """Return a length as Protocol Buffers have it: seven bits a byte, the low ones first."""
    raw = bytearray()
    while value > 127:
        raw.append(value & 127 | 128)
        value >>= 7
    return bytes([*raw, value])


def _set_shape(value: onnx.ValueInfoProto, shape: Shape) -> None:
    del value.type.tensor_type.shape.dim[:]
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


def pinned_shape(value: onnx.ValueInfoProto, pin: Sequence[int] | None) -> Shape:
    """Return an input's static shape: `pin`, or what it declares with 1 for a dynamic leading dimension.

    Raises: ShapeError, with an example of what to write.
    """
    tensor_type = value.type.tensor_type
    name = value.name
    if not tensor_type.HasField("shape"):
        if pin is None:
            raise ShapeError(f"input '{name}' declares no shape: pin it with --input {name}=DIMS")
        return tuple(int(d) for d in pin)
    dims: list[int | str] = [
        d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in tensor_type.shape.dim
    ]
    if pin is not None:
        if len(pin) != len(dims):
            raise ShapeError(f"--input {name} has {len(pin)} dimensions; the model's '{name}' has {len(dims)}")
        for wanted, declared in zip(pin, dims, strict=True):
            if isinstance(declared, int) and declared != wanted:
                raise ShapeError(
                    f"--input {name}={','.join(map(str, pin))} does not fit the model's {_spell(dims)}: "
                    "only dynamic dimensions can be pinned"
                )
        dims = [int(d) for d in pin]
    elif dims and isinstance(dims[0], str):
        dims[0] = 1  # the batch
    unpinned = [str(d) for d in dims if isinstance(d, str)]
    if unpinned:
        example = ",".join("1" if i == 0 else str(d) for i, d in enumerate(dims))
        raise ShapeError(
            f"input '{name}' has {len(unpinned)} dynamic dimension{'s' if len(unpinned) > 1 else ''} "
            f"({', '.join(unpinned)}): pin it, for example --input {name}={example} with numbers in their place"
        )
    sizes = tuple(int(d) for d in dims)
    if any(size < 1 for size in sizes):
        raise ShapeError(f"input '{name}' of shape {list(sizes)} has no elements")
    return sizes


def _spell(dims: Sequence[int | str]) -> str:
    return "[" + ",".join(str(d) for d in dims) + "]"
