"""LpPool and GlobalLpPool: the norm of each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.ops.core import Case, KernelCall, cases, clamped, from_onnx, given
from edgewright.ops.pool import Pool
from edgewright.ops.window import WINDOW_ATTRIBUTES, ImageNode, from_nchw, to_nchw


class LpPool(Pool):
    """(the sum of |x|^p over each window)^(1/p). Source: ONNX LpPool-22."""

    name = "LpPool"
    attributes = {**WINDOW_ATTRIBUTES, "ceil_mode": False, "p": 2}
    function = "ew_lp_pool2d_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        layout, p = node.attrs["layout"], self.attr(node, "p")
        x = to_nchw(np.asarray(inputs[0]), layout)
        sums = self.windows(node, np.abs(x) ** x.dtype.type(p), 0.0).sum(axis=(4, 5))
        return [clamped(from_nchw((sums ** (1 / p)).astype(x.dtype), layout), self, node)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        (call,) = super().lower(node, graph)
        left_out = ("pad_bottom", "pad_right", "count_include_pad")
        params = {key: value for key, value in call.params.items() if key not in left_out}
        params["p"] = self.attr(node, "p")
        return (KernelCall(call.function, call.header, "ew_lp_pool2d_f32_params", params, call.arguments),)


@from_onnx("LpPool", "GlobalLpPool")
def _lp_pool(foreign: Any) -> None:
    p = int(foreign.attrs.get("p", 2))
    if p < 1:
        foreign.unsupported(f"p={p}")
    shape = foreign.tensor(0).shape
    kernel = shape[2:] if foreign.op_type == "GlobalLpPool" else tuple(foreign.attrs["kernel_shape"])
    is_volume = len(shape) > 4
    image = ImageNode(foreign, kernel, is_volume)
    name = "LpPool3D" if is_volume else "LpPool"
    image.emit(name, [image.as_image(0)], p=p, ceil_mode=bool(foreign.attrs.get("ceil_mode", 0)))


_PADDED = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
cases(
    Case("LpPool", "pads", (given(1, 3, 7, 9),), _PADDED),
    Case("LpPool", "p_1", (given(1, 2, 5, 6),), {"kernel_shape": [2, 3], "p": 1}),
    Case("LpPool", "p_3", (given(1, 2, 8),), {"kernel_shape": [3], "p": 3}, opset=11),
    Case("LpPool", "volume", (given(1, 2, 5, 4, 6),), {"kernel_shape": [2, 3, 2], "pads": [1, 1, 0, 0, 1, 1], "p": 3},
         slow=True),
    Case("GlobalLpPool", "image", (given(1, 5, 6, 7),)),
    Case("GlobalLpPool", "p_1", (given(1, 5, 9),), {"p": 1}, opset=7),
)  # fmt: skip
