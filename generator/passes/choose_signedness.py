"""Keeps 8-bit tensors inside the network as uint8 or int8, whichever the core's kernels are fastest with.

q as int8 and q + 128 as uint8 stand for the same numbers, so results keep their bits. Not among the target-free
passes: the planner applies it for a core. Graph inputs and outputs keep their type.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgewright.ir import DType, Editor, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import moved_inputs
from edgewright.ops.q_core import Q8


def _same_type(node: Node) -> tuple[str, ...]:
    """The inputs that are of the output's type, where it has no arithmetic of its own."""
    return node.inputs if node.op == "QMaxPool" else moved_inputs(node)


def choose_signedness(graph: Graph, dtype: DType) -> Graph:
    """Return the graph with every 8-bit tensor that is free to choose of type `dtype` (S8 or U8)."""
    chosen = _free(graph, dtype)
    if not chosen:
        return graph
    offset = 128 if dtype is DType.U8 else -128
    editor = Editor(graph)
    for name in chosen:
        editor.tensors[name] = replace(editor.tensors[name], dtype=dtype)
    editor.nodes = [_rewritten(editor, node, chosen, dtype, offset) for node in graph.nodes]
    return editor.graph()


def _free(graph: Graph, dtype: DType) -> set[str]:
    """Tensors of the other type that may change: no ports, no constants, nor what has to be of one type with them."""
    leader = {name: name for name in graph.tensors}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    fixed = {*graph.inputs, *graph.outputs}
    fixed.update(name for name, tensor in graph.tensors.items() if tensor.data is not None)
    for node in graph.nodes:
        if _same_type(node):
            for name in _same_type(node):
                leader[find(name)] = find(node.output)
        elif node.op in ("QLSTM", "QGRU"):  # Y, Y_h and an LSTM's initial_h are of one type
            for name in (*node.outputs[:2], *(node.inputs[6:7] if node.op == "QLSTM" else ())):
                if name:
                    leader[find(name)] = find(node.output)
        elif operator(node.op).zeros is None:
            fixed.update(name for name in (*node.inputs, *node.outputs) if name)
    held = {find(name) for name in fixed}
    return {
        name for name, tensor in graph.tensors.items()
        if tensor.dtype in Q8 and tensor.dtype is not dtype and find(name) not in held
    }  # fmt: skip


def _rewritten(editor: Editor, node: Node, chosen: set[str], dtype: DType, offset: int) -> Node:
    changes: dict[str, Any] = {}
    if _same_type(node):
        if node.output in chosen:
            keys = {"Pad": ("value",), "QMaxPool": ("act_min", "act_max")}.get(node.op, ())
            changes.update((key, node.attrs[key] + offset) for key in keys if key in node.attrs)
        return node.with_attrs(**changes)
    for name, key in zip(node.inputs, operator(node.op).zeros or (), strict=False):
        if name in chosen:
            changes[key] = node.attrs[key] + offset
    if node.output in chosen:
        if node.op == "QTable":
            table = np.asarray(editor.tensors[node.inputs[1]].data).astype(np.int64) + offset
            name = editor.add_constant(f"{node.inputs[1]}.{dtype.suffix}", table.astype(dtype.numpy))
            return replace(node, inputs=(node.inputs[0], name))
        keys = ("zero",) if node.op == "Quantize" else ("y_zero", "act_min", "act_max")
        changes.update((key, node.attrs[key] + offset) for key in keys)
        changes["dtype"] = dtype
    return node.with_attrs(**changes)
