"""Drafts: a program with kernels chosen, with or without bands, and what it needs when; offsets come later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgewright.errors import InternalError
from edgewright.ir import Array
from edgewright.ops import operator
from edgewright.plan.bands import Segment, banded
from edgewright.plan.choice import Choice, KernelChooser
from edgewright.plan.lifetimes import Lifetime, live_bytes
from edgewright.plan.liveness import lifetimes, rectangles
from edgewright.plan.overlay import overlaid
from edgewright.plan.pack import Packing, pack
from edgewright.plan.storage import Program, fresh
from edgewright.plan.tiling import CALL_CYCLES, CARRY_CYCLES
from edgewright.plan.touches import Keys

_MAC_CYCLES = 3


@dataclass(frozen=True)
class PlanOptions:
    """What a plan is made for. Units: bytes.

    `weights_limit`: of packed weights (see `KernelChooser`). `arena_ports`: graph inputs and outputs lie in the arena.
    `overlay`: tensors may share bytes where their lifetimes allow it within a step or a band.
    """

    optimize: str = "balanced"
    weights_limit: int | None = None
    ram_limit: int | None = None
    arena_ports: bool = False
    overlay: bool = True


@dataclass(frozen=True, eq=False)
class Draft:
    """A plan before its offsets: what is needed when. `base` is the program before parts of it were cut into bands."""

    base: Program
    program: Program
    placed: Program
    choices: tuple[Choice, ...]
    pieces: tuple[Lifetime, ...]
    scratch: Mapping[int, str]
    segments: tuple[Segment, ...]
    keys: Keys  # of its constants

    @cached_property
    def live(self) -> Array:
        """What each step needs, scratch memory included. Shapes: [steps]."""
        return live_bytes(self.pieces, 0, len(self.program.work))

    @property
    def scratch_bytes(self) -> list[int]:
        """Of each step."""
        return [choice.scratch_bytes for choice in self.choices]

    @property
    def peak(self) -> int:
        """The largest sum of live bytes."""
        return int(self.live.max(initial=0))

    @cached_property
    def packing(self) -> Packing:
        """Where the pieces lie."""
        return pack(self.pieces)

    @property
    def arena_bytes(self) -> int:
        """The size of the arena."""
        return self.packing.arena_bytes

    @cached_property
    def cycles(self) -> int:
        """Modelled cycles: of kernels, calls, and rows carried along; three a MAC where a kernel has no model."""
        total = 0.0
        for work, choice in zip(self.program.work, self.choices, strict=True):
            graph, node = self.program.graph, work.node
            if node.op == "Copy":
                total += CARRY_CYCLES * graph.tensors[node.output].size_bytes
            elif choice.cycles is None:
                total += _MAC_CYCLES * operator(node.op).macs(node, graph) + graph.tensors[node.output].elements
            total += CALL_CYCLES + (choice.cycles or 0)
        return int(total)


@dataclass(eq=False)
class Drafter:
    """Makes drafts of one network, with and without bands."""

    base: Program
    chooser: KernelChooser
    options: PlanOptions

    @cached_property
    def whole(self) -> Draft:
        """The draft without bands."""
        draft = self.draft()
        if draft is None:
            raise InternalError("memory plan: no draft without bands")
        return draft

    def draft(self, segments: Sequence[Segment] = (), scratch_limits: Mapping[int, int] | None = None) -> Draft | None:
        """Return a draft with the segments cut into bands; None where one of them cannot be."""
        program: Program | None = self.base
        for segment in sorted(segments, key=lambda s: -s.first):
            program = banded(program, segment) if program is not None else None
        if program is None:
            return None
        choices = self.chooser.choose(program.work, program.graph, scratch_limits)
        sizes = {step: c.scratch_bytes for step, c in enumerate(choices) if c.scratch_bytes}
        placed = program
        if self.options.overlay:
            placed = overlaid(program, [c.in_place for c in choices], sizes)
        scratch = {step: fresh(program.graph.tensors, f"scratch of step {step}") for step in sizes}
        pieces = lifetimes(rectangles(placed), placed.root_bytes)
        extra = tuple(Lifetime(scratch[step], size, step, step) for step, size in sizes.items())
        return Draft(
            self.base, program, placed, tuple(choices), (*pieces, *extra), scratch, tuple(segments), self.chooser.keys
        )
