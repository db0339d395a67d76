"""What is known of the channels (the last axis) of every tensor, and how nodes with fewer of them are written.

For `remove_channels`; the rules of the operators stand in `channel_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewright.ir import Array, DType, Editor, Graph, Node, Tensor

FLOAT_MAX = float(np.finfo(np.float32).max)  # stands for "no bound"


@dataclass(frozen=True, eq=False)
class Bounds:
    """The least and the largest value of each channel, over all inputs and positions. Shapes: float64 [channels]."""

    low: Array
    high: Array

    @property
    def constant(self) -> Array:
        """Which channels always have one value."""
        return np.asarray(self.low == self.high)

    @staticmethod
    def of_type(tensor: Tensor) -> Bounds:
        """All values that the tensor's type has."""
        if tensor.dtype.is_float:
            low, high = -FLOAT_MAX, FLOAT_MAX
        elif tensor.dtype is DType.B8:
            low, high = 0.0, 1.0
        else:
            low, high = map(float, tensor.dtype.range)
        return Bounds(*(np.full(channels(tensor), end) for end in (low, high)))

    @staticmethod
    def of(low: Array, high: Array) -> Bounds:
        """Bounds that were computed; NaN and what lies beyond float32 is no bound."""
        ends = []
        for values, free in ((low, -FLOAT_MAX), (high, FLOAT_MAX)):
            wide = np.asarray(values, np.float64)
            ends.append(np.clip(np.where(np.isnan(wide), free, wide), -FLOAT_MAX, FLOAT_MAX))
        return Bounds(*ends)


def channels(tensor: Tensor) -> int:
    """The size of the last axis."""
    return tensor.shape[-1] if tensor.shape else 1


@dataclass(eq=False)
class Reading:
    """A node that mixes channels: output channel y[o] needs input channel x[i] where `needs[o, i]`.

    Shapes: x and y are lanes [in], [out]; needs is bool [out, in]; `seen` marks the outputs that were followed.
    """

    x: Array
    y: Array
    needs: Array
    seen: Array = field(init=False)

    def __post_init__(self) -> None:
        self.seen = np.zeros(len(self.y), bool)


class Channels:
    """Bounds of each channel, and lanes: channels of several tensors that can only be removed together.

    `lanes[name]` has the lane of each channel of a tensor that is not a constant. A lane may stand in a tensor more
    than once (a flattened image has each channel once a position).
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.lanes: dict[str, Array] = {}
        self.bounds: dict[str, Bounds] = {}
        self.readings: list[Reading] = []
        self._leader: list[int] = []
        self._kept: list[Array] = []
        for name in graph.inputs:
            self.lanes[name] = self.fresh(channels(graph.tensors[name]))
            self.bounds[name] = Bounds.of_type(graph.tensors[name])
            self.keep(name)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known at generation."""
        return self.graph.tensors[name].data is not None

    def bounds_of(self, name: str) -> Bounds:
        """Bounds of a tensor, constant or not."""
        if name not in self.bounds:
            tensor = self.graph.tensors[name]
            if tensor.data is None:
                return Bounds.of_type(tensor)
            rows = tensor.data.reshape(-1, channels(tensor))
            self.bounds[name] = Bounds.of(rows.min(axis=0), rows.max(axis=0))
        return self.bounds[name]

    def fresh(self, count: int) -> Array:
        """New lanes, tied to nothing."""
        first = len(self._leader)
        self._leader.extend(range(first, first + count))
        return np.arange(first, first + count)

    def keep(self, name: str) -> None:
        """A tensor's channels all stay."""
        if name in self.lanes:
            self._kept.append(self.lanes[name])

    def tie(self, a: Array, b: Array) -> None:
        """Make lanes one, pair by pair."""
        if a is b:
            return
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            first, second = sorted((self._find(one), self._find(other)))
            self._leader[second] = first

    def _find(self, lane: int) -> int:
        leader = self._leader
        while leader[lane] != lane:
            leader[lane] = leader[leader[lane]]
            lane = leader[lane]
        return lane

    def settle(self) -> Array:
        """Give tied lanes one number everywhere; returns which lanes have to stay in any case.

        Shapes: bool [lanes].
        """
        leader = np.array(self._leader, np.int64)
        while not np.array_equal(above := leader[leader], leader):
            leader = above
        self.lanes = {name: leader[lanes] for name, lanes in self.lanes.items()}
        for reading in self.readings:
            reading.x, reading.y = leader[reading.x], leader[reading.y]
        live = np.zeros(len(leader), bool)
        for lanes in self._kept:
            live[leader[lanes]] = True
        return live


class Cut:
    """Writes a graph with the channels that stay. `keep[name]` says which, for each tensor that is not a constant."""

    def __init__(self, known: Channels, keep: Mapping[str, Array]) -> None:
        self.known = known
        self.keep = keep
        self.editor = Editor(known.graph)
        self._made: dict[tuple[str, bytes | None, bytes | None], str] = {}

    def loses(self, names: Sequence[str]) -> bool:
        """Whether any of these tensors loses a channel."""
        return any(not self.keep[name].all() for name in names if name in self.keep)

    def constant(self, name: str, first: Array | None = None, last: Array | None = None) -> str:
        """A constant with what stays of its first and of its last axis; readers that want the same share it."""
        first, last = (None if part is None or part.all() else part for part in (first, last))
        if first is None and last is None:
            return name
        key = (name, None if first is None else first.tobytes(), None if last is None else last.tobytes())
        if key not in self._made:
            data = np.asarray(self.known.graph.tensors[name].data)
            data = data if first is None else data[first]
            data = data if last is None else data[..., last]
            self._made[key] = self.editor.add_constant(f"{name}.kept", data)
        return self._made[key]


class Rule:
    """The rule of an operator that nothing is known of: all channels stay."""

    def fits(self, node: Node, known: Channels) -> bool:
        """Whether the rule can be applied."""
        return True

    def bounds(self, node: Node, known: Channels) -> Bounds:
        """Bounds of the output, from those of the inputs."""
        return Bounds.of_type(known.graph.tensors[node.output])

    def tie(self, node: Node, known: Channels) -> None:
        """Give the outputs their lanes; the inputs have theirs."""
        for name in filter(None, node.outputs):
            known.lanes[name] = known.fresh(channels(known.graph.tensors[name]))
        for name in (*node.inputs, *node.outputs):
            known.keep(name)

    def cut(self, node: Node, cut: Cut) -> Node:
        """The node with the channels that stay; called only where one of its tensors loses some."""
        return node
