"""Kernels of integer recurrent layers: QLSTM and QGRU, portable, for Arm DSP, and for MVE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.portable import dtype_of, given_constant, output_params
from edgewright.ops.core import ParamValue, operator
from edgewright.ops.q_core import C_QTYPES
from edgewright.ops.q_recurrent import y_factor
from edgewright.ops.recurrent import Sizes, sizes_of
from edgewright.ops.recurrent_numbers import reset_bits, tanh_table


@dataclass(frozen=True)
class _Packing:
    """How a kernel takes weights: rows of a block, and elements of a row that stand together, in what order."""

    block: int
    order: tuple[int, ...] = (0,)


_PLAIN = _Packing(8)  # EW_RECURRENT_Q_BLOCK
_DSP = _Packing(4, (0, 2, 1, 3))  # EW_RECURRENT_Q__DSP_BLOCK
_MVE = _Packing(4, tuple(range(8)))  # EW_RECURRENT_Q__MVE_BLOCK, EW_RECURRENT_Q__MVE_LANES


class _Stream:
    """The weights of a layer's rows in the order that its kernel takes them, of one direction."""

    def __init__(self, packing: _Packing) -> None:
        self.packing = packing
        self.parts: list[Array] = []

    def add(self, *columns: Array) -> None:
        """Append rows, block by block; `columns` are what x and h are multiplied by. Shapes: [rows, count] each."""
        rows, block = len(columns[0]), self.packing.block
        tiled = rows - rows % block
        for start in (*range(0, tiled, block), *range(tiled, rows)):
            stop = start + (block if start < tiled else 1)
            self.parts += [self._interleaved(part[start:stop]) for part in columns]

    def _interleaved(self, rows: Array) -> Array:
        order = self.packing.order
        padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % len(order))))
        groups = padded.reshape(len(rows), -1, len(order)).transpose(1, 0, 2)
        return np.asarray(groups[:, :, list(order)].reshape(-1))

    def bytes(self) -> Array:
        """Everything, in order."""
        return np.concatenate(self.parts).astype(np.int8)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A node's constants in int64, with zero points as terms of the sums.

    Shapes: w, r [directions, rows, ...], all others [directions, rows].
    """

    w: Array
    r: Array
    multipliers: Array  # [directions, rows, 2]
    bias: Array  # and the half that rounds
    of_x: Array  # what x's zero point adds to a sum
    of_h: Array

    @staticmethod
    def of(node: Node, graph: Graph) -> _Layer:
        """Read them."""
        w, r, w_by, r_by, bias = (given_constant(node, graph, i).astype(np.int64) for i in range(1, 6))
        half = np.int64(1) << (node.attrs["shift"] - 1)
        of_x = node.attrs["x_zero"] * w.sum(axis=2) * w_by
        of_h = node.attrs["y_zero"] * r.sum(axis=2) * r_by
        return _Layer(w, r, np.stack([w_by, r_by], axis=2), bias + half, of_x, of_h)


class _Recurrent(Kernel):
    """What both layers share."""

    function: ClassVar[str]
    gates: ClassVar[int]
    packing: ClassVar[_Packing] = _PLAIN
    mac_cycles: ClassVar[float] = 3.2

    def _sizes(self, node: Node, graph: Graph) -> Sizes:
        x, w, r = (graph.tensors[name] for name in node.inputs[:3])
        return sizes_of(node, x, w, r, self.gates)

    def cost(self, node: Node, graph: Graph) -> int:
        """Loads and multiplications, the scaling of each sum, and activations."""
        s = self._sizes(node, graph)
        units = s.directions * s.batch * s.steps * s.hidden
        return int(operator(node.op).macs(node, graph) * self.mac_cycles + units * (45 * self.gates + 150))

    def _call(
        self, node: Node, graph: Graph, layer: _Layer, streams: Sequence[_Stream], bias: Array, states: Sequence[int],
        **extra: ParamValue,
    ) -> KernelCall:  # fmt: skip
        s = self._sizes(node, graph)
        weights = [stream.bytes() for stream in streams]
        params = {
            **s.params(node), "weights_direction": weights[0].nbytes, "x_type": C_QTYPES[dtype_of(node, graph)],
            **output_params(node, graph), "y_scale": y_factor(node), "shift": node.attrs["shift"], **extra,
        }  # fmt: skip
        buffers = (s.input, s.hidden, *([s.hidden] if self.gates == 3 else []))
        scratch = 20 * s.hidden + sum(-(-size // 8) * 16 for size in buffers)
        given = (node.inputs[i] if len(node.inputs) > i else "" for i in states)
        multipliers = layer.multipliers.astype(np.int32)
        constants = (np.concatenate(weights), multipliers.reshape(-1, 2), bias.reshape(-1), tanh_table())
        return KernelCall(
            self.function, f"recurrent/{self.function}.h", "ew_recurrent_q_params", params,
            (node.inputs[0], *constants, *(name or None for name in given), SCRATCH,
             *(name or None for name in node.outputs)), scratch,
        )  # fmt: skip


class LSTM(_Recurrent):
    """All sums of a step, then all cells."""

    op = "QLSTM"
    name = "lstm"
    function = "ew_lstm_q"
    gates = 4

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = _Layer.of(node, graph)
        streams = []
        for w, r in zip(layer.w, layer.r, strict=True):
            streams.append(_Stream(self.packing))
            streams[-1].add(w, r)
        bias = layer.bias - layer.of_x - layer.of_h
        return (self._call(node, graph, layer, streams, bias, (6, 7), linear_before_reset=0, reset_shift=0),)


class GRU(_Recurrent):
    """The sums of update and reset gates, then those of candidates, then all states."""

    op = "QGRU"
    name = "gru"
    function = "ew_gru_q"
    gates = 3

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer = _Layer.of(node, graph)
        linear = bool(node.attrs.get("linear_before_reset", False))
        n = layer.r.shape[2]
        streams = []
        for w, r in zip(layer.w, layer.r, strict=True):
            stream = _Stream(self.packing)
            stream.add(w[: 2 * n], r[: 2 * n])
            if linear:
                stream.add(w[2 * n :])
                stream.add(r[2 * n :])
            else:
                stream.add(w[2 * n :], r[2 * n :])
            streams.append(stream)
        bias = layer.bias - layer.of_x
        bias[:, : 2 * n] -= layer.of_h[:, : 2 * n]
        behind = np.zeros_like(bias[:, :n])
        if linear:
            half = np.int64(1) << (node.attrs["shift"] - 1)
            behind = given_constant(node, graph, 6) + half - layer.of_h[:, 2 * n :]
        reset_shift = 17 - reset_bits(graph.tensors[node.output].dtype)
        return (
            self._call(
                node, graph, layer, streams, np.concatenate([bias, behind], axis=1), (7,),
                linear_before_reset=int(linear), reset_shift=reset_shift,
            ),
        )  # fmt: skip


class LSTMByDsp(LSTM):
    """The same with SMLAD."""

    op = "QLSTM"
    name = "lstm__dsp"
    function = "ew_lstm_q__dsp"
    isa = frozenset({"dsp", "fpu"})
    packing = _DSP
    mac_cycles = 1.7


class GRUByDsp(GRU):
    """The same with SMLAD."""

    op = "QGRU"
    name = "gru__dsp"
    function = "ew_gru_q__dsp"
    isa = frozenset({"dsp", "fpu"})
    packing = _DSP
    mac_cycles = 1.7


class LSTMByMve(LSTM):
    """The same with VMLADAVA."""

    op = "QLSTM"
    name = "lstm__mve"
    function = "ew_lstm_q__mve"
    isa = frozenset({"mve", "fpu"})
    packing = _MVE
    mac_cycles = 0.4


class GRUByMve(GRU):
    """The same with VMLADAVA."""

    op = "QGRU"
    name = "gru__mve"
    function = "ew_gru_q__mve"
    isa = frozenset({"mve", "fpu"})
    packing = _MVE
    mac_cycles = 0.4
