"""Integer pooling: QMaxPool and QAveragePool, the latter also for means over image axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array, Node, Tensor, TensorType
from edgewright.ops.core import required
from edgewright.ops.pool import AveragePool, MaxPool
from edgewright.ops.q_core import (
    INT32_MAX,
    OUTPUT_ATTRIBUTES,
    QUANTIZED,
    IntegerMatch,
    check_accumulator,
    check_factor,
    from_float,
    limits,
    output_type,
    requantize,
    shifted,
)
from edgewright.ops.window import WINDOW_ATTRIBUTES, from_nchw, to_nchw


class QMaxPool(MaxPool):
    """The largest stored integer of each window, within act_min and act_max. Padding never wins."""

    name = "QMaxPool"
    attributes = {**WINDOW_ATTRIBUTES, "ceil_mode": False, "act_min": ..., "act_max": ...}
    fuses_activation = False
    dtypes = QUANTIZED
    has_kernel = False

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        layout, x = node.attrs["layout"], np.asarray(inputs[0])
        view = self.windows(node, to_nchw(x, layout), np.iinfo(x.dtype).min)
        largest = view.max(axis=(4, 5))
        return [from_nchw(np.clip(largest, node.attrs["act_min"], node.attrs["act_max"]).astype(x.dtype), layout)]


class QAveragePool(AveragePool):
    """clamp(rint(float32(sum (x - x_zero)) * float32(x_scale / float32(y_scale * n))) + y_zero), n elements counted."""

    name = "QAveragePool"
    zeros = ("x_zero",)
    attributes = {
        **WINDOW_ATTRIBUTES, "ceil_mode": False, "count_include_pad": False,
        "x_zero": ..., "x_scale": ..., "y_scale": ..., **OUTPUT_ATTRIBUTES,
    }  # fmt: skip
    fuses_activation = False
    dtypes = QUANTIZED
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as AveragePool's."""
        x = required(inputs[0], node, "x")
        low, high = limits(x.dtype)
        reach = max(abs(low - node.attrs["x_zero"]), abs(high - node.attrs["x_zero"]))
        check_accumulator(node, reach * math.prod(node.attrs["kernel"]), x.dtype)
        with np.errstate(over="ignore"):
            check_factor(float(np.float32(node.attrs["x_scale"]) / np.float32(node.attrs["y_scale"])), node)
        (window,) = super().infer(node, inputs)
        return [output_type(node, window.shape)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: exact sums, then one float32 scale for each count."""
        layout, a = node.attrs["layout"], node.attrs
        x = to_nchw(shifted(inputs[0], a["x_zero"]), layout)
        sums = self.windows(node, x, 0.0).sum(axis=(4, 5))
        scale = np.float32(a["x_scale"]) / (np.float32(a["y_scale"]) * self.counts(node, x).astype(np.float32))
        return [from_nchw(requantize(sums, scale, node), layout)]


def _keep(node: Node) -> dict[str, Any]:
    return {key: node.attrs[key] for key in (*WINDOW_ATTRIBUTES, "ceil_mode", "count_include_pad") if key in node.attrs}


@from_float("AveragePool")
def _average_pool(match: IntegerMatch) -> bool:
    x = match.quantized(0)
    if x is None:
        return False
    match.emit(
        "QAveragePool", [x.tensor], x_zero=x.zero, x_scale=float(x.scale), y_scale=float(match.output.scale),
        **_keep(match.node), **match.output.attrs,
    )  # fmt: skip
    return True


@from_float("ReduceMean")
def _reduce_mean(match: IntegerMatch) -> bool:
    """The mean over neighbouring axes is an average pool over an image of [outer, axes, 1, inner]."""
    x, shape = match.quantized(0), match.shape(0)
    axes = sorted(axis % len(shape) for axis in match.node.attrs["axes"])
    if x is None or not axes or axes != list(range(axes[0], axes[-1] + 1)):
        return False
    cuts = (slice(0, axes[0]), slice(axes[0], axes[-1] + 1), slice(axes[-1] + 1, None))
    outer, count, inner = (math.prod(shape[cut]) for cut in cuts)
    if count * 2**17 > INT32_MAX:
        return False
    image = match.emit("Reshape", [x.tensor], final=False, shape=(outer, count, 1, inner))
    pooled = match.emit(
        "QAveragePool", [image], final=False, kernel=(count, 1), layout="NHWC", x_zero=x.zero, x_scale=float(x.scale),
        y_scale=float(match.output.scale), strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0),
        **match.output.attrs,
    )  # fmt: skip
    match.emit("Reshape", [pooled], shape=tuple(1 if i in axes else d for i, d in enumerate(shape)))
    return True
