"""Graph in, ONNX out: float operators as they are, integers as QuantizeLinear and DequantizeLinear around them (QDQ).

Layout is the model's own (NCHW): graphs after `use_channels_last` have no way back. Names of inputs and outputs stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import InternalError, UnsupportedError
from edgewright.frontends import onnx_exporters as _onnx_exporters  # noqa: F401 - adds to EXPORTERS
from edgewright.frontends import onnx_image_exporters as _onnx_image_exporters  # noqa: F401 - likewise
from edgewright.frontends.onnx_operators import EXPORTERS, elem_type, is_gemm
from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops.capped import capped_axis
from edgewright.ops.core import describe
from edgewright.quantization.params import IntegerConstant, Quantization, QuantParams
from edgewright.version import VERSION

OPSET = 17  # int8: ONNX Runtime has it since 1.12
WIDE_OPSET = 21  # int16 activations and int4 weights
_IR_VERSIONS = {OPSET: 8, WIDE_OPSET: 10}
BATCH = "batch"


def export_onnx(
    graph: Graph, quantization: Quantization | None = None, *, dynamic_batch: bool = False
) -> onnx.ModelProto:
    """Return an ONNX model that computes the graph, in the integers of `quantization` where there are any.

    With `dynamic_batch`, which the caller vouches for, the leading 1 of inputs and outputs is open.
    Raises: UnsupportedError for operators that have no ONNX form.
    """
    decided = quantization or Quantization({}, {})
    wide = any(p.bits == 16 for p in decided.activations.values())
    wide = wide or any(c.params.bits == 4 for c in decided.constants.values())
    return _Writer(graph, decided, WIDE_OPSET if wide else OPSET, dynamic_batch).model()


class _Writer:
    """Collects ONNX nodes and initializers."""

    def __init__(self, graph: Graph, quantization: Quantization, opset: int, dynamic_batch: bool) -> None:
        self.graph = graph
        self.quantization = quantization
        self.opset = opset
        self.dynamic_batch = dynamic_batch
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.taken = {*graph.tensors}
        self.readable: dict[str, str] = {}  # our tensor -> the ONNX value its readers read
        self.scales: dict[tuple[Any, ...], tuple[str, str]] = {}
        self.input_types: dict[str, DType] = {}
        self.output_types: dict[str, DType] = {}

    def model(self) -> onnx.ModelProto:
        """Write everything."""
        for name in self.graph.inputs:
            self._input(name)
        for node in self.graph.nodes:
            self._node(node)
        graph = helper.make_graph(
            self.nodes, _plain(self.graph.name), [self._info(name, self.input_types) for name in self.graph.inputs],
            [self._info(name, self.output_types) for name in self.graph.outputs], self.initializers,
        )  # fmt: skip
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=_IR_VERSIONS[self.opset],
            producer_name="edgewright", producer_version=VERSION,
        )  # fmt: skip

    def _info(self, name: str, types: Mapping[str, DType]) -> onnx.ValueInfoProto:
        tensor = self.graph.tensors[name]
        shape: list[int | str] = list(tensor.shape)
        if self.dynamic_batch:
            shape[0] = BATCH
        axis = capped_axis(self.graph, name)
        if axis is not None:
            shape[axis] = f"{name}_count"
        return helper.make_tensor_value_info(name, elem_type(types.get(name, tensor.dtype)), shape)

    def fresh(self, hint: str) -> str:
        """Return an ONNX name that is not taken."""
        name, number = hint, 0
        while name in self.taken:
            number += 1
            name = f"{hint}.{number}"
        self.taken.add(name)
        return name

    def constant(self, hint: str, values: Array) -> str:
        """Add an initializer."""
        name = self.fresh(hint)
        self.initializers.append(numpy_helper.from_array(_dense(values), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, name: str = "", **attrs: Any) -> str:
        """Add an ONNX node; returns its output's name."""
        self.add_all(op, inputs, [output], name or self.fresh(f"{output}/{op}"), **attrs)
        return output

    def add_all(self, op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attrs: Any) -> None:
        """Add an ONNX node with several outputs."""
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), name=name, **attrs))

    def _params(self, params: QuantParams, hint: str) -> tuple[str, str]:
        """Return the names of a scale and a zero point, made once for each pair of values."""
        key = (params.scale.tobytes(), params.zero, params.bits)
        if params.bits == 32:
            return self.constant(f"{hint}_scale", params.scale), ""
        if key not in self.scales or params.axis is not None:
            zeros = np.full(params.scale.shape, params.zero, params.dtype.numpy)
            zero = self.fresh(f"{hint}_zero_point")
            self.initializers.append(_integer_tensor(zeros, params.bits, zero))
            self.scales[key] = (self.constant(f"{hint}_scale", params.scale.astype(np.float32)), zero)
        return self.scales[key]

    def _input(self, name: str) -> None:
        params = self.quantization.activations.get(name)
        self.readable[name] = name
        if params is None:
            return
        if self.quantization.integer_io:
            self.input_types[name] = params.dtype
            self.readable[name] = self._dequantize(name, params, name)
        else:
            self.readable[name] = self._through_integers(name, params, name)

    def _through_integers(self, value: str, params: QuantParams, hint: str, output: str | None = None) -> str:
        scale, zero = self._params(params, hint)
        integers = self.add("QuantizeLinear", (value, scale, zero), self.fresh(f"{hint}_quantized"))
        return self._dequantize(integers, params, hint, output)

    def _dequantize(self, integers: str, params: QuantParams, hint: str, output: str | None = None) -> str:
        scale, zero = self._params(params, hint)
        attrs: dict[str, Any] = {} if params.axis is None else {"axis": params.axis}
        inputs = (integers, scale) if params.bits == 32 else (integers, scale, zero)
        return self.add("DequantizeLinear", inputs, output or self.fresh(f"{hint}_dequantized"), **attrs)

    def _operand(self, name: str, axes: tuple[int | None, ...] = ()) -> str:
        """Return the ONNX value that a node reads for one of our tensors.

        `axes` lays a constant out anew: for each axis of the result, one of its own, or None for a new one of size 1.
        """
        if not name:
            return ""
        data = self.graph.constant(name)
        key = f"{name}{axes or ''}"
        if key in self.readable:
            return self.readable[key]
        if data is None:  # weights that are computed at run time
            return self.add("Transpose", (self.readable[name],), self.fresh(key), perm=[1, 0])
        integers = self.quantization.constants.get(name)
        if integers is not None:
            self.readable[key] = self._integer_constant(name, integers, axes)
        elif axes:
            self.readable[key] = self.constant(f"{name}_laid_out", _laid_out(data, axes))
        else:
            self.readable[key] = name
            self.initializers.append(numpy_helper.from_array(_dense(data), name))
        return self.readable[key]

    def _integer_constant(self, name: str, constant: IntegerConstant, axes: tuple[int | None, ...]) -> str:
        stored = self.fresh(f"{name}_quantized")
        values, params = constant.values, constant.params
        if axes:
            values = _laid_out(values, axes)
            params = params if params.axis is None else replace(params, axis=axes.index(params.axis))
        self.initializers.append(_integer_tensor(values, params.bits, stored))
        return self._dequantize(stored, params, name)

    def _layout(self, node: Node, index: int) -> tuple[int | None, ...]:
        """How a FullyConnected's weights and bias lie where it becomes MatMul and Add."""
        if node.op != "FullyConnected" or is_gemm(self.graph, node):
            return ()
        if index == 1:
            return (1, 0)
        if index == 2 and self.opset >= WIDE_OPSET:
            # ONNX Runtime 1.31 fuses MatMul and a bias of one axis in a way that its own checks then refuse
            return (*[None] * (len(self.graph.tensors[node.output].shape) - 1), 0)
        return ()

    def _node(self, node: Node) -> None:
        exporter = EXPORTERS.get(node.op)
        if exporter is None:
            raise UnsupportedError(f"{describe(node)} has no ONNX form")
        if node.attrs.get("layout") == "NHWC":
            raise InternalError(f"{describe(node)}: only the model's own layout goes back to ONNX")
        inputs = [self._operand(name, self._layout(node, index)) for index, name in enumerate(node.inputs)]
        real = [self._raw_name(name) for name in node.outputs]
        exporter(self, node, inputs, real)
        for name, raw in zip(node.outputs, real, strict=True):
            if name:
                self._output(name, raw)

    def _raw_name(self, name: str) -> str:
        """Return the ONNX name of what a node gives, before it is rounded."""
        return self.fresh(f"{name}_float") if name in self.quantization.activations else name

    def _output(self, name: str, real: str) -> None:
        """Round a node's output, `real`, where it is to be in integers."""
        params = self.quantization.activations.get(name)
        if params is None:
            self.readable[name] = name
            return
        if self.quantization.integer_io and name in self.graph.outputs:
            scale, zero = self._params(params, name)
            self.add("QuantizeLinear", (real, scale, zero), name)
            self.output_types[name] = params.dtype
            if any(name in other.inputs for other in self.graph.nodes):
                self.readable[name] = self._dequantize(name, params, name)
            return
        self.readable[name] = self._through_integers(real, params, name, output=name)

    def leading(self, shape: Sequence[int]) -> list[int]:
        """A shape to reshape to, with the batch left open where it is."""
        return [-1, *shape[1:]] if self.dynamic_batch and shape else list(shape)


def _dense(values: Array | None) -> Array:
    return np.array(values, order="C")  # np.ascontiguousarray would give a scalar an axis


def _laid_out(values: Array, axes: tuple[int | None, ...]) -> Array:
    moved = values.transpose([axis for axis in axes if axis is not None])
    sizes = iter(moved.shape)
    return moved.reshape([1 if axis is None else next(sizes) for axis in axes])


def _plain(name: str) -> str:
    return name or "model"


def _integer_tensor(values: Array, bits: int, name: str) -> onnx.TensorProto:
    if bits != 4:
        return numpy_helper.from_array(_dense(values), name)
    flat = values.reshape(-1).astype(np.int8) & 0xF
    if flat.size % 2:
        flat = np.append(flat, np.int8(0))
    packed = (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8)
    return helper.make_tensor(name, TensorProto.INT4, values.shape, packed.tobytes(), raw=True)
