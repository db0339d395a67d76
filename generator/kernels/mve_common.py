"""What the descriptions of the kernels for Arm MVE share: layers as they see them, outputs, weight streams.

The streams are defined in runtime_c/kernels/common/ew_rows_q8__mve.h and ew_row_q8__mve.h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops.core import describe
from edgewright.ops.q_core import Q8

MVE = frozenset({"mve", "fpu"})
CHUNK = 16  # EW_MVE_CHUNK
ROWS_OUTS, ROW_OUTS = 4, 8  # EW_MVE_ROWS_OUTS, EW_MVE_ROW_OUTS
ROWS_HELD = 4  # EW_MVE_ROWS_HELD
_FAST_LIMIT = 32767 - 1  # what rounding by addition leaves in 16 bits, a step of margin
_SCALES = (2.0**-100, 2.0**100)  # MVE flushes subnormals


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or fully connected layer of 8-bit tensors, as int8. Shapes: weights as the node's, others [out].

    A uint8 tensor is the same as int8 with its values and zero point 128 less.
    """

    weights: Array
    bias: Array
    scale: Array
    x_zero: int
    x_flip: int  # 1: x is uint8
    output: str  # an ew_mve_output

    @staticmethod
    def of(node: Node, graph: Graph) -> Layer | None:
        """The layer of a QConv or QFullyConnected; None where it has other types, or scales beyond all reason."""
        weights, bias, scale = (graph.constant(name) for name in node.inputs[1:4])
        if weights is None or bias is None or scale is None or weights.dtype != np.int8:
            return None
        x, y = (graph.tensors[name].dtype for name in (node.inputs[0], node.output))
        if not Q8.issuperset((x, y)):
            return None
        if not ((scale > _SCALES[0]) & (scale < _SCALES[1])).all():
            return None
        x_flip = int(x is DType.U8)
        x_zero = int(node.attrs["x_zero"]) - 128 * x_flip
        flat = weights.reshape(len(weights), -1).astype(np.int64)
        ends = np.stack([flat * (edge - x_zero) for edge in (-128, 127)])
        low, high = ends.min(axis=0).sum(axis=1) + bias, ends.max(axis=0).sum(axis=1) + bias
        reach = np.maximum(np.abs(low), np.abs(high)).astype(np.float64) * scale.astype(np.float64)
        return Layer(weights, bias.astype(np.int64), scale, x_zero, x_flip, output(node, float(reach.max())))

    @staticmethod
    def taken(node: Node, graph: Graph) -> Layer:
        """The layer of a node that `fits` accepted."""
        layer = Layer.of(node, graph)
        if layer is None:
            raise InternalError(f"{describe(node)} is not for kernels of MVE")
        return layer

    @property
    def folded_bias(self) -> Array:
        """bias[o] - x_zero * sum of w[o], modulo 2^32. Shapes: int32 [out]."""
        sums = self.weights.reshape(len(self.weights), -1).astype(np.int64).sum(axis=1)
        return np.asarray((self.bias - self.x_zero * sums).astype(np.int32))

    def stream(self, block: int) -> Array:
        """Blocks of outputs: biases, weights vector by vector, scales. Shapes: uint8 [bytes]."""
        flat = self.weights.reshape(len(self.weights), -1)
        outs, count = flat.shape
        blocks, chunks = -(-outs // block), -(-count // CHUNK)
        padded = np.zeros((blocks * block, chunks * CHUNK), np.int8)
        padded[:outs, :count] = flat
        vectors = padded.reshape(blocks, block, chunks, CHUNK).transpose(0, 2, 1, 3).reshape(blocks, -1)
        ends = []
        for values, dtype in ((self.folded_bias, np.int32), (self.scale, np.float32)):
            filled = np.zeros(blocks * block, dtype)
            filled[:outs] = values
            ends.append(filled.reshape(blocks, block).view(np.uint8))
        return np.concatenate([ends[0], vectors.view(np.uint8), ends[1]], axis=1).reshape(-1)


def is_int8(node: Node, graph: Graph, inputs: int = 1) -> bool:
    """Whether the first inputs and the output are int8."""
    names = (*node.inputs[:inputs], node.output)
    return all(graph.tensors[name].dtype is DType.S8 for name in names)


def output(node: Node, reach: float) -> str:
    """The initializer of an ew_mve_output, where results reach `reach` steps from the zero point."""
    flip = int(node.attrs["dtype"] is DType.U8)
    zero, low, high = (node.attrs[key] - 128 * flip for key in ("y_zero", "act_min", "act_max"))
    if (low, high) != (-128, 127) or not reach + abs(zero) <= _FAST_LIMIT:
        way = "EW_MVE_ANY"
    else:
        way = "EW_MVE_FAST_ODD" if zero % 2 else "EW_MVE_FAST"
    return f"{{{way}, {zero}, {low}, {high}, {flip}}}"


def rows_cycles(rows: int, count: int, outs: int) -> int:
    """Modelled cycles of ew_rows_q8__mve, fitted to measurements."""
    chunks = -(-count // CHUNK)
    block = 34 + 16.5 * chunks if chunks <= ROWS_HELD else 28 + 21.5 * chunks
    return int(-(-rows // 2) * (-(-outs // ROWS_OUTS) * block + 45)) + 150


def row_cycles(count: int, outs: int) -> int:
    """Modelled cycles of ew_row_q8__mve, fitted to measurements."""
    return int(-(-outs // ROW_OUTS) * (38 + 18.5 * -(-count // CHUNK))) + 100


def pixels_of(graph: Graph, name: str) -> int:
    """Pixels of a channels-last image."""
    return math.prod(graph.tensors[name].shape[:3])
