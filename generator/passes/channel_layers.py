"""How layers with weights treat channels; see `channel_rules`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgewright.ir import Array, Node
from edgewright.ops.core import FREE
from edgewright.ops.q_core import INT32_MAX, requantize
from edgewright.passes.channels import Bounds, Channels, Cut, Reading, Rule, channels

_ROUNDING = 1e-5  # of a float sum's terms: more than rounding errors, so that bounds hold in any order of summation


class _Filters(Rule):
    """Convolutions and fully connected layers with constant weights [out, ..., in / group].

    In a group all inputs meet all outputs: its channels stay or go as one. In a single group each output channel
    can go by itself, and an input channel where every output that stays multiplies it by 0, or it has one value whose
    products go into the bias: exact in integers, and in floats only where the value is 0.
    """

    def fits(self, node: Node, known: Channels) -> bool:
        parameters = [name for name in node.inputs[1:] if name]
        constant = all(known.is_constant(name) for name in parameters) and not known.is_constant(node.inputs[0])
        return bool(constant and node.attrs.get("layout") != "NCHW")

    def bounds(self, node: Node, known: Channels) -> Bounds:
        x, group, zero = known.bounds_of(node.inputs[0]), node.attrs.get("group", 1), node.attrs.get("x_zero", 0)
        low, high = x.low - zero, x.high - zero
        if _is_partial(node):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        positive = _tap_sums(node, known, lambda w: np.maximum(w, 0))
        negative = _tap_sums(node, known, lambda w: np.minimum(w, 0))

        def sums(weights: Array, values: Array) -> Array:
            by_group = weights.reshape(group, -1, weights.shape[1])
            return np.asarray(np.einsum("goi,gi->go", by_group, values.reshape(group, -1))).reshape(-1)

        bias = _bias(node, known, len(positive))
        with np.errstate(invalid="ignore"):  # weights that are not finite
            least = sums(positive, low) + sums(negative, high) + bias
            most = sums(positive, high) + sums(negative, low) + bias
        if node.op.startswith("Q"):
            scale = np.asarray(known.graph.tensors[node.inputs[3]].data)
            return Bounds.of(requantize(least, scale, node), requantize(most, scale, node))
        slack = _ROUNDING * sums(positive - negative, np.maximum(np.abs(low), np.abs(high)))
        act_min, act_max = node.attrs.get("act_min", FREE[0]), node.attrs.get("act_max", FREE[1])
        return Bounds.of(*(np.clip(end, act_min, act_max) for end in (least - slack, most + slack)))

    def tie(self, node: Node, known: Channels) -> None:
        x, group = known.lanes[node.inputs[0]], node.attrs.get("group", 1)
        out = channels(known.graph.tensors[node.output])
        if group > 1:
            members = x.reshape(group, -1)
            for other in range(1, members.shape[1]):
                known.tie(members[:, 0], members[:, other])
            known.lanes[node.output] = np.repeat(members[:, 0], out // group)
            return
        known.lanes[node.output] = known.fresh(out)
        used = _tap_sums(node, known, lambda w: w != 0) > 0
        known.readings.append(Reading(x, known.lanes[node.output], used & ~_foldable(node, known)))

    def cut(self, node: Node, cut: Cut) -> Node:
        keep_x, keep_y = cut.keep[node.inputs[0]], cut.keep[node.output]
        group = node.attrs.get("group", 1)
        weights = cut.constant(node.inputs[1], keep_y, keep_x if group == 1 else None)
        names = [node.inputs[0], weights, *(cut.constant(name, keep_y) if name else "" for name in node.inputs[2:])]
        if group > 1:
            groups = int(keep_y.reshape(group, -1)[:, 0].sum())
            return replace(node.with_attrs(group=groups), inputs=tuple(names))
        if node.op.startswith("Q") and not keep_x.all():
            moved = _products(node, cut.known)[np.ix_(keep_y, ~keep_x)].sum(axis=1)
            bias = _bias(node, cut.known, len(keep_y))[keep_y] + moved
            if moved.any():
                names[2] = cut.editor.add_constant(f"{node.inputs[2]}.kept", bias.astype(np.int32))
        return replace(node, inputs=tuple(names))


def _is_partial(node: Node) -> bool:
    """Whether some output elements lack some of the products: those with padding."""
    return any(node.attrs.get("pads", ())) or node.op == "ConvTranspose"


def _tap_sums(node: Node, known: Channels, function: Callable[[Array], Array]) -> Array:
    """A function of the weights, added up over the kernel's positions. Shapes: float64 [out, in / group]."""
    weights = np.asarray(known.graph.tensors[node.inputs[1]].data)
    rows = function(weights.reshape(len(weights), -1, weights.shape[-1]))
    return np.asarray(rows.sum(axis=1, dtype=np.float64))


def _bias(node: Node, known: Channels, count: int) -> Array:
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    return np.array(known.graph.tensors[name].data, np.float64) if name else np.zeros(count)


def _products(node: Node, known: Channels) -> Array:
    """What an input channel of one value adds to each accumulator. Shapes: float64, exact, [out, in]."""
    offset = known.bounds_of(node.inputs[0]).low - node.attrs.get("x_zero", 0)
    return np.asarray(_tap_sums(node, known, lambda w: w) * offset)


def _foldable(node: Node, known: Channels) -> Array:
    """Which input channels have one value that can go into the bias. Shapes: bool [in]."""
    x = known.bounds_of(node.inputs[0])
    silent = x.constant & (x.low == node.attrs.get("x_zero", 0))
    if not node.op.startswith("Q"):
        finite = _tap_sums(node, known, lambda w: ~np.isfinite(w)).sum(axis=0) == 0
        return np.asarray(silent & finite)
    if _is_partial(node):
        return np.asarray(silent)
    reach = np.abs(_bias(node, known, 0)) + np.abs(_products(node, known)[:, x.constant]).sum(axis=1)
    return np.asarray(x.constant if reach.max() <= INT32_MAX else silent)


FILTERS = _Filters()
