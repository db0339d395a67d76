"""Memory regions in the plan: what lies where, that nothing is lost by it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import DIGITS
from networks import SEED
from test_plan import CORES, assert_computes, network

import edgewright as ew
from edgewright.arguments import places
from edgewright.errors import EdgewrightError, InternalError, MemoryPlanError
from edgewright.passes import run_passes
from edgewright.plan import Placement, Plan, PlanOptions, Region, make_plan
from edgewright.plan.check import check_plan
from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.pack import ARENA_ALIGN_BYTES, Packing
from edgewright.plan.regions import NoRoomError, lay_out, place_constants
from edgewright.plan.touches import Constant, Keys, constants_of

FLASH = (Region("CODE"), Region("SLOW_FLASH", None, 20))


def check_arenas(plan: Plan, regions: tuple[Region, ...]) -> None:
    """Arenas stand end to end, fit their regions, and hold the pieces that are said to be in them."""
    rooms = {region.name: region for region in regions}
    start = 0
    for arena in plan.arenas:
        assert arena.start == start
        assert arena.start % ARENA_ALIGN_BYTES == 0
        assert arena.lower_bound_bytes <= arena.bytes
        assert rooms[arena.region].holds(arena.bytes)
        start = arena.end
    assert plan.arena_bytes == start >= plan.lower_bound_bytes
    for piece in plan.lifetimes:
        arena = plan.arena(piece.root)
        assert arena.start <= plan.offsets[piece.root] <= arena.end - piece.size_bytes


@pytest.mark.parametrize("seed", range(SEED, SEED + 30))
def test_random_networks_in_random_regions(seed: int) -> None:
    graph, inputs = network(seed)
    rng = np.random.default_rng(seed)
    core, options = CORES[seed % 3], PlanOptions(arena_ports=bool(seed % 4 == 0))
    alone = make_plan(graph, core, options)
    share = float(rng.uniform(0.2, 0.9))
    regions = (Region("FAST", int(share * alone.arena_bytes)), Region("MIDDLE", alone.arena_bytes // 2, 2),
               Region("SLOW", None, 9))  # fmt: skip
    plan = make_plan(graph, core, options, Placement(regions, FLASH))
    check_arenas(plan, regions)
    assert_computes(plan, graph, inputs)
    large = (Region("FAST", alone.arena_bytes), Region("SLOW", None, 9))
    plan = make_plan(graph, core, options, Placement(large, FLASH))
    assert [arena.region for arena in plan.arenas] == ["FAST"]
    assert plan.offsets == alone.offsets


@pytest.mark.parametrize("seed", range(SEED, SEED + 15))
def test_every_tensor_can_be_placed(seed: int) -> None:
    graph, inputs = network(seed)
    core = CORES[seed % 3]
    plan = make_plan(graph, core)
    names = sorted(name for name, place in plan.storage.items() if place.root in plan.regions)
    if not names:
        pytest.skip("all tensors are the caller's")
    rng = np.random.default_rng(seed)
    regions = (Region("FAST"), Region("SLOW", None, 5))
    for name in rng.choice(names, min(3, len(names)), replace=False):
        placed = make_plan(graph, core, "balanced", Placement(regions, FLASH, {str(name): "SLOW"}))
        assert placed.regions[placed.storage[str(name)].root] == "SLOW"
        check_arenas(placed, regions)
        assert_computes(placed, graph, inputs)


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_staged_weights(seed: int) -> None:
    """Every staged piece is live with its neighbours and overlaps nothing; the checker sees it if it does."""
    graph, inputs = network(seed)
    core = CORES[seed % 3]
    whole = make_plan(graph, core)
    flash = (Region("CODE", None, 20),)
    fast = (Region("FAST", whole.arena_bytes + int(np.random.default_rng(seed).integers(0, 4096))),)
    plan = make_plan(graph, core, "balanced", Placement(fast, flash, stage="FAST"))
    check_arenas(plan, fast)
    assert_computes(plan, graph, inputs)
    anywhere = make_plan(graph, core, "balanced", Placement((Region("FAST"),), flash, stage="FAST"))
    wanted = {c.key for c in anywhere.constants if c.size_bytes >= 64}
    assert {key for stage in anywhere.stages.values() for key in stage.constants} == wanted
    assert plan.stages.keys() <= anywhere.stages.keys()
    lives = {piece.root: (piece.first, piece.last) for piece in anywhere.lifetimes}
    for step, stage in anywhere.stages.items():
        assert lives[stage.piece] == (max(step - 1, 0), step)
    _catches_moves(anywhere)


def _catches_moves(plan: Plan) -> None:
    draft = plan.draft
    sizes = {piece.root: piece for piece in plan.lifetimes}
    scratch = {step: (plan.offsets[name], plan.offsets[name] + sizes[name].size_bytes)
               for step, name in draft.scratch.items()}  # fmt: skip
    in_place = [choice.in_place for choice in draft.choices]
    for step, stage in plan.stages.items():
        for other in plan.lifetimes:
            if not other.overlaps(sizes[stage.piece]) or other.root.startswith("weights of"):
                continue
            start = plan.offsets[other.root]
            spans = {s: plan.offsets[other_stage.piece] for s, other_stage in plan.stages.items()}
            fetched = {s: (first, first + plan.stages[s].size_bytes) for s, first in spans.items()}
            fetched[step] = (start, start + stage.size_bytes)
            with pytest.raises(InternalError, match="memory plan"):
                check_plan(draft.program, draft.placed, plan.offsets, plan.arena_bytes + stage.size_bytes, scratch,
                           in_place, fetched)  # fmt: skip


def test_the_checker_catches_what_lies_across_two_arenas() -> None:
    plan = make_plan(network(SEED)[0])
    draft = plan.draft
    piece = max(plan.lifetimes, key=lambda piece: piece.size_bytes)
    with pytest.raises(InternalError, match="two arenas"):
        check_plan(draft.program, draft.placed, plan.offsets, plan.arena_bytes, None,
                   [choice.in_place for choice in draft.choices], None, [plan.offsets[piece.root] + 4])  # fmt: skip


def test_what_fits_no_region_fits_two() -> None:
    pieces = [Lifetime("a", 96, 0, 1), Lifetime("b", 96, 0, 1), Lifetime("c", 40, 1, 2)]
    touches = {"a": 96, "b": 960, "c": 40}
    regions = (Region("FAST", 112), Region("SLOW", 160, 3))
    layout = lay_out(pieces, touches, {}, regions, Packing({"a": 0, "b": 96, "c": 192}, 240, 232, ""))
    assert layout.regions == {"b": "FAST", "a": "SLOW", "c": "SLOW"}
    assert [(arena.region, arena.start, arena.bytes) for arena in layout.arenas] == [("FAST", 0, 96), ("SLOW", 96, 144)]
    with pytest.raises(NoRoomError, match=r"no RAM is left for 'a' \(96 B\).*'FAST' 112 B, 'SLOW' 80 B"):
        lay_out(pieces, touches, {}, (regions[0], Region("SLOW", 80, 3)), Packing({}, 240, 232, ""))
    with pytest.raises(NoRoomError, match="no RAM is left for 'b'"):
        lay_out(pieces, touches, {"a": "FAST", "b": "FAST"}, regions, Packing({}, 240, 232, ""))
    (arena,) = lay_out(pieces, touches, {}, regions[:1], Packing({"a": 0, "b": 96, "c": 192}, 240, 232, "")).arenas
    assert arena.bytes == 240  # the only region takes what does not fit, and the pipeline says so


def test_a_layer_in_bands_is_placed_whole() -> None:
    graph = run_passes(ew.load(DIGITS).graph)
    regions = (Region("FAST"), Region("SLOW", None, 5))
    options = PlanOptions(ram_limit=5500)
    plan = make_plan(graph, None, options, Placement(regions, FLASH))
    layers = [step.layer for step in plan.steps]
    for layer in {layer for layer in layers if layers.count(layer) > 1 and "carried" not in layer}:
        placement = Placement(regions, FLASH, {layer: "SLOW"})
        placed = make_plan(graph, None, options, placement)
        outputs = [step.node.output for step in placed.steps if step.layer == layer]
        assert {placed.regions[placed.storage[output].root] for output in outputs} == {"SLOW"}
    assert len(layers) > len(set(layers))


def test_the_limit_is_on_all_arenas_together() -> None:
    graph, _ = network(SEED)
    plan = make_plan(graph, CORES[0])
    largest = max(plan.lifetimes, key=lambda piece: piece.size_bytes)
    name = next(name for name, place in plan.storage.items() if place.root == largest.root)
    regions = (Region("FAST"), Region("SLOW", None, 5))
    apart = make_plan(graph, CORES[0], "balanced", Placement(regions, FLASH, {name: "SLOW"}))
    assert make_plan(graph, CORES[0], "balanced", Placement(regions, FLASH, {name: "SLOW"}, limit=apart.arena_bytes))
    with pytest.raises(MemoryPlanError, match=f"'FAST', 'SLOW' take {apart.arena_bytes:,} B together"):
        make_plan(graph, CORES[0], "balanced", Placement(regions, FLASH, {name: "SLOW"}, limit=apart.arena_bytes - 1))
    slow = (Region("CODE", None, 20),)
    limit = plan.arena_bytes + 256
    staged = make_plan(graph, CORES[0], "balanced", Placement(regions, slow, stage="FAST", limit=limit))
    assert staged.arena_bytes <= limit


def test_constants_that_are_packed_together_go_together() -> None:
    for graph in (network(seed)[0] for seed in range(SEED, SEED + 40)):
        plan = make_plan(graph, CORES[1])
        exact = {name for constant in plan.constants for name in constant.names}
        packed = [[name for name in step.node.inputs if plan.graph.constant(name) is not None and name not in exact]
                  for step in plan.steps]  # fmt: skip
        names = max(packed, key=len)
        if len(names) > 1:
            break
    regions = (Region("FAST"), Region("SLOW", None, 5))
    with pytest.raises(MemoryPlanError, match="packed together with a constant placed in 'FAST'"):
        make_plan(graph, CORES[1], "balanced", Placement(regions, FLASH, {names[0]: "FAST", names[1]: "SLOW"}))
    placed = make_plan(graph, CORES[1], "balanced", Placement(regions, FLASH, {names[0]: "SLOW"}))
    assert placed.weights_bytes_in("SLOW") > 0
    with pytest.raises(MemoryPlanError, match="the constants placed in 'SLOW' take"):
        make_plan(graph, CORES[1], "balanced",
                  Placement((regions[0], Region("SLOW", 8, 5)), FLASH, {names[0]: "SLOW"}))  # fmt: skip


def test_places_on_the_command_line() -> None:
    assert places(["a=X", "b=c=Y", "a=X"]) == {"a": "X", "b=c": "Y"}
    for wrong, words in ((["a"], "expected NAME=REGION"), (["=X"], "expected NAME=REGION"), (["a="], "expected"),
                         (["a=X", "a=Y"], "'a' was placed in 'X' before")):  # fmt: skip
        with pytest.raises(EdgewrightError, match=words):
            places(wrong)


def test_constants_overflow_into_the_next_flash_by_touches() -> None:
    def constant(name: str, size: int, touched: int) -> Constant:
        return Constant(name, np.zeros(size, np.uint8), name, (name,), (0,), touched)

    constants = [constant("a", 100, 100), constant("b", 200, 2000), constant("c", 300, 300)]
    regions = (Region("CODE", 512), Region("QSPI", 1000, 9))
    assert [c.region for c in place_constants(constants, {}, regions)] == ["CODE", "CODE", "QSPI"]
    assert [c.region for c in place_constants(constants, {"b": "QSPI"}, regions)] == ["CODE", "QSPI", "CODE"]
    assert [c.region for c in place_constants(constants, {}, (Region("CODE", 10),))] == ["CODE"] * 3
    with pytest.raises(MemoryPlanError, match="no flash is left for constants of 'c'"):
        place_constants(constants, {}, (regions[0], Region("QSPI", 100, 9)))


def test_constants_are_those_of_the_steps() -> None:
    for seed in range(SEED, SEED + 10):
        plan = make_plan(network(seed)[0], CORES[seed % 3])
        found = constants_of(plan.steps, plan.graph, plan.storage, Keys())
        assert [c.key for c in found] == [c.key for c in plan.constants]
        assert len({c.key for c in found}) == len(found)
        assert all(c.touched_bytes >= c.size_bytes for c in found)


def test_wishes_are_refused_in_one_line_with_what_there_is() -> None:
    graph, _ = network(SEED)
    plan = make_plan(graph, CORES[0])
    tensor = next(name for name, place in plan.storage.items() if place.root in plan.regions)
    base = Placement((Region("FAST"), Region("SLOW", None, 5)), FLASH)

    def refusal(**place: str) -> str:
        with pytest.raises(MemoryPlanError) as caught:
            make_plan(graph, CORES[0], "balanced", replace(base, place=place))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no region 'fast'; there are 'CODE', 'SLOW_FLASH', 'FAST', 'SLOW'" in refusal(**{tensor: "fast"})
    assert "'CODE' is flash, and a tensor needs RAM: 'FAST', 'SLOW'" in refusal(**{tensor: "CODE"})
    near = refusal(**{tensor + "x": "SLOW"})
    assert "no tensor or constant of that name; there are" in near
    assert f"'{tensor}'" in near
    assert "inputs and outputs are the caller's" in refusal(**{graph.inputs[0]: "SLOW"})


@pytest.mark.slow
def test_tensors_that_share_bytes_by_an_overlay_can_be_parted() -> None:
    parted = 0
    for seed in range(SEED, SEED + 40):
        graph, inputs = network(seed)
        plan = make_plan(graph, CORES[seed % 3])
        tensors = {step.node.output for step in plan.steps} & {
            name for name, place in plan.storage.items() if place.root in plan.regions
        }
        apart = make_plan(graph, CORES[seed % 3], PlanOptions(overlay=False)).storage
        pair = next(((a, b) for a in sorted(tensors) for b in sorted(tensors)
                     if a < b and plan.storage[a].root == plan.storage[b].root and apart[a].root != apart[b].root),
                    None)  # fmt: skip
        if pair is None:
            continue
        regions = (Region("FAST"), Region("SLOW", None, 5))
        placement = Placement(regions, FLASH, {pair[0]: "FAST", pair[1]: "SLOW"})
        placed = make_plan(graph, CORES[seed % 3], "balanced", placement)
        assert [placed.regions[placed.storage[name].root] for name in pair] == ["FAST", "SLOW"]
        assert_computes(placed, graph, inputs)
        parted += 1
    assert parted
