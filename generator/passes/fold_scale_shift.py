"""Folds Mul, Add and Sub by constants into the convolution or fully connected layer before them.

This is where batch normalization goes (it is imported as Mul and Add), and a bias that stands beside its MatMul.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from edgewright.ir import Array, Editor, Graph, Node
from edgewright.ops import operator
from edgewright.ops.core import FREE

_LINEAR = ("Conv", "Conv3D", "ConvTranspose", "FullyConnected")


def _channel_axis(node: Node, rank: int) -> int:
    return 1 if node.op == "Conv3D" or node.attrs.get("layout") == "NCHW" else rank - 1


def _per_channel(constant: Array, shape: tuple[int, ...], axis: int) -> Array | None:
    """Return one number for each channel, or None where the constant varies along another axis or adds one."""
    if constant.ndim > len(shape):
        return None
    padded = (1,) * (len(shape) - constant.ndim) + constant.shape
    if any(size != 1 for i, size in enumerate(padded) if i != axis) or padded[axis] not in (1, shape[axis]):
        return None
    values = np.broadcast_to(constant.reshape(-1), (shape[axis],)).astype(np.float64)
    return values if np.isfinite(values).all() else None


def _scaled_weights(node: Node, weights: Array, factor: Array) -> Array:
    wide = weights.astype(np.float64)
    if node.op == "ConvTranspose" and node.attrs["layout"] == "NCHW":  # [in, out / group, kh, kw]
        group = node.attrs["group"]
        split = wide.reshape(group, -1, *wide.shape[1:]) * factor.reshape(group, 1, -1, 1, 1)
        return split.reshape(wide.shape).astype(weights.dtype)
    return (wide * factor.reshape(-1, *(1,) * (wide.ndim - 1))).astype(weights.dtype)


def fold_scale_shift(graph: Graph) -> Graph:
    """Return the graph with all of them folded."""
    editor = Editor(graph)
    while editor.sweep(partial(_fold_node, editor, editor.uses())):
        pass
    return editor.graph()


def _fold_node(editor: Editor, uses: dict[str, int], node: Node, producers: dict[str, Node]) -> bool:
    if node.op not in ("Mul", "Add", "Sub"):
        return False
    for side in (0, 1):
        name, other = node.inputs[side], node.inputs[1 - side]
        linear, constant = producers.get(name), editor.tensors[other].data
        if linear is None or constant is None or linear.op not in _LINEAR or uses[name] != 1:
            continue
        if node.op == "Sub" and side == 1:
            continue
        if _is_clamped(linear) or editor.tensors[name].shape != editor.tensors[node.output].shape:
            continue
        if _fold(editor, linear, node, constant):
            return True
    return False


def _is_clamped(node: Node) -> bool:
    rule = operator(node.op)
    return (rule.attr(node, "act_min"), rule.attr(node, "act_max")) != FREE


def _fold(editor: Editor, linear: Node, node: Node, constant: Array) -> bool:
    shape = editor.tensors[linear.output].shape
    values = _per_channel(constant, shape, _channel_axis(linear, len(shape)))
    weights = editor.tensors[linear.inputs[1]].data
    bias_name = linear.inputs[2] if len(linear.inputs) > 2 else ""
    old_bias = editor.tensors[bias_name].data if bias_name else np.zeros(0)
    if values is None or weights is None or old_bias is None:
        return False
    bias = old_bias.astype(np.float64) if bias_name else np.zeros_like(values)
    new_weights = linear.inputs[1]
    if node.op == "Mul":
        new_weights = editor.add_constant(f"{linear.name}.weights", _scaled_weights(linear, weights, values))
        bias = bias * values
    else:
        bias = bias + (values if node.op == "Add" else -values)
    inputs = [linear.inputs[0], new_weights]
    if node.op != "Mul" or bias_name:
        inputs.append(editor.add_constant(f"{linear.name}.bias", bias.astype(np.float32)))
    activation = {key: node.attrs[key] for key in ("act_min", "act_max") if key in node.attrs}
    editor.replace_node(node, [])
    merged = replace(linear, inputs=tuple(inputs), outputs=node.outputs, attrs={**linear.attrs, **activation})
    editor.replace_node(linear, [merged])
    return True
