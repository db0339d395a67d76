"""The curve of RAM against time as figures: what each plan on it takes, and what of the network it cuts into bands."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.kernels import Core
from edgewright.plan.choice import KernelChooser
from edgewright.plan.curve import curve
from edgewright.plan.draft import Draft, Drafter, PlanOptions
from edgewright.plan.planner import Plan
from edgewright.plan.storage import Program


@dataclass(frozen=True)
class Cut:
    """Layers first to last of the network, named by what they make, in so many bands of at most `rows` rows each."""

    first: str
    last: str
    layers: int
    rows: int
    bands: int


@dataclass(frozen=True)
class Point:
    """A plan on the curve. Units: bytes, modelled cycles. `planned`: it is the one that the options choose."""

    arena_bytes: int
    cycles: int
    cuts: tuple[Cut, ...]
    planned: bool


def ram_curve(plan: Plan, core: Core | None, options: PlanOptions) -> list[Point]:
    """Return the plans from the fastest to the smallest in RAM, none of which another beats in both, and `plan` itself.

    `core` and `options` are what it was made from; where it was made for a board's RAM, which is no option, others may
    beat it.
    """
    base = plan.draft.base
    chooser = KernelChooser(base.graph, core or Core(), options.optimize, options.weights_limit)
    drafts = curve(Drafter(base, chooser, options), options.ram_limit)
    if not any(_is(draft, plan) for draft in drafts):
        drafts = sorted([*drafts, plan.draft], key=lambda draft: (draft.cycles, -draft.arena_bytes))
    return [_point(base, draft, _is(draft, plan)) for draft in drafts]


def _is(draft: Draft, plan: Plan) -> bool:
    made = (plan.arena_bytes, plan.draft.cycles, plan.segments)
    return (draft.arena_bytes, draft.cycles, draft.segments) == made


def _point(base: Program, draft: Draft, planned: bool) -> Point:
    cuts = []
    for segment in draft.segments:
        layers = [work.layer for work in base.work[segment.first : segment.stop]]
        bands = sum(work.layer == layers[-1] for work in draft.program.work)
        cuts.append(Cut(layers[0], layers[-1], len(layers), segment.rows, bands))
    return Point(draft.arena_bytes, draft.cycles, tuple(cuts), planned)
