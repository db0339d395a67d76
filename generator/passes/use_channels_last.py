"""Puts every image operator into the layout its kernels have, NHWC, between two Transposes.

`move_transposes` then removes most of them. Channels-last keeps the innermost loop of a convolution dense in
both operands, and is what integer kernels need to load four channels at a time.
"""

from __future__ import annotations

from dataclasses import replace

from edgewright.ir import Editor, Graph, Node, Shape, TensorType
from edgewright.ops.window import TO_NCHW, TO_NHWC


class _Builder:
    """The nodes that stand around one image operator."""

    def __init__(self, editor: Editor, node: Node) -> None:
        self.editor = editor
        self.node = node
        self.nodes: list[Node] = []

    def apply(self, op: str, source: str, shape: Shape, attrs: dict[str, Shape]) -> str:
        dtype = self.editor.tensors[source].dtype
        result = self.editor.add_tensor(f"{source}.{op.lower()}", TensorType(shape, dtype))
        self.nodes.append(Node(op, f"{self.node.name}.{op.lower()}{len(self.nodes)}", (source,), (result,), attrs))
        return result

    def transpose(self, source: str, perm: Shape) -> str:
        shape = self.editor.tensors[source].shape
        return self.apply("Transpose", source, tuple(shape[axis] for axis in perm), {"perm": perm})

    def reshape(self, source: str, shape: Shape) -> str:
        return self.apply("Reshape", source, shape, {"shape": shape})

    def weights(self, source: str) -> str:
        """ONNX's weights as OHWI."""
        if self.node.op != "ConvTranspose":
            return self.transpose(source, TO_NHWC)
        group = self.node.attrs["group"]
        inputs, outputs, kh, kw = self.editor.tensors[source].shape
        grouped = self.reshape(source, (group, inputs // group, outputs, kh, kw))
        ordered = self.transpose(grouped, (0, 2, 3, 4, 1))
        return self.reshape(ordered, (group * outputs, kh, kw, inputs // group))


def use_channels_last(graph: Graph) -> Graph:
    """Return the graph with image operators in NHWC."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.attrs.get("layout") != "NCHW":
            continue
        build = _Builder(editor, node)
        inputs = [build.transpose(node.inputs[0], TO_NHWC)]
        if len(node.inputs) > 1:
            inputs.append(build.weights(node.inputs[1]))
        inputs.extend(node.inputs[2:])
        result = editor.tensors[node.output]
        nhwc = TensorType(tuple(result.shape[axis] for axis in TO_NHWC), result.dtype)
        image = editor.add_tensor(f"{node.output}.nhwc", nhwc)
        build.nodes.append(replace(node.with_attrs(layout="NHWC"), inputs=tuple(inputs), outputs=(image,)))
        back = Node("Transpose", f"{node.name}.back", (image,), node.outputs, {"perm": TO_NCHW})
        editor.replace_node(node, [*build.nodes, back])
    return editor.graph()
