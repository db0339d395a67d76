"""Removes operators that change nothing, and joins neighbouring Reshapes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from edgewright.ir import Editor, Graph, Node, live_nodes
from edgewright.ops.core import FREE


def _changes_nothing(node: Node, editor: Editor) -> bool:
    source, result = editor.tensors[node.inputs[0]], editor.tensors[node.output]
    if node.op == "Reshape":
        return source.shape == result.shape
    if node.op == "Transpose":
        return tuple(node.attrs["perm"]) == tuple(range(len(source.shape)))
    if node.op == "Clamp":
        return (node.attrs.get("min", FREE[0]), node.attrs.get("max", FREE[1])) == FREE
    if node.op == "Pad":
        return not any((*node.attrs["begins"], *node.attrs["ends"]))
    if node.op == "Slice":
        return source.shape == result.shape and all(step == 1 for step in node.attrs["steps"])
    return node.op == "Concat" and len(node.inputs) == 1


def remove_noops(graph: Graph) -> Graph:
    """Return the graph without them; a graph output keeps its name."""
    editor = Editor(graph)
    while editor.sweep(partial(_remove, editor)):
        pass
    result = editor.graph()
    return replace(result, nodes=tuple(live_nodes(result)))


def _remove(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    source = node.inputs[0]
    maker = producers.get(source)
    if node.op == "Reshape" and maker is not None and maker.op == "Reshape":
        editor.replace_node(node, [replace(node, inputs=maker.inputs)])
        return True
    if not _changes_nothing(node, editor):
        return False
    if node.output not in editor.outputs:
        editor.replace_node(node, [])
        editor.redirect(node.output, source)
        return True
    if maker is None or source in editor.outputs:
        return False
    editor.replace_node(node, [])
    renamed = tuple(node.output if name == source else name for name in maker.outputs)
    editor.replace_node(maker, [replace(maker, outputs=renamed)])
    editor.redirect(source, node.output)
    return True
