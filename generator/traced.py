"""Where the link can read what each step of a plan has made: facts for the manifest, no code on the device."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.manifest import MadeFacts
from edgewright.plan import Plan, Step
from edgewright.plan.bands import CARRIED


def traced_steps(plan: Plan, outputs: Mapping[str, int]) -> list[list[MadeFacts]]:
    """What each step makes, in their order; `outputs` are the offsets of graph outputs in a packed sample, in bytes."""
    return [_made(plan, step, outputs) for step in plan.steps]


def _made(plan: Plan, step: Step, outputs: Mapping[str, int]) -> list[MadeFacts]:
    """Nothing for a tensor without elements, or a move inside a window."""
    if step.layer.endswith(CARRIED):
        return []
    tensors, found = plan.graph.tensors, []
    for name in filter(None, step.node.outputs):
        tensor, storage = tensors[name], plan.storage[name]
        if not tensor.elements or storage.kind not in ("arena", "output"):
            continue
        if storage.kind == "arena":
            arena = plan.arena(storage.root)
            number, offset = plan.arenas.index(arena), plan.address(name) - arena.start
        else:
            number, offset = 0, outputs[storage.root] + storage.offset_bytes
        layer = name if len(step.node.outputs) > 1 else step.layer
        shapes = zip(tensor.shape, tensors[layer].shape, strict=True)
        found.append(MadeFacts(
            name=layer, dtype=tensor.dtype, shape=tensor.shape, buffer=storage.kind, number=number, offset_bytes=offset,
            axis=next((axis for axis, (part, whole) in enumerate(shapes) if part != whole), None), first=step.row,
            copy_of=step.node.inputs[0] if step.node.op == "Copy" else None,
        ))  # fmt: skip
    return found
