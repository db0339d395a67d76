"""Walks an ONNX graph and builds ours: each node by its importer, by ONNX's evaluator, or by its own definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgewright.errors import EdgewrightError, ModelError, NeedsConstantError, ShapeError, UnsupportedError
from edgewright.frontends.onnx_control import CONTROL_FLOW
from edgewright.frontends.onnx_elements import dtype_of, type_name
from edgewright.frontends.onnx_folding import FOLDED_BY_ONNX, evaluate_node
from edgewright.frontends.onnx_foreign import Foreign
from edgewright.frontends.onnx_functions import definition, has_definition, type_proto
from edgewright.frontends.onnx_scope import Scope, Value, live, own_domain, reads
from edgewright.frontends.onnx_sequences import SEQUENCES, resolve
from edgewright.frontends.onnx_shapes import Serialized, pinned_shape
from edgewright.frontends.onnx_types import NARROW_FLOATS, narrow_types, rename
from edgewright.ir import Array, DType, Editor, Graph, Node, Tensor, TensorType
from edgewright.ops import ONNX_IMPORTERS, REFUSED
from edgewright.ops.core import Importer

MALFORMED = (ValueError, TypeError, OverflowError, ZeroDivisionError, IndexError, KeyError)

# How a node came in: by its importer, by the standard's definition of its operator, as the branches or the repetitions
# of its graphs, computed at once; or not at all, itself or because of what it reads.
WAYS = ("native", "expanded", "unrolled", "folded", "refused", "behind")
Ways = Mapping[str, Mapping[str, int]]  # an operator -> how often each

# What has to be constant of operators that are computed at import or not at all.
_OPERANDS = {"ConstantOfShape": ("input",), "Range": ("start", "limit", "delta")}


def first_line(error: BaseException) -> str:
    """Return what an exception of a library says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__


@dataclass(frozen=True, eq=False)
class Body:
    """A graph inside a node: what of it is needed, and its constants."""

    graph: onnx.GraphProto
    nodes: Sequence[onnx.NodeProto]
    used: frozenset[str]
    constants: Mapping[str, str]


