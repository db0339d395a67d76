"""Convolutions of one group on Arm DSP cores: ew_conv2d_q8__dsp.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.kernels.core import SCRATCH, Kernel, KernelCall
from edgewright.kernels.dsp_gemm import BLOCK, Layer, stream
from edgewright.kernels.dsp_requantize import LINE_SHIFT

DSP = frozenset({"dsp", "fpu"})
_SCRATCH_BYTES = 8192  # wanted at most; a window that is larger takes what it takes
_LITTLE_SCRATCH_BYTES = 1536
_FLAT_RUN = 8  # pairs at once where windows do not overlap


@dataclass(frozen=True)
class Plan:
    """How the kernel goes through a layer; sizes as in ew_conv2d_q8_dsp_params."""

    batch: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    pair_h: int
    run: int = 1

    @property
    def column(self) -> int:
        """Halfwords of a column."""
        return -(-self.kernel[0] * self.in_c // 2) * 2

    @property
    def advance(self) -> int:
        """Columns from a window to the next."""
        return 1 if self.kernel[1] == 1 else self.strides[1]

    @property
    def pixels(self) -> int:
        """Windows of a row, not counting partners to the right."""
        return self.out_w if self.pair_h else -(-self.out_w // 2)

    @property
    def pair_rows(self) -> int:
        """Rows, not counting partners below."""
        return self.batch * (-(-self.out_h // 2) if self.pair_h else self.out_h)

    def columns(self, run: int) -> int:
        """Columns that a run of windows sees."""
        return (run - 1) * self.advance + self.kernel[1]

    @property
    def spare_bytes(self) -> int:
        """Results of a run, where they need a place of their own."""
        return 2 * self.run * (-(-self.out_c // BLOCK) * BLOCK) if self.out_c % BLOCK else 0

    @property
    def scratch_bytes(self) -> int:
        """Columns of both pixels, and `spare_bytes`."""
        return self.columns(self.run) * self.column * 4 + self.spare_bytes

    @property
    def copy_cycles(self) -> int:
        """Modelled cycles of a row whose results are copied."""
        return 2 * self.pixels * (30 + self.out_c) if self.out_c % BLOCK else 0

    def cycles(self, wide: bool) -> int:
        """Modelled cycles of a Cortex-M4, fitted to measurements."""
        pair = pair_cycles(self.out_c, self.kernel[1] * self.column // 2, wide)
        total = self.copy_cycles
        for at in range(0, self.pixels, self.run):
            run = min(self.run, self.pixels - at)
            columns = self.columns(run)
            by_column = self.in_c * 1.56 + 9 if self.in_c % 4 == 0 else self.in_c * 7 + 10
            total += run * pair + int(2 * self.kernel[0] * (90 + columns * by_column)) + 200
        return self.pair_rows * total


def pair_cycles(out_c: int, steps: int, wide: bool) -> int:
    """Modelled cycles of ew_gemm_q8__dsp.h for a pair of pixels, a tenth of the channels requantized by float."""
    return -(-out_c // BLOCK) * (steps * (17 if wide else 16) + 65 + 6 * ((steps - 1) // 32)) + 18


class Conv2dDsp(Kernel):
    """Two output channels' weights in a halfword."""

    op = "QConv"
    name = "conv2d__dsp"
    isa = DSP
    wide = False
    scratch_bytes = _SCRATCH_BYTES

    def fits(self, node: Node, graph: Graph) -> bool:
        """One group, 8 bits, and sums within what the trick can hold."""
        if node.attrs["group"] != 1 or node.attrs["layout"] != "NHWC":
            return False
        layer = Layer.of(node, graph)
        return layer is not None and (layer.fits if self.wide else layer.fits_shared)

    def cost(self, node: Node, graph: Graph) -> int:
        """See `Plan.cycles`."""
        return _plan(node, graph, self.wide, self.scratch_bytes).cycles(self.wide)

    def overwrites(self, node: Node, graph: Graph) -> frozenset[int]:
        """Pixels of a 1x1 window: those of a run are all read before the first is written."""
        return frozenset({0}) if _are_pixels(node) else frozenset()

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        layer, weights = Layer.required(node, graph), np.asarray(graph.constant(node.inputs[1]))
        return conv_call(node, graph, layer, weights, _plan(node, graph, self.wide, self.scratch_bytes), self.wide)


class Conv2dLittleScratchDsp(Conv2dDsp):
    """The same in shorter runs, whose windows share fewer columns."""

    op = "QConv"
    name = "conv2d_short__dsp"
    scratch_bytes = _LITTLE_SCRATCH_BYTES

    def fits(self, node: Node, graph: Graph) -> bool:
        """Where that saves something."""
        if not super().fits(node, graph):
            return False
        plans = (_plan(node, graph, self.wide, most) for most in (_SCRATCH_BYTES, self.scratch_bytes))
        return len({plan.scratch_bytes for plan in plans}) == 2


class Conv2dWideDsp(Conv2dDsp):
    """A halfword for each weight: for layers whose channels cannot share."""

    op = "QConv"
    name = "conv2d_wide__dsp"
    wide = True


