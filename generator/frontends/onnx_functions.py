"""What the standard defines an operator by: nodes of other operators, for the attributes and types that a node has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import onnx
import onnx.defs
import onnx.helper

from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx_scope import opsets_of, own_domain
from edgewright.ir import TensorType
from edgewright.ops.core import refuse

refuse("it draws random numbers", "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
       "RandomUniformLike")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Definition:
    """Nodes to stand for one: attributes are filled in, and inputs that it lacks are absent in them."""

    input: Sequence[str]
    output: Sequence[str]
    nodes: Sequence[onnx.NodeProto]
    opsets: Mapping[str, int]


def has_definition(proto: onnx.NodeProto, opset: int) -> bool:
    """Whether the standard defines the operator by others."""
    schema = _schema(proto, opset)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def definition(proto: onnx.NodeProto, opset: int, types: Sequence[onnx.TypeProto]) -> Definition | None:
    """Return what defines a node in an operator set of its domain, or None; `types` are those of its inputs.

    Raises: UnsupportedError where its definition cannot be made for these.
    """
    schema = _schema(proto, opset)
    if schema is None:
        return None
    raw = _function(schema, proto, opset, types)
    if not raw:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(raw)
    given = {attribute.name: attribute for attribute in proto.attribute}
    for name, declared in schema.attributes.items():
        if name not in given and declared.default_value.type != onnx.AttributeProto.UNDEFINED:
            given[name] = declared.default_value
    given = {**{attribute.name: attribute for attribute in function.attribute_proto}, **given}
    present = {name for name, value in zip(function.input, proto.input, strict=False) if value}
    absent = set(function.input) - present
    opsets = opsets_of(function.opset_import)
    opsets.setdefault("", opset if own_domain(proto.domain) == "" else onnx.defs.onnx_opset_version())
    return Definition(function.input, function.output, _filled_in(function.node, given, absent), opsets)


def _schema(proto: onnx.NodeProto, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(proto.op_type, opset, own_domain(proto.domain))
    except onnx.defs.SchemaError:
        return None


def _function(schema: onnx.defs.OpSchema, proto: onnx.NodeProto, opset: int, types: Sequence[onnx.TypeProto]) -> bytes:
    """Return the definition for the newest operator set that is not above the model's, serialized."""
    if schema.has_function:
        return bytes(schema.get_function_with_opset_version(_version(schema.function_opset_versions, opset)))
    if not schema.has_context_dependent_function:
        return b""
    version = _version(schema.context_dependent_function_opset_versions, opset)
    protos = [type_.SerializeToString() for type_ in types]
    try:
        raw = schema.get_context_dependent_function_with_opset_version(version, proto.SerializeToString(), protos)
    except (RuntimeError, ValueError, TypeError, onnx.defs.SchemaError) as error:
        raise UnsupportedError(f"its definition cannot be made: {str(error).splitlines()[0]}") from error
    return bytes(raw)


def _version(versions: Sequence[int], opset: int) -> int:
    return max((version for version in versions if version <= opset), default=min(versions))


def type_proto(type_: TensorType) -> onnx.TypeProto:
    """Return a tensor's type as ONNX has it."""
    elem_type = onnx.helper.np_dtype_to_tensor_dtype(type_.dtype.numpy)
    return onnx.helper.make_tensor_type_proto(elem_type, type_.shape)


def _filled_in(
    nodes: Iterable[onnx.NodeProto], given: Mapping[str, onnx.AttributeProto], absent: Set[str]
) -> list[onnx.NodeProto]:
    """Return copies with values for references to the definition's attributes, in inner graphs, too."""
    result = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = ["" if name in absent else name for name in node.input]
        del copy.attribute[:]
        for attribute in node.attribute:
            value = onnx.AttributeProto()
            if not attribute.ref_attr_name:
                value.CopyFrom(attribute)
            elif attribute.ref_attr_name in given:
                value.CopyFrom(given[attribute.ref_attr_name])
                value.name = attribute.name
            else:
                continue
            for graph in [value.g] if value.type == value.GRAPH else value.graphs:
                inside = _filled_in(graph.node, given, absent - {info.name for info in graph.input})
                del graph.node[:]
                graph.node.extend(inside)
            copy.attribute.append(value)
        result.append(copy)
    return result
