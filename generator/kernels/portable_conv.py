"""Portable kernels of QConv: the general one, and depthwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgewright.ir import DType, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.portable import (
    ROW_BLOCK,
    ROWS_BLOCK,
    bias_for,
    dtype_of,
    given_constant,
    pack_rows,
    sums_params,
)
from edgewright.ops import operator
from edgewright.ops.window import window_params


def _is_depthwise(node: Node, graph: Graph) -> bool:
    w = given_constant(node, graph, 1)
    return bool(node.attrs.get("group", 1) == graph.tensors[node.inputs[0]].shape[3] == len(w) != 1)


def _is_pointwise(p: dict[str, Any]) -> bool:
    """Whether windows are single pixels of x (ew_conv2d_q_is_pointwise)."""
    inside = (p["out_h"] - 1) * p["stride_h"] < p["in_h"] and (p["out_w"] - 1) * p["stride_w"] < p["in_w"]
    return bool(p["kernel_h"] == p["kernel_w"] == 1 and p["pad_top"] == p["pad_left"] == 0 and inside)


class Conv2d(Kernel):
    """All kernels, strides, dilations, pads and groups: windows are gathered, two pixels at a time."""

    op = "QConv"
    name = "conv2d"

    def cost(self, node: Node, graph: Graph) -> int:
        """Products, the gathering of windows, a call for two pixels and a group, and the outputs' requantization."""
        p = window_params(node, graph)
        outputs, groups = graph.tensors[node.output].elements, p["groups"]
        products = operator(node.op).macs(node, graph)
        group_out = p["out_c"] // groups
        left_over = group_out % ROWS_BLOCK / group_out  # outputs that are computed one by one
        calls = p["batch"] * p["out_h"] * p["out_w"] * groups
        gathered = 0.0
        if not _is_pointwise(p):
            runs = p["kernel_h"] if groups == 1 and p["dilation_w"] == 1 else p["kernel_h"] * p["kernel_w"]
            gathered = calls * (runs * 40 + p["kernel_h"] * p["kernel_w"] * p["in_c"] // groups * 0.9)
        return int(products * (2.54 + 1.4 * left_over) + gathered + calls * 30 + outputs * 26)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Pack the weights group by group."""
        window, weights = window_params(node, graph), given_constant(node, graph, 1)
        params = {**window, **sums_params(node, graph, weights)}
        pixels, groups = window["batch"] * window["out_h"] * window["out_w"], window["groups"]
        count = math.prod(weights.shape[1:])
        single = pixels == 1 or params["wide"]
        block = ROW_BLOCK if pixels == 1 and not params["wide"] else ROWS_BLOCK
        bits = node.attrs.get("w_bits", 8)
        by_group = weights.reshape(groups, -1, count)
        stream = np.concatenate([pack_rows(group, block, bits) for group in by_group])
        scratch = 0 if _is_pointwise(window) else count * dtype_of(node, graph).size_bytes * (1 if single else 2)
        return (
            KernelCall(
                "ew_conv2d_q", "conv2d/ew_conv2d_q.h", "ew_conv2d_q_params", params,
                (node.inputs[0], stream, bias_for(node, graph, weights, bool(params["wide"])), node.inputs[3],
                 SCRATCH if scratch else None, node.output),
                scratch,
            ),
        )  # fmt: skip


class DepthwiseConv2d(Kernel):
    """One output a channel."""

    op = "QConv"
    name = "depthwise_conv2d"

    def fits(self, node: Node, graph: Graph) -> bool:
        """As many groups as input and output channels."""
        return _is_depthwise(node, graph)

    def cost(self, node: Node, graph: Graph) -> int:
        """Products and the outputs' requantization; tiles share loads, other kernels go product by product."""
        tiled = node.attrs["dilations"][1] == 1 and node.attrs["kernel"][1] <= 6 and node.attrs["strides"][1] <= 3
        products, outputs = operator(node.op).macs(node, graph), graph.tensors[node.output].elements
        return int(products * (3.2 if tiled else 12) + outputs * 30)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Weights as [channels, kernel_h, kernel_w], at least a byte each."""
        weights = given_constant(node, graph, 1)
        params = {**window_params(node, graph), **sums_params(node, graph, weights)}
        if params["w_type"] == "EW_QS4":
            params["w_type"] = "EW_QS8"
            weights = weights.astype(DType.S8.numpy)
        chw = np.ascontiguousarray(weights[..., 0])
        bias = bias_for(node, graph, weights, bool(params["wide"]))
        return (
            KernelCall(
                "ew_depthwise_conv2d_q", "conv2d/ew_depthwise_conv2d_q.h", "ew_conv2d_q_params", params,
                (node.inputs[0], chw, bias, node.inputs[3], node.output),
            ),
        )  # fmt: skip
