"""Convolutions: Conv and ConvTranspose.

With layout NCHW (as imported) the weights are ONNX's; with NHWC (after `use_channels_last`, the only layout
that has kernels) they are OHWI: [out_channels, kernel_h, kernel_w, in_channels / group].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    activation_params,
    cases,
    check_same_type,
    clamped,
    describe,
    from_onnx,
    given,
    required,
    weights,
)
from edgewright.ops.window import (
    WINDOW_ATTRIBUTES,
    ImageNode,
    effective,
    from_nchw,
    image_shape,
    nchw,
    pad_image,
    patches,
    to_nchw,
    window_params,
    window_type,
)


def _conv_params(op: Operator, node: Node, graph: Graph) -> dict[str, Any]:
    return {**window_params(node, graph), **activation_params(op, node)}


def _check_bias(node: Node, bias: Tensor | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(f"{describe(node)}: bias of shape {list(bias.shape)} for {channels} output channels")


class Conv(Operator):
    """Y = clamp(conv(X, W) + B). Source: ONNX Conv-22."""

    name = "Conv"
    rows = "window"
    arity = (2, 3)
    attributes = {**WINDOW_ATTRIBUTES, "group": 1}
    fuses_activation = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, h, w], W [o, c / group, kh, kw], B [o] (NHWC: see the module)."""
        x, w = required(inputs[0], node, "X"), required(inputs[1], node, "W")
        check_same_type(node, *inputs)
        channels = nchw(x.shape, node.attrs["layout"])[1]
        group, out_channels = node.attrs["group"], w.shape[0]
        _, per_group, *kernel = nchw(w.shape, node.attrs["layout"])
        if group < 1 or channels % group or out_channels % group:
            raise ShapeError(
                f"{describe(node)}: group={group} with {channels} input and {out_channels} output channels "
                "is not a whole number per group"
            )
        if per_group * group != channels or tuple(kernel) != tuple(node.attrs["kernel"]):
            raise ShapeError(
                f"{describe(node)}: weights {list(w.shape)} do not fit input {list(x.shape)} with group={group}"
            )
        _check_bias(node, inputs[2] if len(inputs) > 2 else None, out_channels)
        return [window_type(node, x.shape, out_channels, x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one group at a time."""
        layout, group = node.attrs["layout"], node.attrs["group"]
        x, w = (to_nchw(np.asarray(values), layout) for values in inputs[:2])
        shape = window_type(node, np.asarray(inputs[0]).shape, w.shape[0], None).shape
        n, out_c, *out = nchw(shape, layout)
        padded = pad_image(x, node.attrs["pads"], tuple(out), node, 0.0)
        view = patches(padded, w.shape[2:], node.attrs["strides"], node.attrs["dilations"], tuple(out))
        view = view.reshape(n, group, w.shape[1], *out, *w.shape[2:])
        kernel = w.reshape(group, out_c // group, *w.shape[1:])
        y = np.einsum("ngchwij,gocij->ngohw", view, kernel, optimize=True).reshape(n, out_c, *out)
        if len(inputs) > 2 and inputs[2] is not None:
            y = y + inputs[2][:, None, None]
        return [clamped(from_nchw(y.astype(x.dtype), layout), self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Depthwise where the channels do not mix, else the general kernel."""
        params = _conv_params(self, node, graph)
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        x, w = node.inputs[:2]
        constant = graph.constant(w)
        if params["groups"] == params["in_c"] == params["out_c"] != 1 and constant is not None:
            hwc = np.ascontiguousarray(constant[..., 0].transpose(1, 2, 0))
            return (
                KernelCall(
                    "ew_depthwise_conv2d_f32", "conv2d/ew_depthwise_conv2d_f32.h", "ew_conv2d_f32_params",
                    params, (x, hwc, bias, node.output),
                ),
            )  # fmt: skip
        return (
            KernelCall(
                "ew_conv2d_f32", "conv2d/ew_conv2d_f32.h", "ew_conv2d_f32_params",
                params, (x, w, bias, node.output),
            ),
        )  # fmt: skip

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and weight of its channel."""
        w = graph.tensors[node.inputs[1]]
        return graph.tensors[node.output].elements * (w.elements // w.shape[0])


@from_onnx("Conv")
def _conv(foreign: Any) -> None:
    w = foreign.tensor(1)
    is_volume = len(w.shape) > 4
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])), is_volume)
    inputs = [image.as_image(0), image.as_image(1)]
    if foreign.has(2):
        inputs.append(foreign.tensor(2).name)
    op = "Conv3D" if is_volume else "Conv" if image.input.dtype is DType.F32 else "PlainConv"
    image.emit(op, inputs, group=foreign.attrs.get("group", 1))


class ConvTranspose(Operator):
    """Y = clamp(transposed convolution of X with W, + B). Source: ONNX ConvTranspose-22."""

    name = "ConvTranspose"
    arity = (2, 3)
    attributes = {**WINDOW_ATTRIBUTES, "group": 1, "output_padding": (0, 0)}
    fuses_activation = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, h, w], W [c, o / group, kh, kw] (NHWC: OHWI), B [o]."""
        x, w = required(inputs[0], node, "X"), required(inputs[1], node, "W")
        check_same_type(node, *inputs)
        layout, group = node.attrs["layout"], node.attrs["group"]
        n, channels, h, width = nchw(x.shape, layout)
        if layout == "NCHW":
            fits, out_channels, kernel = w.shape[0] == channels, w.shape[1] * group, w.shape[2:]
        else:
            fits, out_channels, kernel = w.shape[3] * group == channels, w.shape[0], w.shape[1:3]
        if not fits or group < 1 or channels % group or tuple(kernel) != tuple(node.attrs["kernel"]):
            raise ShapeError(
                f"{describe(node)}: weights {list(w.shape)} do not fit input {list(x.shape)} with group={group}"
            )
        _check_bias(node, inputs[2] if len(inputs) > 2 else None, out_channels)
        a = node.attrs
        sizes = [
            a["strides"][i] * (size - 1)
            + self.attr(node, "output_padding")[i]
            + effective(a["kernel"][i], a["dilations"][i])
            - a["pads"][i]
            - a["pads"][i + 2]
            for i, size in enumerate((h, width))
        ]
        if min(sizes) < 1:
            raise ShapeError(f"{describe(node)}: its pads {list(a['pads'])} leave nothing of the output")
        return [TensorType(image_shape(n, out_channels, sizes[0], sizes[1], layout), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By scattering each input element, in numpy."""
        layout, group, a = node.attrs["layout"], node.attrs["group"], node.attrs
        x, w = to_nchw(np.asarray(inputs[0]), layout), np.asarray(inputs[1])
        if layout == "NHWC":  # OHWI -> ONNX
            o, kh, kw, i = w.shape
            w = w.reshape(group, o // group, kh, kw, i).transpose(0, 4, 1, 2, 3).reshape(group * i, o // group, kh, kw)
        n, c, h, width = x.shape
        out_c = w.shape[1] * group
        pads, (kh, kw) = a["pads"], w.shape[2:]
        padding = self.attr(node, "output_padding")
        full = [
            a["strides"][k] * (size - 1) + effective(w.shape[2 + k], a["dilations"][k]) + padding[k]
            for k, size in enumerate((h, width))
        ]
        y = np.zeros((n, group, out_c // group, *full), x.dtype)
        xg = x.reshape(n, group, c // group, h, width)
        wg = w.reshape(group, c // group, out_c // group, kh, kw)
        for ky in range(kh):
            for kx in range(kw):
                part = np.einsum("ngchw,gco->ngohw", xg, wg[..., ky, kx])
                top, left = ky * a["dilations"][0], kx * a["dilations"][1]
                y[
                    ...,
                    top : top + a["strides"][0] * (h - 1) + 1 : a["strides"][0],
                    left : left + a["strides"][1] * (width - 1) + 1 : a["strides"][1],
                ] += part
        y = y.reshape(n, out_c, *full)[:, :, pads[0] : full[0] - pads[2], pads[1] : full[1] - pads[3]]
        if len(inputs) > 2 and inputs[2] is not None:
            y = y + inputs[2][:, None, None]
        return [clamped(from_nchw(y.astype(x.dtype), layout), self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """The gathering kernel."""
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        return (
            KernelCall(
                "ew_conv_transpose2d_f32", "conv_transpose2d/ew_conv_transpose2d_f32.h", "ew_conv2d_f32_params",
                _conv_params(self, node, graph), (*node.inputs[:2], bias, node.output),
            ),
        )  # fmt: skip

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each input element and weight it meets."""
        w, x = graph.tensors[node.inputs[1]], graph.tensors[node.inputs[0]]
        channels = nchw(x.shape, node.attrs["layout"])[1]
        return x.elements * (w.elements // channels)


@from_onnx("ConvTranspose")
def _conv_transpose(foreign: Any) -> None:
    w = foreign.tensor(1)
    is_volume = len(w.shape) > 4
    image = ImageNode(foreign, tuple(foreign.attrs.get("kernel_shape", w.shape[2:])), is_volume)
    spatial = image.spatial
    padding = list(foreign.attrs.get("output_padding", (0,) * spatial))
    wanted = foreign.attrs.get("output_shape")
    strides, kernel, dilations = (image.window[key][-spatial:] for key in ("strides", "kernel", "dilations"))
    sizes = image.input.shape[2:]
    if image.auto_pad.startswith("SAME") and wanted is None:
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if wanted is not None:  # Source: ONNX ConvTranspose-22, output_shape decides the pads
        begins, ends = [], []
        for i in range(spatial):
            total = strides[i] * (sizes[i] - 1) + padding[i] + effective(kernel[i], dilations[i]) - wanted[-spatial + i]
            if total < 0 and image.auto_pad.startswith("SAME"):  # the reference and ONNX Runtime differ
                foreign.unsupported(f"auto_pad for an output {list(wanted)} larger than the convolution reaches")
            if total < 0:  # nothing reaches the last ones
                padding[i] -= total
                total = 0
            half = total // 2
            upper = image.auto_pad == "SAME_UPPER"
            begins.append(half if upper else total - half)
            ends.append(total - half if upper else half)
        image.window["pads"] = image.widen_pads((*begins, *ends))
    inputs = [image.as_image(0), image.as_image(1)]
    if foreign.has(2):
        inputs.append(foreign.tensor(2).name)
    image.emit(
        "ConvTranspose3D" if is_volume else "ConvTranspose", inputs, group=foreign.attrs.get("group", 1),
        output_padding=image.widen(tuple(padding), 0),
    )  # fmt: skip


cases(
    Case("Conv", "3x3", (given(1, 3, 9, 8), weights(5, 3, 3, 3), weights(5)), {"pads": [1, 1, 1, 1]}),
    Case("Conv", "no_bias", (given(1, 2, 7, 7), weights(4, 2, 3, 3)), {}),
    Case("Conv", "1x1", (given(1, 8, 5, 5), weights(12, 8, 1, 1), weights(12)), {}),
    Case("Conv", "1x1_stride", (given(1, 8, 5, 6), weights(6, 8, 1, 1), weights(6)), {"strides": [2, 2]}),
    Case("Conv", "stride_pads", (given(1, 3, 11, 10), weights(4, 3, 5, 3)),
         {"strides": [2, 3], "pads": [2, 0, 1, 2]}),
    Case("Conv", "dilated", (given(1, 3, 12, 12), weights(4, 3, 3, 3), weights(4)),
         {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    Case("Conv", "depthwise", (given(1, 6, 9, 7), weights(6, 1, 3, 3), weights(6)),
         {"group": 6, "pads": [1, 1, 1, 1]}),
    Case("Conv", "depthwise_stride", (given(1, 5, 9, 7), weights(5, 1, 3, 3)),
         {"group": 5, "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    Case("Conv", "depth_multiplier", (given(1, 3, 6, 6), weights(6, 1, 3, 3)), {"group": 3}),
    Case("Conv", "grouped", (given(1, 6, 6, 6), weights(8, 3, 3, 3), weights(8)), {"group": 2}),
    Case("Conv", "same_upper", (given(1, 2, 8, 7), weights(3, 2, 4, 4)),
         {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", "same_lower", (given(1, 2, 8, 7), weights(3, 2, 4, 4)),
         {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("Conv", "valid", (given(1, 2, 8, 7), weights(3, 2, 3, 3)), {"auto_pad": "VALID"}),
    Case("Conv", "one_dimensional", (given(1, 4, 20), weights(6, 4, 5), weights(6)),
         {"pads": [2, 2], "strides": [2]}),
    Case("Conv", "given_weights", (given(1, 2, 5, 5), given(3, 2, 3, 3)), {}),
    Case("Conv", "batch_of_two", (given(2, 2, 5, 5), weights(3, 2, 3, 3)), {"pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", "plain", (given(1, 3, 4, 5), weights(3, 4, 3, 3), weights(4)), {}),
    Case("ConvTranspose", "stride", (given(1, 3, 4, 5), weights(3, 2, 3, 3)),
         {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]}),
    Case("ConvTranspose", "grouped", (given(1, 6, 3, 3), weights(6, 2, 2, 2), weights(4)),
         {"group": 2, "strides": [2, 2]}),
    Case("ConvTranspose", "dilated", (given(1, 2, 4, 4), weights(2, 3, 3, 3)), {"dilations": [2, 2]}),
    Case("ConvTranspose", "output_shape", (given(1, 2, 5, 5), weights(2, 2, 3, 3)),
         {"strides": [3, 2], "output_shape": [14, 9]}),
    Case("ConvTranspose", "larger_output_shape", (given(1, 2, 3, 3), weights(2, 2, 3, 3)),
         {"strides": [3, 2], "output_shape": [10, 8]}, slow=True),
    Case("Conv", "volume", (given(1, 3, 5, 4, 6), weights(4, 3, 3, 2, 3), weights(4)),
         {"pads": [1, 0, 1, 1, 1, 2], "strides": [2, 1, 1]}),
    Case("Conv", "volume_grouped", (given(2, 4, 5, 6, 5), weights(6, 2, 2, 3, 2)),
         {"group": 2, "dilations": [2, 1, 3], "pads": [1, 1, 0, 0, 1, 2]}, slow=True),
    Case("ConvTranspose", "volume", (given(1, 3, 3, 2, 4), weights(3, 2, 3, 2, 3), weights(2)),
         {"strides": [2, 1, 2], "pads": [1, 0, 0, 0, 1, 1], "output_padding": [1, 0, 0]}, slow=True),
    Case("ConvTranspose", "volume_grouped", (given(1, 4, 2, 3, 2), weights(4, 2, 2, 2, 2)),
         {"group": 2, "dilations": [2, 1, 2], "strides": [1, 2, 3]}, slow=True),
    Case("ConvTranspose", "same_upper", (given(1, 2, 5, 5), weights(2, 2, 3, 3)),
         {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("ConvTranspose", "one_dimensional", (given(1, 3, 6), weights(3, 2, 4)), {"strides": [2], "pads": [1, 1]}),
)  # fmt: skip
