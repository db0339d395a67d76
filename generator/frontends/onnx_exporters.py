"""The ways out of operators that move elements by index, and of normalizations. See `onnx_operators`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx_operators import EXPORTERS, Writer, clamped, exports
from edgewright.ir import DType, Node
from edgewright.ops import operator
from edgewright.ops.core import describe
from edgewright.ops.elementwise import FLOATS

# Operators that are ONNX's own, with the attributes that are ONNX's, too.
_AS_IN_ONNX: Mapping[str, tuple[str, ...]] = {
    "Gather": ("axis",), "GatherElements": ("axis",), "GatherND": ("batch_dims",),
    "ScatterElements": ("axis", "reduction"), "ScatterND": ("reduction",),
    "ReverseSequence": ("batch_axis", "time_axis"), "LRN": ("size", "alpha", "beta", "bias"),
}  # fmt: skip


@exports(*_AS_IN_ONNX)
def _as_in_onnx(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    attrs = {key: operator(node.op).attr(node, key) for key in _AS_IN_ONNX[node.op]}
    if attrs.get("reduction") in ("max", "min") and writer.opset < 18:
        raise UnsupportedError(f"{describe(node)}: operator set {writer.opset} has no reduction '{attrs['reduction']}'")
    if node.op == "LRN" and node.attrs["axis"] != 1:
        raise UnsupportedError(f"{describe(node)}: its channels lie on axis {node.attrs['axis']}, and not on 1")
    writer.add(node.op, inputs, output, node.name, **attrs)


@exports("PlainMatMul")
def _plain_matmul(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    writer.add("MatMul", inputs, output, node.name)


@exports("PlainConv")
def _plain_conv(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    if writer.graph.tensors[node.output].dtype is DType.S32:
        raise UnsupportedError(f"{describe(node)}: ONNX has no Conv of int32")
    EXPORTERS["Conv"](writer, replace(node, op="Conv"), inputs, [output])


@exports("LpPool")
def _lp_pool(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    a = node.attrs
    if a.get("ceil_mode") or tuple(a["dilations"]) != (1, 1):
        raise UnsupportedError(
            f"{describe(node)}: operator set {writer.opset} has no dilations and no ceil_mode for it"
        )
    window = {"kernel_shape": list(a["kernel"]), "strides": list(a["strides"]), "pads": list(a["pads"])}
    clamped(writer, node, output, lambda to: writer.add("LpPool", inputs, to, node.name, p=int(a["p"]), **window))


@exports("Mod")
def _mod(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    """Before operator set 28 floats have only fmod: where its sign is not the divisor's, add the divisor."""
    fmod = int(operator("Mod").attr(node, "fmod"))
    dtype = writer.graph.tensors[node.output].dtype
    if fmod or dtype not in FLOATS or writer.opset >= 28:
        writer.add("Mod", inputs, output, node.name, fmod=fmod)
        return

    def part(op: str, *operands: str) -> str:
        return writer.add(op, operands, writer.fresh(f"{output}_{op.lower()}"))

    zero = writer.constant(f"{output}_zero", np.zeros((), dtype.numpy))
    rest = writer.add("Mod", inputs, writer.fresh(f"{output}_mod"), fmod=1)
    signs_differ = part("Xor", part("Less", rest, zero), part("Less", inputs[1], zero))
    is_wrong = part("And", signs_differ, part("Not", part("Equal", rest, zero)))
    writer.add("Where", (is_wrong, part("Add", rest, inputs[1]), rest), output, node.name)


