"""Removes channels that nobody uses, or that always have one value, through the whole network.

A channel is used where a layer that mixes channels (a convolution, a fully connected layer) multiplies it by
something other than 0 for a result that is used itself. What has one value whatever the input is (a filter of zeros,
or one whose sums a Relu always clamps) goes into the bias of its readers. Channels that other operators tie together
(a residual sum, a depthwise convolution, a pool, ...) go together. Graph inputs and outputs keep their channels, and
every tensor keeps one. Integer results keep their bits; float sums lose terms that are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.passes.channel_rules import rule_of
from edgewright.passes.channels import Channels, Cut, Reading, Rule, channels
from edgewright.passes.remove_noops import remove_noops

MAX_CHANNELS = 1 << 20  # of all tensors together; a network with more is left as it is, for time and memory


def remove_channels(graph: Graph) -> Graph:
    """Return the graph without such channels; the same object where there are none."""
    tensors = (tensor for tensor in graph.tensors.values() if tensor.data is None)
    if sum(channels(tensor) for tensor in tensors) > MAX_CHANNELS:
        return graph
    while (smaller := _removed(graph)) is not graph:  # again: a group that is left alone can lose single channels
        graph = smaller
    return graph


def _removed(graph: Graph) -> Graph:
    known = Channels(graph)
    rules: dict[int, Rule] = {}
    read_by: dict[int, Reading] = {}
    for node in graph.nodes:
        rule = rules[id(node)] = rule_of(node, known)
        known.bounds[node.output] = rule.bounds(node, known)
        before = len(known.readings)
        rule.tie(node, known)
        read_by.update((id(node), reading) for reading in known.readings[before:])
    for name in graph.outputs:
        known.keep(name)
    live = known.settle()
    _follow(graph, known, read_by, live, keep_one=False)
    _follow(graph, known, read_by, live, keep_one=True)
    keep = {name: live[lanes] for name, lanes in known.lanes.items()}
    if all(mask.all() for mask in keep.values()):
        return graph
    return remove_noops(_written(known, rules, keep))


def _follow(graph: Graph, known: Channels, read_by: Mapping[int, Reading], live: Array, keep_one: bool) -> None:
    """Mark what the lanes marked so far depend on; with `keep_one`, mark one of each tensor that has none.

    Backwards, until a sweep marks nothing. Each row of `needs` is looked at once.
    """
    changed = True
    while changed:
        changed = False
        for node in reversed(graph.nodes):
            lanes = known.lanes[node.output]
            if keep_one and lanes.size and not live[lanes].any():
                live[lanes[0]] = changed = True
            reading = read_by.get(id(node))
            if reading is not None:
                changed |= _inputs_of(reading, live)


def _inputs_of(reading: Reading, live: Array) -> bool:
    """Mark the inputs of outputs that became live since the last time; were there new ones?"""
    outputs = live[reading.y]
    new = outputs & ~reading.seen
    if not new.any():
        return False
    reading.seen = outputs
    inputs = reading.x[reading.needs[new].any(axis=0)]
    if live[inputs].all():
        return False
    live[inputs] = True
    return True


def _written(known: Channels, rules: Mapping[int, Rule], keep: Mapping[str, Array]) -> Graph:
    cut = Cut(known, keep)
    nodes: list[Node] = []
    for node in known.graph.nodes:
        touched = cut.loses((*node.inputs, *node.outputs))
        nodes.append(rules[id(node)].cut(node, cut) if touched else node)
    for name, mask in keep.items():
        if not mask.all():
            tensor = cut.editor.tensors[name]
            cut.editor.tensors[name] = replace(tensor, shape=(*tensor.shape[:-1], int(np.count_nonzero(mask))))
    cut.editor.nodes = nodes
    return cut.editor.graph()
