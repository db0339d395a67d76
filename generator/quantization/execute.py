"""Runs a float Graph on many samples at once, by the operators' numpy references.

Graphs have a leading 1 (the batch) baked into their shapes. Where all nodes keep it as their first axis, the samples
take its place; otherwise they are run one by one, and stacked on a new first axis. Who reads the arrays therefore
counts axes from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import FREE
from edgewright.ops.elementwise import Broadcast
from edgewright.ops.where import Where
from edgewright.ops.window import pad_image
from edgewright.quantization.prepare import main_output

Values = dict[str, Array]
Rewrite = Callable[[str, Array], Array]  # what a tensor's values are to be, given its name and float values


@dataclass(frozen=True, eq=False)
class Executor:
    """A graph, and whether its samples can share one array along the first axis."""

    graph: Graph
    batched: bool

    def feeds(self, inputs: Mapping[str, Array], samples: slice | Array) -> Values:
        """Return some samples as the nodes take them. Shapes: inputs (n, *shape with the leading 1)."""
        chosen = {name: values[samples] for name, values in inputs.items()}
        return {name: v.reshape(len(v), *v.shape[2:]) if self.batched else v for name, v in chosen.items()}

    def _run(self, node: Node, inputs: Sequence[Array | None], constant: Sequence[bool]) -> Sequence[Array]:
        """Return the outputs of a node for all samples; `constant` tells which inputs are the same for all."""
        if self.batched:
            return _evaluate(node, inputs)
        count = next(len(v) for v, fixed in zip(inputs, constant, strict=True) if not fixed and v is not None)
        results = [
            operator(node.op).evaluate(
                node, [v if fixed or v is None else v[i] for v, fixed in zip(inputs, constant, strict=True)]
            )
            for i in range(count)
        ]
        return [np.stack(arrays) for arrays in zip(*results, strict=True)]

    def step(self, node: Node, values: Values, constants: Mapping[str, Array] | None = None) -> Values:
        """Run a node on tensors at hand; returns its outputs by name. `constants` replaces some of the graph's."""
        operands, fixed = [], []
        for name in node.inputs:
            data = self.graph.constant(name) if name else None
            if constants is not None and name in constants:
                data = constants[name]
            operands.append(values[name] if data is None and name else data)
            fixed.append(data is not None or not name)
        if all(fixed):  # a constant that is an output: as many copies as there are samples
            (single,) = operator(node.op).evaluate(node, operands)
            count = len(next(iter(values.values())))
            rows = single[None] if not self.batched else single
            return {node.output: np.broadcast_to(rows, (count, *rows.shape[1:]))}
        results = self._run(node, operands, fixed)
        return {name: array for name, array in zip(node.outputs, results, strict=False) if name}

    def walk(
        self, feeds: Values, rewrite: Rewrite | None = None, constants: Mapping[str, Array] | None = None,
        keep: frozenset[str] = frozenset(),
    ) -> Iterator[tuple[str, Array, Values]]:  # fmt: skip
        """Run the graph; yield each tensor's name and values as they come to be, and all values that are alive.

        `rewrite` changes values before they are read (fake quantization). Dead values are dropped, but for `keep`.
        """
        values: Values = {}
        last = _last_use(self.graph)
        for name in self.graph.inputs:
            values[name] = feeds[name] if rewrite is None else rewrite(name, feeds[name])
            yield name, values[name], values
        for index, node in enumerate(self.graph.nodes):
            for name, result in self.step(node, values, constants).items():
                values[name] = result if rewrite is None else rewrite(name, result)
                yield name, values[name], values
            for name in {*node.inputs}:
                if last.get(name) == index and name in values and name not in keep:
                    del values[name]

    def outputs(
        self, feeds: Values, wanted: Sequence[str], rewrite: Rewrite | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> list[Array]:  # fmt: skip
        """Return some tensors' values."""
        kept: Values = {}
        names = frozenset(wanted)
        for name, array, _ in self.walk(feeds, rewrite, constants):
            if name in names:
                kept[name] = array
        return [kept[name] for name in wanted]


def _last_use(graph: Graph) -> dict[str, int]:
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs if name}
    return {**last, **dict.fromkeys(graph.outputs, len(graph.nodes))}


