"""Pools on Arm DSP cores: ew_max_pool2d_q8__dsp.h and ew_average_pool2d_q8__dsp.h."""

from __future__ import annotations

import math
from dataclasses import replace

from edgewright.ir import Graph, Node
from edgewright.kernels.core import KernelCall
from edgewright.kernels.portable_pool import AveragePool2d, MaxPool2d
from edgewright.ops.q_core import Q8

_DSP = frozenset({"dsp", "fpu"})
_FOUR = 4  # channels at once
_MOST_TAPS = 257  # 257 * 255 < 2^16


def _is_small(node: Node, graph: Graph) -> bool:
    """Whether there are four channels of 8 bits, to 8 bits."""
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    return node.attrs["layout"] == "NHWC" and {x.dtype, y.dtype} <= Q8 and x.shape[3] >= _FOUR


def _as_dsp(calls: tuple[KernelCall, ...]) -> tuple[KernelCall, ...]:
    """The same calls of the kernel's twin."""
    return tuple(
        replace(call, function=f"{call.function}8__dsp", header=call.header.replace("_q.h", "_q8__dsp.h"))
        for call in calls
    )


class MaxPool2dDsp(MaxPool2d):
    """Four channels at once."""

    op = "QMaxPool"
    name = "max_pool2d__dsp"
    isa = _DSP

    def fits(self, node: Node, graph: Graph) -> bool:
        """8 bits, four channels."""
        return _is_small(node, graph)

    def cost(self, node: Node, graph: Graph) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        fours = graph.tensors[node.output].elements / _FOUR
        return int(fours * (math.prod(node.attrs["kernel"]) * 5.0 + 16))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return _as_dsp(super().lower(node, graph))


class AveragePool2dDsp(AveragePool2d):
    """Four channels at once, in halfwords."""

    op = "QAveragePool"
    name = "average_pool2d__dsp"
    isa = _DSP

    def fits(self, node: Node, graph: Graph) -> bool:
        """8 bits, four channels, and sums of uint8 in 16 bits."""
        return _is_small(node, graph) and math.prod(node.attrs["kernel"]) <= _MOST_TAPS

    def cost(self, node: Node, graph: Graph) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        fours = graph.tensors[node.output].elements / _FOUR
        return int(fours * (math.prod(node.attrs["kernel"]) * 4.6 + 90))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call, with the portable kernel's scales."""
        return _as_dsp(super().lower(node, graph))
