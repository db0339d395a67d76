"""Cross-layer equalization: ranges are moved between neighbouring layers so that all channels use the integers alike.

Between a layer and the next one, behind at most a ReLU and pooling, channel c may be divided by any s[c] > 0 in the
first and multiplied by it in the second: the float function stays the same. Source: Nagel et al., 2019, section 4.1.

There the weights of both layers are made alike, which is right for one scale a tensor. With a scale a channel the first
layer's rows cost nothing; what remains are the activations between, and the columns of the second layer: these two are
made alike then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, Editor, Graph, Node
from edgewright.quantization.layers import as_matrix
from edgewright.quantization.prepare import clamp_of, is_layer

MAX_FACTOR = 64.0
ROUNDS = 10  # of passes over the pairs, where weights are made alike


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers that share channels: `inner` is the number of the second's inputs that belong to each channel."""

    first: Node
    second: Node
    inner: int


def find_pairs(graph: Graph) -> list[Pair]:
    """Return the neighbours between which channels can be scaled."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    pairs = []
    for node in graph.nodes:
        if not is_layer(node, graph) or not _homogeneous(clamp_of(node)):
            continue
        second, inner = _next_layer(graph, node, readers)
        if second is not None:
            pairs.append(Pair(node, second, inner))
    return pairs


def _homogeneous(bounds: tuple[float, float]) -> bool:
    """Whether clamping commutes with a positive factor."""
    return bounds in ((-math.inf, math.inf), (0.0, math.inf))


def _next_layer(graph: Graph, node: Node, readers: Mapping[str, list[Node]]) -> tuple[Node | None, int]:
    """Follow the only reader through what keeps channels apart; flattening gives each channel several inputs."""
    name, inner = node.output, 1
    while name not in graph.outputs and len(readers.get(name, ())) == 1:
        (reader,) = readers[name]
        shape = graph.tensors[name].shape
        if is_layer(reader, graph) and reader.inputs[0] == name:
            return reader, inner
        if reader.op in ("MaxPool", "AveragePool", "Clamp"):
            bounds = clamp_of(reader)
            if reader.op == "Clamp":
                bounds = (float(reader.attrs.get("min", -math.inf)), float(reader.attrs.get("max", math.inf)))
            if not _homogeneous(bounds):
                return None, 1
        elif reader.op == "Reshape" and len(shape) == 4 and inner == 1:
            result = graph.tensors[reader.output].shape
            if len(result) != 2 or result != (shape[0], math.prod(shape[1:])):
                return None, 1
            inner = shape[2] * shape[3]
        else:
            return None, 1
        name = reader.output
    return None, 1


def equalized(graph: Graph, channel_ranges: Mapping[str, Array] | None) -> Graph:
    """Return the graph with its layers equalized.

    `channel_ranges` has, by tensor, the largest absolute value of each channel: then activations are made like the
    second layer's columns. Without it, weights are made alike.
    """
    pairs = find_pairs(graph)
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        if is_layer(node, graph):
            for name in node.inputs[1:]:
                constants[name] = np.asarray(graph.constant(name), np.float64)
    for _ in range(1 if channel_ranges is not None else ROUNDS):
        for pair in pairs:
            ranges = None if channel_ranges is None else channel_ranges[pair.first.output]
            _equalize(pair, constants, ranges)
    editor = Editor(graph)
    for name, values in constants.items():
        data = values.astype(np.float32)
        if not np.array_equal(data, np.asarray(graph.constant(name))):
            del editor.tensors[name]
            editor.add_constant(name, data)
    return editor.graph()


def _equalize(pair: Pair, constants: dict[str, Array], ranges: Array | None) -> None:
    rows = constants[pair.first.inputs[1]]
    spread = _by_channel(pair, constants[pair.second.inputs[1]])  # [channels, rows of the second, inner]
    if spread is None or len(spread) != len(rows):
        return
    separate = spread.shape[1] == 1 and pair.second.op == "Conv" and pair.second.attrs["group"] > 1
    if ranges is None:
        ahead = np.abs(rows.reshape(len(rows), -1)).max(axis=1)
        behind = np.abs(spread).reshape(len(spread), -1).max(axis=1)
    else:
        ahead = ranges.astype(np.float64)
        largest = np.abs(spread).max(axis=(0, 2), initial=0.0)  # of each row of the second layer
        share = np.abs(spread).max(axis=2) / np.where(largest > 0, largest, 1.0)
        behind = np.ones(len(rows)) if separate else share.max(axis=1)
    usable = (ahead > 1e-9 * ahead.max(initial=0.0)) & (behind > 1e-6 * behind.max(initial=0.0))
    if not usable.any():
        return
    # a depthwise second layer has a scale for each channel: its input can be made quite even
    all_ahead = separate and ranges is not None
    factor = np.where(usable, ahead, 1.0) ** (1.0 if all_ahead else 0.5)
    factor /= np.where(usable, behind, 1.0) ** (0.0 if all_ahead else 0.5)
    factor = factor / np.exp(np.log(factor[usable]).mean())
    factor = np.where(usable, np.clip(factor, 1 / MAX_FACTOR, MAX_FACTOR), 1.0)
    constants[pair.first.inputs[1]] = rows / factor.reshape(-1, *(1,) * (rows.ndim - 1))
    constants[pair.first.inputs[2]] = constants[pair.first.inputs[2]] / factor
    _scale_columns(pair, constants, factor)


def _by_channel(pair: Pair, weights: Array) -> Array | None:
    """View the second layer's weights as [channels, outputs that read one, inputs of one]; None if they do not fit."""
    if pair.second.op == "FullyConnected":
        channels = weights.shape[1] // pair.inner
        return weights.reshape(len(weights), channels, pair.inner).transpose(1, 0, 2)
    if pair.inner != 1:
        return None
    group = int(pair.second.attrs["group"])
    matrix = as_matrix(pair.second, weights)  # [groups, outputs, inputs * window]
    per_group = weights.shape[1]
    split = matrix.reshape(group, matrix.shape[1], per_group, -1).transpose(0, 2, 1, 3)
    return split.reshape(group * per_group, matrix.shape[1], -1)


def _scale_columns(pair: Pair, constants: dict[str, Array], factor: Array) -> None:
    name = pair.second.inputs[1]
    weights = constants[name]
    if pair.second.op == "FullyConnected":
        constants[name] = weights * np.repeat(factor, pair.inner)
        return
    group = int(pair.second.attrs["group"])
    per_group = weights.shape[1]
    by_group = factor.reshape(group, 1, per_group, 1, 1)
    split = weights.reshape(group, -1, per_group, *weights.shape[2:])
    constants[name] = (split * by_group).reshape(weights.shape)
