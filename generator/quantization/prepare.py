"""Float Graph in, float Graph out, in the form that quantizes best: the passes, up to the change of layout.

Batch normalization, stray biases and pads are folded, activations fused. Image operators keep the model's own layout
(NCHW), because the result goes back to ONNX. Beyond the passes: a division by a constant is a multiplication, a
multiplication goes into the layers behind it, a scale and shift of channels that folds into nothing is a depthwise
convolution (one operator, a scale for each channel), and each layer has constants of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Editor, Graph, Node, TensorType, live_nodes
from edgewright.ops import operator
from edgewright.ops.core import FREE
from edgewright.passes.fold_constants import fold_constants
from edgewright.passes.fold_pads import fold_pads
from edgewright.passes.fold_scale_shift import fold_scale_shift
from edgewright.passes.fuse_activations import fuse_activations
from edgewright.passes.lower_matmul import lower_matmul
from edgewright.passes.remove_noops import remove_noops
from edgewright.verify import verify

LINEAR = ("Conv", "FullyConnected")  # the layers with weights and bias


def prepare(graph: Graph) -> Graph:
    """Return the graph to calibrate; it computes the same, up to float rounding. Raises: InternalError."""
    steps: tuple[Callable[[Graph], Graph], ...] = (
        fold_constants,
        remove_noops,
        _divisions_as_products,
        lower_matmul,
        fold_constants,
        fold_scale_shift,
        _scales_into_next_layers,
        fold_pads,
        fuse_activations,
        _clamps_before_max_pools,
        fuse_activations,
        fold_scale_shift,
        _channel_scales_as_convolutions,
        fuse_activations,
        remove_noops,
        _own_constants,
        _own_names,
    )
    for step in steps:
        graph = verify(step(graph), step.__name__.strip("_"))
    return graph


def _divisions_as_products(graph: Graph) -> Graph:
    editor = Editor(graph)
    for node in graph.nodes:
        divisor = graph.constant(node.inputs[1]) if node.op == "Div" else None
        if divisor is None or divisor.dtype != np.float32 or not (divisor != 0).all():
            continue
        inverse = (1.0 / divisor.astype(np.float64)).astype(np.float32)
        if np.isfinite(inverse).all():
            factor = editor.add_constant(f"{node.inputs[1]}.inverse", inverse)
            editor.replace_node(node, [replace(node, op="Mul", inputs=(node.inputs[0], factor))])
    return editor.graph()


def _scales_into_next_layers(graph: Graph) -> Graph:
    """A Mul by a constant (one number, or one a channel) that only layers read goes into the layers' weights."""
    editor = Editor(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for node in graph.nodes:
        x = next((name for name in node.inputs if graph.constant(name) is None), "") if node.op == "Mul" else ""
        factor = graph.constant(node.inputs[1 - node.inputs.index(x)]) if x else None
        behind = readers.get(node.output, [])
        if factor is None or node.output in graph.outputs or not behind or clamp_of(node) != FREE:
            continue
        shape = graph.tensors[node.output].shape
        if graph.tensors[x].shape != shape or not all(
            is_layer(r, graph) and r.inputs[0] == node.output and r.attrs.get("group", 1) == 1 for r in behind
        ):
            continue
        axis = 1 if behind[0].op == "Conv" else len(shape) - 1
        channels = _by_axis(factor, shape, axis)
        if channels is None or len({r.op for r in behind}) > 1:
            continue
        for reader in behind:
            current = next(n for n in editor.nodes if n.name == reader.name and n.output == reader.output)
            weights = np.asarray(editor.tensors[current.inputs[1]].data)
            scaled = weights * channels.reshape(1, -1, *(1,) * (weights.ndim - 2))
            name = editor.add_constant(f"{reader.name}.scaled", scaled.astype(np.float32))
            editor.replace_node(current, [replace(current, inputs=(x, name, *current.inputs[2:]))])
    result = editor.graph()
    return replace(result, nodes=tuple(live_nodes(result)))


def _by_axis(constant: Array, shape: tuple[int, ...], axis: int) -> Array | None:
    """Return a float32 number for each index of an axis; None where the constant varies along another."""
    if constant.dtype != np.float32 or constant.ndim > len(shape) or not np.isfinite(constant).all():
        return None
    wide = (1,) * (len(shape) - constant.ndim) + constant.shape
    if any(size != 1 for i, size in enumerate(wide) if i != axis):
        return None
    return np.broadcast_to(constant.reshape(-1), (shape[axis],))


def _clamps_before_max_pools(graph: Graph) -> Graph:
    """Clamp what a MaxPool reads, not what it gives, which is the same: then integers pass through it as they are."""
    editor = Editor(graph)
    for node in graph.nodes:
        bounds = clamp_of(node)
        if node.op != "MaxPool" or bounds == FREE:
            continue
        clamped = editor.add_tensor(f"{node.inputs[0]}.clamped", graph.tensors[node.inputs[0]].type)
        low, high = bounds
        clamp = Node("Clamp", f"{node.name}.clamp", node.inputs, (clamped,), {"min": low, "max": high})
        attrs = {key: value for key, value in node.attrs.items() if key not in ("act_min", "act_max")}
        editor.replace_node(node, [clamp, replace(node, inputs=(clamped,), attrs=attrs)])
    return editor.graph()


def _channel_scales_as_convolutions(graph: Graph) -> Graph:
    """A Mul of channels by a constant each, and an Add behind it, are a depthwise 1x1 convolution."""
    editor = Editor(graph)
    uses = editor.uses()
    readers = {name: node for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        x, scale = _operands(node, graph) if node.op == "Mul" else ("", None)
        if scale is None or np.size(scale) == 1:  # one number: no layer of its own is worth it
            continue
        shift, last = np.zeros_like(scale), node
        add = readers.get(node.output)
        if add is not None and add.op == "Add" and uses[node.output] == 1 and clamp_of(node) == FREE:
            _, found = _operands(add, graph)
            if found is not None:
                shift, last = found, add
        shape = graph.tensors[x].shape
        image = shape if len(shape) == 4 else (*shape[:2], 1, shape[2])
        weights = editor.add_constant(f"{node.name}.weights", scale.reshape(-1, 1, 1, 1))
        bias = editor.add_constant(f"{node.name}.bias", shift)
        attrs: dict[str, Any] = {key: last.attrs[key] for key in ("act_min", "act_max") if key in last.attrs}
        window = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "layout": "NCHW"}
        attrs.update(window, group=len(scale))
        if len(shape) == 4:
            new = [Node("Conv", node.name, (x, weights, bias), last.outputs, attrs)]
        else:
            between = [editor.add_tensor(f"{last.output}.{i}", TensorType(image, DType.F32)) for i in range(2)]
            new = [
                Node("Reshape", f"{node.name}.image", (x,), (between[0],), {"shape": image}),
                Node("Conv", node.name, (between[0], weights, bias), (between[1],), attrs),
                Node("Reshape", f"{node.name}.back", (between[1],), last.outputs, {"shape": shape}),
            ]
        editor.replace_node(last, new)
        if last is not node:
            editor.replace_node(node, [])
    return editor.graph()


def _operands(node: Node, graph: Graph) -> tuple[str, Array | None]:
    """Return the run-time operand of a binary operator on channels, and the constant as a number for each channel."""
    for x, other in (node.inputs, node.inputs[::-1]):
        shape, constant = graph.tensors[x].shape, graph.constant(other)
        if graph.constant(x) is None and constant is not None and shape == graph.tensors[node.output].shape:
            values = _by_axis(constant, shape, 1) if len(shape) in (3, 4) else None
            return x, values if constant.size > 1 or node.op == "Add" else None
    return "", None


def _own_constants(graph: Graph) -> Graph:
    """Give each reader its own copy of a constant, and each layer a bias: the quantizer changes them."""
    editor = Editor(graph)
    taken: set[str] = set()
    for node in graph.nodes:
        inputs = list(node.inputs)
        for index, name in enumerate(inputs):
            data = graph.constant(name) if name else None
            if data is None:
                continue
            if name in taken:
                inputs[index] = editor.add_constant(f"{node.name}.{name}", data)
            taken.add(inputs[index])
        weights = graph.constant(node.inputs[1]) if node.op in LINEAR else None
        if weights is not None and (len(inputs) < 3 or not inputs[2]):
            inputs[2:] = [editor.add_constant(f"{node.name}.bias", np.zeros(weights.shape[0], np.float32))]
        if tuple(inputs) != node.inputs:
            editor.replace_node(node, [replace(node, inputs=tuple(inputs))])
    return editor.graph()


def _own_names(graph: Graph) -> Graph:
    """Make the nodes' names unique: reports and options name layers by them."""
    taken: set[str] = set()
    nodes = []
    for node in graph.nodes:
        name, number = node.name, 1
        while name in taken:
            number += 1
            name = f"{node.name}_{number}"
        taken.add(name)
        nodes.append(replace(node, name=name))
    return replace(graph, nodes=tuple(nodes))


def main_output(node: Node) -> str:
    """Return the first output that is there: a recurrent layer may leave the first out."""
    return next(name for name in node.outputs if name)


def is_layer(node: Node, graph: Graph) -> bool:
    """Whether the node is a layer whose weights and bias are constants: what is rounded, corrected and reported."""
    return node.op in LINEAR and all(graph.constant(name) is not None for name in node.inputs[1:])


def clamp_of(node: Node) -> tuple[float, float]:
    """Return the fused activation's bounds."""
    rule = operator(node.op)
    if not rule.fuses_activation:
        return FREE
    low, high = rule.attr(node, "act_min"), rule.attr(node, "act_max")
    return float(low), float(high)
