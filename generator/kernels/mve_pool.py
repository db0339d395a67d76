"""Pooling on Arm MVE."""

from __future__ import annotations

import math
from typing import Any

from edgewright.ir import Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.mve_common import MVE, is_int8, output
from edgewright.kernels.portable_pool import average_scales, pool_params, window_counts

_TAPS = 255  # sums of so many int8 values fit int16


def _params(node: Node, graph: Graph, out: str) -> dict[str, Any]:
    params = pool_params(node, graph)
    del params["x_type"]
    return {**params, "out": out}


class MaxPool2dMve(Kernel):
    """Sixteen channels at a time."""

    op = "QMaxPool"
    name = "max_pool2d__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Int8."""
        return node.attrs["layout"] == "NHWC" and is_int8(node, graph)

    def cost(self, node: Node, graph: Graph) -> int:
        """A load and a comparison a tap of sixteen channels."""
        *pixels, channels = graph.tensors[node.output].shape
        return int(math.prod(pixels) * (25 + -(-channels // 16) * (12 + 6 * math.prod(node.attrs["kernel"]))))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        out = f"{{EW_MVE_ANY, 0, {node.attrs['act_min']}, {node.attrs['act_max']}, 0}}"
        return (
            KernelCall(
                "ew_max_pool2d_q8__mve", "pool/ew_max_pool2d_q8__mve.h", "ew_pool2d_q8__mve_params",
                _params(node, graph, out), (node.inputs[0], node.output),
            ),
        )  # fmt: skip


class AveragePool2dMve(Kernel):
    """Eight channels at a time, sums of 16 bits."""

    op = "QAveragePool"
    name = "average_pool2d__mve"
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """Int8, and windows whose sums fit."""
        small = math.prod(node.attrs["kernel"]) <= _TAPS
        return small and node.attrs["layout"] == "NHWC" and is_int8(node, graph) and node.attrs["x_scale"] > 0

    def cost(self, node: Node, graph: Graph) -> int:
        """A load and an addition a tap of eight channels, and the requantization."""
        *pixels, channels = graph.tensors[node.output].shape
        return int(math.prod(pixels) * (40 + -(-channels // 8) * (45 + 4 * math.prod(node.attrs["kernel"]))))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call, with a scale for each number of elements that a window may count."""
        counts = window_counts(node, graph)
        a, scales = node.attrs, average_scales(node, window_counts(node, graph))
        reach = float(scales.max()) * math.prod(a["kernel"]) * 255
        params = {
            **_params(node, graph, output(node, reach)), "count_min": counts[0], "x_zero": a["x_zero"],
            "count_include_pad": int(a.get("count_include_pad", False)),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_average_pool2d_q8__mve", "pool/ew_average_pool2d_q8__mve.h", "ew_pool2d_q8__mve_params", params,
                (node.inputs[0], scales, node.output),
            ),
        )  # fmt: skip
