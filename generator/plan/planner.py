"""From a graph to a plan: order, views, kernels, bands, overlays, offsets, each by its own module, and the check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgewright.errors import MemoryPlanError
from edgewright.ir import DType, Graph, Node
from edgewright.kernels import Core
from edgewright.ops import KernelCall, operator
from edgewright.passes.choose_signedness import choose_signedness
from edgewright.plan.bands import Segment
from edgewright.plan.check import check_plan
from edgewright.plan.choice import KernelChooser
from edgewright.plan.curve import choose_draft
from edgewright.plan.draft import Draft, Drafter, PlanOptions
from edgewright.plan.lifetimes import Lifetime, live_bytes, lower_bound_bytes
from edgewright.plan.order import best_order
from edgewright.plan.pack import align_up
from edgewright.plan.regions import Arena, Layout, Placement, Region, SharedPlaceError, lay_out, place_constants
from edgewright.plan.staging import Stage, staged
from edgewright.plan.storage import Storage, make_program
from edgewright.plan.touches import Constant, constants_of, touches_of
from edgewright.plan.wishes import resolve
from edgewright.verify import check_tensor_sizes


@dataclass(frozen=True, eq=False)
class Step:
    """One node at run time, or a band of its rows: its kernel calls. Views are no steps."""

    index: int
    node: Node
    calls: tuple[KernelCall, ...]
    macs: int
    kernel: str  # the variant's name
    layer: str  # the tensor that this makes, or makes a part of
    cycles: int | None = None  # modelled; None for a float operator
    row: int = 0  # the first of the layer that this makes
    scratch: str = ""  # the arena piece that the calls may use, one after the other

    def moved_bytes(self, graph: Graph) -> int:
        """Bytes of what the calls read and write, constants included, each once. Scratch memory is not counted."""
        arguments = {id(a) if isinstance(a, np.ndarray) else a: a for call in self.calls for a in call.arguments}
        sizes = [graph.tensors[a].size_bytes if isinstance(a, str) else a.nbytes
                 for a in arguments.values() if isinstance(a, (str, np.ndarray))]  # fmt: skip
        return sum(sizes)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the emitter writes down.

    Units: bytes. `storage` says for each tensor which root holds it and where; `offsets` where that lies in the arenas,
    which stand end to end, one a region (`arenas`; `regions` names a root's). `arena_bytes` is the sum of them.
    `constants` have their regions; `stages` says what steps have fetched, before they begin, into a piece of an arena.
    """

    graph: Graph
    steps: tuple[Step, ...]
    storage: Mapping[str, Storage]
    lifetimes: tuple[Lifetime, ...]
    offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound_bytes: int
    draft: Draft
    regions: Mapping[str, str]
    arenas: tuple[Arena, ...]
    constants: tuple[Constant, ...]
    stages: Mapping[int, Stage]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What was cut into bands."""
        return self.draft.segments

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(step.macs for step in self.steps)

    @property
    def cycles(self) -> int:
        """Modelled cycles of all steps that have a model."""
        return sum(step.cycles or 0 for step in self.steps)

    @property
    def raw_weights_bytes(self) -> int:
        """Bytes of all constants as the network has them, before kernels pack them."""
        used = {name for step in self.steps for name in step.node.inputs if name}
        return sum(t.size_bytes for t in self.graph.tensors.values() if t.data is not None and t.name in used)

    def address(self, name: str) -> int:
        """First byte of a tensor in the arenas."""
        return self.offsets[self.storage[name].root] + self.storage[name].offset_bytes

    def arena(self, root: str) -> Arena:
        """The arena that a root lies in."""
        return next(arena for arena in self.arenas if arena.region == self.regions[root])

    def arena_bytes_in(self, region: str) -> int:
        """Bytes of the arena in a region."""
        return sum(arena.bytes for arena in self.arenas if arena.region == region)

    def weights_bytes_in(self, region: str) -> int:
        """Bytes of the constants in a region."""
        return sum(constant.size_bytes for constant in self.constants if constant.region == region)

    @property
    def peak(self) -> Step | None:
        """The step at which most bytes are live."""
        if not self.lifetimes:
            return None
        return self.steps[int(np.argmax(live_bytes(self.lifetimes, 0, len(self.steps))))]


def make_plan(
    graph: Graph, core: Core | None = None, options: PlanOptions | str = "balanced",
    placement: Placement | None = None,
) -> Plan:  # fmt: skip
    """Choose kernels for a core, lifetimes, regions and offsets; the result has passed the checker.

    Without a core, the portable kernels; without a placement, one region of any size. Options given as text are what
    to optimize for. Raises: MemoryPlanError.
    """
    options = PlanOptions(options) if isinstance(options, str) else options
    core = core or Core()
    check_tensor_sizes(graph)
    graph = best_order(graph_for(graph, core))
    chooser = KernelChooser(graph, core, options.optimize, options.weights_limit)
    drafter = _best_views(graph, chooser, options)
    try:
        return finish(choose_draft(drafter), placement)
    except SharedPlaceError:  # without overlays fewer tensors share bytes
        options = replace(options, overlay=False)
        return finish(choose_draft(_best_views(graph, chooser, options)), placement)


def graph_for(graph: Graph, core: Core) -> Graph:
    """Return the graph with its 8-bit tensors of the sign that a core's kernels are fastest with."""
    if "dsp" not in core.features and "mve" not in core.features:
        return graph
    return choose_signedness(graph, DType.U8 if core.prefers_unsigned else DType.S8)


