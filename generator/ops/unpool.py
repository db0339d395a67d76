"""MaxUnpool: what a pooling has kept, at the places where it was. Any data type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    ints,
    required,
)
from edgewright.ops.elements import C_ELEMENTS, required_indices


class Unpool(Operator):
    """y[indices[i]] = x[i] of tensors that are counted through, 0 elsewhere. Source: ONNX MaxUnpool-22.

    ONNX leaves indices outside y open: they are left out. Of several elements for a place the last one counts.
    """

    name = "Unpool"
    arity = (2, 2)
    attributes = {"shape": ...}
    dtypes = frozenset(DType)
    rounds_once = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: x and indices alike; the result's is given."""
        x, indices = required(inputs[0], node, "X"), required_indices(inputs[1], node)
        if x.shape != indices.shape or min(node.attrs["shape"]) < 1:
            raise ShapeError(f"{describe(node)}: indices {list(indices.shape)} for {list(x.shape)}")
        return [TensorType(tuple(node.attrs["shape"]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one element after the other."""
        x, indices = (np.asarray(array).reshape(-1) for array in inputs)
        y = np.zeros(math.prod(node.attrs["shape"]), x.dtype)
        for value, index in zip(x, indices, strict=True):
            if 0 <= index < len(y):
                y[index] = value
        return [y.reshape(node.attrs["shape"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, indices = (graph.tensors[name] for name in node.inputs)
        params: dict[str, ParamValue] = {
            "count": x.elements, "size": graph.tensors[node.output].elements, "element_bytes": x.dtype.size_bytes,
            "index_type": C_ELEMENTS[indices.dtype],
        }  # fmt: skip
        arguments = (x.name, indices.name, node.output)
        return (KernelCall("ew_unpool", "scatter/ew_unpool.h", "ew_unpool_params", params, arguments),)


@from_onnx("MaxUnpool")
def _max_unpool(foreign: Any) -> None:
    """Indices count in the shape that the window gives; a larger output_shape has zeros behind that.

    So ONNX's own cases have it; ONNX Runtime 1.32 counts in output_shape.
    """
    x, kernel = foreign.tensor(0), [int(size) for size in foreign.attrs["kernel_shape"]]
    rank = len(kernel)
    strides = [int(step) for step in foreign.attrs.get("strides", [1] * rank)]
    pads = [int(pad) for pad in foreign.attrs.get("pads", [0] * 2 * rank)]
    if len(x.shape) != rank + 2 or len(strides) != rank or len(pads) != 2 * rank:
        raise ShapeError(f"kernel_shape {kernel}, strides {strides} and pads {pads} for {list(x.shape)}")
    sizes = [
        (size - 1) * step - before - behind + window
        for size, step, before, behind, window in zip(x.shape[2:], strides, pads, pads[rank:], kernel, strict=False)
    ]
    shape, wanted = (*x.shape[:2], *sizes), (*x.shape[:2], *sizes)
    if foreign.has(2):
        wanted = tuple(int(size) for size in foreign.constant(2, "output_shape").reshape(-1))
    ends = tuple(b - a for a, b in zip(shape, wanted, strict=False))
    if len(wanted) != len(shape) or min(ends) < 0:
        foreign.unsupported(f"output_shape {list(wanted)} smaller than {list(shape)}")
    unpooled = foreign.emit("Unpool", [x.name, foreign.tensor(1).name], shape=shape)
    if any(ends):
        zero = 0.0 if x.dtype.numpy.kind == "f" else 0
        foreign.emit("Pad", [unpooled], final=0, begins=(0,) * len(ends), ends=ends, mode="constant", value=zero)
    else:
        foreign.emit("Reshape", [unpooled], final=0, shape=shape)


_PLACES = Fixed(ints(5, 7, 13, 15).reshape(1, 1, 2, 2))
_WINDOW = {"kernel_shape": [2, 2], "strides": [2, 2]}
cases(
    Case("MaxUnpool", "plain", (given(1, 1, 2, 2), _PLACES), _WINDOW, opset=11),
)
