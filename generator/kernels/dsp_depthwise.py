"""Depthwise convolutions on Arm DSP cores: ew_depthwise_3x3_q8__dsp.h.

Other shapes stay with the portable kernel: four channels at a time by SMLABB and SMLATT were slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.dsp_gained_line import find_gained_lines
from edgewright.kernels.dsp_gemm import Layer, flip
from edgewright.kernels.portable import given_constant
from edgewright.ops.core import describe
from edgewright.ops.q_core import C_QTYPES

_DSP = frozenset({"dsp", "fpu"})
_ROW_BYTES = 64  # EW_DW3_ROW_BYTES
_SCRATCH_BYTES = 2560  # wanted at most
_WIDE_SHIFT = 7  # pixels are widened times 2^7
_LINE_SHIFT = 16
_MOST_SHIFT = 8  # of weights: more leaves no halfword
_GROUP = 4  # channels widened at once


@dataclass(frozen=True, eq=False)
class _Strip:
    """Output columns made together: `count` of them, the first one beside left padding where `first`."""

    count: int
    first: bool
    pairs: int


@dataclass(frozen=True, eq=False)
class _Depthwise:
    """A layer that the kernel takes. Shapes: weights [channels, 3, 3]; bias, scale, low, high [channels].

    `low` and `high`: what the sums can be, without the bias.
    """

    layer: Layer
    weights: Array
    bias: Array
    low: Array
    high: Array
    in_shape: tuple[int, int, int, int]
    out_shape: tuple[int, int, int, int]
    stride: int
    pads: tuple[int, int]

    @staticmethod
    def of(node: Node, graph: Graph) -> _Depthwise | None:
        a, layer = node.attrs, Layer.of(node, graph)
        if layer is None or a["layout"] != "NHWC" or not layer.plain:
            return None
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        (batch, in_h, in_w, channels), (_, out_h, out_w, out_c) = x.shape, y.shape
        stride, (top, left) = a["strides"][0], a["pads"][:2]
        if (
            tuple(a["kernel"]) != (3, 3) or tuple(a["dilations"]) != (1, 1) or a["strides"][1] != stride
            or stride not in (1, 2) or not a["group"] == channels == out_c or channels < _GROUP or out_h < 2
            or top not in (0, 1) or left not in (0, 1) or in_h < 2
            or (out_h - 1) * stride + 3 - top > in_h + 1 or (out_w - 1) * stride + 3 - left > in_w + 1
        ):  # fmt: skip
            return None
        zero = a["x_zero"] + flip(x.dtype)
        weights = layer.weights.reshape(channels, 3, 3)
        ends = np.stack([-zero * layer.weights, (255 - zero) * layer.weights])
        found = _Depthwise(
            layer, weights, _bias(node, graph), ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1),
            (batch, in_h, in_w, channels), (batch, out_h, out_w, out_c), stride, (top, left),
        )  # fmt: skip
        return found if found.in_range else None

    @staticmethod
    def required(node: Node, graph: Graph) -> _Depthwise:
        layer = _Depthwise.of(node, graph)
        if layer is None:
            raise InternalError(f"{describe(node)}: a kernel was chosen that does not fit")
        return layer

    @property
    def in_range(self) -> bool:
        """Whether sums fit, for channels without a line too."""
        reach = np.maximum(-self.low, self.high) + np.abs(self.bias)
        return bool(
            (np.abs(self.weights) < 2**15).all()
            and (reach << _WIDE_SHIFT < 2**31).all()
            and ((self.layer.scale > 2.0**-100) & (self.layer.scale < 2.0**100)).all()
        )

    @property
    def strips(self) -> list[_Strip]:
        """The strips of a row of outputs, from the left."""
        strips, column, out_w = [], 0, self.out_shape[2]
        while column < out_w:
            first = column * self.stride < self.pads[1]
            count = min(out_w - column, (5 + first) // self.stride + 1)
            strips.append(_Strip(count, first, ((count - 1) * self.stride + 4 - first) // 2))
            column += count
        return strips

    @property
    def block_rows(self) -> int:
        """Rows of outputs made together: all, or equal parts that keep the scratch memory small."""
        out_h = self.out_shape[1]
        most = max((_SCRATCH_BYTES // _ROW_BYTES - 4) // self.stride + 1, 4)
        rows = -(-out_h // -(-out_h // most))
        while out_h % rows == 1:  # a last row alone cannot be between paddings
            rows -= 1
        return rows

    def rows_in(self, rows: int) -> int:
        """Rows of x that so many rows of outputs need."""
        return (rows - 1) * self.stride + 3

    @property
    def scratch_bytes(self) -> int:
        """For one block; stride 2 loads a row more than it needs."""
        return (self.rows_in(self.block_rows) + self.stride - 1) * _ROW_BYTES

    def cycles(self) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        batch, out_h, _, channels = self.out_shape
        rows, step = self.block_rows, 12.7 if self.stride == 1 else 17.5
        total = 0.0
        for at in range(0, out_h, rows):
            made = min(rows, out_h - at)
            for strip in self.strips:
                columns = strip.count * (50 + made * step) - strip.first * made * (3.3 if self.stride == 1 else 4)
                total += 150 + self.rows_in(made) * (14 + 15 * strip.pairs) + _GROUP * (36 + columns)
        return int(batch * -(-channels // _GROUP) * total)

    def packed(self) -> tuple[Array, bool]:
        """The words of the kernel, uint32, and whether all channels have lines."""
        words, by_line = self._channels()
        groups: list[Array] = []
        for group in range(0, len(words), _GROUP):
            at = min(group, len(words) - _GROUP)
            if not by_line.all():
                groups.append(np.array([int(by_line[at : at + _GROUP] @ (1 << np.arange(_GROUP)))]))
            groups.append(words[at : at + _GROUP].reshape(-1))
        return (np.concatenate(groups) & 0xFFFFFFFF).astype(np.uint32), bool(by_line.all())

    def _channels(self) -> tuple[Array, Array]:
        """The words of each channel, and whether it has a line. Shapes: [channels, 7], [channels]."""
        scale, widened = self.layer.scale, _WIDE_SHIFT + np.arange(_MOST_SHIFT + 1)
        steep = scale.astype(np.float64)[:, None] * 2.0 ** (32 + _LINE_SHIFT - widened) >= 2**31
        shift = steep.sum(axis=1)  # of the weights
        fits = (np.abs(self.weights).max(axis=(1, 2)) << shift < 2**15) & (
            np.maximum(-self.low, self.high) << _WIDE_SHIFT + shift < 2**31
        )
        gain = np.left_shift(1, _WIDE_SHIFT + shift)
        lines = find_gained_lines(scale, self.low, self.high, self.bias, self.layer.zero, gain, _LINE_SHIFT)
        found = fits & lines.found
        weights = self.weights << np.where(found, shift, 0)[:, None, None]
        bits = (scale * np.float32(2.0**-_WIDE_SHIFT)).view(np.uint32).astype(np.int64)
        multiplier = np.where(found, lines.multiplier, bits)
        offset = np.where(found, lines.offset, self.bias << _WIDE_SHIFT)
        return np.concatenate([_weight_words(weights), np.stack([multiplier, offset], axis=1)], axis=1), found


def _bias(node: Node, graph: Graph) -> Array:
    """The bias as it is: these kernels take x's zero point away from x."""
    return given_constant(node, graph, 2).astype(np.int64)


