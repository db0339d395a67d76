"""Which operator set a model is in; those older than the importers know are brought up to the oldest that they do."""

from __future__ import annotations

import onnx
import onnx.defs
import onnx.version_converter

from edgewright.errors import UnsupportedError

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")


def known_opset(proto: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, int]:
    """Return the model in an operator set that the importers know, and its number.

    A model that uses no operator of ONNX's own is in the newest. Raises: UnsupportedError.
    """
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    newest = onnx.defs.onnx_opset_version()
    if opset == 0 and not any(node.domain in _STANDARD for node in proto.graph.node):
        return proto, newest
    if OLDEST_OPSET <= opset <= newest:
        return proto, int(opset)
    if 1 <= opset < OLDEST_OPSET:
        return _modernized(proto, opset, where), OLDEST_OPSET
    raise UnsupportedError(
        f"'{where}' uses operator set {opset}; supported are 1 to {newest}. Convert it with onnx.version_converter."
    )


def _modernized(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    """Return a model of an old operator set in the oldest known one."""
    if all(_means_the_same(node, opset) for node in proto.graph.node):
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        for entry in copy.opset_import:
            if entry.domain in _STANDARD:
                entry.version = OLDEST_OPSET
        return copy
    try:
        return onnx.version_converter.convert_version(proto, OLDEST_OPSET)
    except RuntimeError as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(
            f"'{where}' uses operator set {opset}, and ONNX cannot convert it to {OLDEST_OPSET}: {first}"
        ) from error


def _means_the_same(node: onnx.NodeProto, opset: int) -> bool:
    """Whether ONNX defines an operator alike in both operator sets, and it holds no graph of its own."""
    if node.domain not in _STANDARD or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        return False
    try:
        old, new = (onnx.defs.get_schema(node.op_type, version) for version in (opset, OLDEST_OPSET))
    except onnx.defs.SchemaError:
        return False
    return bool(old.since_version == new.since_version)
