"""How operators that move elements treat channels; see `channel_rules`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.ir import Array, Node
from edgewright.passes.channels import Bounds, Channels, Cut, Rule, channels


class _Concat(Rule):
    """Operands one after the other, along the channels or along another axis."""

    def _along(self, node: Node, known: Channels) -> bool:
        rank = len(known.graph.tensors[node.output].shape)
        return bool(node.attrs["axis"] % rank == rank - 1)

    def bounds(self, node: Node, known: Channels) -> Bounds:
        parts = [known.bounds_of(name) for name in node.inputs]
        if self._along(node, known):
            return Bounds(np.concatenate([part.low for part in parts]), np.concatenate([part.high for part in parts]))
        lows, highs = np.stack([part.low for part in parts]), np.stack([part.high for part in parts])
        return Bounds(lows.min(axis=0), highs.max(axis=0))

    def tie(self, node: Node, known: Channels) -> None:
        tensors = known.graph.tensors
        if self._along(node, known):
            parts = [
                known.fresh(channels(tensors[name])) if known.is_constant(name) else known.lanes[name]
                for name in node.inputs
            ]
            known.lanes[node.output] = np.concatenate(parts)
            return
        first, *others = [known.lanes[name] for name in node.inputs if not known.is_constant(name)]
        for other in others:
            known.tie(first, other)
        known.lanes[node.output] = first

    def cut(self, node: Node, cut: Cut) -> Node:
        keep, names, position = cut.keep[node.output], [], 0
        along = self._along(node, cut.known)
        for name in node.inputs:
            count = channels(cut.known.graph.tensors[name])
            part = keep[position : position + count] if along else keep
            position += count
            if part.any():
                names.append(cut.constant(name, last=part) if cut.known.is_constant(name) else name)
        return replace(node, inputs=tuple(names))


class _Slice(Rule):
    """Some of the channels, all in a row."""

    def fits(self, node: Node, known: Channels) -> bool:
        return not known.is_constant(node.inputs[0]) and bool(node.attrs["steps"]) and abs(node.attrs["steps"][-1]) == 1

    def _index(self, node: Node) -> Array:
        start, step, size = (node.attrs[key][-1] for key in ("starts", "steps", "sizes"))
        return np.asarray(start + step * np.arange(size))

    def bounds(self, node: Node, known: Channels) -> Bounds:
        x, index = known.bounds_of(node.inputs[0]), self._index(node)
        return Bounds(x.low[index], x.high[index])

    def tie(self, node: Node, known: Channels) -> None:
        known.lanes[node.output] = known.lanes[node.inputs[0]][self._index(node)]

    def cut(self, node: Node, cut: Cut) -> Node:
        keep = cut.keep[node.inputs[0]]
        first = self._index(node)[cut.keep[node.output]][0]
        starts, sizes = node.attrs["starts"], node.attrs["sizes"]
        return node.with_attrs(
            starts=(*starts[:-1], int(keep[:first].sum())), sizes=(*sizes[:-1], int(cut.keep[node.output].sum()))
        )


class _Pad(Rule):
    """Elements around an image; or whole channels of one value."""

    def fits(self, node: Node, known: Channels) -> bool:
        begins, ends = node.attrs["begins"], node.attrs["ends"]
        if known.is_constant(node.inputs[0]) or not begins:
            return False
        return (begins[-1], ends[-1]) == (0, 0) or (
            node.attrs.get("mode", "constant") == "constant" and min(begins[-1], ends[-1]) >= 0
        )

    def bounds(self, node: Node, known: Channels) -> Bounds:
        x, value = known.bounds_of(node.inputs[0]), float(node.attrs.get("value", 0.0))
        low, high, begins, ends = x.low, x.high, node.attrs["begins"], node.attrs["ends"]
        if node.attrs.get("mode", "constant") == "constant" and any((*begins[:-1], *ends[:-1])):
            low, high = np.minimum(low, value), np.maximum(high, value)
        around = (begins[-1], ends[-1])
        return Bounds(*(np.pad(end, around, constant_values=value) for end in (low, high)))

    def tie(self, node: Node, known: Channels) -> None:
        before, after = (known.fresh(node.attrs[key][-1]) for key in ("begins", "ends"))
        known.lanes[node.output] = np.concatenate([before, known.lanes[node.inputs[0]], after])

    def cut(self, node: Node, cut: Cut) -> Node:
        keep, begins, ends = cut.keep[node.output], node.attrs["begins"], node.attrs["ends"]
        before, after = keep[: begins[-1]], keep[len(keep) - ends[-1] :]
        return node.with_attrs(begins=(*begins[:-1], int(before.sum())), ends=(*ends[:-1], int(after.sum())))


class _Reshape(Rule):
    """Channels that stay the last axis, or are flattened with the image before them, or the way back."""

    def _sizes(self, node: Node, known: Channels) -> tuple[int, int]:
        return channels(known.graph.tensors[node.inputs[0]]), channels(known.graph.tensors[node.output])

    def fits(self, node: Node, known: Channels) -> bool:
        old, new = self._sizes(node, known)
        return not known.is_constant(node.inputs[0]) and (old % new == 0 or new % old == 0)

    def bounds(self, node: Node, known: Channels) -> Bounds:
        x, (old, new) = known.bounds_of(node.inputs[0]), self._sizes(node, known)
        if new >= old:
            return Bounds(np.tile(x.low, new // old), np.tile(x.high, new // old))
        return Bounds(x.low.reshape(-1, new).min(axis=0), x.high.reshape(-1, new).max(axis=0))

    def tie(self, node: Node, known: Channels) -> None:
        lanes, (old, new) = known.lanes[node.inputs[0]], self._sizes(node, known)
        if new >= old:
            known.lanes[node.output] = lanes if new == old else np.tile(lanes, new // old)
            return
        first, *others = lanes.reshape(-1, new)
        for other in others:
            known.tie(first, other)
        known.lanes[node.output] = first

    def cut(self, node: Node, cut: Cut) -> Node:
        shape = tuple(node.attrs["shape"])
        return node.with_attrs(shape=(*shape[:-1], int(cut.keep[node.output].sum()))) if shape else node


CONCAT, SLICE, PAD, RESHAPE = _Concat(), _Slice(), _Pad(), _Reshape()
