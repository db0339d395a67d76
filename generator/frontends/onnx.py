"""ONNX in, Graph out: the only module that knows protobuf.

Shapes become static here (`pins` for dynamic dimensions; a leading batch dimension becomes 1), every node whose
inputs are constants disappears, and everything that is not supported is reported at once.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import onnx.checker
import onnx.inliner
import onnx.numpy_helper

from edgewright.errors import EdgewrightError, ModelError, NeedsConstantError, ShapeError, UnsupportedError
from edgewright.frontends.onnx_bind import Bindings, bind_inputs
from edgewright.frontends.onnx_folding import FOLDED_BY_ONNX, check_elements, evaluate_node
from edgewright.frontends.onnx_shapes import pinned_model, pinned_shape, with_output_shapes
from edgewright.frontends.onnx_versions import known_opset
from edgewright.ir import Array, DType, Editor, Graph, Node, Tensor, TensorType
from edgewright.ops import ONNX_IMPORTERS, REFUSED, operator
from edgewright.ops.core import Importer

_MALFORMED = (ValueError, TypeError, OverflowError, ZeroDivisionError, IndexError, KeyError)


@dataclass(frozen=True, eq=False)
class Model:
    """A network as imported: the graph to compile and the serialized original to compare with."""

    name: str
    graph: Graph
    operators: Mapping[str, int]  # how often each ONNX operator occurs
    serialized: bytes  # the ONNX model, self-contained, its inputs' shapes pinned
    sha256: str  # of the file as given, or with its external data
    dynamic_batch: bool = False  # the leading dimension of every input was open, and is 1 here


def load_onnx(path: Path, pins: Mapping[str, Sequence[int]] | None = None, bindings: Bindings | None = None) -> Model:
    """Import an ONNX file; `bindings` are values of inputs that are to be constants.

    Shapes: `pins` gives an input's whole shape by its name.
    Raises: ModelError for a file that cannot be read, UnsupportedError, ShapeError.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {error.strerror}") from error
    proto = _parse(path, raw)
    try:
        # external data is looked up beside the model; onnx refuses paths that leave that folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            onnx.load_external_data_for_model(proto, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"'{path}': its external data cannot be read: {_first_line(error)}") from error
    whole = raw if proto.ByteSize() <= len(raw) else proto.SerializeToString(deterministic=True)  # external data, too
    digest = hashlib.sha256(whole).hexdigest()
    if bindings:
        proto = bind_inputs(proto, bindings)
    return import_onnx(proto, path.stem, digest, pins or {}, where=str(path))


def decode_model(raw: bytes, complaint: str) -> onnx.ModelProto:
    """Decode a serialized model. Raises: ModelError with `complaint`."""
    try:
        return onnx.load_model_from_string(raw)
    except Exception as error:  # protobuf's DecodeError has no common public name across its versions
        if type(error).__name__ not in ("DecodeError", "Error"):
            raise
        raise ModelError(complaint) from error


def _parse(path: Path, raw: bytes) -> onnx.ModelProto:
    proto = decode_model(raw, f"'{path}' is not an ONNX model, or is truncated ({len(raw):,} bytes)")
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"'{path}' is not an ONNX model: it holds no nodes or names no operator set")
    return proto


def import_onnx(
    proto: onnx.ModelProto, name: str, sha256: str, pins: Mapping[str, Sequence[int]], where: str = "the model"
) -> Model:
    """Import a parsed model; see `load_onnx`."""
    try:
        return _import(proto, name, sha256, pins, where)
    except _MALFORMED as error:  # names that are not text, types that do not exist: what damaged files hold
        raise ModelError(f"'{where}' is damaged: {type(error).__name__}: {_first_line(error)}") from error


def _import(proto: onnx.ModelProto, name: str, sha256: str, pins: Mapping[str, Sequence[int]], where: str) -> Model:
    proto, opset = known_opset(proto, where)
    if proto.functions:
        try:
            proto = onnx.inliner.inline_local_functions(proto)
        except (onnx.checker.ValidationError, RuntimeError) as error:
            raise ModelError(f"'{where}': its functions cannot be expanded: {_first_line(error)}") from error
    known = all(node.op_type in _all_ops() and node.domain in ("", "ai.onnx") for node in proto.graph.node)
    if known:
        try:
            onnx.checker.check_model(with_output_shapes(proto))
        except (onnx.checker.ValidationError, ValueError) as error:
            raise ModelError(f"'{where}' is not a legal ONNX model: {_first_line(error)}") from error
    importer = _Importer(proto, name, opset, pins)
    graph = importer.run()
    operators = Counter(str(node.op_type) for node in proto.graph.node)
    pinned = pinned_model(proto, graph).SerializeToString(deterministic=True)
    return Model(name, graph, operators, pinned, sha256, not pins and importer.has_dynamic_batch())


@cache
def _all_ops() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas())


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__


