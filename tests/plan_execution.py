"""Runs a plan in numpy, in an arena of bytes laid out as planned: what the C does, by the operators' references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.ops import operator
from edgewright.plan import Plan

Array = npt.NDArray[Any]


def execute(plan: Plan, inputs: Mapping[str, Array]) -> list[Array]:
    """Run one sample. What no step has written is noise, and so is each step's scratch memory afterwards."""
    rng = np.random.default_rng(0)
    graph = plan.graph
    arena = rng.integers(0, 256, plan.arena_bytes, dtype=np.uint8)
    ports = {name: rng.integers(0, 256, graph.tensors[name].size_bytes, dtype=np.uint8)
             for name in (*graph.inputs, *graph.outputs)}  # fmt: skip
    sizes = {piece.root: piece.size_bytes for piece in plan.lifetimes}

    def memory(name: str) -> Array:
        place, size = plan.storage[name], graph.tensors[name].size_bytes
        if place.kind == "arena":
            return arena[plan.address(name) :][:size]
        return ports[place.root][place.offset_bytes :][:size]

    def read(name: str) -> Array | None:
        if not name:
            return None
        tensor = graph.tensors[name]
        if tensor.data is not None:
            return tensor.data
        return memory(name).copy().view(tensor.dtype.numpy).reshape(tensor.shape)

    def write(name: str, values: Array) -> None:
        memory(name)[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)

    for name, values in inputs.items():
        write(name, values)
    for step in plan.steps:
        operands = [read(name) for name in step.node.inputs]
        if step.scratch:
            start = plan.offsets[step.scratch]
            arena[start : start + sizes[step.scratch]] = rng.integers(0, 256, sizes[step.scratch], dtype=np.uint8)
        with np.errstate(all="ignore"):
            results = operator(step.node.op).evaluate(step.node, operands)
        for name, result in zip(step.node.outputs, results, strict=True):
            if name:
                assert result.shape == graph.tensors[name].shape, name
                write(name, result)
    return [np.asarray(read(name)) for name in graph.outputs]
