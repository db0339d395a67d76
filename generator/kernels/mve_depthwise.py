"""Depthwise convolutions on Arm MVE: 3x3, and any kernel of up to 64 taps."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.mve_common import MVE, Layer
from edgewright.kernels.mve_conv import SCRATCH_BYTES, band_rows, sizes, window

_CHANNELS = 16  # EW_PLANES_CHANNELS__MVE
_TAPS = 64  # of a kernel: four vectors


def depthwise_layer_of(node: Node, graph: Graph) -> Layer | None:
    """The layer, where it has as many groups as channels, and a uint8 tensor is none of its own."""
    channels = graph.tensors[node.inputs[0]].shape[-1]
    if node.attrs["layout"] != "NHWC" or node.attrs["group"] != channels:
        return None
    layer = Layer.of(node, graph)
    plain = layer is not None and len(layer.weights) == channels and not layer.x_flip
    return layer if plain and node.attrs["dtype"] is DType.S8 else None


def is_3x3(node: Node) -> bool:
    """Whether the kernel is 3x3 without dilation."""
    return bool(node.attrs["kernel"] == (3, 3) and node.attrs["dilations"] == (1, 1))


def _stream(layer: Layer, bias: Array, zeros: int) -> Array:
    """A channel: bias, scale, weights, zeros. Shapes: uint8 [channels * bytes]."""
    channels = len(layer.weights)
    weights = np.pad(layer.weights.reshape(channels, -1), ((0, 0), (0, zeros)))
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
        fitting = is_3x3(node) and a["strides"] == (1, 1) and a["pads"] == (1, 1, 1, 1) and x[2] == 5 and x[1] < 800
        return fitting and depthwise_layer_of(node, graph) is not None

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
                (node.inputs[0], _stream(layer, layer.bias, 1), SCRATCH, node.output), _CHANNELS * plane + 1,
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
        fitting = is_3x3(node) and node.attrs["strides"] in ((1, 1), (2, 2)) and min(s["out_h"], s["out_w"]) >= 2
        return fitting and depthwise_layer_of(node, graph) is not None

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
                params, (node.inputs[0], _stream(layer, layer.folded_bias, 1), SCRATCH, node.output),
                _scratch_3x3(band, strips, stride),
            ),
        )  # fmt: skip

    def _parts(self, node: Node, graph: Graph) -> tuple[int, int]:
        """Rows of outputs of a band, as many as the wanted scratch memory has place for, then strips at a time."""
        _, out_h, out_w, _ = graph.tensors[node.output].shape
        stride, strips = node.attrs["strides"][0], 1
        band = max(2, band_rows(out_h, lambda rows: _scratch_3x3(rows, 1, stride)))
        while strips < out_w // 2 and _scratch_3x3(band, strips + 1, stride) <= SCRATCH_BYTES:
            strips += 1
        return band, strips


def _scratch_3x3(band: int, strips: int, stride: int) -> int:
    """EW_DEPTHWISE_3X3_SCRATCH__MVE."""
    strip = ((band - 1) * stride + 3) * (3 + stride)
    return _CHANNELS * ((strips * strip + 2) // 2 * 2)


class DepthwiseMve(Kernel):
    """Any kernel: windows of a column of outputs side by side, four at a time."""

    op = "QConv"
    name = "depthwise__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Rows of a window are adjacent."""
        kernel = node.attrs["kernel"]
        adjacent = node.attrs["dilations"][0] == 1 or kernel[0] == 1
        return bool(adjacent and kernel[0] * kernel[1] <= _TAPS and depthwise_layer_of(node, graph) is not None)

    def cost(self, node: Node, graph: Graph) -> int:
        """Fitted to measurements: by output, by column of a channel, and the turning of planes."""
        p = _banded(node, graph)
        vectors, bands = -(-p["kernel_h"] * p["kernel_w"] // _CHANNELS), -(-p["out_h"] // p["band"])
        rows = -(-p["band"] // 4) * 4
        column = rows * (8.5 + 2.1 * vectors) + 45
        turned = p["kernel_w"] * (((p["band"] - 1) * p["stride_h"] + p["kernel_h"]) * 11 + 40)
        groups = -(-p["in_c"] // _CHANNELS)
        return int(p["batch"] * p["out_w"] * bands * (p["in_c"] * column + groups * turned + 100))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, p = Layer.taken(node, graph), _banded(node, graph)
        params = {**p, "x_zero": layer.x_zero, "out": layer.output}
        del params["out_c"]
        return (
            KernelCall(
                "ew_depthwise_conv2d_q8__mve", "conv2d/ew_depthwise_conv2d_q8__mve.h",
                "ew_depthwise_conv2d_q8__mve_params", params,
                (node.inputs[0], _stream(layer, layer.folded_bias, 0), SCRATCH, node.output), _scratch(p, p["band"]),
            ),
        )  # fmt: skip


def _banded(node: Node, graph: Graph) -> dict[str, Any]:
    p = window(node, graph)
    return {**p, "band": band_rows(p["out_h"], lambda band: _scratch(p, band))}


def _scratch(p: dict[str, Any], band: int) -> int:
    """EW_DEPTHWISE_SCRATCH__MVE."""
    strip = (((band + 2) * p["stride_h"] + p["kernel_h"]) * p["kernel_w"] + 17) // 2 * 2
    return int(_CHANNELS * strip)
