"""Which operator set a model is in; an older one is read as the oldest known, where it means the same.

ONNX's own converter is not used: that of onnx 1.23 loses the axis of Add in operator set 6, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.defs
import onnx.helper

from edgewright.errors import UnsupportedError

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")

# What operators of operator set 6 have that they have not in 7: an attribute, its default, and the values with which
# they mean what they do in 7. Broadcasting without an axis aligns the last axes, as numpy does.
_BROADCAST: Mapping[str, tuple[int, frozenset[int]]] = {"broadcast": (0, frozenset({0, 1}))}
_INFERENCE: Mapping[str, tuple[int, frozenset[int]]] = {"is_test": (0, frozenset({1}))}
_DROPPED: Mapping[str, Mapping[str, tuple[int, frozenset[int]]]] = {
    "Add": _BROADCAST, "Sub": _BROADCAST, "Mul": _BROADCAST, "Div": _BROADCAST, "Pow": _BROADCAST, "Gemm": _BROADCAST,
    "BatchNormalization": _INFERENCE, "Dropout": _INFERENCE, "AveragePool": {},
}  # fmt: skip


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
        return _read_as_oldest(proto, opset, where), OLDEST_OPSET
    raise UnsupportedError(
        f"'{where}' uses operator set {opset}; supported are {OLDEST_OPSET} to {newest}, and older ones where they "
        "mean the same. Export it with one of these."
    )


def _read_as_oldest(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    different = sorted({str(node.op_type) for node in copy.graph.node if not _means_the_same(node, opset)})
    if different:
        raise UnsupportedError(
            f"'{where}' uses operator set {opset}, in which {', '.join(different)} may mean something else than in "
            f"{OLDEST_OPSET}, the oldest that is supported. Export it with a newer one."
        )
    for node in copy.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name not in _DROPPED.get(node.op_type, {})]
        del node.attribute[:]
        node.attribute.extend(kept)
    for entry in copy.opset_import:
        if entry.domain in _STANDARD:
            entry.version = OLDEST_OPSET
    return copy


def _means_the_same(node: onnx.NodeProto, opset: int) -> bool:
    """Whether ONNX defines the operator alike in both operator sets, and it holds no graph of its own."""
    if node.domain not in _STANDARD or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        return False
    try:
        old, new = (onnx.defs.get_schema(node.op_type, version) for version in (opset, OLDEST_OPSET))
    except onnx.defs.SchemaError:
        return False
    if old.since_version == new.since_version:
        return True
    if opset != OLDEST_OPSET - 1 or node.op_type not in _DROPPED:
        return False
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    dropped = _DROPPED[node.op_type]
    return all(name in dropped or name in new.attributes for name in attributes) and all(
        attributes.get(name, default) in allowed for name, (default, allowed) in dropped.items()
    )
