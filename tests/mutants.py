"""Damaged and hostile model files, from a seed: what a stranger might hand to the importer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import onnx
from onnx import AttributeProto, TensorProto

HOSTILE_NAMES = (
    '*/ system("x"); /*', "*/", "/*", "//", "\\", '"', "'", "\n#include </etc/passwd>", "??/", "%s%n", "../../x", "int",
    "main", "static", "_", "", " ", "a" * 5000, "ünïcödé", "\u202e", "x;y", "$(touch x)", "`touch x`", "-o",
    "{{ 7 * 7 }}", "{% raw %}", "EW_OK", "memcpy", "__attribute__", "0", "x\0y", "\r", "\t", "NULL",
)  # fmt: skip
HOSTILE_SIZES = (0, -1, -(2**63), 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 1, 65536, 10**6)
HOSTILE_PATHS = ("../../etc/passwd", "/etc/passwd", "..", ".", "", "a/../../x", "\\\\host\\x", "x\0", "weights.bin")
Rng = random.Random
Change = Callable[[onnx.ModelProto, Rng], None]


def _node(model: onnx.ModelProto, rng: Rng) -> onnx.NodeProto:
    return rng.choice(model.graph.node)


def _rename_value(model: onnx.ModelProto, rng: Rng) -> None:
    """Everywhere, so that the graph stays whole."""
    graph = model.graph
    names = sorted({n for node in graph.node for n in (*node.input, *node.output) if n})
    old, new = rng.choice(names), rng.choice(HOSTILE_NAMES)
    for node in graph.node:
        for names_of in (node.input, node.output):
            for i, name in enumerate(names_of):
                if name == old:
                    names_of[i] = new
    for thing in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        if thing.name == old:
            thing.name = new


def _rename_thing(model: onnx.ModelProto, rng: Rng) -> None:
    graph = model.graph
    thing = rng.choice([_node(model, rng), graph, *graph.input, *graph.output, *graph.initializer])
    thing.name = rng.choice(HOSTILE_NAMES)


def _make_cycle(model: onnx.ModelProto, rng: Rng) -> None:
    node, other = _node(model, rng), _node(model, rng)
    if node.input and other.output:
        node.input[rng.randrange(len(node.input))] = rng.choice(other.output)


def _rewire(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    values = [n for each in model.graph.node for n in (*each.input, *each.output)]
    side = rng.choice([s for s in (node.input, node.output) if s] or [node.input])
    if side:
        side[rng.randrange(len(side))] = rng.choice([*values, "", "nothing makes this"])


def _resize_io(model: onnx.ModelProto, rng: Rng) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    if dims and rng.random() < 0.8:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(HOSTILE_SIZES)
    else:
        dims.add().dim_value = rng.choice(HOSTILE_SIZES)


def _retype_io(model: onnx.ModelProto, rng: Rng) -> None:
    rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = rng.randrange(-1, 30)


def _damage_tensor(model: onnx.ModelProto, rng: Rng) -> None:
    tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if a.HasField("t"))]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    kind = rng.randrange(5)
    if kind == 0:
        tensor.dims[:] = [*tensor.dims[1:], rng.choice(HOSTILE_SIZES)]
    elif kind == 1:
        tensor.data_type = rng.randrange(0, 30)
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif kind == 3:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice(HOSTILE_PATHS))
        if rng.random() < 0.5:
            tensor.external_data.add(key=rng.choice(("offset", "length")), value=str(rng.choice(HOSTILE_SIZES)))
    else:
        tensor.float_data.extend([float("nan"), float("inf"), 1e38])


def _change_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _node(model, rng)
    if not node.attribute:
        node.attribute.append(onnx.helper.make_attribute("axis", rng.choice(HOSTILE_SIZES)))
        return
    attribute = rng.choice(node.attribute)
    kind = rng.randrange(5)
    if kind == 0:
        attribute.i = rng.choice(HOSTILE_SIZES)
    elif kind == 1 and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(HOSTILE_SIZES)
    elif kind == 2:
        attribute.type = rng.choice(list(AttributeProto.AttributeType.values()))
    elif kind == 3:
        attribute.f, attribute.s = rng.choice([float("nan"), float("inf"), -1e38]), rng.choice(HOSTILE_NAMES).encode()
    else:
        del attribute.ints[: rng.randrange(1, 3)]


def _change_operator(model: onnx.ModelProto, rng: Rng) -> None:
    operators = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    _node(model, rng).op_type = rng.choice([*operators, *HOSTILE_NAMES])


def _change_list(model: onnx.ModelProto, rng: Rng) -> None:
    lists = [model.graph.node, model.graph.initializer, model.graph.input, model.graph.output, model.opset_import]
    items = rng.choice([items for items in lists if items])
    if rng.random() < 0.5:
        del items[rng.randrange(len(items))]
    else:
        items.append(items[rng.randrange(len(items))])


def _change_opset(model: onnx.ModelProto, rng: Rng) -> None:
    if model.opset_import:
        rng.choice(model.opset_import).version = rng.choice((*HOSTILE_SIZES, *range(5, 30)))


def _swap_nodes(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _nest(model: onnx.ModelProto, rng: Rng) -> None:
    """The graph as the body of one of its nodes."""
    node = _node(model, rng)
    body = onnx.GraphProto()
    body.CopyFrom(model.graph)
    node.attribute.append(onnx.helper.make_attribute(rng.choice(("body", "then_branch", "else_branch")), body))
    node.op_type = rng.choice(("Loop", "Scan", "If", node.op_type))


CHANGES: Sequence[Change] = (
    _rename_value, _rename_thing, _make_cycle, _rewire, _resize_io, _retype_io, _damage_tensor, _change_attribute,
    _change_operator, _change_list, _change_opset, _swap_nodes, _nest,
)  # fmt: skip


def _damaged_bytes(whole: bytes, other: bytes, rng: Rng) -> bytes:
    raw = bytearray(whole)
    kind = rng.randrange(6)
    if not raw:
        return b""
    if kind == 0:  # a transfer that broke off
        return bytes(raw[: rng.randrange(len(raw))])
    if kind == 1:  # two files mixed
        return bytes(raw[: rng.randrange(len(raw))]) + other[rng.randrange(len(other)) :]
    at = rng.randrange(len(raw))
    if kind == 2:
        raw[at:at] = rng.randbytes(rng.randrange(1, 20))
    elif kind == 3:
        del raw[at : at + rng.randrange(1, 20)]
    else:
        for _ in range(rng.choice((1, 1, 2, 8))):
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def mutant(models: Sequence[bytes], seed: int) -> bytes:
    """Return a model file with something wrong in it: the same for the same seed."""
    rng = Rng(seed)
    whole = rng.choice(models)
    if rng.random() < 0.35:
        return _damaged_bytes(whole, rng.choice(models), rng)
    model = onnx.load_model_from_string(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            rng.choice(CHANGES)(model, rng)
        except (ValueError, TypeError, IndexError):  # a change that this model, or protobuf, has no room for
            continue
    return model.SerializeToString()
