"""Float Graph in, float Graph out, in the form that quantizes best: the passes, up to the change of layout.

Batch normalization, stray biases and pads are folded, activations fused. Image operators keep the model's own layout
(NCHW), because the result goes back to ONNX. Beyond the passes: a division by a constant is a multiplication, a scale
and shift of channels that folds into nothing is a depthwise convolution (one operator, a scale for each channel), and
each layer has constants of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgewright.ir import Array, Editor, Graph, Node
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
        fold_pads,
        fuse_activations,
        _clamps_before_max_pools,
        fuse_activations,
        fold_scale_shift,
        _channel_scales_as_convolutions,
        fold_scale_shift,
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
    """A Mul of an image by a constant a channel is a depthwise 1x1 convolution; a later Add folds into its bias."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op != "Mul":
            continue
        for side in (0, 1):
            x, factor = graph.tensors[node.inputs[side]], graph.constant(node.inputs[1 - side])
            channels = _channel_factors(factor, x.shape)
            if x.data is not None or channels is None or x.shape != graph.tensors[node.output].shape:
                continue
            weights = editor.add_constant(f"{node.name}.weights", channels.reshape(-1, 1, 1, 1))
            attrs = {key: node.attrs[key] for key in ("act_min", "act_max") if key in node.attrs}
            window = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "layout": "NCHW"}
            attrs.update(window, group=len(channels))
            editor.replace_node(node, [Node("Conv", node.name, (x.name, weights), node.outputs, attrs)])
            break
    return editor.graph()


def _channel_factors(factor: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Return a float32 number a channel of an NCHW image, None where the constant is none or is one for all."""
    if factor is None or factor.dtype != np.float32 or len(shape) != 4 or factor.ndim > 4:
        return None
    wide = (1,) * (4 - factor.ndim) + factor.shape
    if wide != (1, shape[1], 1, 1) or not np.isfinite(factor).all():
        return None
    return factor.reshape(-1)


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
