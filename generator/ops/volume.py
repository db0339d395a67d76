"""Convolutions of volumes, Conv3D and ConvTranspose3D, and Col2Im; what operators of volumes share.

Tensors and weights have ONNX's order of axes: [n, c, d, h, w]. Col2Im and pools take images of fewer axes, too: these
are volumes whose first axes have size 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    activation_params,
    cases,
    check_same_type,
    clamped,
    describe,
    from_onnx,
    given,
    ints,
    required,
)
from edgewright.ops.window import effective, output_size, pad_image, patches

VOLUME_ATTRIBUTES: Mapping[str, Any] = {"kernel": ..., "strides": ..., "dilations": ..., "pads": ...}  # of each axis


def to_volume(values: Sequence[int], fill: int) -> tuple[int, ...]:
    """Give what an image has for each axis those that it lacks."""
    return (*(fill,) * (3 - len(values)), *values)


def windows_along(node: Node, shape: Shape, ceil: bool = False) -> Shape:
    """Return the number of windows along each axis. Raises: ShapeError."""
    a, spatial = node.attrs, len(shape) - 2
    if not 1 <= spatial <= 3 or len(a["kernel"]) != spatial:
        raise ShapeError(f"{describe(node)}: a window {list(a['kernel'])} for an input of shape {list(shape)}")
    counts = tuple(
        output_size(size, a["kernel"][i], a["strides"][i], a["dilations"][i], (a["pads"][i], a["pads"][i + spatial]),
                    ceil) for i, size in enumerate(shape[2:])
    )  # fmt: skip
    if min(counts) < 1:
        raise ShapeError(f"{describe(node)}: a window {list(a['kernel'])} does not fit in {list(shape)}")
    return counts


def volume_windows(node: Node, x: Array, fill: float, out: Shape) -> Array:
    """View a tensor as windows. Shapes: [n, c, *sizes] -> [n, c, *out, *kernel]."""
    a = node.attrs
    padded = pad_image(x, a["pads"], out, node, fill)
    return patches(padded, a["kernel"], a["strides"], a["dilations"], out)


def window_params(node: Node, x: Shape, y: Shape) -> dict[str, ParamValue]:
    """Sizes and steps as the kernels of volumes have them."""
    a = node.attrs
    return {
        "in": to_volume(x[2:], 1), "out": to_volume(y[2:], 1), "kernel": to_volume(a["kernel"], 1),
        "stride": to_volume(a["strides"], 1), "dilation": to_volume(a["dilations"], 1),
        "pad": to_volume(a["pads"][: len(x) - 2], 0),
    }  # fmt: skip


class _VolumeConvolution(Operator):
    arity = (2, 3)
    attributes = {**VOLUME_ATTRIBUTES, "group": 1}
    fuses_activation = True
    function = ""

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, y = graph.tensors[node.inputs[0]].shape, graph.tensors[node.output].shape
        params: dict[str, ParamValue] = {
            "batch": x[0], "in_c": x[1], "out_c": y[1], "groups": self.attr(node, "group"),
            **window_params(node, x, y), **activation_params(self, node),
        }  # fmt: skip
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        arguments = (*node.inputs[:2], bias, node.output)
        return (KernelCall(self.function, "volume/ew_conv3d_f32.h", "ew_conv3d_f32_params", params, arguments),)

    def check(self, node: Node, inputs: Sequence[Tensor | None], fits: bool, channels: int) -> None:
        """Refuse weights and a bias that do not fit. Raises: ShapeError."""
        check_same_type(node, *inputs)
        x, w = required(inputs[0], node, "X"), required(inputs[1], node, "W")
        bias = inputs[2] if len(inputs) > 2 else None
        if not fits or tuple(w.shape[2:]) != tuple(node.attrs["kernel"]):
            raise ShapeError(
                f"{describe(node)}: weights {list(w.shape)} do not fit input {list(x.shape)} with "
                f"group={self.attr(node, 'group')}"
            )
        if bias is not None and bias.shape != (channels,):
            raise ShapeError(f"{describe(node)}: bias of shape {list(bias.shape)} for {channels} output channels")


class Conv3D(_VolumeConvolution):
    """Y = clamp(conv(X, W) + B) of volumes. Source: ONNX Conv-22."""

    name = "Conv3D"
    function = "ew_conv3d_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, d, h, w], W [o, c / group, kd, kh, kw], B [o]."""
        x, w = required(inputs[0], node, "X"), required(inputs[1], node, "W")
        group = self.attr(node, "group")
        fits = group >= 1 and len(x.shape) == len(w.shape) == 5 and w.shape[1] * group == x.shape[1]
        self.check(node, inputs, fits and w.shape[0] % group == 0, w.shape[0])
        return [TensorType((x.shape[0], w.shape[0], *windows_along(node, x.shape)), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, w, group = np.asarray(inputs[0]), np.asarray(inputs[1]), self.attr(node, "group")
        out = windows_along(node, x.shape)
        view = volume_windows(node, x, 0.0, out)
        view = view.reshape(x.shape[0], group, w.shape[1], *view.shape[2:])
        filters = w.reshape(group, -1, *w.shape[1:])
        y = np.einsum("ngczyxabe,gocabe->ngozyx", view, filters, optimize=True).reshape(x.shape[0], w.shape[0], *out)
        if len(inputs) > 2 and inputs[2] is not None:
            y = y + inputs[2].reshape(-1, 1, 1, 1)
        return [clamped(y.astype(x.dtype), self, node)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each output element and weight of its channel."""
        w = graph.tensors[node.inputs[1]]
        return graph.tensors[node.output].elements * (w.elements // w.shape[0])


class ConvTranspose3D(_VolumeConvolution):
    """Y = clamp(transposed convolution of X with W, + B) of volumes. Source: ONNX ConvTranspose-22."""

    name = "ConvTranspose3D"
    attributes = {**_VolumeConvolution.attributes, "output_padding": (0, 0, 0)}
    function = "ew_conv_transpose3d_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, d, h, w], W [c, o / group, kd, kh, kw], B [o]."""
        x, w = required(inputs[0], node, "X"), required(inputs[1], node, "W")
        group = self.attr(node, "group")
        fits = group >= 1 and len(x.shape) == len(w.shape) == 5 and w.shape[0] == x.shape[1]
        channels = w.shape[1] * group if len(w.shape) > 1 else 0
        self.check(node, inputs, fits and x.shape[1] % group == 0, channels)
        pads = node.attrs["pads"]
        sizes = [size - pads[i] - pads[i + 3] for i, size in enumerate(self._reach(node, x.shape))]
        if min(sizes) < 1:
            raise ShapeError(f"{describe(node)}: its pads {list(pads)} leave nothing of the output")
        return [TensorType((x.shape[0], channels, *sizes), x.dtype)]

    def _reach(self, node: Node, shape: Shape) -> list[int]:
        """Sizes before the pads are cut off."""
        a, extra = node.attrs, self.attr(node, "output_padding")
        return [
            a["strides"][i] * (size - 1) + effective(a["kernel"][i], a["dilations"][i]) + extra[i]
            for i, size in enumerate(shape[2:])
        ]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By scattering each input element, in numpy."""
        x, w, group, a = np.asarray(inputs[0]), np.asarray(inputs[1]), self.attr(node, "group"), node.attrs
        reach = self._reach(node, x.shape)
        y = np.zeros((x.shape[0], group, w.shape[1], *reach), x.dtype)
        images = x.reshape(x.shape[0], group, -1, *x.shape[2:])
        filters = w.reshape(group, -1, *w.shape[1:])
        for tap in itertools.product(*map(range, w.shape[2:])):
            to: Any = [
                slice(k * a["dilations"][i], k * a["dilations"][i] + a["strides"][i] * (size - 1) + 1, a["strides"][i])
                for i, (k, size) in enumerate(zip(tap, x.shape[2:], strict=True))
            ]
            weights: Any = (..., *tap)
            y[(..., *to)] += np.einsum("ngczyx,gco->ngozyx", images, filters[weights])
        inside: Any = [slice(a["pads"][i], reach[i] - a["pads"][i + 3]) for i in range(3)]
        y = y.reshape(x.shape[0], -1, *reach)[(..., *inside)]
        if len(inputs) > 2 and inputs[2] is not None:
            y = y + inputs[2].reshape(-1, 1, 1, 1)
        return [clamped(np.ascontiguousarray(y).astype(x.dtype), self, node)]

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each input element and weight it meets."""
        x, w = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
        return x.elements * (w.elements // w.shape[0])


class Col2Im(Operator):
    """Blocks of an image, which may overlap, summed into the image. Source: ONNX Col2Im-18.

    `sizes` are those of the image, `kernel` those of a block.
    """

    name = "Col2Im"
    arity = (1, 1)
    attributes = {**VOLUME_ATTRIBUTES, "sizes": ...}

    def _blocks(self, node: Node) -> Shape:
        """How many blocks there are along each axis."""
        return windows_along(node, (1, 1, *node.attrs["sizes"]))

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [n, c * elements of a block, blocks] -> [n, c, *sizes]."""
        x, elements = required(inputs[0], node, "input"), math.prod(node.attrs["kernel"])
        blocks = self._blocks(node)
        if len(x.shape) != 3 or x.shape[1] % elements or x.shape[2] != math.prod(blocks):
            raise ShapeError(
                f"{describe(node)}: {list(x.shape)} is not {math.prod(blocks)} blocks of {list(node.attrs['kernel'])}"
            )
        return [TensorType((x.shape[0], x.shape[1] // elements, *node.attrs["sizes"]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one element of all blocks after the other."""
        x, a = np.asarray(inputs[0]), node.attrs
        blocks, spatial = self._blocks(node), len(a["sizes"])
        padded = [size + a["pads"][i] + a["pads"][i + spatial] for i, size in enumerate(a["sizes"])]
        planes = x.reshape(x.shape[0], -1, *a["kernel"], *blocks)
        y = np.zeros((*planes.shape[:2], *padded), x.dtype)
        for tap in itertools.product(*map(range, a["kernel"])):
            begins = [k * dilation for k, dilation in zip(tap, a["dilations"], strict=True)]
            to: Any = [
                slice(begin, begin + stride * (count - 1) + 1, stride)
                for begin, stride, count in zip(begins, a["strides"], blocks, strict=True)
            ]
            chosen: Any = (slice(None), slice(None), *tap)
            y[(..., *to)] += planes[chosen]
        inside: Any = [slice(a["pads"][i], a["pads"][i] + size) for i, size in enumerate(a["sizes"])]
        return [np.ascontiguousarray(y[(..., *inside)])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        a, y = node.attrs, graph.tensors[node.output]
        params: dict[str, ParamValue] = {
            "planes": y.shape[0] * y.shape[1], "out": to_volume(a["sizes"], 1),
            "blocks": to_volume(self._blocks(node), 1), "block": to_volume(a["kernel"], 1),
            "stride": to_volume(a["strides"], 1), "dilation": to_volume(a["dilations"], 1),
            "pad": to_volume(a["pads"][: len(a["sizes"])], 0),
        }  # fmt: skip
        function = "ew_col2im_f32"
        arguments = (*node.inputs, node.output)
        return (KernelCall(function, f"volume/{function}.h", f"{function}_params", params, arguments),)


@from_onnx("Col2Im")
def _col2im(foreign: Any) -> None:
    sizes, kernel = (
        tuple(int(n) for n in foreign.constant(i, what).reshape(-1))
        for i, what in ((1, "image_shape"), (2, "block_shape"))
    )
    spatial = len(sizes)
    if not 1 <= spatial <= 3:
        foreign.unsupported(f"an image of shape {list(sizes)}; images of 1 to 3 axes are supported")
    window = {key: tuple(foreign.attrs.get(key, (1,) * spatial)) for key in ("strides", "dilations")}
    window["pads"] = tuple(foreign.attrs.get("pads", (0,) * (2 * spatial)))
    lengths = [len(kernel), *map(len, window.values())]
    if lengths != [spatial, spatial, spatial, 2 * spatial]:
        raise ShapeError(f"its attributes do not fit an image of shape {list(sizes)}")
    if min(*sizes, *kernel, *window["strides"], *window["dilations"]) < 1 or min(window["pads"]) < 0:
        foreign.unsupported(f"image_shape {list(sizes)}, block_shape {list(kernel)}, {window}")
    foreign.emit("Col2Im", [foreign.tensor(0).name], final=0, sizes=sizes, kernel=kernel, **window)


cases(
    Case("Col2Im", "overlapping", (given(2, 12, 20), ints(5, 6), ints(2, 2)), opset=18),
    Case("Col2Im", "padded", (given(1, 12, 9), ints(4, 6), ints(3, 2)),
         {"strides": [2, 2], "pads": [1, 0, 2, 1], "dilations": [1, 1]}, opset=18, slow=True),
    Case("Col2Im", "volume", (given(1, 8, 12), ints(3, 3, 3), ints(2, 2, 1)), {"strides": [1, 1, 1]}, opset=18,
         slow=True),
)  # fmt: skip
