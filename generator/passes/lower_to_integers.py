"""Turns float operators between DequantizeLinear and QuantizeLinear into integer ones.

What only moves elements moves to the integer side. A function of one 8-bit tensor, however many operators it is
made of, becomes a table. Convolutions, products, sums and pools follow the rules `@from_float` of ops/. What fits
no rule stays float, between the conversions that are in the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Editor, Graph, Node, TensorType, live_nodes
from edgewright.ops import operator
from edgewright.ops.core import FREE, moved_inputs, narrowed
from edgewright.ops.q_core import FLOAT_RULES, Q8, QUANTIZED, OutputParams, Quantized, QuantizedConstant, limits
from edgewright.passes.integer_tables import table_of

_HAVE_BIAS = frozenset({"Conv", "FullyConnected", "MatMul"})


def lower_to_integers(graph: Graph) -> Graph:
    """Return the graph with integer operators wherever the model's own conversions allow it."""
    if not any(node.op in ("Quantize", "Dequantize") for node in graph.nodes):
        return graph
    while True:
        editor = Editor(replace(graph, nodes=tuple(live_nodes(graph))))
        changed = editor.sweep(partial(_rewrite, editor))
        graph = editor.graph()
        if not changed:
            return graph


def _rewrite(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    if _moved(node):
        return _on_integers(editor, node, producers)
    if node.op != "Quantize":
        return False
    return (
        _cancelled(editor, node, producers)
        or _as_table(editor, node, producers)
        or _before_move(editor, node, producers)
        or _as_integer(editor, node, producers)
    )


def _dequantize_of(editor: Editor, name: str, producers: dict[str, Node]) -> Node | None:
    """The Dequantize with one scale that makes a tensor from a type that kernels take."""
    maker = producers.get(name)
    if maker is None or maker.op != "Dequantize" or len(maker.inputs) > 1:
        return None
    return maker if editor.tensors[maker.inputs[0]].dtype in QUANTIZED else None


def _params(editor: Editor, dequantize: Node) -> tuple[Any, ...]:
    return dequantize.attrs["scale"], dequantize.attrs["zero"], editor.tensors[dequantize.inputs[0]].dtype


def _cancelled(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Quantize of Dequantize with the same parameters gives the integers back."""
    before = _dequantize_of(editor, node.inputs[0], producers)
    if before is None or _params(editor, before) != (node.attrs["scale"], node.attrs["zero"], node.attrs["dtype"]):
        return False
    shape = editor.tensors[node.output].shape
    editor.replace_node(node, [Node("Reshape", node.name, before.inputs, node.outputs, {"shape": shape})])
    return True


def _as_table(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """A function of one 8-bit tensor."""
    before = _dequantize_of(editor, node.inputs[0], producers)
    if before is not None and editor.tensors[before.inputs[0]].dtype not in Q8:
        low, high = limits(node.attrs["dtype"])
        attrs = {"x_zero": before.attrs["zero"], "x_scale": before.attrs["scale"], "y_scale": node.attrs["scale"],
                 "y_zero": node.attrs["zero"], "act_min": low, "act_max": high,
                 "dtype": node.attrs["dtype"]}  # fmt: skip
        editor.replace_node(node, [replace(node, op="QRescale", inputs=before.inputs, attrs=attrs)])
        return True
    found = table_of(editor, node, producers)
    if found is None:
        return False
    source, table = found
    name = editor.add_constant(f"{node.name}.table", table)
    editor.replace_node(node, [Node("QTable", node.name, (source, name), node.outputs, {})])
    return True


def _moved(node: Node) -> tuple[str, ...]:
    """The inputs that a node moves, and could move as integers."""
    return node.inputs if node.op == "MaxPool" else moved_inputs(node)


def _on_integers(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Move elements first, then dequantize."""
    moved_from = _moved(node)
    makers = [_dequantize_of(editor, name, producers) for name in moved_from]
    first = makers[0]
    if first is None or any(maker is None or _params(editor, maker) != _params(editor, first) for maker in makers):
        return False
    sources = tuple(maker.inputs[0] for maker in makers if maker is not None)
    others = node.inputs[len(moved_from) :]
    if all(editor.tensors[name].data is not None for name in (*sources, *others)):
        return False
    dtype = editor.tensors[sources[0]].dtype
    moved = _integer_move(node, dtype, float(first.attrs["scale"]), int(first.attrs["zero"]))
    if moved is None:
        return False
    result = editor.tensors[node.output]
    between = editor.add_tensor(f"{node.output}.integers", TensorType(result.shape, dtype))
    after = Node("Dequantize", f"{node.name}.dequantize", (between,), node.outputs, first.attrs)
    editor.replace_node(node, [replace(moved, inputs=(*sources, *others), outputs=(between,)), after])
    return True


def _integer_move(node: Node, dtype: DType, scale: float, zero: int) -> Node | None:
    """The same on integers; None where a value has no integer."""
    low, high = limits(dtype)
    if node.op == "MaxPool":
        if (node.attrs.get("act_min", FREE[0]), node.attrs.get("act_max", FREE[1])) != FREE:
            return None
        attrs = {key: value for key, value in node.attrs.items() if not key.startswith("act_")}
        return replace(node, op="QMaxPool", attrs={**attrs, "act_min": low, "act_max": high})
    if node.op == "Pad" and node.attrs.get("mode", "constant") == "constant":
        value = float(node.attrs.get("value", 0.0)) / scale + zero
        if not (low <= value <= high and value == round(value)):  # NaN is in no range
            return None
        return node.with_attrs(value=int(value))
    return node


def _before_move(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Quantize first, then move elements, where nothing else reads the moved floats."""
    move = producers.get(node.inputs[0])
    if move is None or not _moved(move) or editor.uses()[node.inputs[0]] != 1:
        return False
    if move.op == "Slice" and editor.uses()[move.inputs[0]] != 1:
        return False
    whole = editor.tensors[move.inputs[0]]
    if operator(move.op).picks and whole.data is None and whole.elements > editor.tensors[move.output].elements:
        return False
    a = node.attrs
    moved = _integer_move(move, a["dtype"], a["scale"], a["zero"])
    if moved is None:
        return False
    new, sources = [], []
    for index, name in enumerate(_moved(move)):
        source = editor.add_tensor(f"{name}.quantized", TensorType(editor.tensors[name].shape, a["dtype"]))
        new.append(replace(node, name=f"{node.name}.{index}", inputs=(name,), outputs=(source,)))
        sources.append(source)
    inputs = (*sources, *move.inputs[len(sources) :])
    editor.replace_node(node, [*new, replace(moved, inputs=inputs, outputs=node.outputs)])
    return True


def _as_integer(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Apply the rule of the operator behind the clamps that this Quantize reads."""
    uses = editor.uses()
    low, high = FREE
    name = node.inputs[0]
    while (clamp := producers.get(name)) is not None and clamp.op == "Clamp" and uses[name] == 1:
        own = clamp.attrs.get("min", FREE[0]), clamp.attrs.get("max", FREE[1])
        low, high = narrowed(own, (low, high))
        name = clamp.inputs[0]
    core = producers.get(name)
    if core is None or uses[name] != 1 or "act_min" in core.attrs or "act_max" in core.attrs:
        return False
    output = _output_params(node, low, high)
    for candidate, added, gain in _candidates(editor, core, producers, uses):
        match = _Match(editor, candidate, node, output, producers, added, gain)
        if candidate.op in FLOAT_RULES and FLOAT_RULES[candidate.op](match):
            if match.in_place:
                editor.replace_node(candidate, match.nodes)
                match.nodes = []
            editor.replace_node(node, match.nodes)
            return True
    return False


def _candidates(
    editor: Editor, core: Node, producers: dict[str, Node], uses: dict[str, int]
) -> Iterator[tuple[Node, str | None, str | None]]:
    """Operators that a result may be of, with what is added behind them and what multiplies them first.

    A constant added is a bias; a BatchNormalization is a constant factor and a bias.
    """
    for operand, added in (core.inputs, core.inputs[::-1]) if core.op == "Add" else ():
        before = producers.get(operand)
        if before is not None and uses[operand] == 1:
            if before.op in _HAVE_BIAS:
                yield before, added, None
            for scaled, gain in (before.inputs, before.inputs[::-1]) if before.op == "Mul" else ():
                yield from _scaled(editor, scaled, gain, added, producers, uses)
    for scaled, gain in (core.inputs, core.inputs[::-1]) if core.op == "Mul" else ():
        yield from _scaled(editor, scaled, gain, None, producers, uses)
    yield core, None, None


def _scaled(
    editor: Editor, name: str, gain: str, added: str | None, producers: dict[str, Node], uses: dict[str, int]
) -> Iterator[tuple[Node, str | None, str | None]]:
    before = producers.get(name)
    if before is not None and before.op in _HAVE_BIAS and uses[name] == 1 and editor.tensors[gain].data is not None:
        yield before, added, gain


def _output_params(node: Node, low: float, high: float) -> OutputParams:
    dtype: DType = node.attrs["dtype"]
    ends = operator("Quantize").evaluate(node, [np.array([low, high], np.float32)])[0]
    return OutputParams(np.float32(node.attrs["scale"]), node.attrs["zero"], dtype, int(ends[0]), int(ends[1]))


class _Match:
    """What the rules `@from_float` see (IntegerMatch)."""

    def __init__(
        self, editor: Editor, node: Node, quantize: Node, output: OutputParams, producers: dict[str, Node],
        added: str | None = None, gain: str | None = None,
    ) -> None:  # fmt: skip
        self._editor, self._producers, self._quantize = editor, producers, quantize
        self._added, self._gain = added, gain
        self.node = node
        self.output = output
        self.nodes: list[Node] = []
        self.in_place = False  # the nodes replace the float node, whose other outputs have readers of their own
        self.result = quantize.output
        self.which = node.outputs.index(quantize.inputs[0]) if quantize.inputs[0] in node.outputs else 0

    def shape(self, index: int) -> tuple[int, ...]:
        return self._editor.tensors[self.node.inputs[index]].shape

    def quantized(self, index: int) -> Quantized | None:
        maker = _dequantize_of(self._editor, self.node.inputs[index], self._producers)
        if maker is None:
            return None
        dtype = self._editor.tensors[maker.inputs[0]].dtype
        return Quantized(maker.inputs[0], dtype, np.float32(maker.attrs["scale"]), maker.attrs["zero"])

    def constant(self, index: int) -> QuantizedConstant | None:
        return self._traced(self.node.inputs[index])

    def _traced(self, name: str) -> QuantizedConstant | None:
        """Follow a constant from its Dequantize through Transposes and Reshapes."""
        maker = self._producers.get(name)
        if maker is None:
            return None
        if maker.op == "Dequantize":
            values = self._editor.tensors[maker.inputs[0]].data
            if values is None:
                return None
            one = (1,) * values.ndim
            if len(maker.inputs) == 1:
                scale, zero = np.float32(maker.attrs["scale"]), np.int64(maker.attrs["zero"])
                return QuantizedConstant(values, np.full(one, scale), np.full(one, zero))
            arrays = [np.asarray(self._editor.tensors[other].data) for other in maker.inputs[1:]]
            return QuantizedConstant(values, arrays[0], arrays[1].astype(np.int64))
        if maker.op not in ("Transpose", "Reshape"):
            return None
        before = self._traced(maker.inputs[0])
        if before is None:
            return None
        if maker.op == "Transpose":
            perm = maker.attrs["perm"]
            return QuantizedConstant(*(a.transpose(perm) for a in (before.values, before.scale, before.zero)))
        values = before.values.reshape(maker.attrs["shape"])
        parts = [_reshaped(array, before.values.shape, values.shape) for array in (before.scale, before.zero)]
        return None if parts[0] is None or parts[1] is None else QuantizedConstant(values, parts[0], parts[1])

    def bias(self, index: int) -> Array | QuantizedConstant | None:
        own = self.node.inputs[index] if len(self.node.inputs) > index else ""
        if not own:
            return np.zeros(self._channels(), np.float64)
        return self._by_channel(own, broadcast=False)

    def added(self) -> Array | QuantizedConstant | None:
        return np.zeros(self._channels()) if self._added is None else self._by_channel(self._added, broadcast=True)

    def gain(self) -> Array | None:
        found = np.ones(self._channels()) if self._gain is None else self._by_channel(self._gain, broadcast=True)
        return None if found is None or isinstance(found, QuantizedConstant) or not np.all(found) else found

    def _axis(self) -> int:
        rank = len(self._editor.tensors[self.node.output].shape)
        return 1 if self.node.op == "Conv" and self.node.attrs["layout"] == "NCHW" else rank - 1

    def _channels(self) -> int:
        return self._editor.tensors[self.node.output].shape[self._axis()]

    def _by_channel(self, name: str, broadcast: bool) -> Array | QuantizedConstant | None:
        """A constant with one number for each output channel, or one for all, as floats or integers; else None."""
        shape, wanted = self._editor.tensors[self.node.output].shape, self._editor.tensors[name].shape
        channels = (self._channels(),)
        if broadcast:
            wide = (1,) * (len(shape) - len(wanted)) + wanted
            if len(wide) > len(shape) or any(size != 1 for i, size in enumerate(wide) if i != self._axis()):
                return None
        data = self._editor.tensors[name].data
        if data is not None:
            return np.broadcast_to(data.reshape(-1).astype(np.float64), channels)
        found = self._traced(name)
        if found is None:
            return None
        flat = [np.broadcast_to(a, found.values.shape).reshape(-1) for a in (found.values, found.scale, found.zero)]
        return QuantizedConstant(*(np.broadcast_to(a, channels) for a in flat))

    def real(self, index: int) -> Array | None:
        name = self.node.inputs[index]
        data = self._editor.tensors[name].data
        if data is not None:
            return data.astype(np.float64)
        found = self._traced(name)
        return None if found is None else (found.values.astype(np.float64) - found.zero) * found.scale

    def is_used(self, output: int) -> bool:
        name = self.node.outputs[output]
        return bool(name) and self._editor.uses()[name] > 0

    def emit_all(self, op: str, inputs: Sequence[str], outputs: Sequence[str | None], **attrs: Any) -> list[str]:
        name = f"{self.node.name}.{len(self.nodes)}" if self.nodes else self.node.name
        node = Node(op, name, tuple(inputs), ("",), attrs)
        types = operator(op).infer(node, [self._editor.tensors[i] if i else None for i in inputs])
        names = [self._editor.add_tensor(name, type_) if given is None else given
                 for given, type_ in zip(outputs, types, strict=True)]  # fmt: skip
        self.nodes.append(replace(node, outputs=tuple(names)))
        self.in_place = True
        return names

    def add_constant(self, hint: str, data: Array) -> str:
        return self._editor.add_constant(hint, data)

    def emit(self, op: str, inputs: Sequence[str], final: bool = True, **attrs: Any) -> str:
        name = self.node.name if final else f"{self.node.name}.{len(self.nodes)}"
        node = Node(op, name, tuple(inputs), ("",), attrs)
        (result,) = operator(op).infer(node, [self._editor.tensors[i] if i else None for i in inputs])
        output = self._quantize.output if final else self._editor.add_tensor(name, result)
        self.nodes.append(replace(node, outputs=(output,)))
        return output


def _reshaped(array: Array, old: tuple[int, ...], new: tuple[int, ...]) -> Array | None:
    """Reshape a scale along with its values: one for all, or one for each of a first axis that stays or is split."""
    if array.size == 1:
        return array.reshape((1,) * len(new))
    leading = next((n for n in range(1, len(new) + 1) if math.prod(new[:n]) == old[0]), 0)
    if array.size == old[0] == array.shape[0] and leading:
        return array.reshape(*new[:leading], *(1,) * (len(new) - leading))
    return None
