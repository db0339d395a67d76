"""DeformConv: a convolution whose taps are moved by offsets that the network computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    required,
    weights,
)
from edgewright.ops.volume import VOLUME_ATTRIBUTES, windows_along
from edgewright.ops.window import ImageNode


class DeformConv(Operator):
    """Y = conv(X at moved places, W) + B; between elements by lines, 0 outside. Source: ONNX DeformConv-22.

    Inputs: X, W, offset, B or none, mask or none.
    """

    name = "DeformConv"
    arity = (3, 5)
    attributes = {**VOLUME_ATTRIBUTES, "group": 1, "offset_group": 1}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, h, w], W [o, c / group, kh, kw], offset [n, offset_group * kh * kw * 2, out_h, out_w],
        B [o], mask [n, offset_group * kh * kw, out_h, out_w].
        """
        check_same_type(node, *inputs)
        x, w, offset = (required(inputs[i], node, what) for i, what in enumerate(("X", "W", "offset")))
        bias, mask = (*inputs[3:], None, None)[:2]
        group, moved = self.attr(node, "group"), self.attr(node, "offset_group")
        if not len(x.shape) == len(w.shape) == 4:
            raise ShapeError(f"{describe(node)}: weights {list(w.shape)} for an input of shape {list(x.shape)}")
        out, taps = windows_along(node, x.shape), math.prod(w.shape[2:])
        fits = group >= 1 and w.shape[1] * group == x.shape[1] and w.shape[0] % group == 0
        fits = fits and tuple(w.shape[2:]) == tuple(node.attrs["kernel"])
        fits = fits and (bias is None or bias.shape == w.shape[:1])
        fits = fits and moved >= 1 and x.shape[1] % moved == 0
        fits = fits and offset.shape == (x.shape[0], moved * taps * 2, *out)
        if not fits or not (mask is None or mask.shape == (x.shape[0], moved * taps, *out)):
            raise ShapeError(
                f"{describe(node)}: weights {list(w.shape)} and offsets {list(offset.shape)} do not fit {list(x.shape)}"
            )
        return [TensorType((x.shape[0], w.shape[0], *out), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one tap after the other."""
        x, w, offset = (np.asarray(values) for values in inputs[:3])
        bias, mask = (*inputs[3:], None, None)[:2]
        a, group, moved = node.attrs, self.attr(node, "group"), self.attr(node, "offset_group")
        out, (kh, kw) = offset.shape[2:], w.shape[2:]
        shifts = offset.reshape(len(x), moved, kh, kw, 2, *out)
        factors = np.ones((len(x), moved, kh, kw, *out), x.dtype) if mask is None else np.asarray(mask)
        factors = factors.reshape(len(x), moved, kh, kw, *out)
        seen = np.zeros((*x.shape[:2], kh, kw, *out), x.dtype)
        for n, channel, ky, kx in np.ndindex(*x.shape[:2], kh, kw):
            where = channel // (x.shape[1] // moved)
            rows = np.arange(out[0])[:, None] * a["strides"][0] - a["pads"][0] + ky * a["dilations"][0]
            columns = np.arange(out[1]) * a["strides"][1] - a["pads"][1] + kx * a["dilations"][1]
            places = shifts[n, where, ky, kx]
            values = _between(x[n, channel], rows + places[0], columns + places[1])
            seen[n, channel, ky, kx] = factors[n, where, ky, kx] * values
        filters = w.reshape(group, -1, *w.shape[1:])
        parts = seen.reshape(len(x), group, -1, kh, kw, *out)
        y = np.einsum("ngcabyx,gocab->ngoyx", parts, filters, optimize=True).reshape(len(x), -1, *out)
        if bias is not None:
            y = y + np.asarray(bias)[:, None, None]
        return [y.astype(x.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call, with scratch memory for what the taps of one pixel see."""
        x, y, a = graph.tensors[node.inputs[0]].shape, graph.tensors[node.output].shape, node.attrs
        params: dict[str, ParamValue] = {
            "batch": x[0], "in_c": x[1], "in_h": x[2], "in_w": x[3], "out_c": y[1], "out_h": y[2], "out_w": y[3],
            "kernel_h": a["kernel"][0], "kernel_w": a["kernel"][1],
            "stride_h": a["strides"][0], "stride_w": a["strides"][1],
            "dilation_h": a["dilations"][0], "dilation_w": a["dilations"][1],
            "pad_top": a["pads"][0], "pad_left": a["pads"][1],
            "groups": self.attr(node, "group"), "offset_groups": self.attr(node, "offset_group"),
        }  # fmt: skip
        optional = [name or None for name in (*node.inputs[3:], "", "")[:2]]
        function = "ew_deform_conv2d_f32"
        return (
            KernelCall(
                function, f"conv2d/{function}.h", f"{function}_params", params,
                (*node.inputs[:3], *optional, SCRATCH, node.output), 4 * x[1] * math.prod(a["kernel"]),
            ),
        )  # fmt: skip

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and weight of its channel."""
        w = graph.tensors[node.inputs[1]]
        return graph.tensors[node.output].elements * (w.elements // w.shape[0])


def _between(image: Array, rows: Array, columns: Array) -> Array:
    """An image between its elements, 0 outside. Shapes: rows and columns alike."""
    y = np.zeros(np.broadcast_shapes(rows.shape, columns.shape), image.dtype)
    top, left = np.floor(rows), np.floor(columns)
    for down in (0, 1):
        for along in (0, 1):
            weight = np.abs(1 - down - (rows - top)) * np.abs(1 - along - (columns - left))
            v, h = top + down, left + along
            inside = (v >= 0) & (v < image.shape[0]) & (h >= 0) & (h < image.shape[1])
            picked = image[np.where(inside, v, 0).astype(int), np.where(inside, h, 0).astype(int)]
            y += np.where(inside, weight * picked, 0).astype(image.dtype)
    return y


@from_onnx("DeformConv")
def _deform_conv(foreign: Any) -> None:
    w = foreign.tensor(1)
    if len(foreign.tensor(0).shape) != 4:
        foreign.unsupported(f"only 2-D images are supported, and its input is {list(foreign.tensor(0).shape)}")
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])), volume=True)
    names = [foreign.tensor(i).name if foreign.has(i) else "" for i in range(5)]
    while not names[-1]:
        names.pop()
    groups = {key: int(foreign.attrs.get(key, 1)) for key in ("group", "offset_group")}
    foreign.emit("DeformConv", names, final=0, **image.window, **groups)


_SHAPES = (given(1, 2, 5, 6), weights(3, 2, 2, 3), given(1, 12, 4, 4))
cases(
    Case("DeformConv", "plain", _SHAPES, opset=19),
    Case("DeformConv", "everything", (given(2, 4, 6, 5), weights(4, 2, 3, 2), given(2, 24, 3, 6), weights(4),
         given(2, 12, 3, 6)), {"group": 2, "offset_group": 2, "strides": [2, 1], "pads": [1, 2, 1, 1],
         "dilations": [1, 2]}, opset=19, slow=True),
)  # fmt: skip
