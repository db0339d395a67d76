"""Checks a memory plan by replaying the program: no step may read bytes that another tensor has overwritten.

Independent of the planner: it knows nothing of lifetimes, only which step wrote each byte of the arena last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Graph, Node
from edgewright.ops.core import describe
from edgewright.plan.lifetimes import Storage
from edgewright.plan.pack import ARENA_ALIGN_BYTES


def check_plan(
    graph: Graph, nodes: Sequence[Node], storage: dict[str, Storage], offsets: dict[str, int], arena_bytes: int
) -> None:
    """Replay the program on an arena that remembers the owner of every byte.

    Raises: InternalError naming the step and the tensor that was lost.
    """
    owner = np.full(arena_bytes, -1, np.int32)
    number = {root: i for i, root in enumerate(offsets)}

    def piece(name: str) -> tuple[int, slice]:
        root = storage[name].root
        start, size = offsets[root], graph.tensors[name].size_bytes
        if start % ARENA_ALIGN_BYTES or start < 0 or start + size > arena_bytes:
            raise InternalError(f"memory plan: '{name}' at {start}, {size} bytes, is not in the arena's {arena_bytes}")
        return number[root], slice(start, start + size)

    for node in nodes:
        for name in node.outputs:
            for other in node.inputs:
                if other and storage[other] == storage[name]:
                    raise InternalError(f"memory plan: {describe(node)} writes into its own input '{other}'")
            if storage[name].kind in ("constant", "input"):
                raise InternalError(f"memory plan: {describe(node)} writes into the {storage[name].kind} '{name}'")
            if storage[name].kind == "arena":
                who, where = piece(name)
                owner[where] = who
        for name in node.inputs:
            if name and storage[name].kind == "arena":
                who, where = piece(name)
                if not (owner[where] == who).all():
                    raise InternalError(f"memory plan: {describe(node)} reads '{name}' after it was overwritten")