def plan_of(node: Node, graph: Graph, pair_h: int) -> Plan:
    """A node's sizes, one pair at a time."""
    a = node.attrs
    batch, in_h, in_w, in_c = graph.tensors[node.inputs[0]].shape
    _, out_h, out_w, out_c = graph.tensors[node.output].shape
    kernel, strides, dilations, pads = (tuple(a[key]) for key in ("kernel", "strides", "dilations", "pads"))
    return Plan(batch, in_h, in_w, in_c, out_h, out_w, out_c, kernel, strides, dilations, pads[:2], pair_h)


def pixels_plan(pixels: int, in_c: int, out_c: int, scratch_bytes: int = _SCRATCH_BYTES) -> Plan:
    """The way through a 1x1 window of so many pixels, wherever they are."""
    half = -(-pixels // 2)
    one = (1, 1)
    run = max(min(_FLAT_RUN, half, scratch_bytes // (8 * in_c)), 1)
    return Plan(1, 1, pixels, in_c, 1, pixels, out_c, one, one, one, (0, 0), 0, run)


def conv_call(node: Node, graph: Graph, layer: Layer, weights: Array, plan: Plan, wide: bool) -> tuple[KernelCall, ...]:
    """The call for a layer with OHWI weights."""
    function = "ew_conv2d_q8_wide__dsp" if wide else "ew_conv2d_q8__dsp"
    return call_of(node, graph, layer, _windows(weights, plan), plan, function, "conv2d/ew_conv2d_q8__dsp.h", wide)


def call_of(
    node: Node, graph: Graph, layer: Layer, windows: Array, plan: Plan, function: str, header: str, wide: bool = False
) -> tuple[KernelCall, ...]:
    """The call for weights in the order of the kernel's windows."""
    packed = stream(layer, windows, LINE_SHIFT, not wide)
    params = {
        "batch": plan.batch, "in_h": plan.in_h, "in_w": plan.in_w, "in_c": plan.in_c,
        "out_h": plan.out_h, "out_w": plan.out_w, "out_c": plan.out_c,
        "kernel_h": plan.kernel[0], "kernel_w": plan.kernel[1],
        "stride_h": plan.strides[0], "stride_w": plan.strides[1],
        "dilation_h": plan.dilations[0], "dilation_w": plan.dilations[1],
        "pad_top": plan.pads[0], "pad_left": plan.pads[1],
        "x_zero": node.attrs["x_zero"], "x_signed": int(graph.tensors[node.inputs[0]].dtype is DType.S8),
        "pair_h": plan.pair_h, "run": plan.run, "stream_bytes": packed.nbytes,
    }  # fmt: skip
    arguments = (node.inputs[0], packed, SCRATCH, node.output)
    return (KernelCall(function, header, "ew_conv2d_q8_dsp_params", params, arguments, plan.scratch_bytes),)


def _are_pixels(node: Node) -> bool:
    """Whether windows are single pixels: they need no rows."""
    a = node.attrs
    return tuple(a["kernel"]) == (1, 1) and tuple(a["strides"]) == (1, 1) and not any(a["pads"])


def _plan(node: Node, graph: Graph, wide: bool, scratch_bytes: int) -> Plan:
    """The cheapest way through a layer."""
    one = plan_of(node, graph, 0)
    if _are_pixels(node):
        return pixels_plan(one.batch * one.in_h * one.in_w, one.in_c, one.out_c, scratch_bytes)
    plans = []
    for pair_h in (0, 1):
        one = plan_of(node, graph, pair_h)
        plans.append(Plan(**{**one.__dict__, "run": _run(one, scratch_bytes)}))
    return min(plans, key=lambda plan: plan.cycles(wide))


def _run(plan: Plan, scratch_bytes: int) -> int:
    """How many windows share columns: all of a row, or a whole part of it within the wanted scratch memory."""
    if plan.dilations[1] > 1 and plan.kernel[1] > 1:
        return 1
    if plan.kernel[1] == 1:
        return max(min(_FLAT_RUN, plan.pixels, scratch_bytes // (4 * plan.column)), 1)
    most = plan.pixels
    while most > 1 and plan.columns(most) * plan.column * 4 > scratch_bytes:
        most -= 1
    parts = -(-plan.pixels // most)
    return -(-plan.pixels // parts)


def _windows(weights: Array, plan: Plan) -> Array:
    """OHWI weights in the kernel's order: [out][kernel_w][column], a column's [kernel_h][in_c] filled up with zeros."""
    out, kernel_h, kernel_w, in_c = weights.shape
    columns = weights.transpose(0, 2, 1, 3).reshape(out, kernel_w, kernel_h * in_c).astype(np.int64)
    if in_c % 4 == 0:
        fours = columns.reshape(out, kernel_w, -1, 4)[..., [0, 2, 1, 3]]
        return fours.reshape(out, -1)
    padded = np.zeros((out, kernel_w, plan.column), np.int64)
    padded[..., : columns.shape[2]] = columns
    return padded.reshape(out, -1)
