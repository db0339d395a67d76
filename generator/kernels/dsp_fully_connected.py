"""Fully connected layers on Arm DSP cores: one row by ew_fully_connected_q8__dsp.h, several as 1x1 windows.

A convolution whose window is all of its input is one row, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.dsp_conv import DSP, conv_call, pixels_plan
from edgewright.kernels.dsp_gemm import BLOCK, Layer, float_tail, interleaved
from edgewright.kernels.dsp_requantize import find_lines

_STEP = 8  # inputs
_SHIFT = 1  # EW_ROW_ASR


class FullyConnectedDsp(Kernel):
    """One row."""

    op = "QFullyConnected"
    name = "fully_connected__dsp"
    isa = DSP

    def is_row(self, node: Node, graph: Graph) -> bool:
        """Whether there is one sum for each output channel, over all of the input."""
        return _rows(node, graph) == 1

    def fits(self, node: Node, graph: Graph) -> bool:
        """One row of 8 bits, and sums within what shared halfwords can hold."""
        layer = Layer.of(node, graph) if self.is_row(node, graph) else None
        return layer is not None and layer.fits_shared

    def cost(self, node: Node, graph: Graph) -> int:
        """Fitted to measurements on a Cortex-M4."""
        weights = graph.tensors[node.inputs[1]]
        out = weights.shape[0]
        inputs = weights.elements // out
        steps = -(-inputs // _STEP)
        return int(-(-out // BLOCK) * (39 * steps + 41 + 6 * ((steps - 1) // 16)) + 1.6 * inputs + 230)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = Layer.required(node, graph)
        line, packed, last = _stream(layer)
        out, inputs = layer.weights.shape
        params = {
            "in": inputs, "out": out, "x_signed": int(graph.tensors[node.inputs[0]].dtype is DType.S8),
            "whole_bytes": packed.nbytes - last, "stream_bytes": packed.nbytes, "line": line,
            "flip": "0x80808080u" if layer.signed and line[0] else 0,
        }  # fmt: skip
        return (
            KernelCall(
                "ew_fully_connected_q8__dsp", "fully_connected/ew_fully_connected_q8__dsp.h",
                "ew_fully_connected_q8_dsp_params", params, (node.inputs[0], packed, SCRATCH, node.output),
                -(-inputs // _STEP) * _STEP * 2,
            ),
        )  # fmt: skip


class FullyConnectedBytesDsp(FullyConnectedDsp):
    """One row without scratch memory: x is widened again for every four outputs."""

    op = "QFullyConnected"
    name = "fully_connected_bytes__dsp"

    def fits(self, node: Node, graph: Graph) -> bool:
        """Whole steps: what is read behind x would be somebody else's."""
        return graph.tensors[node.inputs[1]].shape[1] % _STEP == 0 and super().fits(node, graph)

    def cost(self, node: Node, graph: Graph) -> int:
        """Fitted to measurements on a Cortex-M4."""
        out, inputs = graph.tensors[node.inputs[1]].shape
        steps = inputs // _STEP
        return int(-(-out // BLOCK) * (43 * steps + 41 + 6 * ((steps - 1) // 8)) + 300)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        call = super().lower(node, graph)[0]
        x, packed, _, y = call.arguments
        function = "ew_fully_connected_bytes_q8__dsp"
        return (replace(call, function=function, arguments=(x, packed, y), scratch_bytes=0),)


class WholeWindowDsp(FullyConnectedDsp):
    """A convolution of one window, which is all of the input."""

    op = "QConv"
    name = "conv2d_whole__dsp"

    def is_row(self, node: Node, graph: Graph) -> bool:
        """One image, one group, nothing padded: weights are in the order of the input."""
        batch, *size, _ = graph.tensors[node.inputs[0]].shape
        a = node.attrs
        plain = a["layout"] == "NHWC" and a["group"] == 1 and not any(a["pads"])
        return bool(plain and batch == 1 and tuple(a["kernel"]) == tuple(size))


class FullyConnectedRowsDsp(Kernel):
    """Several rows; or one, where its sums or weights are too large for shared halfwords."""

    op = "QFullyConnected"
    name = "fully_connected_rows__dsp"
    isa = DSP
    wide = False

    def fits(self, node: Node, graph: Graph) -> bool:
        """8 bits."""
        layer = Layer.of(node, graph)
        if layer is None:
            return False
        return layer.fits if self.wide else layer.fits_shared

    def cost(self, node: Node, graph: Graph) -> int:
        """As the convolution's."""
        out, inputs = graph.tensors[node.inputs[1]].shape
        return pixels_plan(_rows(node, graph), inputs, out).cycles(self.wide)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call of the convolution."""
        layer = Layer.required(node, graph)
        out, inputs = layer.weights.shape
        plan = pixels_plan(_rows(node, graph), inputs, out)
        return conv_call(node, graph, layer, layer.weights.reshape(out, 1, 1, inputs), plan, self.wide)


class FullyConnectedRowsWideDsp(FullyConnectedRowsDsp):
    """A halfword for each weight."""

    op = "QFullyConnected"
    name = "fully_connected_rows_wide__dsp"
    wide = True


def _rows(node: Node, graph: Graph) -> int:
    shape = graph.tensors[node.inputs[0]].shape
    return int(np.prod(shape[:-1], dtype=np.int64))


def _stream(layer: Layer) -> tuple[tuple[int, ...], Array, int]:
    """Return one line for all outputs (zeros where each block has its own), the words, and the last block's bytes."""
    out, inputs = layer.weights.shape
    whole = -(-out // BLOCK) * BLOCK
    weights = np.zeros((whole, -(-inputs // _STEP) * _STEP), np.int64)
    weights[:out, :inputs] = layer.weights
    weights = weights.reshape(whole, -1, 4)[..., [0, 2, 1, 3]].reshape(whole, -1)
    line, added = _one_line(layer)
    lines = None if line[0] else layer.lines(_SHIFT, shared=True)
    blocks = []
    for first in range(0, out, BLOCK):
        there = slice(first, min(first + BLOCK, out))
        by_line = lines is not None and bool(lines.found[there].all())
        bias, tail = np.zeros(BLOCK, np.int64), np.zeros((BLOCK, 2), np.int64)
        bias[: there.stop - first] = layer.bias[there]
        if line[0]:
            bias += np.tile(added, 2)
        elif lines is not None and by_line:
            bias[: there.stop - first] += lines.bias[there]
            tail[: there.stop - first] = np.stack([lines.multiplier[there], lines.offset[there]], axis=1)
        block = weights[first : first + BLOCK]
        bias[0::2] = 256 * bias[0::2] + bias[1::2]
        words = [bias, interleaved(256 * block[0::2] + block[1::2])]
        if not line[0]:
            words.append(tail.reshape(-1) if by_line else float_tail(layer, there, shared=True))
        blocks.append(np.concatenate(words))
    packed = (np.concatenate(blocks) & 0xFFFFFFFF).astype(np.uint32)
    return line, packed, len(blocks[-1]) * 4 if out % BLOCK else 0


def _one_line(layer: Layer) -> tuple[tuple[int, ...], Array]:
    """A line for even outputs and one for odd ones, and what each adds to the bias; zeros where scales differ."""
    none = (0, 0, 0, 0), np.zeros(2, np.int64)
    if (layer.scale != layer.scale[0]).any() or (layer.act_min, layer.act_max) != (0, 255):
        return none
    words, added = [], []
    for start in (0, 1):
        part = slice(start if start < len(layer.bias) else 0, None, 2)
        line = find_lines(
            layer.scale[:1], layer.low[part].min(keepdims=True), layer.high[part].max(keepdims=True),
            layer.zero, start == 0, _SHIFT,
        )  # fmt: skip
        if not line.found[0]:
            return none
        words += [int(line.multiplier[0]), int(line.offset[0])]
        added.append(int(line.bias[0]))
    return tuple(words), np.array(added, np.int64)
