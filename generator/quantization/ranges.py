"""Scale and zero point of each group of activations, out of what calibration saw."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from edgewright.ir import DType, Graph, Node
from edgewright.quantization.groups import Bits, Groups, is_fixed, make_groups, moves
from edgewright.quantization.observers import OBSERVERS, Histogram, Range, headroom, minmax, percentile
from edgewright.quantization.params import QuantParams, activation_params, fixed_params

ALIKE = 2.0  # a Concat's input that others read too shares its parameters if its range is at least 1 / this of them

Histograms = Mapping[str, Histogram]
Memory = dict[tuple[str, str, int], QuantParams]  # by group, observer and bits


def group_activations(graph: Graph, histograms: Histograms) -> Groups:
    """Return the groups of a graph, with the Concats joined that lose nothing, or little, by it."""
    apart = make_groups(graph)
    members = apart.members()
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    joined = []
    for node in graph.nodes:
        if node.op != "Concat" or node.output not in apart.leader:
            continue
        inputs = [name for name in node.inputs if name in apart.leader]
        whole = _width(minmax(histograms[node.output], 8))
        if all(
            _only_reader(node, members[apart.leader[name]], readers, graph)
            or _width(minmax(histograms[name], 8)) * ALIKE >= whole
            for name in inputs
        ):
            joined.append(node.name)
    return make_groups(graph, joined)


def _only_reader(concat: Node, members: list[str], readers: Mapping[str, list[Node]], graph: Graph) -> bool:
    others = (node for name in members for node in readers.get(name, []) if node is not concat and not moves(node))
    return not any(others) and not any(name in graph.outputs for name in members)


def _width(span: Range) -> float:
    return span[1] - span[0]


def choose_params(
    groups: Groups, histograms: Histograms, observer: str, share: float, bits: Bits, leaders: set[str],
    memory: Memory | None = None,
) -> dict[str, QuantParams]:  # fmt: skip
    """Return the parameters of each tensor in the groups that are to be integers.

    Units: `share` in percent. `memory` keeps what was found for the same graph and samples before.
    """
    memory = {} if memory is None else memory
    graph = groups.graph
    producers = {name: node for node in graph.nodes for name in node.outputs}
    result = {}
    for leader, members in groups.members().items():
        if leader not in leaders:
            continue
        key = (leader, observer, bits(leader))
        params = _known_params(members, producers, graph, bits(leader)) or memory.get(key)
        if params is None:
            histogram = group_histogram(members, producers, histograms)
            rule = partial(percentile, share=share) if observer == "percentile" else OBSERVERS[observer]
            low, high = rule(histogram, bits(leader))
            room = headroom(histogram, rule, bits(leader))
            params = activation_params(low * room, high * room, bits(leader), f"'{leader}'")
            memory[key] = params
        result.update(dict.fromkeys(members, params))
    return result


def group_histogram(members: list[str], producers: Mapping[str, Node], histograms: Histograms) -> Histogram:
    """Return the distribution of a group's values: of the tensors that its other members only move."""
    roots = [name for name in members if _is_root(producers.get(name))]
    histogram = histograms[roots[0]]
    for name in roots[1:]:
        histogram = histogram.merged(histograms[name])
    return histogram


def _is_root(node: Node | None) -> bool:
    return node is None or not moves(node) or (node.op == "Pad" and node.attrs.get("value", 0.0) != 0.0)


def _known_params(
    members: list[str], producers: Mapping[str, Node], graph: Graph, bits: int
) -> QuantParams | None:
    """Return the parameters of a group whose range follows from its one producer."""
    roots = [producers.get(name) for name in members if _is_root(producers.get(name))]
    if len(roots) != 1:
        return None
    (node,) = roots
    fixed = is_fixed(node)
    if fixed is not None:
        return fixed_params(fixed, bits)
    if node is not None and node.op == "Cast" and bits == 8:  # 8-bit integers are exact
        zero = {DType.U8: -128, DType.S8: 0}.get(graph.tensors[node.inputs[0]].dtype)
        if zero is not None:
            return QuantParams(np.array(1.0, np.float32), zero, 8, -128, 127)
    return None
