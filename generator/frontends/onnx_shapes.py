"""Static shapes for an ONNX model: of our graph's inputs, and in the copy that the reference runs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edgewright.errors import ShapeError
from edgewright.ir import Graph, Shape

NEWEST_IR_VERSION = 10  # that a widespread ONNX Runtime reads; the difference is in what we do not use


def pinned_model(proto: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """Return the model as the reference runs it: shapes fixed, readable for an older ONNX Runtime."""
    pinned = onnx.ModelProto()
    pinned.CopyFrom(proto)
    pinned.ir_version = min(pinned.ir_version, NEWEST_IR_VERSION)
    for value in pinned.graph.input:
        if value.name in graph.inputs:
            _set_shape(value, graph.tensors[value.name].shape)
    for index, node in enumerate(pinned.graph.node):
        for i, name in enumerate(node.output):
            if not name:  # an output nobody wants; ONNX Runtime 1.31 crashes on some of these
                node.output[i] = f"edgewright.unused.{index}.{i}"
    return pinned


def with_output_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy for the checker, which insists on a shape where other tools do without."""
    bare = [value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
            for value in proto.graph.output]  # fmt: skip
    if not any(bare):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for value, is_bare in zip(copy.graph.output, bare, strict=True):
        if is_bare:
            value.type.tensor_type.shape.SetInParent()
    return copy


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
