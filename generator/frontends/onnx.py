"""ONNX in, Graph out: `load_onnx`. This folder is all that knows protobuf.

Shapes become static here (`pins` for dynamic dimensions; a leading batch dimension becomes 1), every node whose
inputs are constants disappears, and everything that is not supported is reported at once.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner

from edgewright.errors import ModelError
from edgewright.frontends.onnx_bind import Bindings, bind_inputs, empty_inputs
from edgewright.frontends.onnx_graph import MALFORMED, GraphImporter, Ways, first_line
from edgewright.frontends.onnx_scope import opsets_of
from edgewright.frontends.onnx_shapes import pinned_model, to_check
from edgewright.frontends.onnx_versions import known_opset
from edgewright.ir import Graph


@dataclass(frozen=True, eq=False)
class Model:
    """A network as imported: the graph to compile and the serialized original to compare with."""

    name: str
    graph: Graph
    operators: Mapping[str, int]  # how often each ONNX operator occurs
    serialized: bytes  # the ONNX model, self-contained, its inputs' shapes pinned
    sha256: str  # of the file as given, or with its external data
    dynamic_batch: bool = False  # the leading dimension of every input was open, and is 1 here
    ways: Ways = field(default_factory=dict)  # how the nodes of each operator came in


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
    has_external = b"location" in raw  # the key that names a file; then what is hashed holds that file's content
    try:
        # external data is looked up beside the model; onnx refuses paths that leave that folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            onnx.load_external_data_for_model(proto, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"'{path}': its external data cannot be read: {first_line(error)}") from error
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True) if has_external else raw).hexdigest()
    del raw  # large networks are large
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
    for value in proto.graph.input:
        for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
            if dim.HasField("dim_value") and dim.dim_value < 0:  # how some exporters write an open dimension
                dim.ClearField("dim_value")
    return proto


def import_onnx(
    proto: onnx.ModelProto, name: str, sha256: str, pins: Mapping[str, Sequence[int]], where: str = "the model"
) -> Model:
    """Import a parsed model; see `load_onnx`."""
    try:
        return _import(proto, name, sha256, pins, where)
    except MALFORMED as error:  # names that are not text, types that do not exist: what damaged files hold
        raise ModelError(f"'{where}' is damaged: {type(error).__name__}: {first_line(error)}") from error


def _import(proto: onnx.ModelProto, name: str, sha256: str, pins: Mapping[str, Sequence[int]], where: str) -> Model:
    proto, opset = known_opset(proto, where)
    if proto.functions:
        try:
            proto = onnx.inliner.inline_local_functions(proto)
        except (onnx.checker.ValidationError, RuntimeError) as error:
            raise ModelError(f"'{where}': its functions cannot be expanded: {first_line(error)}") from error
    known = all(node.op_type in _all_ops() and node.domain in ("", "ai.onnx") for node in proto.graph.node)
    if known:
        try:
            onnx.checker.check_model(to_check(proto))
        except (onnx.checker.ValidationError, ValueError) as error:
            raise ModelError(f"'{where}' is not a legal ONNX model: {first_line(error)}") from error
    empty = empty_inputs(proto, pins)
    proto, pins = bind_inputs(proto, empty), {name: pin for name, pin in pins.items() if name not in empty}
    pinned = pinned_model(proto, pins)
    importer = GraphImporter(proto, pinned, name, {**opsets_of(proto.opset_import), "": opset}, pins)
    graph = importer.run()
    operators = Counter(str(node.op_type) for node in proto.graph.node)
    return Model(name, graph, operators, pinned.whole, sha256, not pins and importer.has_dynamic_batch(), importer.ways)


@cache
def _all_ops() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas())
