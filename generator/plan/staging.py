"""Weights that are copied to fast RAM for their layer's time: fetched while the step before runs.

A staged step has a piece of the arena that is live from the step before it to itself, so that two such pieces are live
at a time: the one in use and the one that is being filled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.plan.lifetimes import Lifetime, lower_bound_bytes
from edgewright.plan.pack import align_up
from edgewright.plan.regions import Layout, Placement, Region, add_pieces
from edgewright.plan.storage import fresh
from edgewright.plan.touches import Constant, Key

if TYPE_CHECKING:
    from edgewright.plan.planner import Step

LEAST_BYTES = 64  # of a constant: less is not worth a call


@dataclass(frozen=True)
class Stage:
    """What is fetched for a step. `piece`: its root in the arena; `constants`: by key, the first byte in the piece."""

    piece: str
    size_bytes: int
    constants: Mapping[Key, int]


def staged(
    steps: Sequence[Step], constants: Sequence[Constant], pieces: Sequence[Lifetime], layout: Layout,
    region: Region, placement: Placement,
) -> tuple[Layout, tuple[Lifetime, ...], dict[int, Stage]]:  # fmt: skip
    """Return the layout with the weights' pieces in `region`, these pieces, and what each step has fetched.

    Weights in regions that are no slower, and those of layers that run in bands, stay where they are; so do those
    that find no room, the largest first.
    """
    waits = {each.name: each.wait for each in (*placement.flash, *placement.ram)}
    stages = _candidates(steps, constants, region, waits, layout.offsets)
    while stages:
        new = [Lifetime(stage.piece, stage.size_bytes, max(step - 1, 0), step) for step, stage in stages.items()]
        inside = [*(piece for piece in pieces if layout.regions[piece.root] == region.name), *new]
        if region.holds(lower_bound_bytes(inside)):  # packing may need more
            found = add_pieces(layout, pieces, new, region, placement.ram)
            if found is not None:
                return found, tuple(new), stages
        largest = max(stages, key=lambda step: (stages[step].size_bytes, step))
        del stages[largest]
    return layout, (), {}


def _candidates(
    steps: Sequence[Step], constants: Sequence[Constant], region: Region, waits: Mapping[str, int],
    taken: Mapping[str, object],
) -> dict[int, Stage]:  # fmt: skip
    """What each step would have fetched; `taken` are names that pieces have already."""
    parts = Counter(step.layer for step in steps)
    result = {}
    for step in steps:
        if parts[step.layer] > 1:
            continue
        slow = [c for c in constants
                if step.index in c.steps and waits[c.region] > region.wait and c.size_bytes >= LEAST_BYTES]  # fmt: skip
        offsets, size = {}, 0
        for constant in slow:
            offsets[constant.key] = size
            size += align_up(constant.size_bytes)
        if slow:
            result[step.index] = Stage(fresh(taken, f"weights of step {step.index}"), size, offsets)
    return result
