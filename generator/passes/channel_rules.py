"""How operators treat channels: what `remove_channels` knows of operators.

A rule says three things of a node: between which bounds each channel of its output lies (`bounds`), which channels of
its operands and its output can only go together (`tie`), and what the node is with fewer of them (`cut`). Operators
without a rule, and nodes that a rule does not fit, keep all channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgewright.ir import Array, DType, Node
from edgewright.ops import operator
from edgewright.passes.channel_layers import FILTERS
from edgewright.passes.channel_moves import CONCAT, PAD, RESHAPE, SLICE
from edgewright.passes.channels import Bounds, Channels, Cut, Rule, channels

BoundsOf = Callable[[Node, Channels], Bounds]


@dataclass(frozen=True)
class _Same(Rule):
    """One operand, whose channels are the output's."""

    function: BoundsOf

    def fits(self, node: Node, known: Channels) -> bool:
        rank, name = len(known.graph.tensors[node.inputs[0]].shape), node.inputs[0]
        if known.is_constant(name) or not rank:
            return False
        mixed = node.attrs.get("axes", (node.attrs["axis"],) if node.op == "Softmax" else ())
        return (
            len(node.inputs) == (2 if node.op == "QTable" else 1)
            and all(axis % rank != rank - 1 for axis in mixed)
            and tuple(node.attrs.get("perm", (rank - 1,)))[-1] == rank - 1
            and node.attrs.get("layout") != "NCHW"
            and node.attrs.get("positions", (None,))[-1] is None
        )

    def bounds(self, node: Node, known: Channels) -> Bounds:
        return self.function(node, known)

    def tie(self, node: Node, known: Channels) -> None:
        known.lanes[node.output] = known.lanes[node.inputs[0]]


def _unchanged(node: Node, known: Channels) -> Bounds:
    return known.bounds_of(node.inputs[0])


def _at(node: Node, known: Channels, *values: Array) -> Array:
    """The operator's own reference at these values. Shapes: [channels] each."""
    dtypes = [known.graph.tensors[name].dtype.numpy for name in node.inputs]
    with np.errstate(all="ignore"):
        arrays = [v.astype(dtype) for v, dtype in zip(values, dtypes, strict=True)]
        return np.asarray(operator(node.op).evaluate(node, arrays)[0], np.float64)


def _function(node: Node, known: Channels) -> Bounds:
    """Any function of one element: known where its operand is."""
    x, free = known.bounds_of(node.inputs[0]), Bounds.of_type(known.graph.tensors[node.output])
    value = _at(node, known, x.low)
    return Bounds.of(np.where(x.constant, value, free.low), np.where(x.constant, value, free.high))


def _rising(node: Node, known: Channels) -> Bounds:
    """A function of one element that never falls."""
    if node.attrs.get("alpha", 0.0) < 0:
        return _function(node, known)
    x = known.bounds_of(node.inputs[0])
    return Bounds.of(_at(node, known, x.low), _at(node, known, x.high))


def _table(node: Node, known: Channels) -> Bounds:
    x, table = known.bounds_of(node.inputs[0]), np.asarray(known.graph.tensors[node.inputs[1]].data, np.float64)
    lowest = np.iinfo(known.graph.tensors[node.inputs[0]].dtype.numpy).min
    pairs, which = np.unique(np.stack([x.low, x.high], axis=1).astype(np.int64) - lowest, axis=0, return_inverse=True)
    ends = [(table[a : b + 1].min(), table[a : b + 1].max()) for a, b in pairs.tolist()]
    low, high = np.array(ends)[which.reshape(-1)].T
    return Bounds.of(low, high)


def _pool(node: Node, known: Channels) -> Bounds:
    """A pool or a resize never falls with any element: images of one value give the bounds, border included."""
    x, tensor = known.bounds_of(node.inputs[0]), known.graph.tensors[node.inputs[0]]
    values, which = np.unique(np.concatenate([x.low, x.high]), return_inverse=True)
    images = np.broadcast_to(values, (1, *tensor.shape[1:-1], len(values)))  # all of a batch are the same
    results = _at(node, known, images).reshape(-1, len(values))
    low, high = results.min(axis=0)[which], results.max(axis=0)[which]
    return Bounds.of(low[: len(x.low)], high[len(x.low) :])


def _share(node: Node, known: Channels) -> Bounds:
    count = channels(known.graph.tensors[node.output])
    return Bounds(np.zeros(count), np.ones(count))


class _Operands(Rule):
    """Two operands, channel by channel, or broadcast along the channels."""

    def bounds(self, node: Node, known: Channels) -> Bounds:
        a, b = (known.bounds_of(name) for name in node.inputs)
        free = Bounds.of_type(known.graph.tensors[node.output])
        corners = np.stack(
            [np.broadcast_to(_at(node, known, p, q), free.low.shape) for p in (a.low, a.high) for q in (b.low, b.high)]
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        if node.op == "Div":  # rises or falls with each operand only where the divisor keeps its sign
            regular = np.broadcast_to((b.low > 0) | (b.high < 0), free.low.shape)
            low, high = np.where(regular, low, free.low), np.where(regular, high, free.high)
        return Bounds.of(low, high)

    def tie(self, node: Node, known: Channels) -> None:
        tensors, count = known.graph.tensors, channels(known.graph.tensors[node.output])
        lanes: Array | None = None
        for name in node.inputs:
            if known.is_constant(name) or channels(tensors[name]) != count:
                continue  # sliced along, or one channel for all of them
            if lanes is None:
                lanes = known.lanes[name]
            else:
                known.tie(lanes, known.lanes[name])
        known.lanes[node.output] = known.fresh(count) if lanes is None else lanes

    def cut(self, node: Node, cut: Cut) -> Node:
        keep, tensors = cut.keep[node.output], cut.known.graph.tensors

        def operand(name: str) -> str:
            whole = not cut.known.is_constant(name) or channels(tensors[name]) != len(keep)
            return name if whole else cut.constant(name, last=keep)

        return replace(node, inputs=tuple(operand(name) for name in node.inputs))


_WHOLE = Rule()
_RISING = ("Clamp", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Quantize", "Dequantize", "QRescale")

_OF_MANY_TYPES = ("Add", "Sub", "Mul", "Div", "ReduceMean")

RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "FullyConnected", "QConv", "QFullyConnected"), FILTERS),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "QAdd", "QSub", "QMul"), _Operands()),
    **dict.fromkeys(("MaxPool", "AveragePool", "QMaxPool", "QAveragePool", "QResizeLinear"), _Same(_pool)),
    **dict.fromkeys(_RISING, _Same(_rising)),
    **dict.fromkeys(("ReduceMean", "Transpose", "ResizeNearest", "ResizeLinear"), _Same(_unchanged)),
    "HardSwish": _Same(_function), "QTable": _Same(_table), "Softmax": _Same(_share),
    "Concat": CONCAT, "Slice": SLICE, "Pad": PAD, "Reshape": RESHAPE,
}  # fmt: skip


def rule_of(node: Node, known: Channels) -> Rule:
    """The rule of a node."""
    rule = RULES.get(node.op, _WHOLE)
    if node.op in _OF_MANY_TYPES and known.graph.tensors[node.output].dtype is not DType.F32:
        rule = _WHOLE  # integers wrap around: their bounds are not those of the operands
    return rule if rule.fits(node, known) else _WHOLE
