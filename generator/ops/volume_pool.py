"""Pools of volumes, and those whose positions are wanted: MaxPool3D, AveragePool3D, LpPool3D; MaxUnpool.

They take images of one to three axes in the model's own order of axes. Images of one and two axes otherwise have faster
operators: see `pool`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    dense_strides,
    describe,
    from_onnx,
    given,
    required,
)
from edgewright.ops.volume import VOLUME_ATTRIBUTES, to_volume, volume_windows, window_params, windows_along
from edgewright.ops.window import ImageNode, has_empty_window, pad_image, patches


class VolumePool(Operator):
    """What pools of volumes share."""

    arity = (1, 1)
    attributes = {**VOLUME_ATTRIBUTES, "ceil_mode": False}
    function: ClassVar[str]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [n, c, (d, h,) w] -> [n, c, (out_d, out_h,) out_w]. Each window holds an element."""
        x = required(inputs[0], node, "X")
        out = windows_along(node, x.shape, bool(self.attr(node, "ceil_mode")))
        if not node.attrs.get("count_include_pad") and has_empty_window(node, x.shape[2:], out):
            raise UnsupportedError(
                f"{describe(node)}: with pads {list(node.attrs['pads'])}, a window lies in the padding alone"
            )
        return [TensorType((*x.shape[:2], *out), x.dtype)]

    def windows(self, node: Node, x: Array, fill: Any) -> Array:
        """Return [n, c, *out, taps]; taps outside the input are `fill`."""
        view = volume_windows(node, x, fill, windows_along(node, x.shape, bool(self.attr(node, "ceil_mode"))))
        return view.reshape(*view.shape[: x.ndim], -1)

    def call(self, node: Node, graph: Graph, *outputs: str | None, **own: ParamValue) -> tuple[KernelCall, ...]:
        """One call; `own` are parameters of this pool alone."""
        x = graph.tensors[node.inputs[0]]
        spatial = len(x.shape) - 2
        params: dict[str, ParamValue] = {
            "planes": x.shape[0] * x.shape[1], **window_params(node, x.shape, graph.tensors[node.output].shape),
            "pad_end": to_volume(node.attrs["pads"][spatial:], 0), "index_step": (0, 0, 0), "count_include_pad": 0,
            "p": 1, **own,
        }  # fmt: skip
        function = f"{self.function}_{x.dtype.suffix}"
        return (KernelCall(function, "volume/ew_pool3d.h", "ew_pool3d_params", params, (x.name, *outputs)),)


