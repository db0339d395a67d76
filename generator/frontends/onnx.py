"""ONNX in, Graph out: the only module that knows protobuf.

Shapes become static here (`pins` for dynamic dimensions; a leading batch dimension becomes 1), every node whose
inputs are constants disappears, and everything that is not supported is reported at once.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import onnx.checker
import onnx.inliner
import onnx.numpy_helper
import onnx.reference

from edgewright.errors import EdgewrightError, ModelError, ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Editor, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops import ONNX_IMPORTERS, operator

OLDEST_OPSET = 7
MAX_FOLDED_BYTES = 1 << 28  # a constant computed at import is refused beyond this
_NEVER_FOLDED = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial",
                           "Bernoulli", "If", "Loop", "Scan", "Dropout"})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Model:
    """A network as imported: the graph to compile and the serialized original to compare with."""

    name: str
    graph: Graph
    serialized: bytes  # the ONNX model, self-contained, its inputs' shapes pinned
    sha256: str  # of the file as given


def load_onnx(path: Path, pins: Mapping[str, Sequence[int]] | None = None) -> Model:
    """Import an ONNX file.

    Shapes: `pins` gives an input's whole shape by its name.
    Raises: ModelError for a file that cannot be read, UnsupportedError, ShapeError.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {error.strerror}") from error
    proto = _parse(path, raw)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        # external data is looked up beside the model; onnx refuses paths that leave that folder
        onnx.load_external_data_for_model(proto, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise ModelError(f"'{path}': its external data cannot be read: {_first_line(error)}") from error
    return import_onnx(proto, path.stem, digest, pins or {}, where=str(path))


def _parse(path: Path, raw: bytes) -> onnx.ModelProto:
    try:
        proto = onnx.load_model_from_string(raw)
    except Exception as error:  # protobuf's DecodeError has no common public name across its versions
        if type(error).__name__ not in ("DecodeError", "Error"):
            raise
        raise ModelError(f"'{path}' is not an ONNX model, or is truncated ({len(raw):,} bytes)") from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"'{path}' is not an ONNX model: it holds no nodes or names no operator set")
    return proto


def import_onnx(
    proto: onnx.ModelProto, name: str, sha256: str, pins: Mapping[str, Sequence[int]], where: str = "the model"
) -> Model:
    """Import a parsed model; see `load_onnx`."""
    opset = _opset(proto, where)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    known = all(node.op_type in _all_ops() and node.domain in ("", "ai.onnx") for node in proto.graph.node)
    if known:
        try:
            onnx.checker.check_model(proto)
        except (onnx.checker.ValidationError, ValueError) as error:
            raise ModelError(f"'{where}' is not a legal ONNX model: {_first_line(error)}") from error
    importer = _Importer(proto, name, opset, pins)
    graph = importer.run()
    pinned = onnx.ModelProto()
    pinned.CopyFrom(proto)
    for value in pinned.graph.input:
        if value.name in graph.inputs:
            _set_shape(value, graph.tensors[value.name].shape)
    return Model(name, graph, pinned.SerializeToString(deterministic=True), sha256)


def _opset(proto: onnx.ModelProto, where: str) -> int:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise UnsupportedError(
            f"'{where}' uses operator set {opset}; supported are {OLDEST_OPSET} to {newest}. "
            "Convert it with onnx.version_converter."
        )
    return int(opset)


def _all_ops() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas())


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _set_shape(value: onnx.ValueInfoProto, shape: Shape) -> None:
    del value.type.tensor_type.shape.dim[:]
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


