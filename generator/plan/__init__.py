"""Planning: Graph in, Plan out. Decides kernels, where each tensor lives, and when; writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import MemoryPlanError
from edgewright.ir import DType, Graph, Node
from edgewright.kernels import Core
from edgewright.ops import KernelCall, operator
from edgewright.passes.choose_signedness import choose_signedness
from edgewright.plan.check import check_plan
from edgewright.plan.choice import choose_kernels
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
    kernel: str  # the variant's name
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
    def raw_weights_bytes(self) -> int:
        """Bytes of all constants as the network has them, before kernels pack them."""
        used = {name for step in self.steps for name in step.node.inputs if name}
        return sum(t.size_bytes for t in self.graph.tensors.values() if t.data is not None and t.name in used)

    @property
    def peak(self) -> Step | None:
        """The step at which most bytes are live."""
        if not self.lifetimes:
            return None

        def live(step: Step) -> int:
            return sum(life.size_bytes for life in self.lifetimes if life.first <= step.index <= life.last)

        return max(self.steps, key=live)


def make_plan(
    graph: Graph, core: Core | None = None, optimize: str = "balanced", weights_limit: int | None = None
) -> Plan:
    """Choose kernels for a core, lifetimes and arena offsets; the result has passed the checker.

    Without a core, the portable kernels. Units: bytes (`weights_limit`: of packed weights, see `choose_kernels`).
    """
    core = core or Core()
    for tensor in graph.tensors.values():
        if tensor.size_bytes > MAX_TENSOR_BYTES:
            raise MemoryPlanError(
                f"tensor '{tensor.name}' of shape {list(tensor.shape)} takes {tensor.size_bytes:,} B; "
                f"the kernels count in 32 bits, up to {MAX_TENSOR_BYTES:,} B"
            )
    if "dsp" in core.features or "mve" in core.features:
        graph = choose_signedness(graph, DType.U8 if core.prefers_unsigned else DType.S8)
    storage, nodes = assign_storage(graph)
    steps, scratch = [], []
    choices = choose_kernels(nodes, graph, core, optimize, weights_limit)
    for index, (node, choice) in enumerate(zip(nodes, choices, strict=True)):
        size = max((call.scratch_bytes for call in choice.calls), default=0)
        piece = f"scratch of step {index}" if size else ""
        while piece in graph.tensors:
            piece += "'"
        if size:
            scratch.append(Lifetime(piece, size, index, index))
        name = choice.kernel.name if choice.kernel is not None else choice.calls[0].function
        steps.append(Step(index, node, choice.calls, operator(node.op).macs(node, graph), name, piece))
    lifetimes = (*Lifetime.of_steps(graph, nodes, storage), *scratch)
    offsets, arena_bytes = pack(lifetimes)
    plan = Plan(graph, tuple(steps), storage, lifetimes, offsets, arena_bytes, lower_bound_bytes(lifetimes))
    check_plan(graph, nodes, storage, offsets, arena_bytes, {piece.first: piece for piece in scratch})
    return plan