class MaxPool3D(VolumePool):
    """The largest element of each window, and its position in the input. Source: ONNX MaxPool-22.

    With storage_order 1 positions in a channel are counted with the first axis the fastest.
    """

    name = "MaxPool3D"
    attributes = {**VolumePool.attributes, "storage_order": 0}
    dtypes = frozenset({DType.F32, DType.S8, DType.U8})
    rounds_once = True
    function = "ew_max_pool3d"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as other pools; positions have the shape of the result."""
        (result,) = super().infer(node, inputs)
        return [result, TensorType(result.shape, DType.S64)]

    def _steps(self, node: Node, sizes: Shape) -> Shape:
        if self.attr(node, "storage_order"):
            return tuple(math.prod(sizes[:axis]) for axis in range(len(sizes)))
        return dense_strides(sizes)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        sizes = x.shape[2:]
        grid = np.indices(sizes)
        places = sum(step * grid[axis] for axis, step in enumerate(self._steps(node, sizes)))
        planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * len(sizes)) * math.prod(sizes)
        positions = self.windows(node, planes + places, -1)
        values = self.windows(node, x, x.min())
        best = values.max(axis=-1, keepdims=True)
        first = ((values == best) & (positions >= 0)).argmax(axis=-1)[..., None]
        return [best[..., 0], np.take_along_axis(positions, first, -1)[..., 0].astype(np.int64)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        values, indices = (node.outputs[i] or None if i < len(node.outputs) else None for i in range(2))
        steps = to_volume(self._steps(node, graph.tensors[node.inputs[0]].shape[2:]), 0)
        return self.call(node, graph, values, indices, index_step=steps)


class AveragePool3D(VolumePool):
    """The mean of each window. Source: ONNX AveragePool-22."""

    name = "AveragePool3D"
    attributes = {**VolumePool.attributes, "count_include_pad": False}
    function = "ew_average_pool3d"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy: the sum over the window, over the number of elements that count."""
        x, a = np.asarray(inputs[0]), node.attrs
        ones = np.ones((1, 1, *x.shape[2:]))
        if a.get("count_include_pad"):
            spatial = x.ndim - 2
            padded = np.pad(ones, ((0, 0), (0, 0), *zip(a["pads"][:spatial], a["pads"][spatial:], strict=True)),
                            constant_values=1)  # fmt: skip
            out = windows_along(node, x.shape, bool(self.attr(node, "ceil_mode")))
            whole = pad_image(padded, (0,) * (2 * spatial), out, node, 0.0)
            counts = patches(whole, a["kernel"], a["strides"], a["dilations"], out).sum(
                axis=tuple(range(-spatial, 0))
            )  # fmt: skip
        else:
            counts = self.windows(node, ones, 0.0).sum(axis=-1)
        return [(self.windows(node, x, 0.0).sum(axis=-1) / counts).astype(x.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return self.call(node, graph, node.output, count_include_pad=int(self.attr(node, "count_include_pad")))


class LpPool3D(VolumePool):
    """(the sum of |x|^p over each window)^(1/p). Source: ONNX LpPool-22."""

    name = "LpPool3D"
    attributes = {**VolumePool.attributes, "p": 2}
    function = "ew_lp_pool3d"

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, p = np.asarray(inputs[0]), self.attr(node, "p")
        sums = self.windows(node, np.abs(x) ** x.dtype.type(p), 0.0).sum(axis=-1)
        return [(sums ** (1 / p)).astype(x.dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return self.call(node, graph, node.output, p=int(self.attr(node, "p")))


def emit_volume_pool(foreign: Any) -> None:
    """Import MaxPool or AveragePool as an operator of volumes."""
    image = ImageNode(foreign, tuple(foreign.attrs["kernel_shape"]), volume=True)
    attrs = {**image.window, "ceil_mode": bool(foreign.attrs.get("ceil_mode", 0))}
    if foreign.op_type == "MaxPool":
        order = int(foreign.attrs.get("storage_order", 0))
        foreign.emit_all("MaxPool3D", [image.input.name], storage_order=order, **attrs)
        return
    counts_pads = bool(foreign.attrs.get("count_include_pad", 0))
    foreign.emit("AveragePool3D", [image.input.name], final=0, count_include_pad=counts_pads, **attrs)


class MaxUnpool(Operator):
    """Zeros, and the elements of the input at the positions that MaxPool found them at. Source: ONNX MaxUnpool-22."""

    name = "MaxUnpool"
    rounds_once = True
    arity = (2, 2)
    attributes = {"shape": ...}
    dtypes = frozenset(DType)

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X and I alike."""
        x, indices = required(inputs[0], node, "X"), required(inputs[1], node, "I")
        if indices.shape != x.shape or indices.dtype is not DType.S64:
            raise ShapeError(f"{describe(node)}: indices {list(indices.shape)} of {indices.dtype.value}")
        return [TensorType(tuple(node.attrs["shape"]), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one element after the other; an index outside puts nothing."""
        x, indices = np.asarray(inputs[0]).reshape(-1), np.asarray(inputs[1]).reshape(-1)
        y = np.zeros(math.prod(node.attrs["shape"]), x.dtype)
        for value, index in zip(x, indices, strict=True):
            if 0 <= index < y.size:
                y[index] = value
        return [y.reshape(node.attrs["shape"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params: dict[str, ParamValue] = {
            "count": x.elements, "out": graph.tensors[node.output].elements, "element_bytes": x.dtype.size_bytes,
        }  # fmt: skip
        return (
            KernelCall(
                "ew_max_unpool", "scatter/ew_max_unpool.h", "ew_max_unpool_params", params, (*node.inputs, node.output)
            ),
        )


@from_onnx("MaxUnpool")
def _max_unpool(foreign: Any) -> None:
    """With output_shape the result is what there is without it, and zeros behind it, as the standard's cases have it.

    ONNX Runtime 1.31 takes the positions for positions in a tensor of that shape.
    """
    x, kernel = foreign.tensor(0), foreign.attrs["kernel_shape"]
    spatial = len(kernel)
    strides = foreign.attrs.get("strides", (1,) * spatial)
    pads = foreign.attrs.get("pads", (0,) * (2 * spatial))
    if len(x.shape) != spatial + 2 or len(strides) != spatial or len(pads) != 2 * spatial:
        raise ShapeError(f"kernel_shape {list(kernel)} does not fit an input of shape {list(x.shape)}")
    sizes = [(size - 1) * strides[i] - pads[i] - pads[spatial + i] + kernel[i] for i, size in enumerate(x.shape[2:])]
    shape = (*x.shape[:2], *sizes)
    if min(sizes) < 1:
        raise ShapeError(f"its pads {list(pads)} leave nothing of the output")
    wanted = tuple(int(n) for n in foreign.constant(2, "output_shape")) if foreign.has(2) else shape
    ends = tuple(new - old for new, old in zip(wanted, shape, strict=True))
    if min(ends) < 0:
        foreign.unsupported(f"output_shape {list(wanted)}, smaller than {list(shape)}")
    inputs = [x.name, foreign.tensor(1).name]
    result = foreign.emit("MaxUnpool", inputs, final=None if any(ends) else 0, shape=shape)
    if any(ends):
        foreign.emit("Pad", [result], final=0, begins=(0,) * len(ends), ends=ends)


_PLACES = Fixed(np.array([[[[5, 7], [13, 15]], [[16, 19], [30, 24]]]]))
_HALVES = {"kernel_shape": [2, 2], "strides": [2, 2]}
cases(
    Case("MaxUnpool", "plain", (given(1, 2, 2, 2), _PLACES), _HALVES),
)  # fmt: skip
