"""Which operator set a model is in; an older one is written as the oldest known, where its meaning is known.

ONNX's own converter is not used: that of onnx 1.23 loses the axis of Add in operator set 6, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
import onnx.defs
import onnx.helper
import onnx.shape_inference

from edgewright.errors import ModelError, UnsupportedError

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")

# What operators of operator set 6 have that they have not in 7: an attribute, its default, and the values with which
# they mean what they do in 7; None: all values that `_aligned` knows.
_Dropped = Mapping[str, tuple[int | None, frozenset[int] | None]]
_BROADCAST: _Dropped = {"broadcast": (0, frozenset({0, 1})), "axis": (None, None)}
_INFERENCE: _Dropped = {"is_test": (0, frozenset({1}))}
_BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
_DROPPED: Mapping[str, _Dropped] = {
    **dict.fromkeys(_BINARY, _BROADCAST), "Gemm": {"broadcast": (0, frozenset({0, 1}))}, "PRelu": {},
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
        return _as_oldest(proto, opset, where), OLDEST_OPSET
    raise UnsupportedError(
        f"'{where}' uses operator set {opset}; supported are {OLDEST_OPSET} to {newest}, and older ones where they "
        "mean the same. Export it with one of these."
    )


def _as_oldest(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    different = sorted({str(node.op_type) for node in proto.graph.node if not _is_known(node, opset)})
    if different:
        raise UnsupportedError(
            f"'{where}' uses operator set {opset}, in which {', '.join(different)} may mean something else than in "
            f"{OLDEST_OPSET}, the oldest that is supported. Export it with a newer one."
        )
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.node[:]
    ranks = _ranks(proto)
    for index, node in enumerate(proto.graph.node):
        copy.graph.node.extend(_aligned(node, index, ranks) if opset == OLDEST_OPSET - 1 else [node])
    for node in copy.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name not in _DROPPED.get(node.op_type, {})]
        del node.attribute[:]
        node.attribute.extend(kept)
    for entry in copy.opset_import:
        if entry.domain in _STANDARD:
            entry.version = OLDEST_OPSET
    return copy


def _is_known(node: onnx.NodeProto, opset: int) -> bool:
    """Whether a node means in both operator sets the same, or something that `_aligned` can write down.

    It must not hold a graph of its own.
    """
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
    attributes, dropped = _attributes(node), _DROPPED[node.op_type]
    return all(name in dropped or name in new.attributes for name in attributes) and all(
        allowed is None or attributes.get(name, default) in allowed for name, (default, allowed) in dropped.items()
    )


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _aligned(node: onnx.NodeProto, index: int, ranks: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    """Yield a node of operator set 6, behind one that lets numpy's broadcasting align its second operand.

    That begins at `axis` of the first operand, and at its second axis in PRelu. Source: ONNX Add-6, PRelu-6.
    """
    attributes = _attributes(node)
    axis = attributes.get("axis") if node.op_type in _BINARY and attributes.get("broadcast") else None
    if node.op_type == "PRelu":
        axis = min(1, _rank(node, 0, ranks))
    if axis is None:
        yield node
        return
    first, second = _rank(node, 0, ranks), _rank(node, 1, ranks)
    behind = first - (axis + first if axis < 0 else axis) - second
    if behind < 0 and not (node.op_type == "PRelu" and first < 2):
        raise ModelError(f"{node.op_type} '{node.name}': axis {axis} of rank {first} leaves no room for rank {second}")
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    if behind > 0:
        moved.input[1] = f"{node.input[1]}.aligned.{index}"
        axes: Sequence[int] = range(second, second + behind)
        yield onnx.helper.make_node("Unsqueeze", [node.input[1]], [moved.input[1]], moved.input[1], axes=list(axes))
    yield moved


def _rank(node: onnx.NodeProto, index: int, ranks: Mapping[str, int]) -> int:
    try:
        return ranks[node.input[index]]
    except KeyError:
        what = f"how many axes '{node.input[index]}' has is not known, and its operator set aligns others by that"
        raise UnsupportedError(f"{node.op_type} '{node.name}': {what}") from None


def _ranks(proto: onnx.ModelProto) -> dict[str, int]:
    """Return the ranks that are known of a model's values."""
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        graph = proto.graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    known = {info.name: len(info.type.tensor_type.shape.dim) for info in infos if _has_shape(info)}
    return known | {initializer.name: len(initializer.dims) for initializer in graph.initializer}


def _has_shape(info: onnx.ValueInfoProto) -> bool:
    return bool(info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape"))
