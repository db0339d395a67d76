"""When which bytes of a root are needed: rectangles of bytes and steps, and their sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgewright.ir import Array
from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.storage import Program

START, END, FIRST, LAST = range(4)  # columns of a rectangle: bytes [start, end), steps [first, last]

Rectangles = Array  # [n, 4] int64
_Event = tuple[int, int, int, int]  # step, 0 read or 1 write, first byte, the byte behind


def rectangles(program: Program) -> dict[str, Rectangles]:
    """Return for each root in the arena what of it is live when: from a write to the last read before the next write.

    Graph inputs in the arena are written at step -1, graph outputs read behind the last step.
    """
    events: dict[str, list[_Event]] = defaultdict(list)

    def note(step: int, kind: int, names: Iterable[str]) -> None:
        for name in names:
            place = program.place(name) if name else None
            if place is not None:
                events[place[0]].append((step, kind, *place[1:]))

    note(-1, 1, program.inputs)
    for step, work in enumerate(program.work):
        note(step, 0, dict.fromkeys(work.node.inputs))
        note(step, 1, work.node.outputs)
    note(len(program.work), 0, program.outputs)
    return {root: _rectangles(found) for root, found in events.items()}


def _rectangles(events: Sequence[_Event]) -> Rectangles:
    edges = sorted({edge for event in events for edge in event[2:]})
    index = {edge: number for number, edge in enumerate(edges)}
    spans: list[list[tuple[int, int]]] = [[] for _ in edges[1:]]
    begun: list[int | None] = [None] * len(spans)
    ended = [0] * len(spans)
    for step, kind, start, end in events:
        for piece in range(index[start], index[end]):
            if kind == 1:
                if begun[piece] is not None:
                    spans[piece].append((begun[piece], ended[piece]))  # type: ignore[arg-type]
                begun[piece], ended[piece] = step, step
            else:
                if begun[piece] is None:
                    begun[piece] = step
                ended[piece] = step
    result: list[list[int]] = []
    open_: dict[tuple[int, int], list[int]] = {}
    for piece, found in enumerate(spans):
        if begun[piece] is not None:
            found.append((begun[piece], ended[piece]))  # type: ignore[arg-type]
        still: dict[tuple[int, int], list[int]] = {}
        for span in found:
            row = open_.get(span)
            if row is None:
                row = [edges[piece], edges[piece + 1], *span]
                result.append(row)
            row[END] = edges[piece + 1]
            still[span] = row
        open_ = still
    return np.array(result, np.int64).reshape(-1, 4)


def lifetimes(found: Mapping[str, Rectangles], root_bytes: Mapping[str, int]) -> tuple[Lifetime, ...]:
    """Return a lifetime for each root: from its first byte's first step to its last one's last."""
    pieces = [
        Lifetime(root, root_bytes[root], int(rows[:, FIRST].min()), int(rows[:, LAST].max()))
        for root, rows in found.items()
    ]
    return tuple(sorted(pieces, key=lambda piece: (piece.first, piece.root)))
