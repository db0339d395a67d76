"""Portable kernels of integer pooling and softmax: QMaxPool, QAveragePool, QSoftmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.portable import dtype_of, output_params
from edgewright.ops.core import ParamValue
from edgewright.ops.q_core import C_QTYPES, INT32_MAX, limits
from edgewright.ops.window import window_params


def pool_params(node: Node, graph: Graph) -> dict[str, Any]:
    """Sizes, strides, pads and types of a pool."""
    params = window_params(node, graph)
    params["channels"] = params.pop("in_c")
    del params["out_c"], params["groups"]
    params["pad_bottom"], params["pad_right"] = node.attrs["pads"][2:]
    params["x_type"] = C_QTYPES[dtype_of(node, graph)]
    return params


def _counted(out: int, kernel: int, stride: int, dilation: int, low: int, high: int, pad: int) -> set[int]:
    """How many taps of a window lie in [low, high), for any of the outputs along one axis."""
    return {sum(low <= o * stride - pad + k * dilation < high for k in range(kernel)) for o in range(out)}


def window_counts(node: Node, graph: Graph) -> range:
    """The numbers of elements that windows of an average pool count, as the range that holds them all."""
    p = pool_params(node, graph)
    extra = 1 if node.attrs.get("count_include_pad", False) else 0
    axes = [
        _counted(p["out_h"], p["kernel_h"], p["stride_h"], p["dilation_h"], -p["pad_top"] * extra,
                 p["in_h"] + p["pad_bottom"] * extra, p["pad_top"]),
        _counted(p["out_w"], p["kernel_w"], p["stride_w"], p["dilation_w"], -p["pad_left"] * extra,
                 p["in_w"] + p["pad_right"] * extra, p["pad_left"]),
    ]  # fmt: skip
    return range(min(axes[0]) * min(axes[1]), max(axes[0]) * max(axes[1]) + 1)


def average_scales(node: Node, counts: range) -> Array:
    """Return x_scale / (y_scale * n) in float32 for each n of `counts`; 0 stands for n = 0, which does not occur."""
    n = np.array(counts, np.float32)
    scaled = np.float32(node.attrs["y_scale"]) * np.maximum(n, np.float32(1))
    return np.asarray(np.float32(node.attrs["x_scale"]) / scaled, np.float32)


class MaxPool2d(Kernel):
    """All windows."""

    op = "QMaxPool"
    name = "max_pool2d"

    def cost(self, node: Node, graph: Graph) -> int:
        """A load and a comparison a tap."""
        outputs = graph.tensors[node.output].elements
        return int(outputs * (math.prod(node.attrs["kernel"]) * 5.0 + 10))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        params: dict[str, ParamValue] = {
            **pool_params(node, graph), "y_type": C_QTYPES[dtype_of(node, graph)],
            "act_min": node.attrs["act_min"], "act_max": node.attrs["act_max"],
        }  # fmt: skip
        return (
            KernelCall(
                "ew_max_pool2d_q", "pool/ew_max_pool2d_q.h", "ew_pool2d_q_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip


class AveragePool2d(Kernel):
    """All windows."""

    op = "QAveragePool"
    name = "average_pool2d"

    def cost(self, node: Node, graph: Graph) -> int:
        """A load and an addition a tap, and the outputs' requantization."""
        outputs = graph.tensors[node.output].elements
        return int(outputs * (math.prod(node.attrs["kernel"]) * 3.6 + 30))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call, with a scale for each number of elements that a window may count."""
        counts = window_counts(node, graph)
        reach = max(abs(edge) for edge in limits(dtype_of(node, graph))) + abs(node.attrs["x_zero"])
        params = {
            **pool_params(node, graph), "count_include_pad": int(node.attrs.get("count_include_pad", False)),
            "count_min": counts[0], "wide": int(reach * math.prod(node.attrs["kernel"]) > INT32_MAX),
            "x_zero": node.attrs["x_zero"], **output_params(node, graph),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_average_pool2d_q", "pool/ew_average_pool2d_q.h", "ew_pool2d_q_params", params,
                (node.inputs[0], average_scales(node, counts), node.output),
            ),
        )  # fmt: skip


class Softmax(Kernel):
    """Along the last axis, 8-bit inputs."""

    op = "QSoftmax"
    name = "softmax"

    def cost(self, node: Node, graph: Graph) -> int:
        """Two divisions an element."""
        return graph.tensors[node.output].elements * 50

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params: dict[str, ParamValue] = {
            "rows": x.elements // x.shape[-1], "axis": x.shape[-1], "x_type": C_QTYPES[x.dtype],
            "y_scale": float(node.attrs["y_scale"]), **output_params(node, graph),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_softmax_q", "softmax/ew_softmax_q.h", "ew_softmax_q_params", params, (*node.inputs, node.output)
            ),
        )
