"""Memory plans: sound, never below the bound, and the checker catches a broken one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SEED, imported, random_network

from edgewright.errors import InternalError
from edgewright.passes import run_passes
from edgewright.plan import Plan, make_plan
from edgewright.plan.check import check_plan
from edgewright.plan.lifetimes import Lifetime, lower_bound_bytes
from edgewright.plan.pack import ARENA_ALIGN_BYTES, align_up, pack


def plan_of(seed: int) -> Plan:
    return make_plan(run_passes(imported(random_network(seed)).graph))


@pytest.mark.parametrize("seed", range(SEED, SEED + 40))
def test_random_networks(seed: int) -> None:
    plan = plan_of(seed)
    assert plan.arena_bytes >= plan.lower_bound_bytes
    assert plan.arena_bytes % ARENA_ALIGN_BYTES == 0


def test_the_checker_catches_every_move_into_a_live_buffer() -> None:
    caught = 0
    for seed in range(SEED, SEED + 20):
        plan = plan_of(seed)
        nodes = [step.node for step in plan.steps]
        for a in plan.lifetimes:
            for b in plan.lifetimes:
                if a.root == b.root or not a.overlaps(b):
                    continue
                moved = {**plan.offsets, a.root: plan.offsets[b.root]}
                total = plan.arena_bytes + a.size_bytes
                with pytest.raises(InternalError, match="overwritten"):
                    check_plan(plan.graph, nodes, plan.storage, moved, total)
                caught += 1
    assert caught > 20


lifetimes = st.lists(
    st.tuples(st.integers(1, 3000), st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=25
).map(lambda items: [Lifetime(f"t{i}", size, first, first + span) for i, (size, first, span) in enumerate(items)])


@given(lifetimes)
@settings(max_examples=200, deadline=None)
def test_packing_never_overlaps(pieces: list[Lifetime]) -> None:
    offsets, total = pack(pieces)
    for i, a in enumerate(pieces):
        assert offsets[a.root] % ARENA_ALIGN_BYTES == 0
        assert offsets[a.root] + a.size_bytes <= total
        for b in pieces[:i]:
            if a.overlaps(b):
                apart = offsets[a.root] + a.size_bytes <= offsets[b.root]
                assert apart or offsets[b.root] + b.size_bytes <= offsets[a.root]
    assert total >= lower_bound_bytes(pieces)


def test_bound_and_alignment() -> None:
    pieces = [Lifetime("a", 100, 0, 1), Lifetime("b", 50, 1, 2), Lifetime("c", 10, 2, 2)]
    assert lower_bound_bytes(pieces) == 150
    assert (align_up(1), align_up(16), align_up(17)) == (16, 16, 32)
    assert lower_bound_bytes([]) == 0
    assert pack([]) == ({}, 0)


def test_views_cost_nothing() -> None:
    plan = plan_of(SEED)
    reshapes = [node for node in plan.graph.nodes if node.op == "Reshape"]
    assert reshapes
    assert all(step.node.op != "Reshape" for step in plan.steps)
    assert np.all([plan.storage[r.inputs[0]] == plan.storage[r.output] for r in reshapes])
