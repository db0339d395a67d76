"""Turns a MatMul with a constant matrix on its right into FullyConnected, whose weights lie by output feature."""

from __future__ import annotations

from edgewright.ir import Editor, Graph, Node


def lower_matmul(graph: Graph) -> Graph:
    """Return the graph with every such MatMul replaced."""
    editor = Editor(graph)
    for node in graph.nodes:
        weights = graph.constant(node.inputs[1]) if node.op == "MatMul" else None
        if weights is None or weights.ndim != 2:
            continue
        transposed = editor.add_constant(f"{node.inputs[1]}.oi", weights.T)
        new = Node("FullyConnected", node.name, (node.inputs[0], transposed), node.outputs, {})
        editor.replace_node(node, [new])
    return editor.graph()
