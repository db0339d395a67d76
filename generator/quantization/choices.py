"""What is quantized how: from a scheme and a few exceptions to parameters for every tensor and bits for every layer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edgewright.errors import QuantizationError
from edgewright.ir import Graph, Node
from edgewright.quantization.groups import Groups, moves
from edgewright.quantization.observers import Histogram
from edgewright.quantization.options import Options
from edgewright.quantization.params import QuantParams
from edgewright.quantization.prepare import is_layer
from edgewright.quantization.ranges import Memory, choose_params, group_activations

FEW_WEIGHTS = 0.02  # a layer with a smaller share of all weights stays in 8 bits under int4: it would save nothing


@dataclass(frozen=True)
class Choices:
    """Exceptions from the scheme: groups of tensors in 16 bits, layers with 8-bit weights, nodes in float."""

    wide_groups: frozenset[str] = frozenset()
    wide_weights: frozenset[str] = frozenset()
    float_nodes: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many exceptions there are."""
        return len(self.wide_groups) + len(self.wide_weights) + len(self.float_nodes)


@dataclass(frozen=True, eq=False)
class Assignment:
    """The choices carried through: what the sweep needs."""

    groups: Groups
    params: Mapping[str, QuantParams]
    weight_bits: Mapping[str, int]  # of the layers that compute in integers
    integer_nodes: frozenset[str]


def assign(
    graph: Graph, histograms: Mapping[str, Histogram], options: Options, observer: str, choices: Choices,
    memory: Memory | None = None,
) -> Assignment:  # fmt: skip
    """Return parameters and bits for a whole graph."""
    scheme = options.bits
    groups = group_activations(graph, histograms)

    def bits(name: str) -> int:
        return 16 if groups.leader[name] in choices.wide_groups else scheme.activation_bits

    leaders = groups.integer_leaders(bits, choices.float_nodes)
    params = choose_params(groups, histograms, observer, options.percentile, bits, leaders, memory)
    integer = frozenset(
        node.name for node in graph.nodes
        if node.name not in choices.float_nodes and not moves(node) and groups.computes_in_integers(node, bits)
    )  # fmt: skip
    narrow = _narrow_layers(graph) if scheme.weight_bits == 4 else frozenset()
    weight_bits = {
        node.name: 4 if node.name in narrow - choices.wide_weights else 8
        for node in graph.nodes
        if node.name in integer and is_layer(node, graph)
    }
    return Assignment(groups, params, weight_bits, integer)


def _narrow_layers(graph: Graph) -> frozenset[str]:
    """The layers that int4 pays for: those with many weights, that are shared by many sums (not depthwise)."""
    sizes = {n.name: graph.tensors[n.inputs[1]].elements for n in graph.nodes if is_layer(n, graph)}
    total = sum(sizes.values())
    return frozenset(
        node.name for node in graph.nodes
        if node.name in sizes and sizes[node.name] >= FEW_WEIGHTS * total and not _is_depthwise(node, graph)
    )  # fmt: skip


def _is_depthwise(node: Node, graph: Graph) -> bool:
    return node.op == "Conv" and graph.tensors[node.inputs[1]].shape[1] == 1 and node.attrs["group"] > 1


def from_options(graph: Graph, groups: Groups, options: Options) -> Choices:
    """Return the exceptions that the user named. Raises: QuantizationError for a name that is no layer's."""
    by_name = {node.name: node for node in graph.nodes}
    for name in (*options.keep_float, *options.keep_int16):
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=3, cutoff=0.3) or list(by_name)[:3]
            raise QuantizationError(f"no layer is called '{name}'; there are {', '.join(repr(n) for n in close)}")
    wide: set[str] = set()
    for name in options.keep_int16:
        node = by_name[name]
        wide.update(groups.leader[t] for t in (*node.inputs, *node.outputs) if t in groups.leader)
    return Choices(frozenset(wide), frozenset(), frozenset(options.keep_float))


def widened(
    choices: Choices, graph: Graph, groups: Groups, kind: str, *, group: str | None = None, layer: str | None = None
) -> Choices:
    """Return the choices with one more exception: a group of tensors, or the weights of a layer."""
    if layer is not None:
        if kind == "weights8":
            return replace(choices, wide_weights=choices.wide_weights | {layer})
        return replace(choices, float_nodes=choices.float_nodes | {layer})
    if group is None:
        return choices
    if kind == "int16":
        return replace(choices, wide_groups=choices.wide_groups | {group})
    return replace(choices, float_nodes=choices.float_nodes | frozenset(_touching(graph, groups, group)))


def _touching(graph: Graph, groups: Groups, group: str) -> Iterable[str]:
    """The nodes that read or write a group and do arithmetic."""
    for node in graph.nodes:
        names = (name for name in (*node.inputs, *node.outputs) if name in groups.leader)
        if not moves(node) and any(groups.leader[name] == group for name in names):
            yield node.name
