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
        if any(array is None and name for array, name in zip(arrays, node.inputs, strict=True)):
            editor.nodes.append(node)
            continue
        if any(name in graph.outputs for name in node.outputs):
            editor.nodes.append(_output_of_constant(editor, node, arrays))
            continue
        for name, array in zip(node.outputs, operator(node.op).evaluate(node, arrays), strict=True):
            del editor.tensors[name]
            editor.add_constant(name, array)
    return editor.graph()


def _output_of_constant(editor: Editor, node: Node, arrays: list[Array | None]) -> Node:
    """A graph output is never a constant itself: what is left of the node is a copy into the output's buffer."""
    if node.op == "Reshape":
        return node
    (array,) = operator(node.op).evaluate(node, arrays)
    constant = editor.add_constant(f"{node.output}.value", array)
    return Node("Reshape", node.name, (constant,), node.outputs, {"shape": tuple(array.shape)})
