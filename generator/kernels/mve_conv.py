"""Convolutions of one group on Arm MVE: 1x1, 3x3, and any kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.mve_common import CHUNK, MVE, ROWS_OUTS, Layer, rows_cycles

SCRATCH_BYTES = 4096  # wanted at most; a window that is larger takes what it takes


def sizes(node: Node, graph: Graph) -> dict[str, Any]:
    """Batch and image sizes, as the kernels' parameters have them."""
    batch, in_h, in_w, in_c = graph.tensors[node.inputs[0]].shape
    _, out_h, out_w, out_c = graph.tensors[node.output].shape
    return {
        "batch": batch, "in_h": in_h, "in_w": in_w, "in_c": in_c, "out_h": out_h, "out_w": out_w, "out_c": out_c
    }  # fmt: skip


def window(node: Node, graph: Graph) -> dict[str, Any]:
    """Sizes, kernel, strides, pads and dilation along the width of a convolution.

    An image one row high is taken as one column wide, which is the same in memory: kernels go down columns.
    """
    s, a = sizes(node, graph), node.attrs
    kernel, strides, dilations, pads = a["kernel"], a["strides"], a["dilations"], a["pads"][:2]
    if s["in_h"] == s["out_h"] == kernel[0] == 1 and pads[0] == 0 and (dilations[1] == 1 or kernel[1] == 1):
        s.update(in_h=s["in_w"], in_w=1, out_h=s["out_w"], out_w=1)
        kernel, strides, dilations, pads = (kernel[1], 1), (strides[1], 1), (1, 1), (pads[1], 0)
    return {
        **s, "kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": strides[0], "stride_w": strides[1],
        "dilation_w": dilations[1], "pad_top": pads[0], "pad_left": pads[1],
    }  # fmt: skip


