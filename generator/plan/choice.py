"""Which kernel runs each layer: the cheapest that the core has, within what its weights may take of the flash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.ir import Array, Graph, Node
from edgewright.kernels import Core, Kernel, kernels_for
from edgewright.ops import KernelCall, operator
from edgewright.ops.core import describe
from edgewright.plan.storage import Work
from edgewright.plan.touches import Keys

BALANCED_GROWTH = 0.10  # of the raw weights that packing may add, where flash and speed are to be balanced
RAM_GROWTH = 0.25  # likewise, where RAM counts more: kernels that write over their operands pack more
SIZE_GROWTH = 0.01  # of the smallest weights, where size counts: another kernel's code costs more
_MOST_STATES = 4000  # of the search for the best mix; more are thinned out


@dataclass(frozen=True, eq=False)
class Choice:
    """The kernel of a node; `kernel` is None for a float operator, which has one. Units: modelled cycles, bytes."""

    kernel: Kernel | None
    calls: tuple[KernelCall, ...]
    cycles: int | None
    in_place: frozenset[int] = frozenset()  # inputs whose place the output may take

    @property
    def scratch_bytes(self) -> int:
        """Arena memory that the calls share."""
        return max((call.scratch_bytes for call in self.calls), default=0)


@dataclass(frozen=True, eq=False)
class _Option:
    """One kernel for all bands of a layer. Units: modelled cycles, bytes."""

    choices: tuple[Choice, ...]
    cycles: int
    weights_bytes: int
    scratch_excess: int  # bytes above what the steps may use


class KernelChooser:
    """Chooses kernels for programs of one network on one core; remembers what it has lowered."""

    def __init__(self, graph: Graph, core: Core, optimize: str, weights_limit: int | None = None) -> None:
        self.core, self.optimize, self.weights_limit = core, optimize, weights_limit
        self.raw_bytes = sum(_raw_bytes(node, graph) for node in graph.nodes)
        self._known: dict[Any, list[tuple[Node, Choice]]] = {}
        self.keys = Keys()

    def choose(
        self, work: Sequence[Work], graph: Graph, scratch_limits: Mapping[int, int] | None = None
    ) -> list[Choice]:
        """Return a kernel for each item of the work; bands of a layer have the same one.

        `speed`: fewest cycles within the weights' limit; `balanced` and `ram`: likewise, and packed weights exceed the
        raw ones by at most a tenth or a quarter; `size`: next to the smallest. Units: bytes; `scratch_limits` are
        wishes, by step.
        Raises: UnsupportedError naming every node without a kernel.
        """
        groups: dict[tuple[str, str], list[int]] = {}
        for step, item in enumerate(work):
            groups.setdefault((item.layer, item.node.op), []).append(step)
        options = [self._options([work[s].node for s in steps], steps, graph, scratch_limits or {})
                   for steps in groups.values()]  # fmt: skip
        missing = [describe(work[steps[0]].node)
                   for steps, found in zip(groups.values(), options, strict=True) if not found]  # fmt: skip
        if missing:
            raise UnsupportedError("no kernel takes " + ", ".join(missing))
        result: dict[int, Choice] = {}
        for steps, option in zip(groups.values(), best_mix(options, self._budget(options)), strict=True):
            result.update(zip(steps, option.choices, strict=True))
        return [result[step] for step in range(len(work))]

    def least_scratch(self, work: Sequence[Work], graph: Graph, slowdown: float) -> list[int]:
        """Return for each item the least scratch memory of kernels that are at most so much slower than the fastest."""
        result = []
        for item in work:
            choices = self._lowered(item.node, graph)
            fastest = min((choice.cycles or 0 for choice in choices), default=0)
            result.append(min((c.scratch_bytes for c in choices if (c.cycles or 0) <= slowdown * fastest), default=0))
        return result

    def _budget(self, options: Sequence[Sequence[_Option]]) -> float:
        smallest = sum(min(option.weights_bytes for option in found) for found in options)
        limit = float("inf") if self.weights_limit is None else float(self.weights_limit)
        if self.optimize == "speed":
            return limit
        if self.optimize == "size":
            return smallest * (1 + SIZE_GROWTH)
        growth = RAM_GROWTH if self.optimize == "ram" else BALANCED_GROWTH
        return min(limit, self.raw_bytes * (1 + growth))

    def _options(
        self, nodes: Sequence[Node], steps: Sequence[int], graph: Graph, limits: Mapping[int, int]
    ) -> list[_Option]:
        """The kernels that take all of the nodes; where some keep to the limits of scratch memory, only those."""
        by_name = [{c.kernel.name if c.kernel else "": c for c in self._lowered(node, graph)} for node in nodes]
        found = []
        for name in by_name[0]:
            if not all(name in choices for choices in by_name):
                continue
            choices = tuple(each[name] for each in by_name)
            excess = max(c.scratch_bytes - limits.get(s, c.scratch_bytes) for s, c in zip(steps, choices, strict=True))
            found.append(_Option(
                choices, sum(c.cycles or 0 for c in choices), self._weights_bytes(choices, graph), max(excess, 0)
            ))  # fmt: skip
        least = min((option.scratch_excess for option in found), default=0)
        return [option for option in found if option.scratch_excess == least]

    def _lowered(self, node: Node, graph: Graph) -> list[Choice]:
        """Every kernel's calls for a node, taken over from one that differs in its tensors' names alone."""
        names = (*node.inputs, *node.outputs)
        key = (node.op, repr(sorted(node.attrs.items())), tuple(map(names.index, names)),
               *(self._form(name, graph) for name in names))  # fmt: skip
        if key not in self._known:
            self._known[key] = [(node, choice) for choice in _choices(node, graph, self.core)]
        return [_renamed(choice, model, node) for model, choice in self._known[key]]

    def _form(self, name: str, graph: Graph) -> object:
        if not name:
            return None
        tensor = graph.tensors[name]
        return (tensor.shape, tensor.dtype, None if tensor.data is None else self.keys.of(tensor.data))

    def _weights_bytes(self, choices: Sequence[Choice], graph: Graph) -> int:
        found: dict[str, int] = {}
        for choice in choices:
            for call in choice.calls:
                for argument in call.arguments:
                    data = graph.tensors[argument].data if isinstance(argument, str) else argument
                    if isinstance(data, np.ndarray):
                        found[self.keys.of(data)] = data.nbytes
        return sum(found.values())


def best_mix(options: Sequence[Sequence[_Option]], budget: float) -> list[_Option]:
    """Return one option of each group: fewest cycles within the budget of bytes, or the fewest bytes.

    A knapsack of several choices by dynamic programming over what no other mix beats; exact until it is thinned out.
    """
    smallest = [min(option.weights_bytes for option in found) for found in options]
    spare = budget - sum(smallest)
    extra, cycles = np.zeros(1, np.int64), np.zeros(1, np.int64)
    trail: list[tuple[Array, Array]] = []
    for found, least in zip(options, smallest, strict=True):
        more = np.array([option.weights_bytes - least for option in found])
        cost = np.array([option.cycles for option in found])
        both = (extra[:, None] + more[None, :]).reshape(-1)
        total = (cycles[:, None] + cost[None, :]).reshape(-1)
        order = np.lexsort((total, both))
        order = order[(both[order] <= spare) | (both[order] == 0)]
        falling = np.minimum.accumulate(total[order])
        kept = order[np.concatenate([[True], falling[1:] < falling[:-1]])]
        if len(kept) > _MOST_STATES:
            kept = kept[np.unique(np.linspace(0, len(kept) - 1, _MOST_STATES).astype(np.int64))]
        extra, cycles = both[kept], total[kept]
        trail.append((kept // len(found), kept % len(found)))
    result, state = [], len(extra) - 1
    for found, (before, which) in zip(reversed(options), reversed(trail), strict=True):
        result.append(found[int(which[state])])
        state = int(before[state])
    return result[::-1]


def _choices(node: Node, graph: Graph, core: Core) -> list[Choice]:
    with np.errstate(over="ignore"):  # infinity fits no proof
        found = [Choice(kernel, kernel.lower(node, graph), kernel.cost(node, graph), kernel.overwrites(node, graph))
                 for kernel in kernels_for(node, graph, core)]  # fmt: skip
    if found or not operator(node.op).has_kernel:
        return found
    return [Choice(None, operator(node.op).lower(node, graph), None, operator(node.op).in_place)]


def _renamed(choice: Choice, model: Node, node: Node) -> Choice:
    names = dict(zip((*model.inputs, *model.outputs), (*node.inputs, *node.outputs), strict=True))
    calls = tuple(
        replace(call, arguments=tuple(names[a] if isinstance(a, str) else a for a in call.arguments))
        for call in choice.calls
    )
    return replace(choice, calls=calls)


def _raw_bytes(node: Node, graph: Graph) -> int:
    constants = [graph.tensors[name] for name in node.inputs if name and graph.tensors[name].data is not None]
    return sum(tensor.size_bytes for tensor in constants)
