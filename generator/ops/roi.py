"""RoiAlign and MaxRoiPool: regions of images brought to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    Fixed,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    required,
)

MOST_SAMPLES = 1024  # EW_ROI_SAMPLES_MAX


class _RoiPool(Operator):
    numbers = 4  # of a region

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, h, w], regions [r, 4] or [r, 5] -> [r, c, *size]."""
        x, boxes = required(inputs[0], node, "X"), required(inputs[1], node, "rois")
        check_same_type(node, x, boxes)
        size = tuple(node.attrs["size"])
        if len(x.shape) != 4 or len(boxes.shape) != 2 or boxes.shape[1] != self.numbers or min(size) < 1:
            raise ShapeError(f"{describe(node)}: regions {list(boxes.shape)} of images {list(x.shape)} as {list(size)}")
        return [TensorType((boxes.shape[0], x.shape[1], *size), x.dtype)]

    def call(self, function: str, node: Node, graph: Graph, **own: ParamValue) -> tuple[KernelCall, ...]:
        """One call."""
        batch, channels, in_h, in_w = graph.tensors[node.inputs[0]].shape
        out_h, out_w = node.attrs["size"]
        params: dict[str, ParamValue] = {
            "batch": batch, "channels": channels, "in_h": in_h, "in_w": in_w,
            "regions": graph.tensors[node.inputs[1]].shape[0], "out_h": out_h, "out_w": out_w,
            "scale": float(self.attr(node, "scale")), **own,
        }  # fmt: skip
        arguments = (*node.inputs, node.output)
        return (KernelCall(function, f"detection/{function}.h", f"{function}_params", params, arguments),)


