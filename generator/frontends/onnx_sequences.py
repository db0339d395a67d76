"""Sequences and optionals, known at import: lists of tensors of ours, which no device ever sees as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np

from edgewright.errors import ShapeError
from edgewright.frontends.onnx_foreign import Foreign
from edgewright.frontends.onnx_scope import Value
from edgewright.ops.core import normalize_axis


def resolve(foreign: Foreign) -> bool:
    """Import a node that is about sequences or optionals; False where it is not."""
    rule = SEQUENCES.get(foreign.op_type)
    if foreign.op_type == "Identity" and foreign.has(0) and not isinstance(foreign.value(0), str):
        rule = _get_same
    if rule is not None:
        rule(foreign)
    return rule is not None


def _sequence(foreign: Foreign) -> tuple[Value, ...]:
    value = foreign.value(0)
    if not isinstance(value, tuple):
        foreign.unsupported("its input is not a sequence")
    return value


def _position(foreign: Foreign, index: int, length: int) -> int:
    """Return a position in a sequence. Raises: ShapeError where it is outside."""
    position = int(foreign.constant(index, "position").item())
    if not -length <= position < length:
        raise ShapeError(f"position {position} is outside a sequence of {length}")
    return position % length


def _construct(foreign: Foreign) -> None:
    foreign.give(0, tuple(foreign.tensor(index).name for index in range(foreign.n_inputs)))


def _empty(foreign: Foreign) -> None:
    foreign.give(0, ())


def _at(foreign: Foreign) -> None:
    values = _sequence(foreign)
    foreign.give(0, values[_position(foreign, 1, len(values))])


def _insert(foreign: Foreign) -> None:
    values = _sequence(foreign)
    at = int(foreign.constant(2, "position").item()) if foreign.has(2) else len(values)
    if not -len(values) <= at <= len(values):
        raise ShapeError(f"position {at} is outside a sequence of {len(values)}")
    at = at + len(values) if at < 0 else at
    foreign.give(0, (*values[:at], foreign.tensor(1).name, *values[at:]))


def _erase(foreign: Foreign) -> None:
    values = _sequence(foreign)
    at = _position(foreign, 1, len(values)) if foreign.has(1) else len(values) - 1
    foreign.give(0, (*values[:at], *values[at + 1 :]))


def _length(foreign: Foreign) -> None:
    foreign.give(0, foreign.add_constant(f"{foreign.name}/length", np.array(len(_sequence(foreign)), np.int64)))


def _concat(foreign: Foreign) -> None:
    parts = _sequence(foreign)
    if not parts or not all(isinstance(part, str) for part in parts):
        foreign.unsupported("its sequence holds no tensors")
    names = [cast(str, part) for part in parts]
    shape = foreign.type_of(names[0]).shape
    new_axis = bool(foreign.attrs.get("new_axis", 0))
    axis = normalize_axis(int(foreign.attrs["axis"]), len(shape) + new_axis, "ConcatFromSequence")
    if new_axis:
        names = [
            foreign.emit("Reshape", [name], shape=(*shape[:axis], 1, *shape[axis:]))
            for name in names
            if foreign.type_of(name).shape == shape
        ]
        if len(names) != len(parts):
            raise ShapeError("the tensors of its sequence have several shapes")
    filled = [name for name in names if 0 not in foreign.type_of(name).shape] or names[:1]
    foreign.emit("Concat", filled, final=0, axis=axis)


def _split(foreign: Foreign) -> None:
    x = foreign.tensor(0)
    axis = normalize_axis(int(foreign.attrs.get("axis", 0)), len(x.shape), "SplitToSequence")
    size, keeps = x.shape[axis], True
    if not foreign.has(1):
        parts, keeps = [1] * size, bool(foreign.attrs.get("keepdims", 1))
    else:
        split = foreign.constant(1, "split")
        chunk = int(split.item()) if not split.shape else 0
        if not split.shape and chunk < 1:
            raise ShapeError(f"parts of {chunk}")
        parts = [int(n) for n in split] if split.shape else [min(chunk, size - i) for i in range(0, size, chunk)]
    if sum(parts) != size or min(parts, default=0) < 0:
        raise ShapeError(f"parts of {parts} do not split a size of {size}")
    made: list[Value] = []
    start = 0
    for part in parts:
        starts, sizes = [0] * len(x.shape), list(x.shape)
        starts[axis], sizes[axis] = start, part
        start += part
        name = foreign.emit("Slice", [x.name], starts=tuple(starts), steps=(1,) * len(x.shape), sizes=tuple(sizes))
        if not keeps:
            name = foreign.emit("Reshape", [name], shape=(*x.shape[:axis], *x.shape[axis + 1 :]))
        made.append(name)
    foreign.give(0, tuple(made))


def _optional(foreign: Foreign) -> None:
    foreign.give(0, foreign.value(0) if foreign.has(0) else None)


def _has_element(foreign: Foreign) -> None:
    there = foreign.has(0) and foreign.value(0) is not None
    foreign.give(0, foreign.add_constant(f"{foreign.name}/there", np.array(there)))


def _get_same(foreign: Foreign) -> None:
    foreign.give(0, foreign.value(0))


def _get_element(foreign: Foreign) -> None:
    if foreign.value(0) is None:
        raise ShapeError("its optional is empty")
    foreign.give(0, foreign.value(0))


SEQUENCES: Mapping[str, Callable[[Foreign], None]] = {
    "SequenceConstruct": _construct, "SequenceEmpty": _empty, "SequenceAt": _at, "SequenceInsert": _insert,
    "SequenceErase": _erase, "SequenceLength": _length, "ConcatFromSequence": _concat, "SplitToSequence": _split,
    "Optional": _optional, "OptionalHasElement": _has_element, "OptionalGetElement": _get_element,
}  # fmt: skip
