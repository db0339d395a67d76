"""The ways out of operators of images and volumes that have no faster ones. See `onnx_operators`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx_operators import EXPORTERS, Writer, clamped, exports
from edgewright.ir import Node
from edgewright.ops import operator
from edgewright.ops.core import describe


def _needs(writer: Writer, node: Node, opset: int) -> None:
    """Refuse what is newer than the operator set written. Raises: UnsupportedError."""
    if writer.opset < opset:
        raise UnsupportedError(f"{describe(node)}: not in ONNX operator set {writer.opset}")


def _window(node: Node, *others: str) -> dict[str, Any]:
    """The attributes of a window as ONNX has them, and some that have the same name there."""
    a = node.attrs
    window = {"kernel_shape": a["kernel"], "strides": a["strides"], "pads": a["pads"]}
    if any(dilation != 1 for dilation in a["dilations"]):
        window["dilations"] = a["dilations"]
    plain = {key: int(operator(node.op).attr(node, key)) for key in others}
    return {**{key: [int(n) for n in values] for key, values in window.items()}, **plain}


@exports("Conv3D", "ConvTranspose3D")
def _convolution(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    attrs = _window(node, "group")
    if node.op == "ConvTranspose3D":
        attrs["output_padding"] = [int(n) for n in operator(node.op).attr(node, "output_padding")]
    clamped(writer, node, output, lambda to: writer.add(node.op.removesuffix("3D"), inputs, to, node.name, **attrs))


def _max_pool(writer: Writer, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    results = [name or writer.fresh(f"{node.output}_unused") for name in (*outputs, "")[:2]]
    writer.add_all("MaxPool", inputs, results, node.name, **_window(node, "ceil_mode", "storage_order"))


EXPORTERS.update(MaxPool3D=_max_pool)


@exports("AveragePool3D", "LpPool3D")
def _pool(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    if node.op == "AveragePool3D":
        attrs = _window(node, "ceil_mode", "count_include_pad")
        _needs(writer, node, 19 if "dilations" in attrs else 1)
    else:
        attrs = _window(node, "p")
        is_new = "dilations" in attrs or operator(node.op).attr(node, "ceil_mode")
        _needs(writer, node, 18 if is_new else 1)
        attrs.update({"ceil_mode": 1} if operator(node.op).attr(node, "ceil_mode") else {})
    writer.add(node.op.removesuffix("3D"), inputs, output, node.name, **attrs)


@exports("MaxUnpool")
def _max_unpool(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    """By ScatterElements: the sizes that MaxUnpool has by itself need not be these."""
    shape = node.attrs["shape"]
    dtype = writer.graph.tensors[node.inputs[0]].dtype.numpy
    zeros = writer.constant(f"{output}_zeros", np.zeros(int(np.prod(shape)), dtype))
    flat = writer.constant(f"{output}_flat", np.array([-1], np.int64))
    operands = [writer.add("Reshape", (name, flat), writer.fresh(f"{output}_{i}")) for i, name in enumerate(inputs)]
    placed = writer.add("ScatterElements", (zeros, operands[1], operands[0]), writer.fresh(f"{output}_placed"), axis=0)
    sizes = writer.constant(f"{output}_shape", np.array(shape, np.int64))
    writer.add("Reshape", (placed, sizes), output, node.name)


@exports("Col2Im")
def _col2im(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _needs(writer, node, 18)
    a = node.attrs
    sizes = writer.constant(f"{output}_sizes", np.array(a["sizes"], np.int64))
    block = writer.constant(f"{output}_block", np.array(a["kernel"], np.int64))
    attrs = {key: [int(n) for n in a[key]] for key in ("strides", "dilations", "pads")}
    writer.add("Col2Im", (inputs[0], sizes, block), output, node.name, **attrs)


@exports("ResizeWeighted")
def _resize_weighted(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    """As a product with the matrix of weights: no mode of Resize need give them."""
    axis, shape = node.attrs["axis"], writer.graph.tensors[node.inputs[0]].shape
    firsts, rows = node.attrs["firsts"], node.attrs["weights"]
    matrix = np.zeros((shape[axis], len(rows)), np.float32)
    for column, (first, row) in enumerate(zip(firsts, rows, strict=True)):
        matrix[first : first + len(row), column] = row
    perm = [i for i in range(len(shape)) if i != axis] + [axis]
    operands = (writer.add("Transpose", inputs, writer.fresh(f"{output}_turned"), perm=perm),
                writer.constant(f"{output}_weights", matrix))  # fmt: skip
    result = writer.add("MatMul", operands, writer.fresh(f"{output}_product"))
    if not all(rows):
        value = operator("ResizeWeighted").attr(node, "value")
        values = np.array([0.0 if row else value for row in rows], np.float32)
        result = writer.add("Add", (result, writer.constant(f"{output}_values", values)), writer.fresh(f"{output}_sum"))
    writer.add("Transpose", (result,), output, node.name, perm=[int(i) for i in np.argsort(perm)])


@exports("GridSample")
def _grid_sample(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    rule = operator("GridSample")
    mode, is_volume = rule.attr(node, "mode"), len(writer.graph.tensors[node.inputs[0]].shape) > 4
    _needs(writer, node, 20 if is_volume else 16)
    if writer.opset < 20:
        mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    padding, align = rule.attr(node, "padding_mode"), int(rule.attr(node, "align_corners"))
    writer.add("GridSample", inputs, output, node.name, mode=mode, padding_mode=padding, align_corners=align)


@exports("AffineGrid")
def _affine_grid(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _needs(writer, node, 20)
    shape = (writer.graph.tensors[node.inputs[0]].shape[0], 1, *node.attrs["sizes"])
    size = writer.constant(f"{output}_size", np.array(shape, np.int64))
    align = int(operator("AffineGrid").attr(node, "align_corners"))
    writer.add("AffineGrid", (inputs[0], size), output, node.name, align_corners=align)


@exports("RoiAlign")
def _roi_align(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _needs(writer, node, 16)
    rule, (height, width) = operator("RoiAlign"), node.attrs["size"]
    writer.add(
        "RoiAlign", inputs, output, node.name, output_height=int(height), output_width=int(width),
        spatial_scale=float(rule.attr(node, "scale")), sampling_ratio=int(rule.attr(node, "samples")),
        mode="max" if rule.attr(node, "largest") else "avg",
        coordinate_transformation_mode="half_pixel" if rule.attr(node, "half_pixel") else "output_half_pixel",
    )  # fmt: skip


@exports("MaxRoiPool")
def _max_roi_pool(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    size, scale = [int(n) for n in node.attrs["size"]], float(operator("MaxRoiPool").attr(node, "scale"))
    writer.add("MaxRoiPool", inputs, output, node.name, pooled_shape=size, spatial_scale=scale)


@exports("DeformConv")
def _deform_conv(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _needs(writer, node, 19)
    writer.add("DeformConv", inputs, output, node.name, **_window(node, "group", "offset_group"))


@exports("NonMaxSuppression")
def _non_max_suppression(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    rule = operator("NonMaxSuppression")
    numbers = {"most": np.array([node.attrs["most"]], np.int64)}
    numbers["iou"] = np.array([rule.attr(node, "iou_threshold")], np.float32)
    if rule.attr(node, "score_threshold") is not None:
        numbers["score"] = np.array([rule.attr(node, "score_threshold")], np.float32)
    constants = [writer.constant(f"{output}_{what}", number) for what, number in numbers.items()]
    centred = int(rule.attr(node, "centred"))
    writer.add("NonMaxSuppression", (*inputs, *constants), output, node.name, center_point_box=centred)


@exports("NonZero")
def _nonzero(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    writer.add("NonZero", inputs, output, node.name)
