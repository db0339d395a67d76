"""The arithmetic of sliding windows, shared by convolutions and pooling: pads, output sizes, patches.

A window operator is two-dimensional, or it is of a volume. A one-dimensional ONNX node is imported as a two-dimensional
one with height 1, between two Reshapes (which cost nothing on the device).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from edgewright.errors import InternalError, ShapeError
from edgewright.ir import Array, Graph, Node, Shape, TensorType
from edgewright.ops.core import ForeignNode, describe

WINDOW_ATTRIBUTES: Mapping[str, Any] = {
    "kernel": (1, 1),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0, 0, 0, 0),  # top, left, bottom, right
    "layout": "NCHW",
}

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def to_nchw(values: Array, layout: str) -> Array:
    """View an image tensor as NCHW."""
    return values if layout == "NCHW" else values.transpose(TO_NCHW)


def from_nchw(values: Array, layout: str) -> Array:
    """View an NCHW image tensor in `layout`."""
    return values if layout == "NCHW" else values.transpose(TO_NHWC)


def nchw(shape: Shape, layout: str) -> Shape:
    """Return the shape in NCHW order."""
    return shape if layout == "NCHW" else tuple(shape[i] for i in TO_NCHW)


def image_shape(n: int, c: int, h: int, w: int, layout: str) -> Shape:
    """Return the shape in the order of `layout`."""
    return (n, c, h, w) if layout == "NCHW" else (n, h, w, c)


def effective(kernel: int, dilation: int) -> int:
    """Extent of a dilated kernel."""
    return (kernel - 1) * dilation + 1


def output_size(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], ceil: bool) -> int:
    """Number of windows along one axis; the last has to start inside the data or its leading pad.

    Source: ONNX MaxPool-22.
    """
    span = size + pads[0] + pads[1] - effective(kernel, dilation)
    if span < 0:
        return 0
    if not ceil:
        return span // stride + 1
    count = -(-span // stride) + 1
    if (count - 1) * stride >= size + pads[0]:
        count -= 1
    return count


def has_empty_window(node: Node, size: Shape, out: Shape) -> bool:
    """Whether some window holds padding only. Shapes: size and out are (h, w), or (d, h, w)."""
    a = node.attrs
    for axis in range(len(size)):
        starts = np.arange(out[axis]) * a["strides"][axis] - a["pads"][axis]
        taps = starts[:, None] + np.arange(a["kernel"][axis]) * a["dilations"][axis]
        if not ((taps >= 0) & (taps < size[axis])).any(axis=1).all():
            return True
    return False


def auto_pads(mode: str, sizes: Shape, kernel: Shape, strides: Shape, dilations: Shape) -> tuple[int, ...]:
    """Return ONNX `pads` (all begins, then all ends) for auto_pad. Source: ONNX Conv-11."""
    if mode == "VALID":
        return (0,) * (2 * len(sizes))
    begins, ends = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        windows = -(-size // stride)
        total = max((windows - 1) * stride + effective(k, dilation) - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == "SAME_UPPER" else large)
        ends.append(large if mode == "SAME_UPPER" else small)
    return (*begins, *ends)


def patches(values: Array, kernel: Shape, strides: Shape, dilations: Shape, out: Shape) -> Array:
    """View a padded NCHW array as windows.

    Shapes: values [n, c, h, w] -> [n, c, out_h, out_w, kernel_h, kernel_w], without a copy; likewise volumes.
    """
    n, c = values.shape[:2]
    sn, sc, *steps = values.strides
    moves = [step * stride for step, stride in zip(steps, strides, strict=True)]
    taps = [step * dilation for step, dilation in zip(steps, dilations, strict=True)]
    return as_strided(values, (n, c, *out, *kernel), (sn, sc, *moves, *taps), writeable=False)


def pad_image(values: Array, pads: Sequence[int], out: Shape, node: Node, fill: float) -> Array:
    """Pad an NCHW array by (top, left, bottom, right), and further at the end where ceil_mode's last windows reach.

    Likewise volumes.
    """
    kernel, strides, dilations = node.attrs["kernel"], node.attrs["strides"], node.attrs["dilations"]
    widths = []
    for axis in range(len(out)):
        reach = (out[axis] - 1) * strides[axis] + effective(kernel[axis], dilations[axis])
        begin, end = pads[axis], pads[axis + len(out)]
        widths.append((begin, max(end, reach - values.shape[2 + axis] - begin)))
    return np.pad(values, ((0, 0), (0, 0), *widths), constant_values=fill)


def window_type(node: Node, shape: Shape, channels: int, dtype: Any, ceil: bool = False) -> TensorType:
    """Return the type of a window operator's output."""
    layout = node.attrs["layout"]
    n, _, h, w = nchw(shape, layout)
    pads = node.attrs["pads"]
    kernel, strides, dilations = node.attrs["kernel"], node.attrs["strides"], node.attrs["dilations"]
    sizes = [
        output_size(size, kernel[i], strides[i], dilations[i], (pads[i], pads[i + 2]), ceil)
        for i, size in enumerate((h, w))
    ]
    if min(sizes) < 1:
        raise ShapeError(
            f"{describe(node)}: a {kernel[0]}x{kernel[1]} window (dilation {dilations[0]}x{dilations[1]}) "
            f"does not fit in {h}x{w} with pads {list(pads)}"
        )
    return TensorType(image_shape(n, channels, sizes[0], sizes[1], layout), dtype)


