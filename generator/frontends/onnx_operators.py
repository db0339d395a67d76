"""How each float operator of ours is written as ONNX nodes: what ops/ imports, the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from onnx import helper
from onnx.defs import SchemaError, get_schema

from edgewright.errors import UnsupportedError
from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops import Operator
from edgewright.ops.core import FREE, describe
from edgewright.ops.recurrent import float_rule
from edgewright.ops.recurrent_activations import as_attributes


class Writer(Protocol):
    """Where the nodes go."""

    graph: Graph
    opset: int
    dynamic_batch: bool

    def fresh(self, hint: str) -> str:
        """Return an ONNX name that is not taken."""
        ...

    def constant(self, hint: str, values: Array) -> str:
        """Add an initializer; returns its name."""
        ...

    def add(self, op: str, inputs: Sequence[str], output: str, name: str = "", **attrs: Any) -> str:
        """Add a node; returns its output's name."""
        ...

    def add_all(self, op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attrs: Any) -> None:
        """Add a node with several outputs."""
        ...

    def leading(self, shape: Sequence[int]) -> list[int]:
        """Return a shape to reshape to, with the batch left open where it is."""
        ...


Exporter = Callable[[Writer, Node, Sequence[str], Sequence[str]], None]  # ONNX names of inputs and outputs
EXPORTERS: dict[str, Exporter] = {}

SingleExporter = Callable[[Writer, Node, Sequence[str], str], None]


def exports(*ops: str) -> Callable[[SingleExporter], SingleExporter]:
    """Register a function as the way out for these operators, which have one output."""

    def register(function: SingleExporter) -> SingleExporter:
        for op in ops:
            EXPORTERS[op] = lambda writer, node, inputs, outputs: function(writer, node, inputs, outputs[0])
        return function

    return register


def elem_type(dtype: DType) -> int:
    """Return ONNX's number for a type."""
    return int(helper.np_dtype_to_tensor_dtype(dtype.numpy))


def clamped(writer: Writer, node: Node, output: str, write: Callable[[str], object]) -> None:
    """Write an operator, and its fused activation behind it."""
    low, high = node.attrs.get("act_min", FREE[0]), node.attrs.get("act_max", FREE[1])
    if (low, high) == FREE:
        write(output)
        return
    inner = writer.fresh(f"{output}_unclamped")
    write(inner)
    _clamp(writer, inner, output, low, high)


def _clamp(writer: Writer, value: str, output: str, low: float, high: float, dtype: DType = DType.F32) -> None:
    """Write Relu, or Clip."""
    if (low, high) == (0.0, math.inf):
        writer.add("Relu", (value,), output)
        return
    bounds = [
        "" if math.isinf(bound) else writer.constant(f"{output}_{which}", np.array(bound, dtype.numpy))
        for which, bound in (("min", low), ("max", high))
    ]
    writer.add("Clip", (value, *bounds), output)


def _window(node: Node, *keys: str) -> dict[str, Any]:
    names = {"kernel": "kernel_shape", "group": "group", "count_include_pad": "count_include_pad"}
    return {names.get(key, key): _plain_value(node.attrs[key]) for key in keys if key in node.attrs}


def _plain_value(value: Any) -> Any:
    return [int(v) for v in value] if isinstance(value, Iterable) else int(value)