def band_rows(out_h: int, scratch_bytes: Callable[[int], int]) -> int:
    """Rows of outputs made at a time: equal parts of the image that need no more than the wanted scratch memory."""
    parts = 1
    while parts < out_h and scratch_bytes(-(-out_h // parts)) > SCRATCH_BYTES:
        parts += 1
    return -(-out_h // parts)


def layer_of(node: Node, graph: Graph) -> Layer | None:
    """The layer, where it has one group and channels come last."""
    return Layer.of(node, graph) if node.attrs["layout"] == "NHWC" and node.attrs["group"] == 1 else None


def int8_layer_of(node: Node, graph: Graph) -> Layer | None:
    """The same, where x is int8."""
    layer = layer_of(node, graph)
    return None if layer is None or layer.x_flip else layer


class Conv2d1x1Mve(Kernel):
    """Pixels are rows of a product."""

    op = "QConv"
    name = "conv2d_1x1__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """No padding, windows inside the image."""
        a, s = node.attrs, sizes(node, graph)
        inside = all((s[f"out_{d}"] - 1) * a["strides"][i] < s[f"in_{d}"] for i, d in enumerate("hw"))
        return a["kernel"] == (1, 1) and not any(a["pads"][:2]) and inside and int8_layer_of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """All pixels at once, or row by row."""
        s = sizes(node, graph)
        if node.attrs["strides"] == (1, 1):
            return rows_cycles(s["batch"] * s["out_h"] * s["out_w"], s["in_c"], s["out_c"])
        return int(s["batch"] * s["out_h"] * rows_cycles(s["out_w"], s["in_c"], s["out_c"]))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = Layer.taken(node, graph)
        stride_h, stride_w = node.attrs["strides"]
        params = {**sizes(node, graph), "stride_h": stride_h, "stride_w": stride_w, "out": layer.output}
        return (
            KernelCall(
                "ew_conv2d_1x1_q8__mve", "conv2d/ew_conv2d_1x1_q8__mve.h", "ew_conv2d_1x1_q8__mve_params", params,
                (node.inputs[0], layer.stream(ROWS_OUTS), node.output),
            ),
        )  # fmt: skip


class Conv2d3x3Mve(Kernel):
    """Four adjacent outputs of two channels at a time, rows of x in a ring."""

    op = "QConv"
    name = "conv2d_3x3__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Stride 1 or 2, four outputs in a row, an even number of channels."""
        a, s = node.attrs, sizes(node, graph)
        window = a["kernel"] == (3, 3) and a["dilations"] == (1, 1) and a["strides"] in ((1, 1), (2, 2))
        outputs = s["out_w"] >= 4 and s["out_c"] % 2 == 0 and s["out_c"] < 2**14
        return window and outputs and min(a["pads"][:2]) >= 0 and int8_layer_of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """Products of eight outputs at a time, and the copy of x; fitted to measurements."""
        s, chunks = sizes(node, graph), -(-graph.tensors[node.inputs[0]].shape[3] // CHUNK)
        tiles = -(-s["out_w"] // 4) * s["out_c"] // 2
        copied = self._columns(node, s) * chunks * 5 * node.attrs["strides"][0]
        return int(s["batch"] * s["out_h"] * (tiles * (40 + 166 * chunks) + copied + 200))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, s, stride = Layer.taken(node, graph), sizes(node, graph), node.attrs["strides"][0]
        pad_top, pad_left = node.attrs["pads"][:2]
        params = {
            **s, "stride": stride, "pad_top": pad_top, "pad_left": pad_left, "x_zero": layer.x_zero,
            "out": layer.output,
        }  # fmt: skip
        scratch = 3 * CHUNK * self._columns(node, s) * -(-s["in_c"] // CHUNK)
        return (
            KernelCall(
                "ew_conv2d_3x3_q8__mve", "conv2d/ew_conv2d_3x3_q8__mve.h", "ew_conv2d_3x3_q8__mve_params", params,
                (node.inputs[0], _stream_3x3(layer, stride), SCRATCH, node.output), scratch,
            ),
        )  # fmt: skip

    def _columns(self, node: Node, s: dict[str, Any]) -> int:
        """EW_CONV2D_3X3_COLUMNS__MVE."""
        return int((s["out_w"] - 1) * node.attrs["strides"][0] + 3)


def _stream_3x3(layer: Layer, stride: int) -> Array:
    """Pairs of outputs: weights, then bias and scale of both. Shapes: uint8 [bytes]."""
    outs, _, _, in_c = layer.weights.shape
    chunks = -(-in_c // CHUNK)
    padded = np.zeros((outs, 3, 3, chunks * CHUNK), np.int8)
    padded[..., :in_c] = layer.weights
    if stride == 2:
        padded = padded[:, :, [0, 2, 1]]
    vectors = padded.reshape(outs // 2, 2, 3, 3, chunks, CHUNK).transpose(0, 4, 2, 3, 1, 5).reshape(outs // 2, -1)
    ends = np.stack([layer.folded_bias.view(np.uint32), layer.scale.view(np.uint32)], axis=1).reshape(outs // 2, 4)
    return np.concatenate([vectors.view(np.uint8), ends.view(np.uint8)], axis=1).reshape(-1)


class Conv2dMve(Kernel):
    """Any kernel: windows of a column of outputs side by side."""

    op = "QConv"
    name = "conv2d__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Rows of a window are adjacent."""
        return (node.attrs["dilations"][0] == 1 or node.attrs["kernel"][0] == 1) and layer_of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """The product of rows, and the copies."""
        p = _banded(node, graph)
        bands = [min(p["band"], p["out_h"] - at) for at in range(0, p["out_h"], p["band"])]
        run, total = p["kernel_w"] * p["in_c"], 0
        for rows in bands:
            lines = (rows - 1) * p["stride_h"] + p["kernel_h"]
            copied = lines * (8 + 4 * -(-run // CHUNK))
            total += p["out_w"] * (rows_cycles(rows, p["kernel_h"] * run, p["out_c"]) + copied)
        return int(p["batch"] * total)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, p = Layer.taken(node, graph), _banded(node, graph)
        params = {**p, "x_flip": layer.x_flip, "x_zero": layer.x_zero, "out": layer.output}
        return (
            KernelCall(
                "ew_conv2d_q8__mve", "conv2d/ew_conv2d_q8__mve.h", "ew_conv2d_q8__mve_params", params,
                (node.inputs[0], layer.stream(ROWS_OUTS), SCRATCH, node.output), _scratch(p, p["band"]),
            ),
        )  # fmt: skip


def _banded(node: Node, graph: Graph) -> dict[str, Any]:
    p = window(node, graph)
    return {**p, "band": band_rows(p["out_h"], lambda band: _scratch(p, band))}


def _scratch(p: dict[str, Any], band: int) -> int:
    """EW_CONV2D_SCRATCH__MVE."""
    return int(((band - 1) * p["stride_h"] + p["kernel_h"]) * p["kernel_w"] * p["in_c"])
