"""Which rows of each tensor are computed when, where a run of nodes is cut into bands: numbers of rows, no memory.

Rows are those of the height of channels-last images, or of their width where the height is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from edgewright.ir import Node, Tensor
from edgewright.ops import operator
from edgewright.ops.window import effective

Tensors = Mapping[str, Tensor]


def row_axis(node: Node, tensors: Tensors) -> int | None:
    """The axis that a node's bands lie along; None for one that cannot be cut."""
    rule = operator(node.op)
    kind = rule.rows or ("each" if rule.elementwise else "")
    shape = tensors[node.output].shape
    if not kind or len(shape) != 4 or shape[0] != 1 or node.attrs.get("layout", "NHWC") != "NHWC":
        return None
    if sum(bool(name) for name in node.outputs) != 1:
        return None
    flat = all(tensors[name].shape[1:2] in ((1,), ()) for name in (node.inputs[0], node.output))
    axis = 2 if flat else 1
    if node.op == "Concat" and node.attrs["axis"] == axis:
        return None
    if shape[axis] < 2 or row_operands(node, tensors, axis) is None:
        return None
    return axis


def row_operands(node: Node, tensors: Tensors, axis: int) -> list[int] | None:
    """Which inputs have rows as the result has; None where one of the others varies along the axis."""
    rule = operator(node.op)
    if rule.rows == "window":
        return [0]
    if rule.rows == "anywhere":
        return []
    result, found = tensors[node.output].shape, []
    for index, name in enumerate(node.inputs):
        if not name or (rule.data_inputs is not None and index >= rule.data_inputs):
            continue
        shape = tensors[name].shape
        padded = (1,) * (len(result) - len(shape)) + shape
        if tensors[name].data is None and shape[: axis + 1] == result[: axis + 1]:
            found.append(index)
        elif padded[axis] != 1:
            return None
    return found or None


@dataclass(frozen=True)
class Reach:
    """Which rows of an operand a row of the result sees: `rows` of them, the first at row * stride - pad."""

    stride: int = 1
    pad: int = 0
    rows: int = 1

    @staticmethod
    def of(node: Node, axis: int) -> Reach:
        """A node's, along an axis of its bands."""
        if operator(node.op).rows != "window":
            return Reach()
        at = axis - 1
        extent = effective(node.attrs["kernel"][at], node.attrs["dilations"][at])
        return Reach(node.attrs["strides"][at], node.attrs["pads"][at], extent)

    def needed(self, first: int, stop: int) -> tuple[int, int]:
        """Rows of the operand for rows `first` to `stop` - 1 of the result, before the edges cut them off."""
        return first * self.stride - self.pad, (stop - 1) * self.stride - self.pad + self.rows


@dataclass(frozen=True)
class Piece:
    """Rows `first` to `stop` - 1 of a node's result; `low` is the first row that its window then has to hold."""

    item: int
    first: int
    stop: int
    low: int = 0


@dataclass(frozen=True, eq=False)
class Run:
    """Nodes in order, to be cut along one axis. `windows` are tensors between them that need not exist as a whole."""

    nodes: Sequence[Node]
    tensors: Tensors
    axis: int
    windows: Set[str]

    @cached_property
    def names(self) -> list[str]:
        """The results, by item."""
        return [node.output for node in self.nodes]

    @cached_property
    def heights(self) -> list[int]:
        """Rows of each item's result."""
        return [self.tensors[name].shape[self.axis] for name in self.names]

    @cached_property
    def _readers(self) -> list[list[tuple[int, Reach]]]:
        """For each item those that read rows of its result."""
        items = {name: item for item, name in enumerate(self.names)}
        found: list[list[tuple[int, Reach]]] = [[] for _ in self.nodes]
        for reader, node in enumerate(self.nodes):
            reach = Reach.of(node, self.axis)
            for index in row_operands(node, self.tensors, self.axis) or ():
                if node.inputs[index] in items:
                    found[items[node.inputs[index]]].append((reader, reach))
        return found

    def rounds(self, rows: int) -> int:
        """Number of bands, of `rows` rows of the last node's result."""
        return -(-self.heights[-1] // rows)

    def schedule(self, rows: int) -> Iterator[Piece]:
        """What to compute, in order: round by round what the last node's next rows need, and of results that are
        wanted as a whole as large a share.

        The first rounds are for rows before the last node's first: so the first nodes run ahead a band at a time.
        """
        done = [0] * len(self.nodes)
        is_window = [name in self.windows for name in self.names]
        first = 1
        while any(high > 0 for high in self._targets(is_window, first - 1, rows)):
            first -= 1
        for number in range(first, self.rounds(rows) + 1):
            for item, wanted in enumerate(self._targets(is_window, number, rows)):
                stop = min(wanted, self.heights[item])
                if stop > done[item]:
                    low = self._low(item, done) if is_window[item] else 0
                    yield Piece(item, done[item], stop, low)
                    done[item] = stop

    def _targets(self, is_window: Sequence[bool], number: int, rows: int) -> list[int]:
        """The row behind the last that each result has after a round; before the first row it is not positive."""
        high = [0] * len(self.nodes)
        rounds, last = self.rounds(rows), len(self.nodes) - 1
        for item in range(last, -1, -1):
            wanted = [(high[r] - 1) * reach.stride - reach.pad + reach.rows for r, reach in self._readers[item]]
            if item == last:
                wanted.append(number * rows)
            elif not is_window[item] and (number == rounds or not wanted):
                wanted.append(-(-self.heights[item] * number // rounds))
            high[item] = max(wanted)
        return high

    def _low(self, item: int, done: Sequence[int]) -> int:
        """The first row of a window that is still needed, of those that are done."""
        low = done[item]
        for reader, reach in self._readers[item]:
            if done[reader] < self.heights[reader]:
                low = min(low, max(done[reader] * reach.stride - reach.pad, 0))
        return low