def finish(draft: Draft, placement: Placement | None = None) -> Plan:
    """Give every piece its region and offset, every constant its region, and check the result."""
    placement = placement or Placement()
    steps = _steps(draft)
    graph, storage = draft.placed.graph, draft.placed.storage
    sizes = {piece.root: piece.size_bytes for piece in draft.pieces}
    constants = constants_of(steps, draft.program.graph, draft.program.storage, draft.keys)
    pins, constant_pins = resolve(placement, draft.placed, sizes, steps, constants)
    constants = place_constants(constants, constant_pins, placement.flash)
    placement = _without_constants(placement, constants)
    layout = lay_out(draft.pieces, touches_of(steps, graph, storage, sizes), pins, placement.ram, draft.packing)
    taken = sum(arena.bytes for arena in layout.arenas)
    if placement.limit is not None and len(layout.arenas) > 1 and taken > placement.limit:
        raise MemoryPlanError(
            f"the arenas in {', '.join(repr(arena.region) for arena in layout.arenas)} take {taken:,} B together; "
            f"at most {placement.limit:,} B were asked for"
        )
    pieces, stages = draft.pieces, dict[int, Stage]()
    if placement.stage:
        region = _limited(placement, layout)
        layout, more, stages = staged(steps, constants, pieces, layout, region, placement)
        pieces = (*pieces, *more)
    _check(draft, layout, stages)
    arena_bytes = sum(arena.bytes for arena in layout.arenas)
    return Plan(
        graph, steps, storage, pieces, layout.offsets, arena_bytes, lower_bound_bytes(pieces), draft,
        layout.regions, layout.arenas, constants, stages,
    )  # fmt: skip


def _steps(draft: Draft) -> tuple[Step, ...]:
    work = draft.program.work
    return tuple(
        Step(
            index, item.node, choice.calls, operator(item.node.op).macs(item.node, draft.program.graph),
            choice.kernel.name if choice.kernel is not None else choice.calls[0].function, item.layer,
            choice.cycles, item.row, draft.scratch.get(index, ""),
        )
        for index, (item, choice) in enumerate(zip(work, draft.choices, strict=True))
    )  # fmt: skip


def _without_constants(placement: Placement, constants: tuple[Constant, ...]) -> Placement:
    """The same with the RAM that constants take."""
    ram = []
    for region in placement.ram:
        taken = sum(align_up(constant.size_bytes) for constant in constants if constant.region == region.name)
        if taken and not region.holds(taken):
            raise MemoryPlanError(
                f"the constants placed in '{region.name}' take {taken:,} B; there is room for {region.room:,} B"
            )
        ram.append(region if region.room is None else replace(region, room=region.room - taken))
    return replace(placement, ram=tuple(ram))


def _limited(placement: Placement, layout: Layout) -> Region:
    """The region that weights are staged in, with the room that the limit leaves to its arena."""
    region = next(region for region in placement.ram if region.name == placement.stage)
    if placement.limit is None:
        return region
    left = placement.limit - sum(arena.bytes for arena in layout.arenas if arena.region != region.name)
    return replace(region, room=left if region.room is None else min(region.room, left))


def _check(draft: Draft, layout: Layout, stages: Mapping[int, Stage]) -> None:
    """Replay the plan. Raises: InternalError."""
    sizes = {piece.root: piece.size_bytes for piece in draft.pieces}
    offsets = layout.offsets
    scratch = {step: (offsets[name], offsets[name] + sizes[name]) for step, name in draft.scratch.items()}
    fetched = {step: (offsets[s.piece], offsets[s.piece] + s.size_bytes) for step, s in stages.items()}
    check_plan(
        draft.program, draft.placed, offsets, sum(arena.bytes for arena in layout.arenas), scratch,
        [choice.in_place for choice in draft.choices], fetched, [arena.start for arena in layout.arenas],
    )  # fmt: skip


def _best_views(graph: Graph, chooser: KernelChooser, options: PlanOptions) -> Drafter:
    """Producers write into what a Concat makes, unless that keeps too much alive."""
    drafters = []
    for join in (True, False):
        program = make_program(graph, arena_ports=options.arena_ports, join_concats=join)
        drafter = Drafter(program, chooser, options)
        drafters.append((drafter.whole.peak, len(program.work), not join, drafter))
        if not any(node.op == "Concat" for node in graph.nodes):
            break
    return min(drafters, key=lambda item: item[:3])[3]
