"""Memory plans: they compute what the network does, never go below the bound, and the checker catches a broken one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import SHARED_MODELS
from integer_networks import integer_inputs, integer_network
from networks import SEED, constant, imported, make_model, random_network, value
from onnx import helper
from plan_execution import Array, execute

import edgewright as ew
from edgewright.errors import InternalError
from edgewright.ir import Graph
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.plan import Plan, PlanOptions, make_plan
from edgewright.plan.bands import Segment
from edgewright.plan.check import check_plan
from edgewright.plan.choice import KernelChooser
from edgewright.plan.draft import Drafter
from edgewright.plan.lifetimes import Lifetime, lower_bound_bytes
from edgewright.plan.liveness import FIRST, LAST, START, rectangles
from edgewright.plan.order import best_order
from edgewright.plan.pack import ARENA_ALIGN_BYTES, align_up, pack
from edgewright.plan.planner import finish
from edgewright.plan.storage import make_program
from edgewright.simulate import run_once

CORES = (Core(), Core(frozenset({"fpu", "dsp"})), Core(frozenset({"fpu", "mve"})))


def network(seed: int) -> tuple[Graph, dict[str, Array]]:
    """A random float or integer network after the passes, and one sample."""
    if seed % 2:
        model = imported(integer_network(seed))
        inputs = {name: values[0] for name, values in integer_inputs(model, 1, seed).items()}
    else:
        model = imported(random_network(seed))
        rng = np.random.default_rng(seed)
        inputs = {name: rng.standard_normal(model.graph.tensors[name].shape).astype(np.float32)
                  for name in model.graph.inputs}  # fmt: skip
    return run_passes(model.graph), inputs


def assert_computes(plan: Plan, graph: Graph, inputs: dict[str, Array]) -> None:
    """Integers have to be equal; numpy sums floats of another shape in another order."""
    for got, wanted in zip(execute(plan, inputs), run_once(graph, inputs), strict=True):
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("ports", [False, True], ids=["caller", "arena"])
@pytest.mark.parametrize("seed", range(SEED, SEED + 40))
def test_random_networks(seed: int, ports: bool) -> None:
    graph, inputs = network(seed)
    plan = make_plan(graph, CORES[seed % 3], PlanOptions(arena_ports=ports))
    assert plan.arena_bytes >= plan.lower_bound_bytes == lower_bound_bytes(plan.lifetimes)
    assert all(offset % ARENA_ALIGN_BYTES == 0 for offset in plan.offsets.values())
    assert_computes(plan, graph, inputs)


@pytest.mark.parametrize("seed", range(SEED, SEED + 40))
def test_bands_compute_the_same(seed: int) -> None:
    graph, inputs = network(seed)
    rng = np.random.default_rng(seed)
    core = CORES[seed % 3]
    drafter = Drafter(make_program(graph), KernelChooser(graph, core, "balanced"), PlanOptions())
    items = len(drafter.base.work)
    for _ in range(6):
        first = int(rng.integers(items))
        stop = min(items, first + 1 + int(rng.integers(6)))
        segment = Segment(first, stop, int(rng.integers(1, 5)), bool(stop == first + 1 and rng.integers(2)))
        draft = drafter.draft([segment])
        if draft is not None:
            assert_computes(finish(draft), graph, inputs)


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_less_ram_computes_the_same(seed: int) -> None:
    graph, inputs = network(seed)
    core = CORES[seed % 3]
    whole = make_plan(graph, core, "speed")
    least = make_plan(graph, core, "ram")
    assert least.arena_bytes <= whole.arena_bytes
    assert_computes(least, graph, inputs)
    limit = (whole.arena_bytes + least.arena_bytes) // 2
    between = make_plan(graph, core, PlanOptions("speed", ram_limit=limit))
    assert between.arena_bytes <= limit
    assert_computes(between, graph, inputs)


def check_moved(plan: Plan, offsets: dict[str, int], total: int) -> None:
    """Run the checker on a plan whose roots were moved, for kernels that write over nothing."""
    sizes = {piece.root: piece.size_bytes for piece in plan.lifetimes}
    spans = {step.index: (offsets[step.scratch], offsets[step.scratch] + sizes[step.scratch])
             for step in plan.steps if step.scratch}  # fmt: skip
    check_plan(plan.draft.program, plan.draft.placed, offsets, total, spans)


def test_the_checker_catches_every_move_into_a_live_buffer() -> None:
    caught = 0
    for seed in range(SEED, SEED + 20):
        graph, _ = network(seed)
        plan = make_plan(graph, CORES[1], PlanOptions(overlay=False))
        check_moved(plan, dict(plan.offsets), plan.arena_bytes)
        for a in plan.lifetimes:
            for b in plan.lifetimes:
                if a.root == b.root or not a.overlaps(b):
                    continue
                moved = {**plan.offsets, a.root: plan.offsets[b.root]}
                with pytest.raises(InternalError, match="memory plan"):
                    check_moved(plan, moved, plan.arena_bytes + a.size_bytes)
                caught += 1
    assert caught > 40


def test_the_checker_catches_results_over_operands_that_are_still_needed() -> None:
    caught = 0
    for seed in range(SEED, SEED + 30):
        graph, _ = network(seed)
        plan = make_plan(graph, CORES[seed % 3])
        placed, arena = plan.draft.placed, dict(plan.offsets)
        for step in plan.steps:
            place = placed.place(step.node.output)
            for name in step.node.inputs:
                source = placed.place(name) if name else None
                if place is None or source is None or placed.storage[step.node.output] == placed.storage[name]:
                    continue
                storage = {**placed.storage, step.node.output: placed.storage[name]}
                wrong = replace(placed, storage=storage)
                with pytest.raises(InternalError, match="memory plan"):
                    check_plan(plan.draft.program, wrong, arena, 2 * plan.arena_bytes + 4096)
                caught += 1
    assert caught > 40


def test_bound_and_alignment() -> None:
    pieces = [Lifetime("a", 100, 0, 1), Lifetime("b", 50, 1, 2), Lifetime("c", 10, 2, 2)]
    assert lower_bound_bytes(pieces) == 150
    assert (align_up(1), align_up(16), align_up(17)) == (16, 16, 32)
    assert lower_bound_bytes([]) == 0
    assert pack([]).offsets == {}


def test_views_cost_nothing() -> None:
    graph = run_passes(imported(random_network(SEED)).graph)
    plan = make_plan(graph)
    reshapes = [node for node in plan.graph.nodes if node.op == "Reshape"]
    assert reshapes
    assert all(step.node.op != "Reshape" for step in plan.steps)
    assert np.all([plan.storage[r.inputs[0]] == plan.storage[r.output] for r in reshapes])


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_the_order_is_legal_and_no_worse(seed: int) -> None:
    graph, inputs = network(seed)
    ordered = best_order(graph)
    assert sorted(n.output for n in ordered.nodes) == sorted(n.output for n in graph.nodes)
    for wanted, got in zip(run_once(graph, inputs), run_once(ordered, inputs), strict=True):
        np.testing.assert_array_equal(wanted, got)


def into_live_bytes(plan: Plan, rng: np.random.Generator) -> dict[str, int] | None:
    """Offsets with one root moved so that bytes of it that are needed meet such bytes of another."""
    found = rectangles(plan.draft.placed)
    found.update((piece.root, np.array([[0, piece.size_bytes, piece.first, piece.last]]))
                 for piece in plan.lifetimes if piece.root not in found)  # fmt: skip
    meeting = [
        (a, b, x, y) for a in found for b in found if a != b for x in found[a] for y in found[b]
        if x[FIRST] <= y[LAST] and y[FIRST] <= x[LAST]
    ]  # fmt: skip
    if not meeting:
        return None
    a, b, x, y = meeting[int(rng.integers(len(meeting)))]
    offset = plan.offsets[b] + int(y[START]) - int(x[START])
    raised = {root: at + max(-offset, 0) // 16 * 16 + 16 for root, at in plan.offsets.items()}
    return {**raised, a: raised[b] + int(y[START]) - int(x[START])}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 50))
def test_a_thousand_graphs(first: int) -> None:
    """Every plan passes the checker, and none with one root moved into another that is alive with it."""
    caught = 0
    for seed in range(SEED + first, SEED + first + 50):
        graph, _ = network(seed)
        options = PlanOptions(("speed", "balanced", "ram")[seed % 3], arena_ports=seed % 2 == 0)
        plan = make_plan(graph, CORES[seed % 4 % 3], options)
        moved = into_live_bytes(plan, np.random.default_rng(seed))
        if moved is None:
            continue
        caught += 1
        with pytest.raises(InternalError, match=r"overwritten|writes|overlaps"):
            check_moved(plan, moved, 4 * plan.arena_bytes + 4096)
    assert caught > 20


def test_a_chain_of_results_of_one_size_lies_in_one_place() -> None:
    """Only the last of the joins makes less live at the worst step; the ones before it have to be made in hope."""
    shape, taps = (1, 8, 24, 4), np.random.default_rng(SEED).standard_normal((4, 8, 1, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", [f"t{k}", f"w{k}"], [f"t{k + 1}"], group=8, pads=[1] * 4) for k in range(4)]
    nodes += [helper.make_node("GlobalAveragePool", ["t4"], ["y"])]
    proto = make_model(nodes, [value("t0", shape)], ["y"],
                       [constant(f"w{k}", taps[k]) for k in range(4)])  # fmt: skip
    graph = run_passes(imported(proto).graph)
    inputs = {"t0": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    whole, least = make_plan(graph, CORES[0], PlanOptions(overlay=False)), make_plan(graph, CORES[0], "ram")
    assert whole.arena_bytes == 2 * 8 * 24 * 4 * 4
    assert least.arena_bytes <= 0.8 * whole.arena_bytes
    assert_computes(least, graph, inputs)


@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the folder with the MLPerf Tiny models is not there")
def test_networks_of_mlperf_tiny(name: str) -> None:
    """Apart, no plan is smaller; sharing bytes, and cut into bands, they take no more than they ever did."""
    graph = run_passes(ew.load(SHARED_MODELS / f"{name}_int8_qdq.onnx").graph)
    most = {"kws": (10_048, 10_048, 9_680), "ic": (39_904, 18_560, 17_984), "ad": (1_408, 256, 256)}[name]
    for core in CORES:
        apart = make_plan(graph, core, PlanOptions("speed", overlay=False))
        assert apart.arena_bytes == apart.lower_bound_bytes
    assert make_plan(graph, CORES[1], "speed").arena_bytes <= most[0]
    assert make_plan(graph, CORES[1], "ram").arena_bytes <= most[1]
    assert make_plan(graph, CORES[0], "ram").arena_bytes <= most[2]
