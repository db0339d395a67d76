"""Pooling: MaxPool, AveragePool, and the global ones (a window as large as the image)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import InternalError, UnsupportedError
from edgewright.ir import Array, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    activation_params,
    cases,
    clamped,
    describe,
    from_onnx,
    given,
    required,
)
from edgewright.ops.q_core import Q8, limits
from edgewright.ops.volume_pool import emit_volume_pool
from edgewright.ops.window import (
    WINDOW_ATTRIBUTES,
    ImageNode,
    from_nchw,
    has_empty_window,
    nchw,
    pad_image,
    patches,
    to_nchw,
    window_type,
)


class Pool(Operator):
    """What pools share: shapes and windows."""

    arity = (1, 1)
    rows = "window"
    fuses_activation = True
    function = ""

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [n, c, h, w] -> [n, c, out_h, out_w]."""
        x = required(inputs[0], node, "X")
        channels = nchw(x.shape, node.attrs["layout"])[1]
        return [window_type(node, x.shape, channels, x.dtype, self.attr(node, "ceil_mode"))]

    def windows(self, node: Node, x: Array, fill: float) -> Array:
        """Return [n, c, out_h, out_w, kernel_h, kernel_w]."""
        layout = node.attrs["layout"]
        shape = window_type(node, from_nchw(x, layout).shape, x.shape[1], None, self.attr(node, "ceil_mode")).shape
        out = nchw(shape, layout)[2:]
        padded = pad_image(x, node.attrs["pads"], out, node, fill)
        return patches(padded, node.attrs["kernel"], node.attrs["strides"], node.attrs["dilations"], out)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        if node.attrs["layout"] != "NHWC":
            raise InternalError(f"{describe(node)}: only channels-last pooling has kernels")
        batch, in_h, in_w, channels = graph.tensors[node.inputs[0]].shape
        _, out_h, out_w, _ = graph.tensors[node.output].shape
        a = node.attrs
        params = {
            "batch": batch, "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w,
            "kernel_h": a["kernel"][0], "kernel_w": a["kernel"][1],
            "stride_h": a["strides"][0], "stride_w": a["strides"][1],
            "dilation_h": a["dilations"][0], "dilation_w": a["dilations"][1],
            "pad_top": a["pads"][0], "pad_left": a["pads"][1], "pad_bottom": a["pads"][2], "pad_right": a["pads"][3],
            "count_include_pad": int(a.get("count_include_pad", 0)),
            **activation_params(self, node),
        }  # fmt: skip
        return (
            KernelCall(
                self.function, f"pool/{self.function}.h", "ew_pool2d_f32_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip


class MaxPool(Pool):
    """The largest element of each window. Source: ONNX MaxPool-22."""

    name = "MaxPool"
    attributes = {**WINDOW_ATTRIBUTES, "ceil_mode": False}
    rounds_once = True
    function = "ew_max_pool2d_f32"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        layout = node.attrs["layout"]
        view = self.windows(node, to_nchw(np.asarray(inputs[0]), layout), -np.inf)
        return [clamped(from_nchw(view.max(axis=(4, 5)), layout), self, node)]


class AveragePool(Pool):
    """The mean of each window. Source: ONNX AveragePool-22."""

    name = "AveragePool"
    attributes = {**WINDOW_ATTRIBUTES, "ceil_mode": False, "count_include_pad": False}
    function = "ew_average_pool2d_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as MaxPool's. Windows of padding alone have no mean: ONNX Runtime refuses them, or makes it 0."""
        (result,) = super().infer(node, inputs)
        size, out = (nchw(s, node.attrs["layout"])[2:] for s in (required(inputs[0], node, "X").shape, result.shape))
        if not self.attr(node, "count_include_pad") and has_empty_window(node, size, out):
            a = node.attrs
            raise UnsupportedError(
                f"{describe(node)}: with pads {list(a['pads'])}, a {a['kernel'][0]}x{a['kernel'][1]} window "
                f"(dilation {a['dilations'][0]}x{a['dilations'][1]}) lies in the padding alone and has no mean; "
                "pads smaller than the window, or count_include_pad=1, would do"
            )
        return [result]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: the sum over the window, over the number of elements that count."""
        layout = node.attrs["layout"]
        x = to_nchw(np.asarray(inputs[0]), layout)
        y = self.windows(node, x, 0.0).sum(axis=(4, 5)) / self.counts(node, x)
        return [clamped(from_nchw(y.astype(x.dtype), layout), self, node)]

    def counts(self, node: Node, x: Array) -> Array:
        """How many elements of each window count. Shapes: x NCHW -> [1, 1, out_h, out_w]."""
        if not self.attr(node, "count_include_pad"):
            return np.asarray(self.windows(node, np.ones((1, 1, *x.shape[2:]), x.dtype), 0.0).sum(axis=(4, 5)))
        pads = node.attrs["pads"]
        counted = np.ones((1, 1, x.shape[2] + pads[0] + pads[2], x.shape[3] + pads[1] + pads[3]), x.dtype)
        return np.asarray(self.windows_of_padded(node, x, counted).sum(axis=(4, 5)))

    def windows_of_padded(self, node: Node, x: Array, padded: Array) -> Array:
        """Windows of an array that is padded already; what lies beyond it is 0."""
        out = self.windows(node, x[:1, :1], 0.0).shape[2:4]
        full = pad_image(padded, (0, 0, 0, 0), out, node, 0.0)
        return patches(full, node.attrs["kernel"], node.attrs["strides"], node.attrs["dilations"], out)


@from_onnx("MaxPool", "AveragePool")
def _pool(foreign: Any) -> None:
    if "kernel_shape" not in foreign.attrs:
        foreign.unsupported("a node without kernel_shape")
    if len(foreign.tensor(0).shape) > 4 or (foreign.n_outputs > 1 and foreign.output_is_used(1)):
        emit_volume_pool(foreign)
        return
    image = ImageNode(foreign, tuple(foreign.attrs["kernel_shape"]))
    extra: dict[str, Any] = {"ceil_mode": bool(foreign.attrs.get("ceil_mode", 0))}
    dtype = foreign.tensor(0).dtype
    if foreign.op_type == "MaxPool" and dtype in Q8:  # of the stored integers, as models in QOperator form have it
        low, high = limits(dtype)
        image.emit("QMaxPool", [image.as_image(0)], act_min=low, act_max=high, **extra)
        return
    if foreign.op_type == "AveragePool":
        extra["count_include_pad"] = bool(foreign.attrs.get("count_include_pad", 0))
    image.emit(foreign.op_type, [image.as_image(0)], **extra)


@from_onnx("GlobalMaxPool", "GlobalAveragePool")
def _global_pool(foreign: Any) -> None:
    x = foreign.tensor(0)
    if len(x.shape) > 4:
        name = "ReduceMax" if foreign.op_type == "GlobalMaxPool" else "ReduceMean"
        foreign.emit(name, [x.name], final=0, axes=tuple(range(2, len(x.shape))))
        return
    image = ImageNode(foreign, x.shape[2:])
    image.emit(foreign.op_type.removeprefix("Global"), [image.as_image(0)])


cases(
    Case("MaxPool", "2x2", (given(1, 3, 8, 8),), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("MaxPool", "pads", (given(1, 3, 7, 9),), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", "ceil", (given(1, 2, 7, 8),), {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    Case("MaxPool", "dilated", (given(1, 2, 9, 9),), {"kernel_shape": [2, 3], "dilations": [3, 2]}),
    Case("MaxPool", "int8", (given(1, 3, 7, 9),),
         {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, dtype="int8"),
    Case("MaxPool", "uint8", (given(1, 3, 8, 8),), {"kernel_shape": [2, 2], "strides": [2, 2]}, dtype="uint8"),
    Case("MaxPool", "one_dimensional", (given(1, 3, 12),), {"kernel_shape": [3], "strides": [2]}),
    Case("MaxPool", "same_upper", (given(1, 3, 7, 7),),
         {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("AveragePool", "2x2", (given(1, 3, 8, 8),), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("AveragePool", "pads", (given(1, 3, 7, 9),),
         {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("AveragePool", "include_pad", (given(1, 3, 7, 9),),
         {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("AveragePool", "ceil", (given(1, 2, 7, 8),),
         {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    Case("AveragePool", "one_dimensional", (given(1, 3, 12),), {"kernel_shape": [4], "strides": [4]}),
    Case("GlobalAveragePool", "image", (given(1, 5, 6, 7),)),
    Case("GlobalAveragePool", "sequence", (given(1, 5, 9),)),
    Case("GlobalMaxPool", "image", (given(1, 5, 6, 7),)),
    Case("GlobalMaxPool", "volume", (given(1, 2, 3, 4, 2),), slow=True),
    Case("GlobalAveragePool", "volume", (given(1, 2, 3, 4, 2),), slow=True),
    Case("MaxPool", "volume", (given(1, 2, 6, 5, 7),),
         {"kernel_shape": [3, 2, 3], "strides": [2, 1, 2], "pads": [1, 0, 1, 1, 1, 0], "dilations": [1, 2, 1]},
         slow=True),
    Case("MaxPool", "volume_bytes", (given(1, 2, 4, 5, 4),), {"kernel_shape": [2, 2, 2], "pads": [1] * 6},
         dtype="int8", between=(-128, -100), slow=True),
    Case("MaxPool", "indices", (given(2, 2, 5, 6),),
         {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, outputs=2),
    Case("MaxPool", "indices_by_columns", (given(2, 2, 3, 4, 5),),
         {"kernel_shape": [2, 2, 2], "storage_order": 1, "ceil_mode": 1, "strides": [2, 2, 2]}, outputs=2, slow=True),
    Case("MaxPool", "indices_of_a_sequence", (given(1, 3, 9),), {"kernel_shape": [3]}, outputs=2, dtype="uint8",
         slow=True),
    Case("AveragePool", "volume", (given(1, 2, 6, 5, 7),),
         {"kernel_shape": [3, 2, 3], "strides": [2, 1, 2], "pads": [1, 0, 1, 1, 1, 0]}, slow=True),
    Case("AveragePool", "volume_include_pad", (given(1, 2, 6, 5, 7),),
         {"kernel_shape": [3, 2, 3], "strides": [2, 1, 2], "pads": [1, 0, 1, 1, 1, 0], "count_include_pad": 1,
          "ceil_mode": 1, "dilations": [1, 2, 1]}, opset=19, slow=True),
)  # fmt: skip
