"""Fuses a Clamp (Relu, Clip) into the operator before it, whose kernel then clamps as it stores."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from edgewright.ir import Editor, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import narrowed


def fuse_activations(graph: Graph) -> Graph:
    """Return the graph with every Clamp fused that is the only reader of an operator with a fused activation."""
    editor = Editor(graph)
    while editor.sweep(partial(_fuse, editor, editor.uses())):
        pass
    return editor.graph()


def _fuse(editor: Editor, uses: dict[str, int], node: Node, producers: dict[str, Node]) -> bool:
    before = producers.get(node.inputs[0])
    if node.op != "Clamp" or before is None or uses[node.inputs[0]] != 1:
        return False
    clamp, rule = operator("Clamp"), operator(before.op)
    if before.op == "Clamp":
        keys = ("min", "max")
    elif rule.fuses_activation:
        keys = ("act_min", "act_max")
    else:
        return False
    low, high = (rule.attr(before, key) for key in keys)
    new_low, new_high = clamp.attr(node, "min"), clamp.attr(node, "max")
    bounds = narrowed((low, high), (new_low, new_high))
    fused = before.with_attrs(**dict(zip(keys, bounds, strict=True)))
    editor.replace_node(node, [])
    editor.replace_node(before, [replace(fused, outputs=node.outputs)])
    return True
