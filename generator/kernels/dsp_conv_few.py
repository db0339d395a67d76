"""Convolutions of few channels, first layers mostly, on Arm DSP cores: ew_conv2d_few_q8__dsp.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.dsp_conv import DSP, Plan, call_of, pair_cycles, plan_of
from edgewright.kernels.dsp_gemm import BLOCK, Layer

_CHANNELS = 8  # at most: a window is gathered without loops
_RUN_BYTES = 2048  # of windows that are gathered together


@dataclass(frozen=True)
class _FewPlan(Plan):
    """Windows by themselves, from padded rows."""

    @property
    def row(self) -> int:
        """Bytes of a window's row."""
        return self.kernel[1] * self.in_c

    @property
    def window(self) -> int:
        """Halfwords of a window: words of its rows, then what is left of them."""
        return self.kernel[0] * (self.row // 4 * 4) + -(-self.kernel[0] * (self.row % 4) // 4) * 4

    @property
    def padded_bytes(self) -> tuple[int, int]:
        """How many padded rows are there at a time, and bytes of each."""
        rows = self.kernel[0] + (self.strides[0] if self.pair_h else 0)
        return rows, ((self.out_w - 1) * self.strides[1] + self.kernel[1]) * self.in_c

    @property
    def scratch_bytes(self) -> int:
        """Windows of a run, padded rows, and results of a run where they need a place of their own."""
        rows, pitch = self.padded_bytes
        return self.run * self.window * 4 + -(-rows * pitch // 4) * 4 + self.spare_bytes

    def cycles(self, wide: bool) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        rows, pitch = self.padded_bytes
        words, rest = self.row // 4, self.row % 4
        gather = 18 + self.kernel[0] * (words * 6.3 + rest * 3) + -(-self.kernel[0] * rest // 4) * 4
        pairs = self.pixels * (pair_cycles(self.out_c, self.window // 2, wide) + 2 * gather)
        runs = -(-self.pixels // self.run)
        return int(self.pair_rows * (pairs + rows * (60 + pitch * 0.7) + 150 * runs + self.copy_cycles))


class Conv2dFewDsp(Kernel):
    """Two output channels' weights in a halfword."""

    op = "QConv"
    name = "conv2d_few__dsp"
    isa = DSP

    def fits(self, node: Node, graph: Graph) -> bool:
        """One group, few channels, no dilation or negative pads, and sums within what the trick can hold."""
        a = node.attrs
        plain = a["group"] == 1 and a["layout"] == "NHWC" and tuple(a["dilations"]) == (1, 1) and min(a["pads"]) >= 0
        if not plain or graph.tensors[node.inputs[0]].shape[3] > _CHANNELS:
            return False
        layer = Layer.of(node, graph)
        return layer is not None and layer.fits_shared

    def cost(self, node: Node, graph: Graph) -> int:
        """See `_FewPlan.cycles`."""
        return _plan(node, graph).cycles(wide=False)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, weights = Layer.required(node, graph), np.asarray(graph.constant(node.inputs[1]))
        plan = _plan(node, graph)
        windows = _windows(weights, plan)
        return call_of(node, graph, layer, windows, plan, "ew_conv2d_few_q8__dsp", "conv2d/ew_conv2d_few_q8__dsp.h")


def _plan(node: Node, graph: Graph) -> _FewPlan:
    plans = []
    for pair_h in (0, 1):
        one = _FewPlan(**plan_of(node, graph, pair_h).__dict__)
        run = max(1, min(one.pixels, _RUN_BYTES // (one.window * 4)))
        run = -(-one.pixels // -(-one.pixels // run))
        plans.append(_FewPlan(**{**one.__dict__, "run": run}))
    return min(plans, key=lambda plan: plan.cycles(wide=False))


def _windows(weights: Array, plan: _FewPlan) -> Array:
    """OHWI weights in the kernel's order."""
    out, kernel_h = weights.shape[:2]
    rows = weights.reshape(out, kernel_h, plan.row).astype(np.int64)
    whole = plan.row // 4 * 4
    rest = rows[..., whole:].reshape(out, -1)
    rest = np.pad(rest, ((0, 0), (0, -rest.shape[1] % BLOCK)))
    flat = np.concatenate([rows[..., :whole].reshape(out, -1), rest], axis=1)
    return flat.reshape(out, -1, 4)[..., [0, 2, 1, 3]].reshape(out, -1)
