"""Walks an ONNX graph and builds ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgewright.errors import EdgewrightError, ModelError, NeedsConstantError, ShapeError, UnsupportedError
from edgewright.frontends.onnx_folding import FOLDED_BY_ONNX, evaluate_node
from edgewright.frontends.onnx_foreign import Foreign
from edgewright.frontends.onnx_shapes import pinned_shape
from edgewright.frontends.onnx_types import dtype_of, type_name
from edgewright.ir import Array, DType, Editor, Graph, Node, Tensor, TensorType
from edgewright.ops import ONNX_IMPORTERS, REFUSED
from edgewright.ops.core import Importer

MALFORMED = (ValueError, TypeError, OverflowError, ZeroDivisionError, IndexError, KeyError)


def first_line(error: BaseException) -> str:
    """Return what an exception of a library says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__


class GraphImporter:
    """Walks an ONNX graph and builds ours."""

    def __init__(self, proto: onnx.ModelProto, name: str, opset: int, pins: Mapping[str, Sequence[int]]) -> None:
        self.proto = proto
        self.opset = opset
        self.editor = Editor(Graph(name, (), {}, (), ()))
        self.names: dict[str, str] = {}  # an ONNX value -> our tensor
        self.unknown: set[str] = set()  # ONNX values after a refused node
        self.four_bit: set[str] = set()  # ONNX values of type int4 or uint4
        self.problems: list[str] = []
        self.needed: set[str] = set()  # ONNX values that would have to be constants
        self.used = {name for node in proto.graph.node for name in node.input} | {o.name for o in proto.graph.output}
        self._add_initializers()
        self._add_inputs(pins)

    def _add_initializers(self) -> None:
        for initializer in self.proto.graph.initializer:
            try:
                array = onnx.numpy_helper.to_array(initializer)
            except MALFORMED as error:
                raise ModelError(f"initializer '{initializer.name}' is damaged: {first_line(error)}") from error
            self._constant(initializer.name, array)
        for sparse in self.proto.graph.sparse_initializer:
            self.problems.append(f"sparse initializer '{sparse.values.name}'")
            self.unknown.add(sparse.values.name)

    def _constant(self, value: str, array: Array) -> None:
        if array.dtype.name in ("int4", "uint4"):  # kept as bytes; the kernels pack what fits in four bits
            self.four_bit.add(value)
            array = array.astype(np.int8 if array.dtype.name == "int4" else np.uint8)
        if array.dtype.name not in {d.value for d in DType}:
            self.problems.append(f"constant '{value}' of type {array.dtype.name}")
            self.unknown.add(value)
            return
        self.names[value] = self.editor.add_constant(value, array)

    def _add_inputs(self, pins: Mapping[str, Sequence[int]]) -> None:
        inputs = [value for value in self.proto.graph.input if value.name not in self.names]
        if not inputs or not self.proto.graph.output:
            raise UnsupportedError("a model without inputs or without outputs has nothing to run")
        unknown_pins = set(pins) - {value.name for value in inputs}
        if unknown_pins:
            raise ShapeError(
                f"--input names {', '.join(sorted(unknown_pins))}; the model's inputs are "
                f"{', '.join(value.name for value in inputs)}"
            )
        errors = []
        for value in inputs:
            try:
                self._add_input(value, pins.get(value.name))
            except EdgewrightError as error:
                errors.append(str(error))
        if errors:
            raise ShapeError("\n".join(errors))
        self.editor.inputs = tuple(self.names[value.name] for value in inputs)

    def _add_input(self, value: onnx.ValueInfoProto, pin: Sequence[int] | None) -> None:
        if not value.type.HasField("tensor_type"):
            raise UnsupportedError(f"input '{value.name}' is not a tensor")
        tensor_type = value.type.tensor_type
        dtype = dtype_of(tensor_type.elem_type)
        if dtype is None:
            kind = type_name(tensor_type.elem_type)
            raise UnsupportedError(f"input '{value.name}' has elements of type {kind}, which is not supported")
        shape = pinned_shape(value, pin)
        self.names[value.name] = self.editor.add_tensor(value.name, TensorType(shape, dtype))

    def has_dynamic_batch(self) -> bool:
        """Whether the leading dimension of every input is open in the file."""
        inputs = (v for v in self.proto.graph.input if self.names[v.name] in self.editor.inputs)
        shapes = [value.type.tensor_type.shape.dim for value in inputs]
        return all(len(dims) > 0 and not dims[0].HasField("dim_value") for dims in shapes)

    def run(self) -> Graph:
        """Import every node; everything that is in the way is in one UnsupportedError."""
        for index, node in enumerate(self.proto.graph.node):
            self._node(node, node.name or f"{node.op_type}_{index}")
        if self.problems:
            text = "not supported:\n  " + "\n  ".join(self.problems)
            raise NeedsConstantError(text, frozenset(self.needed)) if self.needed else UnsupportedError(text)
        outputs: list[str] = []
        for value in self.proto.graph.output:
            if value.name not in self.names:
                raise ModelError(f"no node makes the model's output '{value.name}'")
            name = self.names[value.name]
            if not self.editor.tensors[name].elements:
                shape = list(self.editor.tensors[name].shape)
                raise UnsupportedError(f"the model's output '{value.name}' has shape {shape}, no elements")
            if name in outputs or name in self.editor.inputs or self.editor.tensors[name].data is not None:
                name = self._copied(name)
            outputs.append(name)
        self.editor.outputs = tuple(outputs)
        return self.editor.graph()

    def _copied(self, name: str) -> str:
        """An output that is an input, a constant or another output has a buffer of its own: it is copied."""
        tensor = self.editor.tensors[name]
        copy = self.editor.add_tensor(f"{name}.out", tensor.type)
        self.editor.nodes.append(Node("Reshape", copy, (name,), (copy,), {"shape": tensor.shape}))
        return copy

    def _node(self, proto: onnx.NodeProto, name: str) -> None:
        standard = proto.domain in ("", "ai.onnx")
        importer = ONNX_IMPORTERS.get(proto.op_type if standard else f"{proto.domain}.{proto.op_type}")
        label = f"{proto.op_type} '{name}'"
        try:
            if any(value in self.unknown for value in proto.input):
                if importer is None and proto.op_type not in (*FOLDED_BY_ONNX, "Shape", "Size"):
                    self.problems.append(self._no_such_operator(proto, label))
                self.unknown.update(proto.output)
                return
            missing = [value for value in proto.input if value and value not in self.names]
            if missing:
                raise ModelError(f"{label} reads '{missing[0]}', which nothing makes")
            self._convert(proto, name, importer, label)
        except MALFORMED as error:
            raise ModelError(f"{label} is malformed: {first_line(error)}") from error
        except MemoryError as error:
            raise UnsupportedError(f"{label}: its result does not fit in this computer's memory") from error
        except UnsupportedError as error:
            text = str(error)
            self.problems.append(text if text.startswith(f"{proto.op_type} '") else f"{label}: {text}")
            self.unknown.update(proto.output)
        except EdgewrightError as error:
            text = str(error)
            raise type(error)(text if name in text else f"{label}: {text}") from error

    @staticmethod
    def _no_such_operator(proto: onnx.NodeProto, label: str) -> str:
        reason = REFUSED.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
        if reason is not None:
            return f"{label}: {reason}"
        return f"{label}: operator {proto.domain + '.' if proto.domain else ''}{proto.op_type}"

    def _convert(self, proto: onnx.NodeProto, name: str, importer: Importer | None, label: str) -> None:
        """Import one node, and compute it at once where its inputs are known now."""
        standard = proto.domain in ("", "ai.onnx")
        tensors = [self.editor.tensors[self.names[value]] for value in proto.input if value]
        if standard and proto.op_type in ("Shape", "Size"):
            self._shape_or_size(proto, tensors[0])
            return
        by_onnx = standard and proto.op_type in FOLDED_BY_ONNX and all(t.data is not None for t in tensors)
        if importer is None and not by_onnx:
            self.problems.append(self._no_such_operator(proto, label))
            self.unknown.update(proto.output)
            return
        if importer is None:
            self._fold_by_onnx(proto, tensors)
            return
        try:
            importer(Foreign(self, proto, name))
        except UnsupportedError:
            if not by_onnx:
                raise
            self._fold_by_onnx(proto, tensors)  # integers, mostly

    def _shape_or_size(self, proto: onnx.NodeProto, tensor: Tensor) -> None:
        attrs = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        whole = np.array(tensor.shape[attrs.get("start", 0) : attrs.get("end")], np.int64)
        self._constant(proto.output[0], whole if proto.op_type == "Shape" else np.array(tensor.elements))

    def _fold_by_onnx(self, proto: onnx.NodeProto, tensors: Sequence[Tensor]) -> None:
        for value, array in evaluate_node(proto, tensors, self.opset).items():
            self._constant(value, array)
