"""Computes nodes that read only constants, and drops nodes that no output depends on."""

from __future__ import annotations

from edgewright.ir import Array, Editor, Graph, Node, live_nodes
from edgewright.ops import operator


def fold_constants(graph: Graph) -> Graph:
    """Return the graph without nodes that could run now, or whose result nobody reads."""
    editor = Editor(graph)
    editor.nodes = []
    for node in live_nodes(graph):
        arrays = [editor.tensors[name].data if name else None for name in node.inputs]
        is_known = all(array is not None or not name for array, name in zip(arrays, node.inputs, strict=True))
        if not is_known or operator(node.op).capped_axis is not None:
            editor.nodes.append(node)
            continue
        if any(name in graph.outputs for name in node.outputs):
            editor.nodes.extend(_outputs_of_constants(editor, node, arrays))
            continue
        for name, array in zip(node.outputs, operator(node.op).evaluate(node, arrays), strict=True):
            if name:
                del editor.tensors[name]
                editor.add_constant(name, array)
    return editor.graph()


def _outputs_of_constants(editor: Editor, node: Node, arrays: list[Array | None]) -> list[Node]:
    """A graph output is never a constant itself: what is left of the node is a copy into the output's buffer."""
    if node.op == "Reshape":
        return [node]
    copies = []
    for name, array in zip(node.outputs, operator(node.op).evaluate(node, arrays), strict=True):
        if name:
            constant = editor.add_constant(f"{name}.value", array)
            copies.append(Node("Reshape", node.name, (constant,), (name,), {"shape": tuple(array.shape)}))
    return copies
