"""Portable kernels of integer matrix products: QFullyConnected and QMatMul."""

from __future__ import annotations

from edgewright.ir import Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.portable import (
    ROW_BLOCK,
    ROWS_BLOCK,
    bias_for,
    dtype_of,
    given_constant,
    output_params,
    pack_rows,
    sums_params,
)
from edgewright.ops import operator
from edgewright.ops.core import ParamValue, broadcast_strides, describe, padded_to_max_rank
from edgewright.ops.q_core import C_QTYPES, INT32_MAX, limits


class FullyConnected(Kernel):
    """Any number of rows."""

    op = "QFullyConnected"
    name = "fully_connected"

    def cost(self, node: Node, graph: Graph) -> int:
        """Loads and multiplications, and the outputs' requantization."""
        return int(operator(node.op).macs(node, graph) * 2.75 + graph.tensors[node.output].elements * 31)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Eight outputs at a time for one row, four for two rows."""
        weights = given_constant(node, graph, 1)
        out_features, in_features = weights.shape
        rows = graph.tensors[node.inputs[0]].elements // in_features
        shared = sums_params(node, graph, weights)
        block = ROW_BLOCK if rows == 1 and not shared["wide"] else ROWS_BLOCK
        params = {"rows": rows, "in_features": in_features, "out_features": out_features, **shared}
        return (
            KernelCall(
                "ew_fully_connected_q", "fully_connected/ew_fully_connected_q.h", "ew_fully_connected_q_params", params,
                (node.inputs[0], pack_rows(weights, block, node.attrs.get("w_bits", 8)),
                 bias_for(node, graph, weights, bool(shared["wide"])), node.inputs[3], node.output),
            ),
        )  # fmt: skip


class MatMul(Kernel):
    """Two activations, batches broadcast."""

    op = "QMatMul"
    name = "matmul"

    def cost(self, node: Node, graph: Graph) -> int:
        """Loads and multiplications, and the outputs' requantization."""
        return int(operator(node.op).macs(node, graph) * 4.5 + graph.tensors[node.output].elements * 25)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with a stride for each batch axis."""
        a, b = (graph.tensors[name] for name in node.inputs)
        batch, where = graph.tensors[node.output].shape[:-2], describe(node)
        (m, k), n = a.shape[-2:], b.shape[-1]
        a_strides = [s * m * k for s in broadcast_strides(a.shape[:-2], batch)]
        b_strides = [s * k * n for s in broadcast_strides(b.shape[:-2], batch)]
        reach = k
        for tensor, zero in ((a, "a_zero"), (b, "b_zero")):
            reach *= max(abs(edge - node.attrs[zero]) for edge in limits(tensor.dtype))
        params: dict[str, ParamValue] = {
            "batch_rank": len(batch), "batch_dims": padded_to_max_rank(batch, where),
            "a_batch_strides": padded_to_max_rank(a_strides, where),
            "b_batch_strides": padded_to_max_rank(b_strides, where), "m": m, "k": k, "n": n,
            "a_type": C_QTYPES[dtype_of(node, graph)], "b_type": C_QTYPES[dtype_of(node, graph, 1)],
            "wide": int(reach > INT32_MAX), "a_zero": node.attrs["a_zero"], "b_zero": node.attrs["b_zero"],
            "scale": float(node.attrs["scale"]), **output_params(node, graph),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_matmul_q", "matmul/ew_matmul_q.h", "ew_matmul_q_params", params, (*node.inputs, node.output)
            ),
        )
