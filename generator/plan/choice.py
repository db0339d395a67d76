"""Which kernel runs each node: the cheapest that the core has, within what its weights may take of the flash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.ir import Graph, Node
from edgewright.kernels import Core, Kernel, kernels_for
from edgewright.ops import KernelCall, operator
from edgewright.ops.core import describe

BALANCED_GROWTH = 0.10  # of the raw weights that packing may add, where flash and speed are to be balanced


@dataclass(frozen=True, eq=False)
class Choice:
    """The kernel of a node; `kernel` is None for a float operator, which has one. Units: modelled cycles, bytes."""

    kernel: Kernel | None
    calls: tuple[KernelCall, ...]
    cycles: int | None
    weights_bytes: int


def choose_kernels(
    nodes: Sequence[Node], graph: Graph, core: Core, optimize: str, weights_limit: int | None = None
) -> list[Choice]:
    """Return a kernel for each node.

    `speed`: fewest cycles within `weights_limit` bytes; `balanced` and `ram`: likewise, and packed weights exceed the
    raw ones by at most a tenth; `size`: the smallest. Raises: UnsupportedError naming every node without a kernel.
    """
    options = [_options(node, graph, core) for node in nodes]
    missing = [describe(node) for node, choices in zip(nodes, options, strict=True) if not choices]
    if missing:
        raise UnsupportedError("no kernel takes " + ", ".join(missing))
    chosen = [min(choices, key=lambda c: (c.weights_bytes, c.cycles or 0)) for choices in options]
    if optimize == "size":
        return chosen
    budget = float("inf") if weights_limit is None else float(weights_limit)
    if optimize != "speed":
        raw = sum(_raw_bytes(node, graph) for node in nodes)
        budget = min(budget, raw * (1 + BALANCED_GROWTH))
    return _upgraded(chosen, options, budget)


def _upgraded(chosen: list[Choice], options: Sequence[Sequence[Choice]], budget: float) -> list[Choice]:
    """Spend what is left of the budget where a byte saves the most cycles."""
    spent = sum(choice.weights_bytes for choice in chosen)
    while True:
        best: tuple[float, int, Choice] | None = None
        for index, (now, choices) in enumerate(zip(chosen, options, strict=True)):
            for option in choices:
                saved, extra = (now.cycles or 0) - (option.cycles or 0), option.weights_bytes - now.weights_bytes
                if saved > 0 and spent + extra <= budget:
                    gain = saved / max(extra, 1)
                    if best is None or gain > best[0]:
                        best = (gain, index, option)
        if best is None:
            return chosen
        _, index, option = best
        spent += option.weights_bytes - chosen[index].weights_bytes
        chosen[index] = option


def _options(node: Node, graph: Graph, core: Core) -> list[Choice]:
    with np.errstate(over="ignore"):  # infinity fits no proof
        found = [
            Choice(kernel, calls, kernel.cost(node, graph), _constant_bytes(calls, graph))
            for kernel in kernels_for(node, graph, core)
            for calls in (kernel.lower(node, graph),)
        ]
    if found or not operator(node.op).has_kernel:
        return found
    calls = operator(node.op).lower(node, graph)
    return [Choice(None, calls, None, _constant_bytes(calls, graph))]


def _constant_bytes(calls: Sequence[KernelCall], graph: Graph) -> int:
    total = 0
    for call in calls:
        for argument in call.arguments:
            if isinstance(argument, np.ndarray):
                total += argument.nbytes
            elif isinstance(argument, str) and graph.tensors[argument].data is not None:
                total += graph.tensors[argument].size_bytes
    return total


def _raw_bytes(node: Node, graph: Graph) -> int:
    constants = [graph.tensors[name] for name in node.inputs if name and graph.tensors[name].data is not None]
    return sum(tensor.size_bytes for tensor in constants)