@exports("Conv", "ConvTranspose")
def _conv(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    attrs = _window(node, "kernel", "strides", "dilations", "pads", "group", "output_padding")
    clamped(writer, node, output, lambda to: writer.add(node.op, inputs, to, node.name, **attrs))


@exports("MaxPool", "AveragePool")
def _pool(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    attrs = _window(node, "kernel", "strides", "pads", "ceil_mode", "count_include_pad")
    if any(d != 1 for d in node.attrs["dilations"]):
        attrs["dilations"] = _plain_value(node.attrs["dilations"])
        if node.op == "AveragePool" and writer.opset < 19:
            raise UnsupportedError(f"{describe(node)}: dilations need ONNX operator set 19")
    clamped(writer, node, output, lambda to: writer.add(node.op, inputs, to, node.name, **attrs))


@exports("FullyConnected")
def _fully_connected(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    """Gemm for one row a sample; for more, a MatMul with the weights turned, and an Add."""

    def write(to: str) -> None:
        if is_gemm(writer.graph, node):
            writer.add("Gemm", [name for name in inputs if name], to, node.name, transB=1)
        elif len(inputs) > 2 and inputs[2]:
            product = writer.add("MatMul", inputs[:2], writer.fresh(f"{to}_product"), node.name)
            writer.add("Add", (product, inputs[2]), to)
        else:
            writer.add("MatMul", inputs[:2], to, node.name)

    clamped(writer, node, output, write)


def is_gemm(graph: Graph, node: Node) -> bool:
    """Whether a FullyConnected has one row a sample, which Gemm takes."""
    return len(graph.tensors[node.inputs[0]].shape) == 2


@exports("Add", "Sub", "Mul", "Div")
def _binary(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    clamped(writer, node, output, lambda to: writer.add(node.op, inputs, to, node.name))


@exports("MatMul", *(name for name, rule in Operator.registry.items() if rule.same_in_onnx))
def _as_it_is(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _check_opset(writer, node)
    writer.add(node.op, inputs, output, node.name, **node.attrs)


_SPELLINGS = {
    DType.F32: "float", DType.F64: "double", DType.F8E8M0: "float8e8m0", DType.F4E2M1: "float4e2m1",
}  # fmt: skip


def _check_opset(writer: Writer, node: Node) -> None:
    """Refuse an operator, or operands, newer than the operator set written. Raises: UnsupportedError."""
    try:
        schema = get_schema(node.op, writer.opset)
    except SchemaError:
        raise UnsupportedError(f"{describe(node)}: not in ONNX operator set {writer.opset}") from None
    ends = (*zip(node.inputs, schema.inputs, strict=False), *zip(node.outputs, schema.outputs, strict=False))
    for name, parameter in ends:
        dtype = writer.graph.tensors[name].dtype if name else DType.F32
        if name and f"tensor({_SPELLINGS.get(dtype, dtype.value.replace('_', ''))})" not in parameter.types:
            raise UnsupportedError(f"{describe(node)}: {dtype.value} is not in ONNX operator set {writer.opset}")


@exports("Clamp")
def _clamp_node(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    dtype = writer.graph.tensors[node.output].dtype
    _clamp(writer, inputs[0], output, node.attrs.get("min", FREE[0]), node.attrs.get("max", FREE[1]), dtype)


@exports("Softmax", "LogSoftmax", "Hardmax")
def _softmax(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    writer.add(node.op, inputs, output, node.name, axis=int(node.attrs["axis"]))


@exports(*(name for name in Operator.registry if name.startswith("Reduce")))
def _reduce(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _check_opset(writer, node)
    axes = [int(axis) for axis in node.attrs["axes"]]
    if writer.opset >= (13 if node.op == "ReduceSum" else 18):
        name = writer.constant(f"{output}_axes", np.array(axes, np.int64))
        noop = {} if axes else {"noop_with_empty_axes": 1}
        writer.add(node.op, (inputs[0], name), output, node.name, keepdims=1, **noop)
    elif axes:
        writer.add(node.op, inputs, output, node.name, axes=axes, keepdims=1)
    else:
        raise UnsupportedError(f"{describe(node)}: no axes need ONNX operator set 18")


@exports("CumSum", "CumProd")
def _cumulate(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _check_opset(writer, node)
    axis = writer.constant(f"{output}_axis", np.array(node.attrs["axis"], np.int64))
    flags = {key: int(node.attrs.get(key, 0)) for key in ("exclusive", "reverse")}
    writer.add(node.op, (inputs[0], axis), output, node.name, **flags)


@exports("Reshape")
def _reshape(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    shape = writer.constant(f"{output}_shape", np.array(writer.leading(node.attrs["shape"]), np.int64))
    writer.add("Reshape", (inputs[0], shape), output, node.name)


@exports("Transpose")
def _transpose(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    writer.add("Transpose", inputs, output, node.name, perm=[int(axis) for axis in node.attrs["perm"]])


@exports("Concat")
def _concat(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    writer.add("Concat", inputs, output, node.name, axis=int(node.attrs["axis"]))


@exports("Slice")
def _slice(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    source = writer.graph.tensors[node.inputs[0]]
    rows = []
    for axis, (start, step, size) in enumerate(
        zip(node.attrs["starts"], node.attrs["steps"], node.attrs["sizes"], strict=True)
    ):
        if (start, step, size) != (0, 1, source.shape[axis]):
            end = start + step * size
            rows.append((start, end if end >= 0 else -(2**31), axis, step))
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    names = [
        writer.constant(f"{output}_{what}", np.array(list(values), np.int64))
        for what, values in zip(("starts", "ends", "axes", "steps"), columns, strict=True)
    ]
    writer.add("Slice", (inputs[0], *names), output, node.name)


@exports("Pad")
def _pad(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    pads = writer.constant(f"{output}_pads", np.array([*node.attrs["begins"], *node.attrs["ends"]], np.int64))
    mode = node.attrs.get("mode", "constant")
    operands = [inputs[0], pads]
    if mode == "constant" and node.attrs.get("value", 0.0) != 0.0:
        dtype = writer.graph.tensors[node.inputs[0]].dtype.numpy
        operands.append(writer.constant(f"{output}_value", np.array(node.attrs["value"], dtype)))
    writer.add("Pad", operands, output, node.name, mode=mode)


_TRANSFORMATIONS = ("half_pixel", "asymmetric", "align_corners")
_ROUNDINGS = ("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")


def _coordinates(transformation: str, size: int, out: int) -> Array:
    """Where output elements lie in the input, in float32. Source: ONNX Resize-19."""
    f = np.float32
    at, scale = np.arange(out, dtype=f), f(out / size)
    if transformation == "half_pixel":
        return np.asarray((at + f(0.5)) / scale - f(0.5))
    if transformation == "asymmetric":
        return np.asarray(at / scale)
    return np.asarray(at * f(size - 1) / f(out - 1) if out > 1 else np.zeros_like(at))


def _rounded(mode: str, at: Array) -> Array:
    rules: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda v: np.ceil(v - np.float32(0.5)), "floor": np.floor, "ceil": np.ceil,
        "round_prefer_ceil": lambda v: np.floor(v + np.float32(0.5)),
    }  # fmt: skip
    return rules[mode](at)


def _resize_attributes(node: Node, shape: Sequence[int]) -> dict[str, str]:
    """Find the ONNX attributes that give a node's positions. Raises: UnsupportedError where none do."""
    axes = [
        (axis, np.array(places), shape[axis])
        for axis, places in enumerate(node.attrs["positions"]) if places is not None
    ]  # fmt: skip
    for transformation in _TRANSFORMATIONS:
        ats = [(axis, places, size, _coordinates(transformation, size, len(places))) for axis, places, size in axes]
        if node.op == "ResizeLinear":
            inside = [(axis, places, np.clip(at, 0, size - 1)) for axis, places, size, at in ats]
            if all(np.allclose(places + node.attrs["parts"][axis], at, atol=1e-5) for axis, places, at in inside):
                return {"mode": "linear", "coordinate_transformation_mode": transformation}
            continue
        for mode in _ROUNDINGS:
            if all((np.clip(_rounded(mode, at), 0, size - 1) == places).all() for _, places, size, at in ats):
                return {"mode": "nearest", "nearest_mode": mode, "coordinate_transformation_mode": transformation}
    raise UnsupportedError(f"{describe(node)}: no mode of ONNX's Resize gives its positions")


@exports("ResizeNearest", "ResizeLinear")
def _resize(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    x, y = writer.graph.tensors[node.inputs[0]].shape, writer.graph.tensors[node.output].shape
    attrs = _resize_attributes(node, x)
    if not writer.dynamic_batch:
        sizes = writer.constant(f"{output}_sizes", np.array(y, np.int64))
        writer.add("Resize", (inputs[0], "", "", sizes), output, node.name, **attrs)
        return
    scales = np.array([out / size for out, size in zip(y, x, strict=True)], np.float32)
    if any(int(float(scale) * size) != out for scale, size, out in zip(scales, x, y, strict=True)):
        raise UnsupportedError(f"{describe(node)}: no float32 scales give its sizes; pin the batch with --input")
    writer.add("Resize", (inputs[0], "", writer.constant(f"{output}_scales", scales)), output, node.name, **attrs)


def _recurrent(writer: Writer, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    a = node.attrs
    attrs: dict[str, Any] = {
        "direction": str(a["direction"]), "layout": int(a["layout"]),
        "hidden_size": int(writer.graph.tensors[node.inputs[2]].shape[-1]),
    }  # fmt: skip
    if not math.isinf(a.get("clip", math.inf)):
        attrs["clip"] = float(a["clip"])
    attrs.update({key: int(a[key]) for key in ("input_forget", "linear_before_reset") if a.get(key)})
    rule = float_rule(node.op)
    if rule.attr(node, "activations") is not None:
        attrs.update(as_attributes(rule.activations(node)))
    own = 4 + (3 if node.op == "LSTM" else 1)  # ONNX has sequence_lens before the states, and not behind them
    operands = [*inputs[:4], *(inputs[own:] or [""]), *inputs[4:own]] if len(inputs) > 4 else inputs
    writer.add_all(node.op, operands, outputs, node.name, **attrs)


EXPORTERS.update(RNN=_recurrent, LSTM=_recurrent, GRU=_recurrent)


@exports("Cast", "BitCast")
def _cast(writer: Writer, node: Node, inputs: Sequence[str], output: str) -> None:
    _check_opset(writer, node)
    extra: dict[str, Any] = {} if node.attrs.get("saturate", True) else {"saturate": 0}
    if node.attrs.get("round_mode", "up") != "up":
        extra["round_mode"] = node.attrs["round_mode"]
    writer.add(node.op, inputs, output, node.name, to=elem_type(DType(node.attrs["to"])), **extra)
