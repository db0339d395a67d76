"""Which rows of each tensor are computed when, where a run of nodes is cut into bands: numbers of rows, no memory.

Rows are those of the height of channels-last images, or of their width where the height is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

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


def needed_rows(node: Node, axis: int, first: int, stop: int) -> tuple[int, int]:
    """Rows of the operand that rows `first` to `stop` - 1 of the result see, before the edges cut them off."""
    if operator(node.op).rows != "window":
        return first, stop
    at = axis - 1
    stride, pad = node.attrs["strides"][at], node.attrs["pads"][at]
    reach = effective(node.attrs["kernel"][at], node.attrs["dilations"][at])
    return first * stride - pad, (stop - 1) * stride - pad + reach


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

    def height(self, name: str) -> int:
        """Rows of a tensor."""
        return self.tensors[name].shape[self.axis]

    def readers(self) -> dict[str, list[Node]]:
        """For each result the nodes of the run that read its rows."""
        found: dict[str, list[Node]] = {node.output: [] for node in self.nodes}
        for node in self.nodes:
            for index in row_operands(node, self.tensors, self.axis) or ():
                if node.inputs[index] in found:
                    found[node.inputs[index]].append(node)
        return found

    def rounds(self, rows: int) -> int:
        """Number of bands, of `rows` rows of the last node's result."""
        return -(-self.height(self.nodes[-1].output) // rows)

    def schedule(self, rows: int) -> Iterator[Piece]:
        """What to compute, in order: round by round what the last node's next rows need, and of results that are
        wanted as a whole as large a share.

        The first rounds are for rows before the last node's first: so the first nodes run ahead a band at a time.
        """
        readers = self.readers()
        done = dict.fromkeys(readers, 0)
        first = 1
        while any(high > 0 for high in self._targets(readers, first - 1, rows).values()):
            first -= 1
        for number in range(first, self.rounds(rows) + 1):
            targets = self._targets(readers, number, rows)
            for item, node in enumerate(self.nodes):
                name = node.output
                target = min(targets[name], self.height(name))
                if target > done[name]:
                    low = self._low(readers[name], done, done[name]) if name in self.windows else 0
                    yield Piece(item, done[name], target, low)
                    done[name] = target

    def _targets(self, readers: Mapping[str, Sequence[Node]], number: int, rows: int) -> dict[str, int]:
        """The row behind the last that each result has after a round; before the first row it is not positive."""
        high: dict[str, int] = {}
        rounds = self.rounds(rows)
        for node in reversed(self.nodes):
            name = node.output
            wanted = [needed_rows(reader, self.axis, 0, high[reader.output])[1] for reader in readers[name]]
            if node is self.nodes[-1]:
                wanted.append(number * rows)
            elif name not in self.windows and (number == rounds or not readers[name]):
                wanted.append(-(-self.height(name) * number // rounds))
            high[name] = max(wanted)
        return high

    def _low(self, readers: Sequence[Node], done: Mapping[str, int], first: int) -> int:
        """The first row that a reader still needs, of those before `first`."""
        rows = [
            max(needed_rows(reader, self.axis, done[reader.output], done[reader.output] + 1)[0], 0)
            for reader in readers
            if done[reader.output] < self.height(reader.output)
        ]
        return min([*rows, first])
