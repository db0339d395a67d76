"""Fully connected layers on Arm MVE."""

from __future__ import annotations

from edgewright.ir import Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.mve_common import MVE, ROW_OUTS, ROWS_OUTS, Layer, row_cycles, rows_cycles


class FullyConnectedMve(Kernel):
    """Eight outputs of one row, or four of two."""

    op = "QFullyConnected"
    name = "fully_connected__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """8 bits throughout."""
        return Layer.of(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """See mve_common."""
        rows, count, outs = _sizes(node, graph)
        return row_cycles(count, outs) if rows == 1 else rows_cycles(rows, count, outs)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, (rows, count, outs) = Layer.taken(node, graph), _sizes(node, graph)
        return (
            KernelCall(
                "ew_fully_connected_q8__mve", "fully_connected/ew_fully_connected_q8__mve.h",
                "ew_fully_connected_q8__mve_params",
                {"rows": rows, "count": count, "outs": outs, "x_flip": layer.x_flip, "out": layer.output},
                (node.inputs[0], layer.stream(ROW_OUTS if rows == 1 else ROWS_OUTS), SCRATCH if layer.x_flip else None,
                 node.output),
                rows * count if layer.x_flip else 0,
            ),
        )  # fmt: skip


def _sizes(node: Node, graph: Graph) -> tuple[int, int, int]:
    """Rows, elements of one, outputs of one."""
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    return x.elements // x.shape[-1], x.shape[-1], y.shape[-1]