class GraphImporter:
    """Imports one model. `visited` counts nodes of definitions and bodies."""

    def __init__(
        self, proto: onnx.ModelProto, serialized: Serialized, name: str, opsets: Mapping[str, int],
        pins: Mapping[str, Sequence[int]],
    ) -> None:  # fmt: skip
        self.proto = proto
        self._serialized = serialized
        self.editor = Editor(Graph(name, (), {}, (), ()))
        used = {value.name for value in proto.graph.output}.union(*map(reads, proto.graph.node))
        self.scope = Scope(opsets, used)
        self.capped: set[str] = set()  # tensors whose size only the device knows
        self.problems: list[str] = []
        self.ways: dict[str, Counter[str]] = {}
        self.visited = 0
        self._unknown: set[str] = set()  # values after a refused node
        self._needed: set[str] = set()  # inputs that would have to be constants
        self._add_initializers()
        self._add_inputs(pins)

    def _add_initializers(self) -> None:
        for initializer in self.proto.graph.initializer:
            try:
                self._initializer(self.scope, initializer, self._serialized)
            except UnsupportedError as error:
                self.problems.append(str(error))
                self._unknown.add(initializer.name)
        for sparse in self.proto.graph.sparse_initializer:
            self.problems.append(f"sparse initializer '{sparse.values.name}'")
            self._unknown.add(sparse.values.name)

    def _initializer(
        self, scope: Scope, initializer: onnx.TensorProto, serialized: Serialized | None = None
    ) -> str:
        try:
            shared = None if serialized is None else serialized.array(initializer)
            array = onnx.numpy_helper.to_array(initializer) if shared is None else shared
        except MALFORMED as error:
            raise ModelError(f"initializer '{initializer.name}' is damaged: {first_line(error)}") from error
        return self.constant(scope, initializer.name, array, copy=shared is None)

    def constant(self, scope: Scope, value: str, array: Array, copy: bool = True) -> str:
        """Make a value a constant; returns its tensor. Raises: UnsupportedError for its element type."""
        if array.dtype.name not in {d.value for d in DType}:
            raise UnsupportedError(f"constant '{value}' of type {array.dtype.name}")
        name = self.editor.add_constant(scope.prefix + value, array, copy)
        scope.values[value] = name
        return name

    def _add_inputs(self, pins: Mapping[str, Sequence[int]]) -> None:
        inputs = [value for value in self.proto.graph.input if not self.scope.has(value.name)]
        if not self.proto.graph.output:
            raise UnsupportedError("a model without outputs has nothing to run")
        unknown_pins = set(pins) - {value.name for value in inputs}
        if unknown_pins:
            raise ShapeError(
                f"--input names {', '.join(sorted(unknown_pins))}; the model's inputs are "
                f"{', '.join(value.name for value in inputs) or 'none'}"
            )
        errors = []
        names: list[str] = []
        for value in inputs:
            try:
                names.append(self._add_input(value, pins.get(value.name)))
            except EdgewrightError as error:
                errors.append(str(error))
        if errors:
            raise ShapeError("\n".join(errors))
        self.editor.inputs = tuple(names)

    def _add_input(self, value: onnx.ValueInfoProto, pin: Sequence[int] | None) -> str:
        if not value.type.HasField("tensor_type"):
            raise UnsupportedError(f"input '{value.name}' is not a tensor")
        tensor_type = value.type.tensor_type
        dtype = dtype_of(tensor_type.elem_type)
        if dtype is None:
            kind = type_name(tensor_type.elem_type)
            raise UnsupportedError(f"input '{value.name}' has elements of type {kind}, which is not supported")
        name = self.editor.add_tensor(value.name, TensorType(pinned_shape(value, pin), dtype))
        self.scope.values[value.name] = name
        return name

    def has_dynamic_batch(self) -> bool:
        """Whether the leading dimension of every input is open in the file."""
        inputs = (v for v in self.proto.graph.input if self.scope.values[v.name] in self.editor.inputs)
        shapes = [value.type.tensor_type.shape.dim for value in inputs]
        return bool(shapes) and all(len(dims) > 0 and not dims[0].HasField("dim_value") for dims in shapes)

    def run(self) -> Graph:
        """Import every node; everything that is in the way is in one UnsupportedError."""
        for index, node in enumerate(self.proto.graph.node):
            way = self._model_node(node, node.name or f"{node.op_type}_{index}")
            self.ways.setdefault(str(node.op_type), Counter())[way] += 1
        if not self.problems:
            self._set_outputs()
        if self.problems:
            text = "not supported:\n  " + "\n  ".join(self.problems)
            if self._needed:
                raise NeedsConstantError(text, frozenset(self._needed), self.ways)
            raise UnsupportedError(text, self.ways)
        return self.editor.graph()

    def _set_outputs(self) -> None:
        outputs: list[str] = []
        renamed: dict[str, str] = {}  # several values can be one tensor
        for info in self.proto.graph.output:
            if not self.scope.has(info.name):
                raise ModelError(f"no node makes the model's output '{info.name}'")
            name = self.scope.find(info.name)
            if not isinstance(name, str):
                self.problems.append(f"the model's output '{info.name}' is a sequence or an optional, not a tensor")
                continue
            name = renamed.get(name, name)
            if name in outputs and name in self.capped:
                self.problems.append(f"'{info.name}' is listed twice, and only the device knows its size")
            if name in outputs or name in self.editor.inputs or self.editor.tensors[name].data is not None:
                name = self._copied(name)
            elif name != info.name and info.name not in self.editor.tensors:
                renamed[name] = self._renamed(name, info.name)
                name = info.name
            outputs.append(name)
        self.editor.outputs = tuple(outputs)

    def _copied(self, name: str) -> str:
        """An output that is an input, a constant or another output has a buffer of its own: it is copied."""
        tensor = self.editor.tensors[name]
        copy = self.editor.add_tensor(f"{name}.out", tensor.type)
        self.editor.nodes.append(Node("Reshape", copy, (name,), (copy,), {"shape": tensor.shape}))
        return copy

    def _renamed(self, old: str, new: str) -> str:
        """An output that was made inside a definition or a body has the model's own name for it."""
        self.editor.tensors[new] = replace(self.editor.tensors.pop(old), name=new)
        self.editor.redirect(old, new)
        self.editor.nodes = [
            replace(node, outputs=tuple(new if name == old else name for name in node.outputs))
            if old in node.outputs
            else node
            for node in self.editor.nodes
        ]
        return new

    def need(self, tensor: str) -> None:
        """Remember the model's inputs on whose elements a tensor depends: constants in their place would help."""
        wanted = {tensor}
        for node in reversed(self.editor.nodes):
            if any(name in wanted for name in node.outputs):
                wanted.update(node.inputs)
        self._needed |= wanted.intersection(self.editor.inputs)

    def _model_node(self, proto: onnx.NodeProto, name: str) -> str:
        if reads(proto) & self._unknown:
            self._unknown.update(proto.output)
            if _is_known(proto, self.scope):
                return "behind"
            self.problems.append(f"{proto.op_type} '{name}': {_no_such_operator(proto)}")
            return "refused"
        try:
            return self._node(self.scope, proto, name)
        except UnsupportedError as error:
            self.problems.append(str(error))
            self._unknown.update(proto.output)
            return "refused"

    def _node(self, scope: Scope, proto: onnx.NodeProto, name: str) -> str:
        """Import one node. Raises: EdgewrightError, which names it."""
        label = f"{proto.op_type} '{name}'"
        try:
            missing = [value for value in proto.input if value and not scope.has(value)]
            if missing:
                raise ModelError(f"{label} reads '{missing[0]}', which nothing makes")
            mark = len(self.editor.nodes)
            way = self._convert(scope, proto, name)
            return way if len(self.editor.nodes) > mark else "folded"
        except MALFORMED as error:
            raise ModelError(f"{label} is malformed: {first_line(error)}") from error
        except MemoryError as error:
            raise UnsupportedError(f"{label}: its result does not fit in this computer's memory") from error
        except UnsupportedError as error:
            text = str(error)
            raise UnsupportedError(text if text.startswith(f"{proto.op_type} '") else f"{label}: {text}") from error
        except EdgewrightError as error:
            text = str(error)
            raise type(error)(text if name in text else f"{label}: {text}") from error

    def _convert(self, scope: Scope, proto: onnx.NodeProto, name: str) -> str:
        foreign = Foreign(self, scope, proto, name)
        operator = str(proto.op_type)
        unsized = [value for value in sorted(reads(proto)) if scope.has(value) and scope.find(value) in self.capped]
        if unsized:
            raise UnsupportedError(f"it reads '{unsized[0]}', whose size only the device knows")
        if own_domain(proto.domain) == "":
            if operator in CONTROL_FLOW:
                CONTROL_FLOW[operator](self, scope, proto, foreign)
                return "unrolled"
            if resolve(foreign):
                return "unrolled"
        mark, needed = self.editor.mark(), set(self._needed)
        try:
            return self._by_importer(scope, proto, foreign)
        except UnsupportedError as error:
            if operator in REFUSED or operator in _OPERANDS or self._is_foldable(scope, proto):
                raise
            needed_for_importer, self._needed = self._needed, needed
            self.editor.back_to(mark)
            try:
                expanded = self._by_definition(scope, proto, name)
            except EdgewrightError as inner:
                self._needed |= needed_for_importer
                if _key(proto) in ONNX_IMPORTERS:
                    raise error from inner
                raise type(inner)(f"in its definition, {inner}") from inner
            if not expanded:
                self._needed |= needed_for_importer
                raise
            return "expanded"

    def _by_importer(self, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> str:
        """Import a node as the section of its operator says, or compute it at once if its inputs are known now."""
        standard, operator = own_domain(proto.domain) == "", str(proto.op_type)
        tensors = [foreign.tensor(index) for index in range(foreign.n_inputs) if foreign.has(index)]
        if standard and operator in ("Shape", "Size"):
            self._shape_or_size(scope, foreign, tensors[0])
            return "folded"
        by_onnx = self._is_foldable(scope, proto)
        importer = ONNX_IMPORTERS.get(_key(proto))
        if importer is not None:
            operands = tensors if standard else tensors[:1]  # those of other domains have no schema here
            is_narrow = any(tensor.dtype in NARROW_FLOATS for tensor in operands)
            mark = self.editor.mark()
            try:
                importer(foreign)
                return "native"
            except (UnsupportedError, ShapeError) as error:
                if is_narrow and not by_onnx:
                    self.editor.back_to(mark)
                    self._by_widening(scope, proto, foreign.name, importer)
                    return "native"
                if not by_onnx or not isinstance(error, UnsupportedError):
                    raise
        if by_onnx:  # integers, mostly
            for value, array in evaluate_node(proto, tensors, foreign.opset).items():
                self.constant(scope, value, array)
            return "folded"
        if standard:
            for index, what in enumerate(_OPERANDS.get(operator, ())):
                foreign.constant(index, what)
        raise UnsupportedError(_no_such_operator(proto))

    def _by_widening(self, scope: Scope, proto: onnx.NodeProto, name: str, importer: Importer) -> None:
        """Import a node that has no kernel for float16 or bfloat16: it computes in float32 and is rounded once."""
        narrow = narrow_types(proto, scope.opset(proto.domain), [self._dtype_of(scope, value) for value in proto.input])
        inner = Scope(scope.opsets, scope.used, scope.prefix, scope)
        for value in dict.fromkeys(proto.input):
            tensor = scope.find(value) if value else None
            if isinstance(tensor, str) and self.editor.tensors[tensor].dtype in NARROW_FLOATS:
                wide = Foreign(self, scope, proto, f"{name}/{value}").emit("Cast", [tensor], to="float32")
                inner.values[value] = wide
        first = len(self.editor.nodes)
        importer(Foreign(self, inner, proto, name))
        for index, value in enumerate(proto.output):
            made, dtype = inner.values.get(value), narrow.get(index)
            if dtype is not None and isinstance(made, str) and self.editor.tensors[made].dtype is DType.F32:
                wide = rename(self.editor, made, f"{value}.float32", first)
                Foreign(self, scope, proto, f"{name}/{value}").emit("Cast", [wide], final=index, to=dtype.value)
            elif value in inner.values:
                scope.values[value] = made

    def _dtype_of(self, scope: Scope, value: str) -> DType | None:
        tensor = scope.find(value) if value else None
        return self.editor.tensors[tensor].dtype if isinstance(tensor, str) else None

    def _is_foldable(self, scope: Scope, proto: onnx.NodeProto) -> bool:
        """Whether ONNX's evaluator may compute the node now."""
        values = [scope.find(value) for value in proto.input if value]
        known = all(isinstance(value, str) and self.editor.tensors[value].data is not None for value in values)
        return known and own_domain(proto.domain) == "" and proto.op_type in FOLDED_BY_ONNX

    def _shape_or_size(self, scope: Scope, foreign: Foreign, tensor: Tensor) -> None:
        whole = np.array(tensor.shape[foreign.attrs.get("start", 0) : foreign.attrs.get("end")], np.int64)
        values = whole if foreign.op_type == "Shape" else np.array(tensor.elements)
        foreign.give(0, self.editor.add_constant(f"{foreign.name}/{foreign.op_type}", values))

    def _by_definition(self, scope: Scope, proto: onnx.NodeProto, name: str) -> bool:
        """Import the nodes that the standard defines an operator by; False where it does not."""
        types = [self._type_of(scope.find(value) if value else None) for value in proto.input]
        function = definition(proto, scope.opset(proto.domain), types)
        if function is None:
            return False
        formal = zip(function.output, proto.output, strict=False)
        outputs = [(inside, outside) for inside, outside in formal if outside in scope.used]
        nodes, used = live(function.nodes, [inside for inside, _ in outputs])
        values = {
            inside: scope.find(value) for inside, value in zip(function.input, proto.input, strict=False) if value
        }
        inner = Scope(function.opsets, used, f"{name}/", None, values)
        self._import(inner, nodes)
        scope.values.update((outside, inner.find(inside)) for inside, outside in outputs)
        return True

    def _type_of(self, value: Value) -> onnx.TypeProto:
        if isinstance(value, str):
            return type_proto(self.editor.tensors[value].type)
        of = self._type_of(value[0]) if value else onnx.TypeProto()
        return onnx.helper.make_sequence_type_proto(of) if isinstance(value, tuple) else of

    def _import(self, scope: Scope, nodes: Iterable[onnx.NodeProto]) -> None:
        for index, node in enumerate(nodes):
            self.visited += 1
            self._node(scope, node, scope.prefix + (node.name or f"{node.op_type}_{index}"))

    def body(self, scope: Scope, graph: onnx.GraphProto) -> Body:
        """Prepare a graph inside a node of `scope`, to be imported once or more."""
        nodes, used = live(graph.node, [value.name for value in graph.output])
        if graph.sparse_initializer:
            raise UnsupportedError(f"sparse initializer '{graph.sparse_initializer[0].values.name}'")
        own = Scope(scope.opsets, used, scope.prefix)
        constants = {value.name: self._initializer(own, value) for value in graph.initializer if value.name in used}
        return Body(graph, nodes, frozenset(used), constants)

    def run_body(self, scope: Scope, body: Body, prefix: str, values: Mapping[str, Value]) -> list[Value]:
        """Import a graph inside a node of `scope`; `values` are its inputs. Returns its outputs."""
        self.visited += 1
        inner = Scope(scope.opsets, body.used, prefix, scope, {**body.constants, **values})
        self._import(inner, body.nodes)
        missing = [value.name for value in body.graph.output if not inner.has(value.name)]
        if missing:
            raise ModelError(f"no node makes the output '{missing[0]}' of its graph")
        return [inner.find(value.name) for value in body.graph.output]


def _key(proto: onnx.NodeProto) -> str:
    domain = own_domain(proto.domain)
    return f"{domain}.{proto.op_type}" if domain else str(proto.op_type)


def _is_known(proto: onnx.NodeProto, scope: Scope) -> bool:
    """Whether there is some way in for the operator, for some operands."""
    if _key(proto) in ONNX_IMPORTERS:
        return True
    if own_domain(proto.domain) == "" and proto.op_type in {
        *FOLDED_BY_ONNX, *CONTROL_FLOW, *SEQUENCES, "Shape", "Size",
    }:  # fmt: skip
        return True
    return proto.op_type not in REFUSED and has_definition(proto, scope.opset(proto.domain))


def _no_such_operator(proto: onnx.NodeProto) -> str:
    domain = own_domain(proto.domain)
    name = f"{domain}.{proto.op_type}" if domain else proto.op_type
    return REFUSED.get(name) or f"operator {name}"
