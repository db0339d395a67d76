"""3x3 convolutions by Winograd's algorithm on Arm DSP cores: ew_winograd_q8__dsp.h."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.dsp_gained_line import find_gained_lines
from edgewright.kernels.dsp_gemm import Layer, flip
from edgewright.kernels.portable import given_constant
from edgewright.ops.core import describe
from edgewright.ops.q_core import C_QTYPES

_BLOCK = 4  # output channels made at once
_DEPTH = 16  # EW_WG_DEPTH
_FOURS = (0, 2, 1, 3)  # how the kernel takes four channels: even ones, odd ones


@dataclass(frozen=True, eq=False)
class Transform:
    """One size of tiles: m by m outputs.

    `rows` is G, shape [m + 2, 3]; `positions` (row, column) in the order in which the kernel takes them; of the last
    ones, `shared`, two output channels have their weights in a halfword, a quarter as large. A kernel's sums are `gain`
    times those of the convolution; for results by float it makes them `float_gain` times.
    """

    m: int
    rows: Array
    positions: tuple[tuple[int, int], ...]
    shared: tuple[tuple[int, int], ...]
    gain: int
    float_gain: int
    shift: int  # of the line

    @property
    def side(self) -> int:
        """Inputs that a tile sees, along an axis."""
        return self.m + 2


_INNER = (1, 2, 0, 3)
TILES_2 = Transform(
    2, np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
    (*((row, column) for column in (1, 2) for row in _INNER), (1, 0), (2, 0), (1, 3), (2, 3)),
    ((0, 0), (3, 0), (0, 3), (3, 3)), 4, 4, 8,
)  # fmt: skip
_OUTWARD = (1, 2, 3, 4, 0, 5)
TILES_4 = Transform(
    4, np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 3]]),
    tuple((row, column) for column in _OUTWARD for row in _OUTWARD), (), 576, 64, 16,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Winograd:
    """A layer that the kernel takes.

    Shapes: weights [out, 3, 3, in], transformed [out, side, side, in], bias [out] with the zero point of a uint8 x
    folded in.
    """

    layer: Layer
    transform: Transform
    weights: Array
    bias: Array
    in_shape: tuple[int, int, int, int]
    out_shape: tuple[int, int, int, int]
    pads: tuple[int, int]

    @staticmethod
    def of(node: Node, graph: Graph, transform: Transform) -> _Winograd | None:
        a, layer = node.attrs, Layer.of(node, graph)
        if layer is None or a["layout"] != "NHWC" or not layer.plain or not layer.fits:
            return None
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        (batch, in_h, in_w, in_c), (_, out_h, out_w, out_c) = x.shape, y.shape
        if (
            tuple(a["kernel"]) != (3, 3) or tuple(a["dilations"]) != (1, 1) or tuple(a["strides"]) != (1, 1)
            or a["group"] != 1 or in_c % 4 or out_c % _BLOCK
        ):  # fmt: skip
            return None
        weights, bias = layer.weights.reshape(out_c, 3, 3, in_c), given_constant(node, graph, 2).astype(np.int64)
        found = _Winograd(
            layer, transform, weights, bias - (a["x_zero"] + flip(x.dtype)) * layer.weights.sum(axis=1),
            (batch, in_h, in_w, in_c), (batch, out_h, out_w, out_c), tuple(a["pads"][:2]),
        )  # fmt: skip
        return found if found.in_range else None

    @property
    def in_range(self) -> bool:
        """Whether weights are halfwords and what results are made from is in 32 bits.

        All on the way is right modulo 2^32. Inputs are halfwords: at most 4 * 255 with tiles of 2, 68 * 255 with 4.
        """
        reach = np.maximum(-self.layer.low, self.layer.high)
        sums = self.transform.float_gain * (reach + np.abs(self.bias))
        if np.abs(self.transformed).max() >= 2**15 or (sums >= 2**31).any():
            return False
        for row, column in self.transform.shared:  # 256 * A + B, where inputs are at most 2 * 255
            w = self.transformed[:, row, column] // 4
            if (np.abs(w).sum(axis=1) * 510 >= 2**22).any() or np.abs(w).max() > 127:
                return False
        return True

    @cached_property
    def transformed(self) -> Array:
        """G w G^T."""
        rows = self.transform.rows
        return np.asarray(np.einsum("bj,oajc->oabc", rows, np.einsum("ai,oijc->oajc", rows, self.weights)))

    @property
    def depth(self) -> int:
        """Input channels, filled up."""
        return -(-self.in_shape[3] // _DEPTH) * _DEPTH

    @property
    def scratch_bytes(self) -> int:
        """Transformed inputs of two tiles, a window, and a place for outputs that do not exist."""
        in_c, out_c = self.in_shape[3], self.out_shape[3]
        return self.transform.side**2 * (4 * self.depth + 4 + in_c) + out_c

    def cycles(self) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        (batch, out_h, out_w, out_c), in_c = self.out_shape, self.in_shape[3]
        side, m = self.transform.side, self.transform.m
        tiles = batch * -(-out_h // m) * -(-out_w // m)
        inside = max((out_h - 2) // m, 0) * max((out_w - 2) // m, 0) * batch
        turns, apart, shared = self.depth // _DEPTH, len(self.transform.positions), len(self.transform.shared)
        products = apart * (8.5 * self.depth + 6 * turns + 14) + shared * (8 * self.depth + 6 * turns + 34)
        back = 638 if m == 2 else 2264
        window = in_c * (72 if m == 2 else 229) + 380
        patches = (tiles - inside) * side * (60 + 1.6 * side * in_c)
        blocks = -(-tiles // 2) * (out_c // _BLOCK)
        return int(blocks * (products + back) + tiles * window + patches)

    def packed(self) -> Array:
        """The words of the kernel, uint32."""
        in_c, out_c = self.in_shape[3], self.out_shape[3]
        weights = np.zeros((out_c, self.transform.side, self.transform.side, self.depth), np.int64)
        weights[..., :in_c] = self.transformed
        fours = weights.reshape(*weights.shape[:3], -1, 4)[..., _FOURS].reshape(weights.shape)
        apart = np.stack([fours[:, row, column] for row, column in self.transform.positions], axis=1)
        addends, tails = self._results()
        parts: list[Array] = []
        for first in range(0, out_c, _BLOCK):
            block = slice(first, first + _BLOCK)
            parts += [addends[block], _words(apart[block])]
            if self.transform.shared:
                quarter = np.stack([fours[block, row, column] // 4 for row, column in self.transform.shared], axis=1)
                parts.append(_words(256 * quarter[0::2] + quarter[1::2]))
            parts.append(tails[block].reshape(-1))
        return (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)

    def _results(self) -> tuple[Array, Array]:
        """What sums begin with, and the three words that make results. Shapes: [out], [out, 3]."""
        layer, transform = self.layer, self.transform
        flat, gain = self.weights.reshape(len(self.weights), -1), np.full(len(self.bias), transform.gain)
        low, high = 255 * np.minimum(flat, 0).sum(axis=1), 255 * np.maximum(flat, 0).sum(axis=1)
        lines = find_gained_lines(
            layer.scale, low, high, self.bias, layer.zero, gain, transform.shift, with_addend=True
        )
        bits = (layer.scale / np.float32(transform.float_gain)).view(np.uint32).astype(np.int64)
        second = np.where(lines.found, lines.multiplier, bits)
        third = np.where(lines.found, lines.offset, layer.zero)
        tails = np.stack([~lines.found, second, third], axis=1)
        return np.where(lines.found, lines.addend, transform.gain * self.bias), tails


def _words(rows: Array) -> Array:
    """Two halfwords of each row in turn, position by position. Shapes: [rows, positions, halfwords] -> [words]."""
    pairs = rows.reshape(*rows.shape[:2], -1, 2) & 0xFFFF
    words: Array = (pairs[..., 0] | pairs[..., 1] << 16).transpose(1, 2, 0).reshape(-1)
    return words


class Winograd2Dsp(Kernel):
    """F(2x2, 3x3): 4 multiplications an output and channel instead of 9, weights of 32 bytes instead of 9."""

    op = "QConv"
    name = "winograd_2__dsp"
    isa = frozenset({"dsp", "fpu"})
    transform: ClassVar[Transform] = TILES_2

    def fits(self, node: Node, graph: Graph) -> bool:
        """Shape, types and sums."""
        return _Winograd.of(node, graph, self.transform) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """See `_Winograd.cycles`."""
        return self._layer(node, graph).cycles()

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = self._layer(node, graph)
        (batch, in_h, in_w, in_c), (_, out_h, out_w, out_c) = layer.in_shape, layer.out_shape
        params = {
            "batch": batch, "in_h": in_h, "in_w": in_w, "in_c": in_c, "out_h": out_h, "out_w": out_w, "out_c": out_c,
            "pad_top": layer.pads[0], "pad_left": layer.pads[1],
            "x_type": C_QTYPES[graph.tensors[node.inputs[0]].dtype], "x_zero": node.attrs["x_zero"],
        }  # fmt: skip
        return (
            KernelCall(
                f"ew_winograd_{self.transform.m}_q8__dsp", "conv2d/ew_winograd_q8__dsp.h", "ew_winograd_q8__dsp_params",
                params, (node.inputs[0], layer.packed(), SCRATCH, node.output), layer.scratch_bytes,
            ),
        )  # fmt: skip

    def _layer(self, node: Node, graph: Graph) -> _Winograd:
        layer = _Winograd.of(node, graph, self.transform)
        if layer is None:
            raise InternalError(f"{describe(node)}: a kernel was chosen that does not fit")
        return layer


class Winograd4Dsp(Winograd2Dsp):
    """F(4x4, 3x3): 2.25 multiplications an output and channel, weights of 72 bytes."""

    op = "QConv"
    name = "winograd_4__dsp"
    transform = TILES_4