class _Importer:
    """Walks an ONNX graph and builds ours."""

    def __init__(self, proto: onnx.ModelProto, name: str, opset: int, pins: Mapping[str, Sequence[int]]) -> None:
        self.proto = proto
        self.opset = opset
        self.editor = Editor(Graph(name, (), {}, (), ()))
        self.names: dict[str, str] = {}  # an ONNX value -> our tensor
        self.unknown: set[str] = set()  # ONNX values after a refused node
        self.problems: list[str] = []
        self.used = {name for node in proto.graph.node for name in node.input} | {o.name for o in proto.graph.output}
        self._add_initializers()
        self._add_inputs(pins)

    def _add_initializers(self) -> None:
        for initializer in self.proto.graph.initializer:
            self._constant(initializer.name, onnx.numpy_helper.to_array(initializer))
        for sparse in self.proto.graph.sparse_initializer:
            self.problems.append(f"sparse initializer '{sparse.values.name}'")
            self.unknown.add(sparse.values.name)

    def _constant(self, value: str, array: Array) -> None:
        if array.dtype.name not in {d.value for d in DType}:
            self.problems.append(f"constant '{value}' of type {array.dtype.name}")
            self.unknown.add(value)
            return
        self.names[value] = self.editor.add_constant(value, array)

    def _add_inputs(self, pins: Mapping[str, Sequence[int]]) -> None:
        inputs = [value for value in self.proto.graph.input if value.name not in self.names]
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
            kind = onnx.TensorProto.DataType.Name(tensor_type.elem_type)
            raise UnsupportedError(f"input '{value.name}' has elements of type {kind}, which is not supported")
        shape = _pinned_shape(value, pin)
        self.names[value.name] = self.editor.add_tensor(value.name, TensorType(shape, dtype))

    def run(self) -> Graph:
        """Import every node; everything that is in the way is in one UnsupportedError."""
        for index, node in enumerate(self.proto.graph.node):
            self._node(node, node.name or f"{node.op_type}_{index}")
        if self.problems:
            raise UnsupportedError("not supported:\n  " + "\n  ".join(self.problems))
        outputs = []
        for value in self.proto.graph.output:
            if value.name not in self.names:
                raise ModelError(f"no node makes the model's output '{value.name}'")
            outputs.append(self.names[value.name])
        self.editor.outputs = tuple(outputs)
        return self.editor.graph()

    def _node(self, proto: onnx.NodeProto, name: str) -> None:
        importer = ONNX_IMPORTERS.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
        label = f"{proto.op_type} '{name}'"
        try:
            if any(value in self.unknown for value in proto.input):
                if importer is None and not self._foldable_operator(proto):
                    self.problems.append(self._no_such_operator(proto, label))
                self.unknown.update(proto.output)
                return
            missing = [value for value in proto.input if value and value not in self.names]
            if missing:
                raise ModelError(f"{label} reads '{missing[0]}', which nothing makes")
            if self._fold(proto):
                return
            if importer is None:
                self.problems.append(self._no_such_operator(proto, label))
                self.unknown.update(proto.output)
                return
            importer(_Foreign(self, proto, name))
        except UnsupportedError as error:
            text = str(error)
            self.problems.append(text if text.startswith(proto.op_type) else f"{label}: {text}")
            self.unknown.update(proto.output)
        except EdgewrightError as error:
            text = str(error)
            raise type(error)(text if name in text else f"{label}: {text}") from error

    @staticmethod
    def _no_such_operator(proto: onnx.NodeProto, label: str) -> str:
        return f"{label}: operator {proto.domain + '.' if proto.domain else ''}{proto.op_type}"

    def _foldable_operator(self, proto: onnx.NodeProto) -> bool:
        return proto.domain in ("", "ai.onnx") and proto.op_type in ("Shape", "Size", "Constant", "ConstantOfShape")

    def _fold(self, proto: onnx.NodeProto) -> bool:
        """Compute a node whose inputs are all known now; Shape and Size need only their input's type."""
        if proto.domain not in ("", "ai.onnx") or proto.op_type in _NEVER_FOLDED:
            return False
        tensors = [self.editor.tensors[self.names[value]] for value in proto.input if value]
        if proto.op_type in ("Shape", "Size"):
            attrs = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
            shape = tensors[0].shape
            whole = np.array(shape[attrs.get("start", 0) : attrs.get("end")], np.int64)
            self._constant(proto.output[0], whole if proto.op_type == "Shape" else np.array(tensors[0].elements))
            return True
        if any(tensor.data is None for tensor in tensors):
            return False
        _check_folded_size(proto, tensors)
        model = onnx.helper.make_model(
            onnx.helper.make_graph(
                [proto], "fold",
                [onnx.helper.make_tensor_value_info(v, onnx.helper.np_dtype_to_tensor_dtype(t.dtype.numpy), t.shape)
                 for v, t in zip([v for v in proto.input if v], tensors, strict=True)],
                [onnx.helper.make_empty_tensor_value_info(v) for v in proto.output if v],
            ),
            opset_imports=[onnx.helper.make_opsetid("", self.opset)],
        )  # fmt: skip
        feeds = {v: t.data for v, t in zip([v for v in proto.input if v], tensors, strict=True)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's, of overflows in constants nobody may read
                results = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise ModelError(f"its constant inputs cannot be evaluated: {_first_line(error)}") from error
        for value, array in zip([v for v in proto.output if v], results, strict=True):
            if not isinstance(array, np.ndarray | np.generic):
                raise UnsupportedError("it makes a value that is not a tensor")
            self._constant(value, np.asarray(array))
        return True


def _check_folded_size(proto: onnx.NodeProto, tensors: Sequence[Tensor]) -> None:
    """Refuse, before anything is allocated, the operators whose output is as large as a number says."""
    if proto.op_type in ("ConstantOfShape", "Expand", "Tile"):
        sizes = [int(v) for v in np.asarray(tensors[-1].data).reshape(-1)]
        elements = 1 if proto.op_type == "ConstantOfShape" else tensors[0].elements
        for size in sizes:
            elements *= max(size, 1)
        if elements * 8 > MAX_FOLDED_BYTES:
            raise UnsupportedError(f"it makes a constant of {elements:,} elements")


def _dtype(elem_type: int) -> DType | None:
    try:
        return DType(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, ValueError, TypeError):
        return None


def _pinned_shape(value: onnx.ValueInfoProto, pin: Sequence[int] | None) -> Shape:
    tensor_type = value.type.tensor_type
    name = value.name
    if not tensor_type.HasField("shape"):
        if pin is None:
            raise ShapeError(f"input '{name}' declares no shape: pin it with --input {name}=DIMS")
        return tuple(int(d) for d in pin)
    dims: list[int | str] = [
        d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in tensor_type.shape.dim
    ]
    if pin is not None:
        if len(pin) != len(dims):
            raise ShapeError(f"--input {name} has {len(pin)} dimensions; the model's '{name}' has {len(dims)}")
        for wanted, declared in zip(pin, dims, strict=True):
            if isinstance(declared, int) and declared != wanted:
                raise ShapeError(
                    f"--input {name}={','.join(map(str, pin))} does not fit the model's {_spell(dims)}: "
                    "only dynamic dimensions can be pinned"
                )
        dims = [int(d) for d in pin]
    elif dims and isinstance(dims[0], str):
        dims[0] = 1  # the batch
    unpinned = [str(d) for d in dims if isinstance(d, str)]
    if unpinned:
        example = ",".join("1" if i == 0 else str(d) for i, d in enumerate(dims))
        raise ShapeError(
            f"input '{name}' has {len(unpinned)} dynamic dimension{'s' if len(unpinned) > 1 else ''} "
            f"({', '.join(unpinned)}): pin it, for example --input {name}={example} with numbers in their place"
        )
    sizes = tuple(int(d) for d in dims)
    if any(size < 1 for size in sizes):
        raise ShapeError(f"input '{name}' of shape {list(sizes)} has no elements")
    return sizes


def _spell(dims: Sequence[int | str]) -> str:
    return "[" + ",".join(str(d) for d in dims) + "]"


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
        if self.op_type == "Cast" and attribute.name == "to":
            return _dtype(value) or f"type number {value}"
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    def has(self, index: int) -> bool:
        return index < len(self._proto.input) and bool(self._proto.input[index])

    def tensor(self, index: int) -> Tensor:
        if not self.has(index):
            raise ShapeError(f"input number {index} is missing")
        return self._importer.editor.tensors[self._importer.names[self._proto.input[index]]]

    def constant(self, index: int, what: str) -> Array:
        tensor = self.tensor(index)
        if tensor.data is None:
            self.unsupported(f"its '{what}' is computed at run time; it has to be a constant")
        return tensor.data

    def add_constant(self, hint: str, data: Array) -> str:
        return self._importer.editor.add_constant(hint, data)

    def emit(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        editor = self._importer.editor
        rule = operator(op)
        suffix = f".{self._emitted}" if self._emitted else ""
        self._emitted += 1
        node = Node(op, self.name + suffix, tuple(inputs), ("",), attrs)
        tensors = [editor.tensors[name] if name else None for name in inputs]
        first = next((t for t in tensors if t is not None), None)
        if first is not None and first.dtype not in rule.dtypes:
            self.unsupported(f"{self.op_type} on {first.dtype.value}")
        (result,) = rule.infer(node, tensors)
        hint = f"{self.name}.{op}" if final is None else self._proto.output[final]
        output = editor.add_tensor(hint, result)
        editor.nodes.append(replace(node, outputs=(output,)))
        if final is not None:
            self._importer.names[self._proto.output[final]] = output
        return output

    def type_of(self, name: str) -> TensorType:
        return self._importer.editor.tensors[name].type

    def output_is_used(self, index: int) -> bool:
        return index < len(self._proto.output) and self._proto.output[index] in self._importer.used

    def unsupported(self, reason: str) -> NoReturn:
        raise UnsupportedError(reason)