class RoiAlign(_RoiPool):
    """Regions interpolated at regular samples; a bin of the result is the samples' mean. Source: ONNX RoiAlign-22.

    With `largest` it is the largest of all elements times their weights in a sample: so the reference has it, and ONNX
    Runtime. `samples` is their number along each side of a bin; 0: as many as elements meet it, at most MOST_SAMPLES.
    """

    name = "RoiAlign"
    arity = (3, 3)
    attributes = {"size": ..., "scale": 1.0, "samples": 0, "half_pixel": 1, "largest": 0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: X [n, c, h, w], regions [r, 4], their images [r] -> [r, c, *size]."""
        boxes, images = required(inputs[1], node, "rois"), required(inputs[2], node, "batch_indices")
        if images.shape != boxes.shape[:1] or images.dtype is not DType.S64:
            raise ShapeError(f"{describe(node)}: batch_indices {list(images.shape)} of {images.dtype.value}")
        return super().infer(node, inputs)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, bin by bin."""
        x, boxes, images = (np.asarray(values) for values in inputs)
        height, width = node.attrs["size"]
        y = np.zeros((len(boxes), x.shape[1], height, width), x.dtype)
        offset = 0.5 if self.attr(node, "half_pixel") else 0.0
        for r, (box, number) in enumerate(zip(boxes, np.clip(images, 0, len(x) - 1), strict=True)):
            left, top, right, bottom = box * np.float32(self.attr(node, "scale")) - np.float32(offset)
            spans = [bottom - top, right - left]
            if not self.attr(node, "half_pixel"):
                spans = [max(span, np.float32(1)) for span in spans]
            bins = [span / np.float32(count) for span, count in zip(spans, (height, width), strict=True)]
            samples = [self.attr(node, "samples") or min(max(math.ceil(size), 0), MOST_SAMPLES) for size in bins]
            if min(samples) < 1:
                continue
            rows, columns = (
                start + (np.arange(bin_count * count) + 0.5) * (size / count)
                for start, bin_count, size, count in zip((top, left), (height, width), bins, samples, strict=True)
            )
            parts = _parts(x[number], rows, columns).reshape(4, -1, height, samples[0], width, samples[1])
            values = parts.max(axis=0) if self.attr(node, "largest") else parts.sum(axis=0)
            y[r] = values.max(axis=(2, 4)) if self.attr(node, "largest") else values.mean(axis=(2, 4))
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        flags = {key: int(self.attr(node, key)) for key in ("samples", "half_pixel", "largest")}
        return self.call("ew_roi_align_f32", node, graph, **flags)


def _parts(image: Array, rows: Array, columns: Array) -> Array:
    """The four elements around each sample, times their weights. Shapes: [c, h, w] -> [4, c, rows, columns]."""
    axes = []
    for places, size in ((rows, image.shape[1]), (columns, image.shape[2])):
        inside = (places >= -1) & (places <= size)
        at = np.clip(np.where(inside, places, 0), 0, size - 1)
        low = np.floor(at).astype(np.int64)
        axes.append((low, np.minimum(low + 1, size - 1), at - low, inside))
    (top, bottom, down, inside_y), (left, right, along, inside_x) = axes
    inside = inside_y[:, None] & inside_x
    chosen = [
        (top, left, (1 - down)[:, None] * (1 - along)), (top, right, (1 - down)[:, None] * along),
        (bottom, left, down[:, None] * (1 - along)), (bottom, right, down[:, None] * along),
    ]  # fmt: skip
    return np.stack([inside * weight * image[:, v[:, None], h] for v, h, weight in chosen])


@from_onnx("RoiAlign")
def _roi_align(foreign: Any) -> None:
    transformation = foreign.attrs.get(
        "coordinate_transformation_mode", "half_pixel" if foreign.opset >= 16 else "output_half_pixel"
    )
    mode = foreign.attrs.get("mode", "avg")
    if transformation not in ("half_pixel", "output_half_pixel") or mode not in ("avg", "max"):
        foreign.unsupported(f"mode '{mode}' with coordinate_transformation_mode '{transformation}'")
    samples = int(foreign.attrs.get("sampling_ratio", 0))
    if not 0 <= samples <= MOST_SAMPLES:
        foreign.unsupported(f"sampling_ratio {samples}")
    size = tuple(int(foreign.attrs.get(key, 1)) for key in ("output_height", "output_width"))
    foreign.emit(
        "RoiAlign", [foreign.tensor(i).name for i in range(3)], final=0, size=size, samples=samples,
        scale=float(foreign.attrs.get("spatial_scale", 1.0)), half_pixel=int(transformation == "half_pixel"),
        largest=int(mode == "max"),
    )  # fmt: skip


class MaxRoiPool(_RoiPool):
    """The largest element in each bin of a region, 0 where there is none. Source: ONNX MaxRoiPool-22.

    A region is the number of its image and its first and last columns and rows, rounded.
    """

    name = "MaxRoiPool"
    arity = (2, 2)
    attributes = {"size": ..., "scale": 1.0}
    rounds_once = True
    numbers = 5

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, bin by bin."""
        x, boxes = (np.asarray(values) for values in inputs)
        height, width = node.attrs["size"]
        y = np.zeros((len(boxes), x.shape[1], height, width), x.dtype)
        for r, box in enumerate(boxes):
            corners = box[1:] * np.float32(self.attr(node, "scale"))
            left, top, right, bottom = np.clip(np.trunc(corners + np.copysign(0.5, corners)), -65536, 65536).astype(int)
            image = x[int(np.clip(box[0], 0, len(x) - 1))]
            spans = [
                _bins(begin, last, count, size)
                for begin, last, count, size in (
                    (top, bottom, height, image.shape[1]), (left, right, width, image.shape[2]),
                )
            ]  # fmt: skip
            for v, rows in enumerate(spans[0]):
                for h, columns in enumerate(spans[1]):
                    part = image[:, rows, columns]
                    y[r, :, v, h] = part.max(axis=(1, 2)) if part.size else 0
        return [y]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return self.call("ew_max_roi_pool_f32", node, graph)


def _bins(begin: int, last: int, count: int, size: int) -> list[slice]:
    """The elements of each bin along an axis of an image."""
    step = np.float32(max(last - begin + 1, 1)) / np.float32(count)
    edges = [
        (math.floor(np.float32(i) * step) + begin, math.ceil(np.float32(i + 1) * step) + begin) for i in range(count)
    ]
    return [slice(min(max(low, 0), size), min(max(high, 0), size)) for low, high in edges]


@from_onnx("MaxRoiPool")
def _max_roi_pool(foreign: Any) -> None:
    foreign.emit(
        "MaxRoiPool", [foreign.tensor(0).name, foreign.tensor(1).name], final=0,
        size=tuple(int(n) for n in foreign.attrs["pooled_shape"]),
        scale=float(foreign.attrs.get("spatial_scale", 1.0)),
    )  # fmt: skip


_BOXES = np.array([[1, 0.5, 6, 4], [-2, -1, 3, 9], [3, 3, 3.2, 3.1]], np.float32)
_REGIONS = (given(2, 3, 6, 7), Fixed(_BOXES), Fixed(np.array([1, 0, 1])))
_ROIS = Fixed(np.array([[0, 1, 1, 6, 4], [1, 3, 2, 9, 9], [1, -3, 0, 0, 2]], np.float32))
cases(
    Case("RoiAlign", "adaptive", _REGIONS, {"output_height": 2, "output_width": 3, "spatial_scale": 0.9}, opset=16),
    Case("RoiAlign", "samples", _REGIONS, {"output_height": 3, "output_width": 2, "sampling_ratio": 2}, opset=10,
         slow=True),
    Case("RoiAlign", "largest", _REGIONS,
         {"output_height": 2, "output_width": 2, "mode": "max", "sampling_ratio": 2}, opset=16, slow=True),
    Case("MaxRoiPool", "plain", (given(2, 2, 7, 8), _ROIS), {"pooled_shape": [2, 3], "spatial_scale": 0.8},
         slow=True),
)  # fmt: skip
