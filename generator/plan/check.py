"""Checks a memory plan by replaying the program: no step may read bytes that another tensor has overwritten.

Independent of the planner: it knows nothing of lifetimes, only what was written, and what of it is still whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.errors import InternalError
from edgewright.ir import Graph, Node
from edgewright.ops.core import describe
from edgewright.plan.lifetimes import Lifetime, Storage
from edgewright.plan.pack import ARENA_ALIGN_BYTES


def check_plan(
    graph: Graph, nodes: Sequence[Node], storage: dict[str, Storage], offsets: dict[str, int], arena_bytes: int,
    scratch: Mapping[int, Lifetime] | None = None,
) -> None:  # fmt: skip
    """Replay the program on an arena that remembers what lies in it; `scratch` is what each step may overwrite.

    Raises: InternalError naming the step and the tensor that was lost.
    """
    intact: dict[str, tuple[int, int]] = {}  # what was written and is still whole: first byte and the one behind

    def piece(name: str) -> tuple[str, int, int]:
        root = storage[name].root
        start, size = offsets[root], graph.tensors[name].size_bytes
        if start % ARENA_ALIGN_BYTES or start < 0 or start + size > arena_bytes:
            raise InternalError(f"memory plan: '{name}' at {start}, {size} bytes, is not in the arena's {arena_bytes}")
        return root, start, start + size

    for index, node in enumerate(nodes):
        free = (scratch or {}).get(index)
        if free is not None:
            start = offsets[free.root]
            if start % ARENA_ALIGN_BYTES or start < 0 or start + free.size_bytes > arena_bytes:
                raise InternalError(f"memory plan: the scratch of {describe(node)} is not in the arena")
            used = [piece(name) for name in (*node.inputs, *node.outputs) if name and storage[name].kind == "arena"]
            if any(a < start + free.size_bytes and start < b for _, a, b in used):
                raise InternalError(f"memory plan: the scratch of {describe(node)} overlaps what it reads or writes")
            intact = {r: (a, b) for r, (a, b) in intact.items() if b <= start or start + free.size_bytes <= a}
        for name in filter(None, node.outputs):
            for other in node.inputs:
                if other and storage[other] == storage[name]:
                    raise InternalError(f"memory plan: {describe(node)} writes into its own input '{other}'")
            if storage[name].kind in ("constant", "input"):
                raise InternalError(f"memory plan: {describe(node)} writes into the {storage[name].kind} '{name}'")
            if storage[name].kind == "arena":
                root, start, end = piece(name)
                intact = {r: (a, b) for r, (a, b) in intact.items() if b <= start or end <= a}
                intact[root] = (start, end)
        for name in node.inputs:
            if name and storage[name].kind == "arena":
                root, *span = piece(name)
                if intact.get(root) != tuple(span):
                    raise InternalError(f"memory plan: {describe(node)} reads '{name}' after it was overwritten")
