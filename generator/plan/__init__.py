"""Planning: Graph in, Plan out. Decides kernels, where each tensor lives, and when; writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.errors import InternalError, MemoryPlanError
from edgewright.ir import Graph, Node
from edgewright.ops import KernelCall, operator
from edgewright.plan.check import check_plan
from edgewright.plan.lifetimes import Lifetime, Storage, assign_storage, lower_bound_bytes
from edgewright.plan.pack import ARENA_ALIGN_BYTES, pack

MAX_TENSOR_BYTES = 2**31 - 1

__all__ = ["ARENA_ALIGN_BYTES", "Lifetime", "Plan", "Step", "Storage", "make_plan"]


@dataclass(frozen=True, eq=False)
class Step:
    """One node at run time: its kernel calls. Views (Reshape without a copy) are no steps."""

    index: int
    node: Node
    calls: tuple[KernelCall, ...]
    macs: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the emitter writes down.

    Units: bytes. `storage` says for each tensor which buffer holds it; `offsets` where that buffer lies in the arena.
    """

    graph: Graph
    steps: tuple[Step, ...]
    storage: dict[str, Storage]
    lifetimes: tuple[Lifetime, ...]
    offsets: dict[str, int]
    arena_bytes: int
    lower_bound_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(step.macs for step in self.steps)

    @property
    def peak(self) -> Step | None:
        """The step at which most bytes are live."""
        if not self.lifetimes:
            return None

        def live(step: Step) -> int:
            return sum(life.size_bytes for life in self.lifetimes if life.first <= step.index <= life.last)

        return max(self.steps, key=live)


def make_plan(graph: Graph) -> Plan:
    """Choose kernels, lifetimes and arena offsets; the result has passed the checker."""
    for tensor in graph.tensors.values():
        if tensor.size_bytes > MAX_TENSOR_BYTES:
            raise MemoryPlanError(
                f"tensor '{tensor.name}' of shape {list(tensor.shape)} takes {tensor.size_bytes:,} B; "
                f"the kernels count in 32 bits, up to {MAX_TENSOR_BYTES:,} B"
            )
    storage, nodes = assign_storage(graph)
    steps = []
    for index, node in enumerate(nodes):
        rule = operator(node.op)
        calls = rule.lower(node, graph)
        if any(call.scratch_bytes for call in calls):
            raise InternalError(f"{node.op} asks for scratch memory, which the planner does not place yet")
        steps.append(Step(index, node, calls, rule.macs(node, graph)))
    lifetimes = Lifetime.of_steps(graph, nodes, storage)
    offsets, arena_bytes = pack(lifetimes)
    plan = Plan(graph, tuple(steps), storage, lifetimes, offsets, arena_bytes, lower_bound_bytes(lifetimes))
    check_plan(graph, nodes, storage, offsets, arena_bytes)
    return plan
