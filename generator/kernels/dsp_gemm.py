"""Weight streams of ew_gemm_q8__dsp.h, and the proof that two output channels may share halfwords of weights.

Outputs are in uint8's domain here: an int8 output is the same with 128 added to its values and its zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, DType, Graph, Node
from edgewright.kernels.dsp_requantize import Lines, find_lines
from edgewright.ops.core import describe
from edgewright.ops.q_core import Q8, limits

BLOCK = 4  # output channels made at once
_SHARED_LIMIT = 2**23 - 2**15  # of |A|: 256 * A is an int32, with what a line may add to the bias
_SCALES = (2.0**-100, 2.0**100)  # their 256th is a normal float32


@dataclass(frozen=True, eq=False)
class Layer:
    """An integer layer as the kernels see it: each output is requantized(bias + sum of x * weights).

    Shapes: weights [out, taps]; bias (x's zero point folded in), low and high (what accumulators can be), scale [out].
    """

    weights: Array
    bias: Array
    low: Array
    high: Array
    scale: Array
    zero: int
    act_min: int
    act_max: int
    signed: bool  # y is int8

    @staticmethod
    def of(node: Node, graph: Graph) -> Layer | None:
        """The layer of a QConv or QFullyConnected, taps in their order there; None where it has other types."""
        w, bias, scale = (graph.constant(name) for name in node.inputs[1:4])
        x, dtype = graph.tensors[node.inputs[0]].dtype, node.attrs["dtype"]
        if w is None or bias is None or scale is None or x not in Q8 or dtype not in Q8:
            return None
        weights = w.reshape(w.shape[0], -1).astype(np.int64)
        x_zero, (x_min, x_max) = node.attrs["x_zero"], limits(x)
        at_low, at_high = (x_min - x_zero) * weights, (x_max - x_zero) * weights
        total = bias.astype(np.int64)
        zero, act_min, act_max = (node.attrs[key] + flip(dtype) for key in ("y_zero", "act_min", "act_max"))
        return Layer(
            weights, total - x_zero * weights.sum(axis=1),
            total + np.minimum(at_low, at_high).sum(axis=1), total + np.maximum(at_low, at_high).sum(axis=1),
            scale.astype(np.float32), zero, act_min, act_max, dtype is DType.S8,
        )  # fmt: skip

    @staticmethod
    def required(node: Node, graph: Graph) -> Layer:
        """The same, where `fits` has said that there is one."""
        layer = Layer.of(node, graph)
        if layer is None:
            raise InternalError(f"{describe(node)}: a kernel was chosen that does not fit")
        return layer

    @property
    def fits(self) -> bool:
        """Whether the kernels with a halfword for each weight take it."""
        in_range = (np.abs(self.weights) < 2**15).all() and (np.maximum(-self.low, self.high) < 2**31).all()
        return bool(in_range and ((self.scale > _SCALES[0]) & (self.scale < _SCALES[1])).all())

    @property
    def fits_shared(self) -> bool:
        """Whether those do that have two channels in a halfword."""
        even, odd = self.weights[0::2], self.weights[1::2]
        halfwords = 256 * even
        halfwords[: len(odd)] += odd
        reach = np.maximum(-self.low, self.high)[0::2]
        small = (np.abs(self.weights) <= 128).all() and (self.weights < 128).all() and (halfwords >= -(2**15)).all()
        return bool(self.fits and small and (reach < _SHARED_LIMIT).all())

    @property
    def plain(self) -> bool:
        """Whether a saturated uint8 is the result, neither clamped nor flipped."""
        return not self.signed and self.act_min == 0 and self.act_max == 255

    def lines(self, shift: int, shared: bool) -> Lines:
        """A line for each channel; none where results have to be clamped or flipped."""
        if not self.plain:
            none = np.zeros(len(self.bias), np.int64)
            return Lines(none, none, none, none > 0)
        times_256 = (np.arange(len(self.bias)) % 2 == 0) & shared
        return find_lines(self.scale, self.low, self.high, self.zero, times_256, shift)


def flip(dtype: DType) -> int:
    """What makes a value of the type a uint8."""
    return 128 if dtype is DType.S8 else 0


def stream(layer: Layer, windows: Array, shift: int, shared: bool) -> Array:
    """Return the words of ew_gemm_q8__dsp.h, uint32.

    Shapes: windows [out, halfwords], the layer's weights as the kernel's windows have them (an even number).
    """
    lines, out = layer.lines(shift, shared), len(layer.bias)
    whole = -(-out // BLOCK) * BLOCK
    weights = np.zeros((whole, windows.shape[1]), np.int64)
    weights[:out] = windows
    words: list[Array] = []
    for first in range(0, out, BLOCK):
        there = slice(first, min(first + BLOCK, out))
        by_line = bool(lines.found[there].all())
        bias, tail = np.zeros(BLOCK, np.int64), np.zeros((BLOCK, 2), np.int64)
        bias[: there.stop - first] = layer.bias[there] + (lines.bias[there] if by_line else 0)
        tail[: there.stop - first] = np.stack([lines.multiplier[there], lines.offset[there]], axis=1)
        block = weights[first : first + BLOCK]
        if shared:
            bias[0::2] = 256 * bias[0::2] + bias[1::2]
            block = 256 * block[0::2] + block[1::2]
        words += [bias, interleaved(block), tail.reshape(-1) if by_line else float_tail(layer, there, shared)]
    return (np.concatenate(words) & 0xFFFFFFFF).astype(np.uint32)


def interleaved(rows: Array) -> Array:
    """Two halfwords of each row in turn, as words. Shapes: [rows, halfwords] -> [rows * halfwords / 2]."""
    halves = rows.astype(np.int64) & 0xFFFF
    return (halves[:, 0::2] | halves[:, 1::2] << 16).T.reshape(-1)


def float_tail(layer: Layer, there: slice, shared: bool) -> Array:
    """The words that make a block's results by float."""
    scale = np.zeros(BLOCK, np.float32)
    scale[: there.stop - there.start] = layer.scale[there]
    if shared:
        scale[0::2] /= np.float32(256)
    bits = scale.view(np.uint32).astype(np.int64)
    ones = 0x01010101
    clamp = [
        ones * (255 - layer.act_max), ones * (255 - layer.act_max + layer.act_min),
        ones * ((layer.act_min + (128 if layer.signed else 0)) & 255),
    ]  # fmt: skip
    return np.array([0, bits[0], layer.zero, *bits[1:], *clamp], np.int64)
