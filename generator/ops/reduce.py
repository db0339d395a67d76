"""Reductions: ReduceMean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    dense_strides,
    describe,
    from_onnx,
    given,
    ints,
    merge_axes,
    normalize_axis,
    padded_to_max_rank,
    required,
)
from edgewright.ops.reshape import axes_of


class ReduceMean(Operator):
    """The mean over some axes, which stay with size 1. Source: ONNX ReduceMean-18 with keepdims=1."""

    name = "ReduceMean"
    arity = (1, 1)
    attributes = {"axes": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x = required(inputs[0], node, "data")
        axes = {normalize_axis(axis, len(x.shape), describe(node)) for axis in node.attrs["axes"]}
        return [TensorType(tuple(1 if i in axes else d for i, d in enumerate(x.shape)), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        return [np.asarray(inputs[0]).mean(axis=tuple(node.attrs["axes"]), keepdims=True)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call: a walk over the kept axes, and inside it one over the others."""
        shape = graph.tensors[node.inputs[0]].shape
        steps, where = dense_strides(shape), describe(node)
        axes = set(node.attrs["axes"])

        def walk(chosen: list[int]) -> tuple[Shape, Shape]:
            dims, (strides,) = merge_axes(tuple(shape[i] for i in chosen), tuple(steps[i] for i in chosen))
            return dims, strides

        outer, outer_strides = walk([i for i in range(len(shape)) if i not in axes])
        inner, inner_strides = walk(sorted(axes))
        if not inner:  # axes of size 1, or none: the mean of one element
            inner, inner_strides = (1,), (0,)
        params: dict[str, ParamValue] = {
            "outer_rank": len(outer), "outer_dims": padded_to_max_rank(outer, where),
            "outer_strides": padded_to_max_rank(outer_strides, where),
            "reduce_rank": len(inner), "reduce_dims": padded_to_max_rank(inner, where),
            "reduce_strides": padded_to_max_rank(inner_strides, where),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_reduce_mean_f32", "reduce/ew_reduce_mean_f32.h", "ew_reduce_mean_f32_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axes move along."""
        return node.with_attrs(axes=tuple(sorted(perm.index(axis) for axis in node.attrs["axes"])))


@from_onnx("ReduceMean")
def _reduce_mean(foreign: Any) -> None:
    x = foreign.tensor(0)
    axes = axes_of(foreign, 1, 18, len(x.shape))
    if not axes and foreign.attrs.get("noop_with_empty_axes", 0):
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
        return
    axes = axes or tuple(range(len(x.shape)))
    if foreign.attrs.get("keepdims", 1):
        foreign.emit("ReduceMean", [x.name], final=0, axes=tuple(sorted(axes)))
        return
    mean = foreign.emit("ReduceMean", [x.name], axes=tuple(sorted(axes)))
    shape = tuple(d for i, d in enumerate(x.shape) if i not in axes)
    foreign.emit("Reshape", [mean], final=0, shape=shape)


cases(
    Case("ReduceMean", "last", (given(2, 3, 4), ints(-1)), opset=18),
    Case("ReduceMean", "outer_and_inner", (given(2, 3, 4), ints(0, 2)), opset=18),
    Case("ReduceMean", "all", (given(2, 3, 4),), opset=18),
    Case("ReduceMean", "dropped", (given(1, 3, 4, 5),), {"axes": [2, 3], "keepdims": 0}, opset=13),
    Case("ReduceMean", "axes_of_size_1", (given(2, 1, 3), ints(1)), opset=18),
    Case("ReduceMean", "kept", (given(1, 3, 4, 5),), {"axes": [1]}, opset=13),
)
