"""Kernel choice and signedness: what depends on the core keeps the bits, and budgets are kept."""

from __future__ import annotations

import numpy as np
import pytest
from integer_networks import integer_inputs, integer_network
from networks import imported

from edgewright.errors import InternalError
from edgewright.ir import DType
from edgewright.kernels import Core, Kernel
from edgewright.passes import run_passes
from edgewright.passes.choose_signedness import choose_signedness
from edgewright.plan import Plan, PlanOptions, make_plan
from edgewright.plan.check import check_plan
from edgewright.simulate import simulate

CORES = {"none": Core(), "dsp": Core(frozenset({"fpu", "dsp"})), "mve": Core(frozenset({"fpu", "mve"}))}


@pytest.mark.parametrize("dtype", [DType.U8, DType.S8])
@pytest.mark.parametrize("seed", range(12))
def test_signedness_keeps_the_bits(seed: int, dtype: DType) -> None:
    model = imported(integer_network(seed))
    graph = run_passes(model.graph)
    changed = choose_signedness(graph, dtype)
    inputs = integer_inputs(model, 2, seed)
    for before, after in zip(simulate(graph, inputs), simulate(changed, inputs), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert choose_signedness(changed, dtype) is changed


def test_relu_has_zero_as_its_zero_point_on_dsp_cores() -> None:
    zeros = []
    for seed in range(10):
        graph = make_plan(run_passes(imported(integer_network(seed, "int8")).graph), CORES["dsp"]).graph
        inside = [n for n in graph.nodes if n.op == "QConv" and n.output not in graph.outputs]
        zeros += [node.attrs["y_zero"] for node in inside if node.attrs["dtype"] is DType.U8]
    assert zeros.count(0) >= 5


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("seed", range(5))
def test_more_flash_is_never_slower(seed: int, core: str) -> None:
    graph = run_passes(imported(integer_network(seed)).graph)
    costs, sizes = [], []
    for optimize in ("size", "balanced", "speed"):
        plan = make_plan(graph, CORES[core], PlanOptions(optimize, overlay=False))  # no bands
        chosen = [Kernel.registry[step.kernel] for step in plan.steps if step.kernel in Kernel.registry]
        integer = [step for step in plan.steps if step.kernel in Kernel.registry]
        costs.append(sum(k.cost(s.node, plan.graph) for k, s in zip(chosen, integer, strict=True)))
        arrays = [a for step in plan.steps for call in step.calls for a in call.arguments if isinstance(a, np.ndarray)]
        sizes.append(sum(array.nbytes for array in arrays))
    assert costs == sorted(costs, reverse=True)
    assert sizes == sorted(sizes)


def test_every_kernel_names_an_operator_and_known_features() -> None:
    for kernel in Kernel.registry.values():
        assert kernel.isa <= {"fpu", "dsp", "mve"}
        assert kernel.op.startswith("Q") or kernel.op == "Dequantize"


def test_scratch_over_a_live_tensor_is_caught() -> None:
    for seed in range(100):
        plan = make_plan(run_passes(imported(integer_network(seed)).graph), CORES["dsp"], "speed")
        live = [s for s in plan.steps if s.scratch and plan.storage[s.node.inputs[0]].kind == "arena"]
        if not live:
            continue
        sizes = {piece.root: piece.size_bytes for piece in plan.lifetimes}

        def check(offsets: dict[str, int], total: int, plan: Plan = plan, sizes: dict[str, int] = sizes) -> None:
            spans = {s.index: (offsets[s.scratch], offsets[s.scratch] + sizes[s.scratch])
                     for s in plan.steps if s.scratch}  # fmt: skip
            in_place = [choice.in_place for choice in plan.draft.choices]
            check_plan(plan.draft.program, plan.draft.placed, offsets, total, spans, in_place)

        check(dict(plan.offsets), plan.arena_bytes)
        source = plan.storage[live[0].node.inputs[0]].root
        moved = {**plan.offsets, live[0].scratch: plan.offsets[source]}
        with pytest.raises(InternalError, match="scratch"):
            check(moved, plan.arena_bytes + 65536)
        return
    pytest.skip("no kernel for DSP cores asks for scratch")
