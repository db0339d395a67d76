"""What the descriptions of the portable integer kernels share: types as literals, weight streams, folded bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops.core import ParamValue, describe
from edgewright.ops.q_core import C_QTYPES, INT32_MAX, limits

USUAL_SCALES = (2.0**-24, 32.0)  # ew_usual_scale_of in ew_requantize.h
ROWS_BLOCK, ROW_BLOCK = 4, 8  # EW_ROWS_Q_BLOCK, EW_ROW_Q_BLOCK in ew_rows_q.h


def given_constant(node: Node, graph: Graph, index: int) -> Array:
    """Return a constant input; the passes make these operators with constants only."""
    data = graph.constant(node.inputs[index])
    if data is None:
        raise InternalError(f"{describe(node)}: its input {index} is not a constant")
    return data


def dtype_of(node: Node, graph: Graph, index: int = 0) -> DType:
    """Return the type of an input."""
    return graph.tensors[node.inputs[index]].dtype


def output_params(node: Node, graph: Graph) -> dict[str, ParamValue]:
    """Type, zero point and clamp of the output, as every kernel has them."""
    a = node.attrs
    y_type = C_QTYPES[graph.tensors[node.output].dtype]
    return {"y_type": y_type, "y_zero": a["y_zero"], "act_min": a["act_min"], "act_max": a["act_max"]}


def weight_type(weights: Array, bits: int) -> str:
    """The element type of a weight stream."""
    return "EW_QS4" if bits == 4 else C_QTYPES[DType.of(weights)]


def folded_bias(weights: Array, bias: Array, x_zero: int) -> Array:
    """Return bias[o] - x_zero * sum of w[o], in int64. Shapes: weights [out, ...], bias [out]."""
    sums = weights.astype(np.int64).reshape(len(weights), -1).sum(axis=1)
    return np.asarray(bias.astype(np.int64) - x_zero * sums)


def needs_wide(weights: Array, bias: Array, scale: Array, x_zero: int, x_dtype: DType) -> bool:
    """Whether a partial sum of raw elements and the folded bias could leave int32, or a scale is not a usual one."""
    reach = max(abs(edge) for edge in limits(x_dtype))
    sums = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(axis=1) * reach
    usual = bool((scale >= USUAL_SCALES[0]).all() and (scale < USUAL_SCALES[1]).all())
    return not usual or bool((sums + np.abs(folded_bias(weights, bias, x_zero))).max() > INT32_MAX)


def pack_rows(weights: Array, block: int, bits: int) -> Array:
    """Return the stream of ew_rows_q.h for one group. Shapes: weights [out, count] -> [bytes or elements]."""
    out, count = weights.shape
    tiled = out - out % block
    blocks = weights[:tiled].reshape(-1, block, count).transpose(0, 2, 1).reshape(-1)
    rest = weights[tiled:]
    if bits != 4:
        return np.concatenate([blocks, rest.reshape(-1)])
    if count % 2:
        rest = np.pad(rest, ((0, 0), (0, 1)))
    return _pack_nibbles(np.concatenate([blocks, rest.reshape(-1)]))


def _pack_nibbles(values: Array) -> Array:
    """Two in a byte, the first in the low half. Shapes: [2 n] -> [n]."""
    nibbles = (values.astype(np.int64) & 0xF).astype(np.uint8)
    return np.asarray(nibbles[0::2] | (nibbles[1::2] << 4), np.uint8)


def sums_params(node: Node, graph: Graph, weights: Array) -> dict[str, Any]:
    """The parameters that convolutions and fully connected layers share."""
    x = dtype_of(node, graph)
    bias, scale = (given_constant(node, graph, index) for index in (2, 3))
    wide = needs_wide(weights, bias, scale, node.attrs["x_zero"], x)
    return {
        "x_type": C_QTYPES[x], "w_type": weight_type(weights, node.attrs.get("w_bits", 8)), "wide": int(wide),
        "x_zero": node.attrs["x_zero"], **output_params(node, graph),
    }  # fmt: skip


def bias_for(node: Node, graph: Graph, weights: Array, wide: bool) -> Array:
    """The bias as the kernels take it: as it is with 64-bit sums, else with the zero point folded in."""
    bias = given_constant(node, graph, 2)
    return bias if wide else folded_bias(weights, bias, node.attrs["x_zero"]).astype(np.int32)