@exports("Expand")
def _expand(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    source = writer.graph.tensors[node.inputs[0]].shape
    padded = (1,) * (len(node.attrs["shape"]) - len(source)) + source
    sizes = [1 if size == old else size for size, old in zip(node.attrs["shape"], padded, strict=True)]
    writer.add("Expand", (inputs[0], writer.constant(f"{output}_shape", np.array(sizes, np.int64))), output, node.name)


@exports("Trilu")
def _trilu(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    k = writer.constant(f"{output}_k", np.array(node.attrs.get("k", 0), np.int64))
    writer.add("Trilu", (inputs[0], k), output, node.name, upper=int(node.attrs.get("upper", True)))


@exports("OneHot")
def _one_hot(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    depth = writer.constant(f"{output}_depth", np.array(node.attrs["depth"], np.int64))
    writer.add("OneHot", (inputs[0], depth, inputs[1]), output, node.name, axis=int(node.attrs["axis"]))


def _topk(writer: Writer, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    a = node.attrs
    k = writer.constant(f"{node.output}_k", np.array([a["k"]], np.int64))
    results = [name or writer.fresh(f"{node.output}_unused") for name in (*outputs, "")[:2]]
    writer.add_all("TopK", (inputs[0], k), results, node.name, axis=int(a["axis"]), largest=int(a.get("largest", True)))


def _normalize(writer: Writer, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """By its parts: ONNX has one operator for each of its special cases."""
    kind, axes = node.attrs["kind"], [int(axis) for axis in node.attrs["axes"]]
    x, hint, ours = inputs[0], node.output, writer.graph.tensors[node.inputs[0]].dtype.numpy
    if any(outputs[1:]):
        raise UnsupportedError(f"{describe(node)}: its mean or factor is read")

    def add(op: str, *operands: str) -> str:
        return writer.add(op, operands, writer.fresh(f"{hint}_{op.lower()}"))

    def reduced(op: str, value: str) -> str:
        name = writer.fresh(f"{hint}_{op.lower()}")
        if writer.opset >= 18:
            return writer.add(op, (value, writer.constant(f"{name}_axes", np.array(axes, np.int64))), name, keepdims=1)
        return writer.add(op, (value,), name, axes=axes, keepdims=1)

    if kind in ("l1", "l2"):
        norm = reduced("ReduceL1" if kind == "l1" else "ReduceL2", x)
        least = writer.constant(f"{hint}_least", np.array(np.finfo(ours).tiny, ours))  # 0 / least is 0
        result = add("Div", x, add("Max", norm, least))
    else:
        centered = x if kind == "rms" else add("Sub", x, reduced("ReduceMean", x))
        squares = reduced("ReduceMean", add("Mul", centered, centered))
        epsilon = writer.constant(f"{hint}_epsilon", np.array(node.attrs["epsilon"], ours))
        deviation = add("Add", add("Sqrt", squares), epsilon) if kind == "deviation" else ""
        result = add("Div", centered, deviation or add("Sqrt", add("Add", squares, epsilon)))
    for op, operand in zip(("Mul", "Add"), inputs[1:], strict=False):
        result = add(op, result, operand) if operand else result
    writer.add("Identity", (result,), outputs[0], node.name)


EXPORTERS.update(TopK=_topk, Normalize=_normalize)


@exports("Spectrum")
def _spectrum(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    """DFT, or STFT where it has a step or a window."""
    rule, a = operator("Spectrum"), node.attrs
    onesided, inverse = (int(rule.attr(node, key)) for key in ("onesided", "inverse"))
    length = writer.constant(f"{output}_length", np.array(a["length"], np.int64))
    if rule.attr(node, "step"):
        step = writer.constant(f"{output}_step", np.array(a["step"], np.int64))
        window = inputs[1] if len(inputs) > 1 else ""
        writer.add("STFT", (inputs[0], step, window, length), output, node.name, onesided=onesided)
        return
    if onesided and inverse:
        raise UnsupportedError(f"{describe(node)}: operator set {writer.opset} gives no real numbers of a spectrum")
    if writer.opset >= 20:
        axis = writer.constant(f"{output}_axis", np.array(a["axis"], np.int64))
        writer.add("DFT", (inputs[0], length, axis), output, node.name, onesided=onesided, inverse=inverse)
    else:
        writer.add("DFT", (inputs[0], length), output, node.name, axis=a["axis"], onesided=onesided, inverse=inverse)


@exports("Trees", "Lookup", "Support")
def _of_another_domain(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    raise UnsupportedError(f"{describe(node)}: ONNX has it in ai.onnx.ml alone")
