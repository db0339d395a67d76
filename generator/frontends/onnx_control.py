"""Control flow, resolved at import: If takes a branch or selects between both, Loop and Scan are unrolled.

Graphs inside a node have no effects, so that what a device would have skipped may be computed and then left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgewright.errors import ModelError, ShapeError, UnsupportedError
from edgewright.frontends.onnx_elements import dtype_of
from edgewright.frontends.onnx_foreign import Foreign
from edgewright.frontends.onnx_scope import Scope, Value
from edgewright.ops.core import normalize_axis

if TYPE_CHECKING:
    from edgewright.frontends.onnx_graph import Body, GraphImporter

MAX_UNROLLED_NODES = 4096  # of one Loop or Scan, each repetition of its body counted as a node, too


def _if(importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> None:
    condition = foreign.tensor(0)
    if condition.elements != 1:
        raise ShapeError(f"its condition has shape {list(condition.shape)}, not one element")
    graphs = {name: _graph(proto, name) for name in ("then_branch", "else_branch")}
    if condition.data is not None:
        name = "then_branch" if condition.data.item() else "else_branch"
        _give(foreign, importer.run_body(scope, importer.body(scope, graphs[name]), f"{foreign.name}/", {}))
        return
    try:
        results = [
            importer.run_body(scope, importer.body(scope, graph), f"{foreign.name}/{name}/", {})
            for name, graph in graphs.items()
        ]
        scalar = _scalar(foreign, condition.name)
        _give(foreign, [_selected(foreign, scalar, *pair) for pair in zip(*results, strict=True)])
    except UnsupportedError as error:
        importer.need(condition.name)
        raise UnsupportedError(f"its condition is computed at run time, and so are both branches: {error}") from error


def _loop(importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> None:
    limit = int(foreign.constant(0, "M").item()) if foreign.has(0) else None
    active: str | None = None  # the tensor that says whether this repetition counts, where that is known at run time
    if foreign.has(1):
        condition = foreign.tensor(1)
        if condition.data is None:
            active = _scalar(foreign, condition.name)
        elif not condition.data.item():
            limit = 0
    body = importer.body(scope, _graph(proto, "body"))
    formal = [value.name for value in body.graph.input]
    carried = [foreign.value(index) for index in range(2, foreign.n_inputs)]
    if len(formal) != 2 + len(carried) or len(body.graph.output) < 1 + len(carried):
        raise ModelError(f"its body has {len(formal)} inputs and {len(body.graph.output)} outputs")
    scans: list[list[Value]] = [[] for _ in body.graph.output[1 + len(carried) :]]
    always = foreign.add_constant(f"{foreign.name}/condition", np.array(True))
    start, done = importer.visited, 0
    while limit is None or done < limit:
        if active is not None and (limit is None or scans):
            importer.need(active)
            what = "it has no trip count" if limit is None else "its outputs of all repetitions depend on it"
            foreign.unsupported(f"its condition is computed at run time, and {what}")
        _check_unrolled(importer, foreign, start, done)
        number = foreign.add_constant(f"{foreign.name}/{done}", np.array(done, np.int64))
        given = dict(zip(formal, [number, always, *carried], strict=True))
        goes_on, *made = importer.run_body(scope, body, f"{foreign.name}/{done}/", given)
        done += 1
        after = made[: len(carried)]
        if active is not None:
            after = [_selected(foreign, active, new, old) for new, old in zip(after, carried, strict=True)]
        carried = after
        for parts, part in zip(scans, made[len(carried) :], strict=True):
            parts.append(part)
        condition = importer.editor.tensors[_tensor(foreign, goes_on)]
        if condition.data is None:
            now = _scalar(foreign, condition.name)
            active = now if active is None else foreign.emit("And", [active, now])
        elif not condition.data.item():
            break
    stacked = [
        _stacked(importer, scope, foreign, parts, body, 1 + len(carried) + i, 0) for i, parts in enumerate(scans)
    ]
    _give(foreign, [*carried, *stacked])


def _scan(importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> None:
    """Scan-9 and later."""
    values = [foreign.tensor(index).name for index in range(foreign.n_inputs)]
    n_scanned = int(foreign.attrs["num_scan_inputs"])
    n_states = len(values) - n_scanned
    body = importer.body(scope, _graph(proto, "body"))
    n_outputs = len(body.graph.output) - n_states
    if n_states < 0 or n_scanned < 1 or n_outputs < 0 or len(body.graph.input) != len(values):
        raise ModelError(f"its body has {len(body.graph.input)} inputs and {len(body.graph.output)} outputs")

    def each(name: str, count: int) -> list[int]:
        numbers = [int(number) for number in foreign.attrs.get(name) or [0] * count]
        if len(numbers) != count:
            raise ModelError(f"{name} has {len(numbers)} numbers for {count} tensors")
        return numbers

    axes = [
        normalize_axis(axis, len(foreign.type_of(value).shape), "scan_input_axes")
        for axis, value in zip(each("scan_input_axes", n_scanned), values[n_states:], strict=True)
    ]
    backwards = each("scan_input_directions", n_scanned)
    inputs = list(zip(values[n_states:], axes, backwards, strict=True))
    states, scans = _scanned(importer, scope, foreign, body, values[:n_states], inputs)
    results = [
        _stacked(importer, scope, foreign, parts[::-1] if is_reversed else parts, body, n_states + i, axis)
        for i, (parts, axis, is_reversed) in enumerate(
            zip(scans, each("scan_output_axes", n_outputs), each("scan_output_directions", n_outputs), strict=True)
        )
    ]
    _give(foreign, [*states, *results])


def _scan_8(importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> None:
    """Scan-8: all tensors have a batch as their first axis, and a sequence as the second."""
    values = [foreign.tensor(index).name for index in range(1, foreign.n_inputs)]
    n_scanned = int(foreign.attrs["num_scan_inputs"])
    n_states = len(values) - n_scanned
    if n_states < 0 or n_scanned < 1:
        raise ModelError(f"it has {len(values)} inputs, {n_scanned} of them scanned")
    batch, length = foreign.type_of(values[n_states]).shape[:2]
    if foreign.has(0) and not (foreign.constant(0, "sequence_lens") == length).all():
        foreign.unsupported(f"its sequences are not all {length} long")
    body = importer.body(scope, _graph(proto, "body"))
    backwards = foreign.attrs.get("directions") or [0] * n_scanned
    whole: list[list[Value]] = [[] for _ in body.graph.output]
    for sample in range(batch):
        own = [_part(foreign, value, 0, sample) for value in values]
        inputs = [(value, 0, int(way)) for value, way in zip(own[n_states:], backwards, strict=True)]
        states, scans = _scanned(importer, scope, foreign, body, own[:n_states], inputs)
        stacked = [_stacked(importer, scope, foreign, parts, body, n_states + i, 0) for i, parts in enumerate(scans)]
        for parts, value in zip(whole, [*states, *stacked], strict=True):
            parts.append(value)
    _give(foreign, [_stacked(importer, scope, foreign, parts, body, i, 0) for i, parts in enumerate(whole)])


def _scanned(
    importer: GraphImporter, scope: Scope, foreign: Foreign, body: Body, states: Sequence[Value],
    inputs: Sequence[tuple[str, int, int]],
) -> tuple[list[Value], list[list[Value]]]:  # fmt: skip
    """Unroll a body over inputs, each with its axis and whether it is read backwards.

    Returns the states after the last repetition, and what each repetition made beside them.
    """
    lengths = {foreign.type_of(value).shape[axis] for value, axis, _ in inputs}
    if len(lengths) > 1:
        raise ShapeError(f"the inputs that it scans have lengths of {sorted(lengths)}")
    formal = [value.name for value in body.graph.input]
    (length,), start, current = lengths, importer.visited, list(states)
    scans: list[list[Value]] = [[] for _ in body.graph.output[len(states) :]]
    for done in range(length):
        _check_unrolled(importer, foreign, start, done)
        parts = [_part(foreign, value, axis, length - 1 - done if way else done) for value, axis, way in inputs]
        given: dict[str, Value] = dict(zip(formal, [*current, *parts], strict=True))
        made = importer.run_body(scope, body, f"{foreign.name}/{done}/", given)
        current = made[: len(states)]
        for own, value in zip(scans, made[len(states) :], strict=True):
            own.append(value)
    return current, scans


def _check_unrolled(importer: GraphImporter, foreign: Foreign, start: int, done: int) -> None:
    if importer.visited - start >= MAX_UNROLLED_NODES:
        foreign.unsupported(f"{done} repetitions have {MAX_UNROLLED_NODES:,} nodes, more of them are not unrolled")


def _graph(proto: onnx.NodeProto, name: str) -> onnx.GraphProto:
    for attribute in proto.attribute:
        if attribute.name == name and attribute.type == attribute.GRAPH:
            return attribute.g
    raise ModelError(f"its graph '{name}' is missing")


def _give(foreign: Foreign, values: Sequence[Value]) -> None:
    if len(values) < foreign.n_outputs:
        raise ModelError(f"it has {foreign.n_outputs} outputs, its graph makes {len(values)}")
    for index, value in enumerate(values):
        foreign.give(index, value)


def _tensor(foreign: Foreign, value: Value) -> str:
    if not isinstance(value, str):
        foreign.unsupported("a sequence or an optional in the place of a tensor")
    return value


def _scalar(foreign: Foreign, condition: str) -> str:
    """A condition of one element, as a scalar."""
    return foreign.emit("Reshape", [condition], shape=()) if foreign.type_of(condition).shape else condition


def _selected(foreign: Foreign, condition: str, x: Value, y: Value) -> Value:
    """Select at run time between two values that are alike."""
    if x == y:
        return x
    if not isinstance(x, str) or not isinstance(y, str):
        foreign.unsupported("a sequence or an optional that depends on it")
    types = foreign.type_of(x), foreign.type_of(y)
    if types[0] != types[1]:
        shown = " and ".join(f"{type_.dtype.value} {list(type_.shape)}" for type_ in types)
        foreign.unsupported(f"a result that depends on it is {shown}")
    return foreign.emit("Where", [condition, x, y])


def _part(foreign: Foreign, value: str, axis: int, index: int) -> str:
    """One element along an axis, which goes."""
    shape = foreign.type_of(value).shape
    starts, sizes = [0] * len(shape), list(shape)
    starts[axis], sizes[axis] = index, 1
    part = foreign.emit("Slice", [value], starts=tuple(starts), steps=(1,) * len(shape), sizes=tuple(sizes))
    return foreign.emit("Reshape", [part], shape=(*shape[:axis], *shape[axis + 1 :]))


def _stacked(
    importer: GraphImporter, scope: Scope, foreign: Foreign, parts: Sequence[Value], body: Body, output: int, axis: int
) -> str:
    """What the repetitions made for one of the body's outputs, along a new axis."""
    if not parts:
        return _stack_of_none(importer, foreign, body.graph.output[output], axis)
    names = [_tensor(foreign, part) for part in parts]
    shapes = {foreign.type_of(name).shape for name in names}
    if len(shapes) > 1:
        foreign.unsupported(f"repetitions make results of shapes {' and '.join(str(list(s)) for s in sorted(shapes))}")
    (shape,) = shapes
    at = normalize_axis(axis, len(shape) + 1, "scan_output_axes")
    rows = [foreign.emit("Reshape", [name], shape=(*shape[:at], 1, *shape[at:])) for name in names]
    return rows[0] if len(rows) == 1 else foreign.emit("Concat", rows, axis=at)


def _stack_of_none(importer: GraphImporter, foreign: Foreign, info: onnx.ValueInfoProto, axis: int) -> str:
    """No repetition: nothing says the shape but the body's own declaration."""
    kind = info.type.tensor_type
    dtype = dtype_of(kind.elem_type)
    dims = [int(d.dim_value) if d.HasField("dim_value") else 0 for d in kind.shape.dim]
    if dtype is None or not kind.HasField("shape"):
        foreign.unsupported(f"it has no repetitions, and its body declares no shape for '{info.name}'")
    dims.insert(normalize_axis(axis, len(dims) + 1, "scan_output_axes"), 0)
    return importer.editor.add_constant(f"{foreign.name}/{info.name}", np.zeros(dims, dtype.numpy))


def _by_opset(importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, foreign: Foreign) -> None:
    (_scan_8 if foreign.opset < 9 else _scan)(importer, scope, proto, foreign)


ControlFlow = Callable[["GraphImporter", Scope, onnx.NodeProto, Foreign], None]
CONTROL_FLOW: Mapping[str, ControlFlow] = {"If": _if, "Loop": _loop, "Scan": _by_opset}