def window_params(node: Node, graph: Graph) -> dict[str, Any]:
    """Return sizes, strides and pads as the kernels of window operators have them."""
    if node.attrs["layout"] != "NHWC":
        raise InternalError(f"{describe(node)}: only channels-last window operators have kernels")
    batch, in_h, in_w, in_c = graph.tensors[node.inputs[0]].shape
    _, out_h, out_w, out_c = graph.tensors[node.output].shape
    a = node.attrs
    return {
        "batch": batch, "in_h": in_h, "in_w": in_w, "in_c": in_c,
        "out_h": out_h, "out_w": out_w, "out_c": out_c,
        "kernel_h": a["kernel"][0], "kernel_w": a["kernel"][1],
        "stride_h": a["strides"][0], "stride_w": a["strides"][1],
        "dilation_h": a["dilations"][0], "dilation_w": a["dilations"][1],
        "pad_top": a["pads"][0], "pad_left": a["pads"][1],
        "groups": a.get("group", 1),
    }  # fmt: skip


class ImageNode:
    """Imports the attributes of an ONNX window operator of rank 3 or 4 as two-dimensional ones.

    With `volume`, those of one of rank 3 to 5 as they are, for operators of volumes, which have no layout.
    """

    def __init__(self, foreign: ForeignNode, kernel: Shape, volume: bool = False) -> None:
        self.foreign = foreign
        self.input = foreign.tensor(0)
        rank = len(self.input.shape)
        if not 3 <= rank <= (5 if volume else 4):
            kinds = "images of 1 to 3 axes" if volume else "1-D and 2-D images"
            foreign.unsupported(f"only {kinds} are supported, and its input is {list(self.input.shape)}")
        self.spatial = rank - 2
        self.axes = self.spatial if volume else 2
        if len(kernel) != self.spatial:
            raise ShapeError(f"kernel {list(kernel)} does not fit an input of shape {list(self.input.shape)}")
        sizes = self.input.shape[2:]
        strides = self._list("strides", 1)
        dilations = self._list("dilations", 1)
        if min((*kernel, *strides, *dilations)) < 1:
            raise ShapeError("kernel, strides and dilations must be at least 1")
        mode = foreign.attrs.get("auto_pad", "NOTSET")
        if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            foreign.unsupported(f"auto_pad '{mode}'")
        self.auto_pad = mode
        if mode == "NOTSET":
            pads = tuple(foreign.attrs.get("pads", (0,) * (2 * self.spatial)))
        else:
            pads = auto_pads(mode, sizes, kernel, strides, dilations)
        if len(pads) != 2 * self.spatial:
            raise ShapeError(f"pads {list(pads)} does not have two numbers a spatial axis")
        if min(pads) < 0:
            foreign.unsupported(f"negative pads {list(pads)}")
        self.window: dict[str, Any] = {
            "kernel": self.widen(kernel, 1),
            "strides": self.widen(strides, 1),
            "dilations": self.widen(dilations, 1),
            "pads": self.widen_pads(pads),
        }
        if not volume:
            self.window["layout"] = "NCHW"

    def _list(self, name: str, default: int) -> Shape:
        values = tuple(self.foreign.attrs.get(name, (default,) * self.spatial))
        if len(values) != self.spatial:
            raise ShapeError(f"{name} {list(values)} does not have one number a spatial axis")
        return values

    def widen(self, values: Shape, fill: int) -> Shape:
        """Give an attribute the axes that the node's images lack."""
        return (fill,) * (self.axes - self.spatial) + tuple(values)

    def widen_pads(self, pads: Shape) -> Shape:
        """The same for begins and ends."""
        return self.widen(pads[: self.spatial], 0) + self.widen(pads[self.spatial :], 0)

    def as_image(self, index: int) -> str:
        """Return an input of the foreign node (data or weights) as a tensor of all axes."""
        return self.widened(self.foreign.tensor(index).name)

    def widened(self, name: str) -> str:
        """Return a tensor of the foreign node's rank as one of all axes."""
        if self.spatial == self.axes:
            return name
        a, b, *sizes = self.foreign.type_of(name).shape
        return self.foreign.emit("Reshape", [name], shape=(a, b, *self.widen(tuple(sizes), 1)))

    def emit(self, op: str, inputs: Sequence[str], **attrs: Any) -> None:
        """Add the operator, and the way back to the node's rank; it makes the foreign node's output."""
        self.apply(op, inputs, final=0, **attrs)

    def apply(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        """Add the operator, and the way back to the node's rank; returns the result."""
        if self.spatial == self.axes:
            return self.foreign.emit(op, inputs, final=final, **self.window, **attrs)
        result = self.foreign.emit(op, inputs, **self.window, **attrs)
        n, c, *sizes = self.foreign.type_of(result).shape
        shape = (n, c, *sizes[self.axes - self.spatial :])
        return self.foreign.emit("Reshape", [result], final=final, shape=shape)
