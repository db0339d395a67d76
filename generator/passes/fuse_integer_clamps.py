"""Gives Clamps of integers (quantization-aware exporters narrow ranges so) to the operators before them.

What is left becomes a table, or for 16 bits a QRescale that only clamps: there is no kernel for it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from edgewright.ir import DType, Editor, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import narrowed
from edgewright.ops.q_core import Q8, QUANTIZED, limits
from edgewright.ops.q_table import all_values


def fuse_integer_clamps(graph: Graph) -> Graph:
    """Return the graph without Clamps of integer tensors."""
    editor = Editor(graph)
    while editor.sweep(partial(_fuse, editor)):
        pass
    return editor.graph()


def _bounds(node: Node, dtype: DType) -> tuple[int, int]:
    """The clamp's limits, and the type's. ONNX's Clip with low above high gives high: import has seen to that."""
    low, high = limits(dtype)
    clamp = operator("Clamp")
    ends = [min(max(clamp.attr(node, key), low), high) for key in ("min", "max")]
    return int(np.ceil(ends[0])), int(np.floor(ends[1]))


def _fuse(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    if node.op != "Clamp" or editor.tensors[node.inputs[0]].dtype not in QUANTIZED:
        return False
    dtype = editor.tensors[node.inputs[0]].dtype
    low, high = _bounds(node, dtype)
    before = producers.get(node.inputs[0])
    if before is not None and "act_min" in before.attrs and editor.uses()[node.inputs[0]] == 1:
        act_min, act_max = narrowed((before.attrs["act_min"], before.attrs["act_max"]), (low, high))
        fused = before.with_attrs(act_min=act_min, act_max=act_max)
        editor.replace_node(node, [])
        editor.replace_node(before, [replace(fused, outputs=node.outputs)])
    elif dtype in Q8:
        table = editor.add_constant(f"{node.name}.table", np.clip(all_values(dtype), low, high).astype(dtype.numpy))
        editor.replace_node(node, [Node("QTable", node.name, (node.inputs[0], table), node.outputs, {})])
    else:
        attrs = {"x_zero": 0, "x_scale": 1.0, "y_zero": 0, "y_scale": 1.0, "act_min": low, "act_max": high,
                 "dtype": dtype}  # fmt: skip
        editor.replace_node(node, [Node("QRescale", node.name, node.inputs, node.outputs, attrs)])
    return True
