"""Portable kernel of QResizeLinear."""

from __future__ import annotations

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.portable import dtype_of, output_params
from edgewright.ops.core import ParamValue
from edgewright.ops.q_core import C_QTYPES
from edgewright.ops.resize import resize_sizes


class ResizeLinear(Kernel):
    """One or two axes, by tables of positions and parts."""

    op = "QResizeLinear"
    name = "resize_linear"

    def cost(self, node: Node, graph: Graph) -> int:
        """Four loads, six multiplications and the requantization of an output."""
        return graph.tensors[node.output].elements * 40

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, positions = graph.tensors[node.inputs[0]], node.attrs["positions"]
        sizes, axes = resize_sizes(x.shape, positions)
        tables: list[Array | None] = [None] * 4
        for i, axis in enumerate(axes):
            parts = np.array(node.attrs["parts"][axis], np.uint16)
            tables[2 * i : 2 * i + 2] = [np.array(positions[axis], np.uint16), parts]
        params: dict[str, ParamValue] = {
            "sizes": tuple(sizes.values()), "x_type": C_QTYPES[dtype_of(node, graph)], "x_zero": node.attrs["x_zero"],
            **output_params(node, graph), "scale": float(node.attrs["scale"]),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_resize_linear_q", "resize/ew_resize_linear_q.h", "ew_resize_linear_q_params", params,
                (x.name, *tables, node.output),
            ),
        )  # fmt: skip
