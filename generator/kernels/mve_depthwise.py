"""Depthwise 3x3 convolutions on Arm MVE."""

from __future__ import annotations

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.mve_common import MVE, Layer
from edgewright.kernels.mve_conv import sizes

_CHANNELS = 16  # EW_PLANES_CHANNELS__MVE
_SCRATCH_BYTES = 4096  # wanted at most


def depthwise_layer_of(node: Node, graph: Graph) -> Layer | None:
    """The layer, where it is 3x3 with as many groups as channels, and a uint8 tensor is none of its own."""
    a, channels = node.attrs, graph.tensors[node.inputs[0]].shape[-1]
    if a["layout"] != "NHWC" or a["kernel"] != (3, 3) or a["dilations"] != (1, 1) or a["group"] != channels:
        return None
    layer = Layer.of(node, graph)
    plain = layer is not None and len(layer.weights) == channels and not layer.x_flip
    return layer if plain and node.attrs["dtype"].name == "S8" else None


def _stream(layer: Layer, bias: Array) -> Array:
    """A channel: bias, scale, nine weights, a zero. Shapes: uint8 [channels * 18]."""
    channels = len(layer.weights)
    weights = np.zeros((channels, 10), np.int8)
    weights[:, :9] = layer.weights.reshape(channels, 9)
    parts = (bias.astype(np.int32).reshape(-1, 1), layer.scale.astype(np.float32).reshape(-1, 1), weights)
    return np.concatenate([part.view(np.uint8) for part in parts], axis=1).reshape(-1)


class Depthwise5WideMve(Kernel):
    """Stride 1 over planes five wide: three rows of a plane are one vector."""

    op = "QConv"
    name = "depthwise_5wide__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Padding 1 all around; offsets of 16 planes fit 16 bits."""
        a, x = node.attrs, graph.tensors[node.inputs[0]].shape
        window = a["strides"] == (1, 1) and a["pads"] == (1, 1, 1, 1) and x[2] == 5 and x[1] < 800
        return window and depthwise_layer_of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """Fitted to measurements: by channel, then by row."""
        batch, in_h, _, in_c = graph.tensors[node.inputs[0]].shape
        return int(batch * in_c * (120 + 31 * in_h))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = Layer.taken(node, graph)
        batch, in_h, _, in_c = graph.tensors[node.inputs[0]].shape
        plane = ((in_h + 2) * 5 + 3) // 2 * 2  # EW_DEPTHWISE_5WIDE_PLANE__MVE
        return (
            KernelCall(
                "ew_depthwise_5wide_q8__mve", "conv2d/ew_depthwise_5wide_q8__mve.h",
                "ew_depthwise_5wide_q8__mve_params",
                {"batch": batch, "in_h": in_h, "in_c": in_c, "x_zero": layer.x_zero, "out": layer.output},
                (node.inputs[0], _stream(layer, layer.bias), SCRATCH, node.output), _CHANNELS * plane + 1,
            ),
        )  # fmt: skip


class Depthwise3x3Mve(Kernel):
    """Two columns of outputs at a time: four rows of four pixels are one vector (stride 2: three of five)."""

    op = "QConv"
    name = "depthwise_3x3__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Stride 1 or 2, images of two by two outputs or more."""
        s = sizes(node, graph)
        window = node.attrs["strides"] in ((1, 1), (2, 2)) and min(s["out_h"], s["out_w"]) >= 2
        return window and depthwise_layer_of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """Fitted to measurements: by output, by strip of a channel, by strip of 16 channels."""
        s, stride, (band, strips) = sizes(node, graph), node.attrs["strides"][0], self._parts(node, graph)
        bands, columns, groups = -(-s["out_h"] // band), -(-s["out_w"] // 2), -(-s["in_c"] // _CHANNELS)
        calls = -(-columns // strips)
        output = 6.7 if stride == 1 else 9.0
        strip = 2 * band * _CHANNELS * output + 16 * 10 + (80 if stride == 1 else 250)
        return int(s["batch"] * bands * groups * (columns * strip + calls * 16 * 45))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, s, stride = Layer.taken(node, graph), sizes(node, graph), node.attrs["strides"][0]
        band, strips = self._parts(node, graph)
        pad_top, pad_left = node.attrs["pads"][:2]
        del s["out_c"]
        params = {
            **s, "stride": stride, "pad_top": pad_top, "pad_left": pad_left, "x_zero": layer.x_zero, "band": band,
            "strips": strips, "out": layer.output,
        }  # fmt: skip
        return (
            KernelCall(
                "ew_depthwise_3x3_q8__mve", "conv2d/ew_depthwise_3x3_q8__mve.h", "ew_depthwise_3x3_q8__mve_params",
                params, (node.inputs[0], _stream(layer, layer.folded_bias), SCRATCH, node.output),
                _scratch_3x3(band, strips, stride),
            ),
        )  # fmt: skip

    def _parts(self, node: Node, graph: Graph) -> tuple[int, int]:
        """Rows of outputs of a band, as many as the wanted scratch memory has place for, then strips at a time."""
        _, out_h, out_w, _ = graph.tensors[node.output].shape
        stride, parts, strips = node.attrs["strides"][0], 1, 1
        while _scratch_3x3(-(-out_h // parts), 1, stride) > _SCRATCH_BYTES:
            parts += 1
        band = max(2, -(-out_h // parts))
        while strips < out_w // 2 and _scratch_3x3(band, strips + 1, stride) <= _SCRATCH_BYTES:
            strips += 1
        return band, strips


def _scratch_3x3(band: int, strips: int, stride: int) -> int:
    """EW_DEPTHWISE_3X3_SCRATCH__MVE."""
    strip = ((band - 1) * stride + 3) * (3 + stride)
    return _CHANNELS * ((strips * strip + 2) // 2 * 2)
