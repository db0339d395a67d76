"""Finds functions of one 8-bit tensor between Dequantize and Quantize, and computes their 256 values."""

from __future__ import annotations

import numpy as np

from edgewright.ir import Array, Editor, Node
from edgewright.ops import operator
from edgewright.ops.q_core import Q8
from edgewright.ops.q_table import all_values

_MAX_OPERATORS = 64
_BINARY = frozenset({"Add", "Sub", "Mul", "Div"})


def table_of(editor: Editor, quantize: Node, producers: dict[str, Node]) -> tuple[str, Array] | None:
    """Return the 8-bit tensor that a Quantize is a function of, and the function's values; None where there is none."""
    cone = _cone(editor, quantize.inputs[0], producers)
    if cone is None:
        return None
    leaves, nodes = cone
    source = leaves[0].inputs[0]
    integers = all_values(editor.tensors[source].dtype)
    # a library's float32 exp differs between computers; float64 rounded to an integer does not
    working = np.float32 if all(operator(node.op).rounds_once for node in nodes) else np.float64
    known: dict[str, Array] = {
        leaf.output: operator("Dequantize").evaluate(leaf, [integers])[0].astype(working) for leaf in leaves
    }
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                known[name] = np.asarray(editor.tensors[name].data).reshape(()).astype(working)
        with np.errstate(all="ignore"):
            known[node.output] = operator(node.op).evaluate(node, [known[name] for name in node.inputs])[0]
    result = known[quantize.inputs[0]].astype(np.float32)
    return source, operator("Quantize").evaluate(quantize, [result])[0]


def _cone(editor: Editor, name: str, producers: dict[str, Node]) -> tuple[list[Node], list[Node]] | None:
    """Return the Dequantizes of one tensor (each reader may have its own) and, in order, the operators behind them."""
    leaves: dict[str, Node] = {}
    inside: dict[int, Node] = {}
    pending = [name]
    while pending:
        node = producers.get(pending.pop())
        if node is None or len(inside) > _MAX_OPERATORS:
            return None
        if node.op == "Dequantize":
            leaves[node.output] = node
            source = editor.tensors[node.inputs[0]]
            one = {leaf.inputs for leaf in leaves.values()} == {node.inputs} and len(node.inputs) == 1
            if not one or source.dtype not in Q8 or source.data is not None:
                return None
            continue
        if id(node) in inside:
            continue
        if not (operator(node.op).elementwise or node.op in _BINARY) or node.op in ("Quantize", "Cast"):
            return None
        for operand in node.inputs:
            tensor = editor.tensors[operand]
            if tensor.data is None:
                pending.append(operand)
            elif tensor.elements != 1:
                return None
        inside[id(node)] = node
    if not leaves:
        return None
    shape = editor.tensors[source.name].shape
    if editor.tensors[name].shape != shape or {editor.tensors[node.output].shape for node in inside.values()} - {shape}:
        return None
    return list(leaves.values()), [node for node in editor.nodes if id(node) in inside]