class _Importer:
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
            except _MALFORMED as error:
                raise ModelError(f"initializer '{initializer.name}' is damaged: {_first_line(error)}") from error
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
        dtype = _dtype(tensor_type.elem_type)
        if dtype is None:
            kind = _type_name(tensor_type.elem_type)
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
        except _MALFORMED as error:
            raise ModelError(f"{label} is malformed: {_first_line(error)}") from error
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
        known = proto.domain in ("", "ai.onnx")
        reason = REFUSED.get(proto.op_type if known else f"{proto.domain}.{proto.op_type}")
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
            importer(_Foreign(self, proto, name))
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


def _dtype(elem_type: int) -> DType | None:
    try:
        return DType(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, ValueError, TypeError):
        return None


def _type_name(elem_type: int) -> str:
    known = onnx.TensorProto.DataType.values()
    return str(onnx.TensorProto.DataType.Name(elem_type)) if elem_type in known else f"type number {elem_type}"


class _Foreign:
    """An ONNX node as the importers in ops/ see it (`ForeignNode`)."""

    def __init__(self, importer: _Importer, proto: onnx.NodeProto, name: str) -> None:
        self._importer = importer
        self._proto = proto
        self.op_type = str(proto.op_type)
        self.name = name
        self.opset = importer.opset
        self.n_inputs = len(proto.input)
        self.n_outputs = len(proto.output)
        self.attrs = {a.name: self._attribute(a) for a in proto.attribute}
        self._emitted = 0

    def _attribute(self, attribute: onnx.AttributeProto) -> Any:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if attribute.name in ("to", "dtype") and isinstance(value, int):
            return _dtype(value) or _type_name(value)
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    def has(self, index: int) -> bool:
        return index < len(self._proto.input) and bool(self._proto.input[index])

    def tensor(self, index: int) -> Tensor:
        if not self.has(index):
            raise ShapeError(f"input number {index} is missing")
        return self._importer.editor.tensors[self._importer.names[self._proto.input[index]]]

    def is_four_bit(self, index: int) -> bool:
        return self.has(index) and self._proto.input[index] in self._importer.four_bit

    def constant(self, index: int, what: str) -> Array:
        tensor = self.tensor(index)
        if tensor.data is None:
            value = self._proto.input[index]
            self._importer.needed.add(value)
            hint = f": --bind {value}=VALUE makes it one" if tensor.name in self._importer.editor.inputs else ""
            self.unsupported(f"its '{what}' is computed at run time; it has to be a constant{hint}")
        return tensor.data

    def add_constant(self, hint: str, data: Array) -> str:
        return self._importer.editor.add_constant(hint, data)

    def emit(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        hint = f"{self.name}/{op}" if final is None else self._proto.output[final]
        output = self._emit(op, inputs, [hint], attrs)[0]
        if final is not None:
            self._importer.names[self._proto.output[final]] = output
        return output

    def emit_all(self, op: str, inputs: Sequence[str], **attrs: Any) -> None:
        hints = [name if name in self._importer.used else "" for name in self._proto.output]
        outputs = self._emit(op, inputs, hints, attrs)
        self._importer.names.update((hint, name) for hint, name in zip(hints, outputs, strict=False) if hint)

    def _emit(self, op: str, inputs: Sequence[str], hints: Sequence[str], attrs: Mapping[str, Any]) -> list[str]:
        """Add a node, or compute it where it reads only constants; returns its outputs, "" where there is no hint."""
        editor = self._importer.editor
        rule = operator(op)
        suffix = f".{self._emitted}" if self._emitted else ""
        self._emitted += 1
        node = Node(op, self.name + suffix, tuple(inputs), ("",), attrs)
        tensors = [editor.tensors[name] if name else None for name in inputs]
        first = next((t for t in tensors if t is not None), None)
        if first is not None and first.dtype not in rule.dtypes:
            self.unsupported(f"{self.op_type} on {first.dtype.value}")
        results = rule.infer(node, tensors)
        wanted = [*hints, *[""] * (len(results) - len(hints))]
        folds = rule.folds_at_import and all(tensor is None or tensor.data is not None for tensor in tensors)
        empty = next((result.shape for result in results if math.prod(result.shape) == 0), None)
        if empty is not None and not folds:
            self.unsupported(f"its result has shape {list(empty)}, no elements")
        if folds:
            check_elements(sum(math.prod(result.shape) for result in results))
            arrays = rule.evaluate(node, [None if tensor is None else tensor.data for tensor in tensors])
            return [hint and editor.add_constant(hint, array) for hint, array in zip(wanted, arrays, strict=True)]
        outputs = [hint and editor.add_tensor(hint, result) for hint, result in zip(wanted, results, strict=True)]
        if any(outputs):
            editor.nodes.append(replace(node, outputs=tuple(outputs)))
        return outputs

    def type_of(self, name: str) -> TensorType:
        return self._importer.editor.tensors[name].type

    def output_is_used(self, index: int) -> bool:
        name = self._proto.output[index] if index < len(self._proto.output) else ""
        return bool(name) and name in self._importer.used

    def unsupported(self, reason: str) -> NoReturn:
        raise UnsupportedError(reason)
