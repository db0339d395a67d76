"""The integer convolution: QConv."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Operator, describe, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    IntegerMatch,
    accumulator_bound,
    check_accumulator,
    from_float,
    output_type,
    requantize,
    shifted,
    weights_and_bias,
)
from edgewright.ops.window import WINDOW_ATTRIBUTES, from_nchw, nchw, pad_image, patches, to_nchw, window_type

_WEIGHTS = frozenset({DType.S8, DType.S16})


class QConv(Operator):
    """clamp(rint(float32(bias + sum (x - x_zero) * w) * scale) + y_zero), scale and bias by output channel.

    Inputs: x, w (its zero points taken away), bias int32 [o], scale float32 [o].
    """

    name = "QConv"
    rows = "window"
    zeros = ("x_zero",)
    arity = (4, 4)
    attributes = {**WINDOW_ATTRIBUTES, "group": 1, "x_zero": ..., "w_bits": 8, **OUTPUT_ATTRIBUTES}
    dtypes = QUANTIZED
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as Conv's."""
        names = ("x", "w", "bias", "scale")
        x, w, bias, scale = (required(t, node, name) for t, name in zip(inputs, names, strict=True))
        layout, group = node.attrs["layout"], node.attrs["group"]
        channels = nchw(x.shape, layout)[1]
        _, per_group, *kernel = nchw(w.shape, layout)
        if group < 1 or channels % group or w.shape[0] % group or per_group * group != channels:
            raise ShapeError(f"{describe(node)}: weights {list(w.shape)} do not fit {list(x.shape)} with group={group}")
        if tuple(kernel) != tuple(node.attrs["kernel"]) or {bias.shape, scale.shape} != {w.shape[:1]}:
            raise ShapeError(f"{describe(node)}: kernel, bias or scale do not fit weights {list(w.shape)}")
        if (w.dtype not in _WEIGHTS, bias.dtype, scale.dtype) != (False, DType.S32, DType.F32):
            raise ShapeError(f"{describe(node)}: weights, bias or scale have the wrong type")
        if w.data is not None and bias.data is not None:
            check_accumulator(node, accumulator_bound(w.data, bias.data, node.attrs["x_zero"], x.dtype), x.dtype)
        window = window_type(node, x.shape, w.shape[0], None)
        return [output_type(node, window.shape)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: sums in float64, where they are exact."""
        layout, group = node.attrs["layout"], node.attrs["group"]
        x = to_nchw(shifted(inputs[0], node.attrs["x_zero"]), layout)
        w = to_nchw(np.asarray(inputs[1], np.float64), layout)
        shape = window_type(node, np.asarray(inputs[0]).shape, w.shape[0], None).shape
        n, out_c, *out = nchw(shape, layout)
        padded = pad_image(x, node.attrs["pads"], tuple(out), node, 0.0)
        view = patches(padded, w.shape[2:], node.attrs["strides"], node.attrs["dilations"], tuple(out))
        view = view.reshape(n, group, w.shape[1], *out, *w.shape[2:])
        kernel = w.reshape(group, out_c // group, *w.shape[1:])
        acc = np.einsum("ngchwij,gocij->ngohw", view, kernel, optimize=True).reshape(n, out_c, *out)
        acc = acc + np.asarray(inputs[2], np.float64)[:, None, None]
        y = requantize(acc, np.asarray(inputs[3])[:, None, None], node)
        return [from_nchw(y, layout)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and weight of its channel."""
        w = graph.tensors[node.inputs[1]]
        return graph.tensors[node.output].elements * (w.elements // w.shape[0])


@from_float("Conv")
def _conv(match: IntegerMatch) -> bool:
    x, w = match.quantized(0), match.constant(1)
    packed = None if x is None or w is None else weights_and_bias(match, x, w)
    if x is None or packed is None:
        return False
    weights, integers, scales = packed
    window = {key: match.node.attrs[key] for key in (*WINDOW_ATTRIBUTES, "group") if key in match.node.attrs}
    name = match.node.name
    match.emit(
        "QConv",
        [x.tensor, match.add_constant(f"{name}.weights", weights), match.add_constant(f"{name}.bias", integers),
         match.add_constant(f"{name}.scale", scales)],
        x_zero=x.zero, w_bits=weight_bits(weights), **window, **match.output.attrs,
    )  # fmt: skip
    return True


def weight_bits(weights: Array) -> int:
    """Return 4 where every weight is one of -8 to 7: such came from a 4-bit tensor."""
    return 4 if weights.min() >= -8 and weights.max() <= 7 else 8
