"""Runs a graph on this computer by the operators' numpy references: for integer graphs, the definition itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import moved_inputs
from edgewright.ops.q_core import QUANTIZED


def simulate(
    graph: Graph, inputs: Mapping[str, Array], on_progress: Callable[[int], None] | None = None
) -> tuple[Array, ...]:
    """Run every sample, or once where there are no inputs; return the graph's outputs in order.

    Shapes: `inputs[name]` is (n, *the graph input's shape); likewise the outputs.
    """
    count = len(next(iter(inputs.values()))) if inputs else 1
    results = []
    for index in range(count):
        results.append(run_once(graph, {name: values[index] for name, values in inputs.items()}))
        if on_progress is not None:
            on_progress(index + 1)
    return tuple(np.stack(values) for values in zip(*results, strict=True))


def run_once(graph: Graph, inputs: Mapping[str, Array]) -> list[Array]:
    """Run one sample. Shapes: as the graph has them."""
    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None}
    values.update(inputs)
    for node in graph.nodes:
        arrays = [values[name] if name else None for name in node.inputs]
        with np.errstate(all="ignore"):  # infinity and NaN go on through float operators, as on the device
            values.update(zip(node.outputs, operator(node.op).evaluate(node, arrays), strict=True))
    return [np.asarray(values[name]) for name in graph.outputs]


def is_quantized(graph: Graph) -> bool:
    """Whether any operator works on quantized integers."""
    return any(node.op in ("Quantize", "Dequantize") or node.op.startswith("Q") for node in graph.nodes)


def float_islands(graph: Graph) -> tuple[Node, ...]:
    """The nodes that stay float in a quantized graph: they compute, on float32 tensors."""
    if not is_quantized(graph):
        return ()
    return tuple(
        node for node in graph.nodes
        if not moved_inputs(node) and node.op not in ("Quantize", "Dequantize")
        and graph.tensors[node.output].dtype not in QUANTIZED
    )  # fmt: skip


def is_exact(graph: Graph) -> bool:
    """Whether every output is defined to the bit: none depends on floats whose last bits are a library's own affair.

    Integers are, what is moved, and float operators that round once (see `Operator`), a last Dequantize first of all.
    Sums are not, since their order is free, nor are functions like exp.
    """
    return not _inexact(graph).intersection(graph.outputs)


def rounds_inexact(graph: Graph) -> bool:
    """Whether integers are made of floats that are not defined to the bit: near a tie they may come out one off."""
    inexact = _inexact(graph)
    return any(
        name in inexact and graph.tensors[name].dtype is DType.F32
        and any(graph.tensors[output].dtype is not DType.F32 for output in node.outputs if output)
        for node in graph.nodes for name in node.inputs
    )  # fmt: skip


def _inexact(graph: Graph) -> set[str]:
    """The tensors that are not defined to the bit."""
    inexact: set[str] = set()
    for node in graph.nodes:
        kind = operator(node.op)
        exact = kind.moves or kind.rounds_once or node.op.startswith("Q")
        if not exact or inexact.intersection(node.inputs):
            inexact.update(output for output in node.outputs if output)
    return inexact


def output_steps(graph: Graph) -> tuple[float | None, ...]:
    """The size of one quantization step in each output: 1 for integers, a last Dequantize's scale, else None."""
    producers = {output: node for node in graph.nodes for output in node.outputs}

    def step(name: str) -> float | None:
        if graph.tensors[name].dtype in QUANTIZED:
            return 1.0
        node = producers.get(name)
        while node is not None and moved_inputs(node):
            node = producers.get(node.inputs[0])
        return float(node.attrs["scale"]) if node is not None and node.op == "Dequantize" else None

    return tuple(step(name) for name in graph.outputs)