def _weight_words(w: Array) -> Array:
    """Taps 0 and 1 of each row, then tap 2 of rows 0 and 1, then of row 2.

    Shapes: [channels, 3, 3] -> [channels, 5].
    """
    halves = np.pad(w.reshape(len(w), 9), ((0, 0), (0, 1))) & 0xFFFF
    return np.asarray(halves[:, [0, 3, 6, 2, 8]] | halves[:, [1, 4, 7, 5, 9]] << 16)


class Depthwise3x3Dsp(Kernel):
    """3x3, stride 1 or 2, to uint8: a channel's weights stay in registers while it walks down a column."""

    op = "QConv"
    name = "depthwise_3x3__dsp"
    isa = _DSP

    def fits(self, node: Node, graph: Graph) -> bool:
        """Shape, types, and sums within 2^24."""
        return _Depthwise.of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """See `_Depthwise.cycles`."""
        return _Depthwise.required(node, graph).cycles()

    def overwrites(self, node: Node, graph: Graph) -> frozenset[int]:
        """An image of one strip and one block: four channels are all read before the first is written."""
        layer = _Depthwise.required(node, graph)
        whole = len(layer.strips) == 1 and layer.block_rows == layer.out_shape[1]
        return frozenset({0}) if whole and layer.out_shape[3] % _GROUP == 0 else frozenset()

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = _Depthwise.required(node, graph)
        words, all_lines = layer.packed()
        (batch, in_h, in_w, channels), (_, out_h, out_w, _) = layer.in_shape, layer.out_shape
        x = graph.tensors[node.inputs[0]].dtype
        params = {
            "batch": batch, "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w,
            "stride": layer.stride, "pad_top": layer.pads[0], "pad_left": layer.pads[1],
            "x_type": C_QTYPES[x], "x_zero": node.attrs["x_zero"], "y_zero": layer.layer.zero,
            "lines": int(all_lines), "block_rows": layer.block_rows,
        }  # fmt: skip
        return (
            KernelCall(
                "ew_depthwise_3x3_q8__dsp", "conv2d/ew_depthwise_3x3_q8__dsp.h", "ew_depthwise_3x3_q8__dsp_params",
                params, (node.inputs[0], words, SCRATCH, node.output), layer.scratch_bytes,
            ),
        )  # fmt: skip