def _evaluate(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """Run a node on a batch: shapes in attributes follow the number of samples."""
    if node.op == "Reshape" and inputs[0] is not None:
        return [np.asarray(inputs[0]).reshape(len(inputs[0]), *node.attrs["shape"][1:])]
    if node.op == "Slice" and inputs[0] is not None:
        node = node.with_attrs(sizes=(len(inputs[0]), *node.attrs["sizes"][1:]))
    if node.op == "Conv":
        x, w = np.asarray(inputs[0]), np.asarray(inputs[1])
        if node.attrs["group"] == w.shape[0] == x.shape[1] > 1:
            return [_depthwise(node, x, w, inputs[2] if len(inputs) > 2 else None)]
    return operator(node.op).evaluate(node, inputs)


def _depthwise(node: Node, x: Array, w: Array, bias: Array | None) -> Array:
    """A depthwise convolution, tap by tap: many times faster than the general sum over a batch."""
    a = node.attrs
    kernel, strides, dilations, pads = a["kernel"], a["strides"], a["dilations"], a["pads"]
    out = [
        (x.shape[2 + i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1)
    ]
    padded = pad_image(x, pads, (out[0], out[1]), node, 0.0)
    y = np.zeros((*x.shape[:2], *out), np.float32)
    for ky in range(kernel[0]):
        rows = slice(ky * dilations[0], ky * dilations[0] + strides[0] * (out[0] - 1) + 1, strides[0])
        for kx in range(kernel[1]):
            columns = slice(kx * dilations[1], kx * dilations[1] + strides[1] * (out[1] - 1) + 1, strides[1])
            y += padded[:, :, rows, columns] * w[:, 0, ky, kx][:, None, None]
    if bias is not None:
        y += bias[:, None, None]
    low, high = a.get("act_min", FREE[0]), a.get("act_max", FREE[1])
    return y if (low, high) == FREE else np.clip(y, np.float32(low), np.float32(high))


def make_executor(graph: Graph) -> Executor:
    """Choose how to run a graph. The choice is checked by running a few numbers both ways."""
    if not keeps_batch_axis(graph):
        return Executor(graph, False)
    rng = np.random.default_rng(0)
    inputs = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        shape = (3, *tensor.shape)
        if tensor.dtype.is_float:
            inputs[name] = rng.standard_normal(shape).astype(tensor.dtype.numpy)
        else:
            inputs[name] = rng.integers(0, 2, shape).astype(tensor.dtype.numpy)
    together, single = Executor(graph, True), Executor(graph, False)
    every = slice(None)
    with np.errstate(all="ignore"):
        a = together.outputs(together.feeds(inputs, every), graph.outputs)
        b = single.outputs(single.feeds(inputs, every), graph.outputs)
    same = all(
        left.size == right.size and np.allclose(left.reshape(right.shape), right, rtol=1e-3, atol=1e-3, equal_nan=True)
        for left, right in zip(a, b, strict=True)
    )
    return together if same else single


def keeps_batch_axis(graph: Graph) -> bool:
    """Whether the first axis of all run-time tensors is the batch of 1, and stays apart in every node."""
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    if not all(shape and shape[0] == 1 for shape in shapes):
        return False
    return all(_keeps_batch_axis(node, graph) for node in graph.nodes)


def _keeps_batch_axis(node: Node, graph: Graph) -> bool:
    variable = [graph.tensors[name] for name in node.inputs if name and graph.constant(name) is None]
    shape, a = graph.tensors[main_output(node)].shape, node.attrs
    if not shape or shape[0] != 1 or not variable or any(not t.shape or t.shape[0] != 1 for t in variable):
        return False
    if node.op == "Transpose":
        return bool(a["perm"][0] == 0)
    if "axis" in a:
        alone = node.op != "Concat" or len(variable) == len(node.inputs)
        return alone and a["axis"] % len(shape) != 0
    if "axes" in a:
        return all(axis % len(variable[0].shape) != 0 for axis in a["axes"])
    if node.op == "Pad":
        return bool(a["begins"][0] == 0 == a["ends"][0])
    if node.op == "MatMul":
        rows = len(variable) == 1 and node.inputs[0] == variable[0].name
        return rows or min(len(t.shape) for t in variable) > 2
    operands = [graph.tensors[name].shape for name in node.inputs if name]
    if isinstance(operator(node.op), Broadcast | Where):  # the first axes have to meet
        return all(len(t.shape) == len(shape) for t in variable) and all(
            len(s) < len(shape) or s[0] == 1 for s in operands
        )
    if node.op in ("ResizeNearest", "ResizeLinear"):
        return a["positions"][0] is None
    if node.op in ("RNN", "LSTM", "GRU") and a["layout"] != 1:
        return False
    if node.op in ("Conv", "ConvTranspose", "FullyConnected", "RNN", "LSTM", "GRU"):
        return len(variable) == 1 and node.inputs[0] == variable[0].name
    return len(variable) == 1
