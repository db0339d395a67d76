"""What a kernel variant is, and the core it runs on.

A module of this folder defines subclasses of `Kernel`; being defined registers them, and the folder is scanned.
The portable kernels take every node of their operator and are the truth; a variant for an instruction set
(`__dsp`, `__mve`) takes those that `fits` accepts, and gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from edgewright.errors import InternalError
from edgewright.ir import Graph, Node
from edgewright.ops.core import SCRATCH, KernelCall

__all__ = ["SCRATCH", "Core", "Kernel", "KernelCall", "kernels_for"]


@dataclass(frozen=True)
class Core:
    """What kernel choice knows of a processor: its features, of `fpu` (float32 in hardware), `dsp` and `mve`."""

    features: frozenset[str] = frozenset()

    @property
    def prefers_unsigned(self) -> bool:
        """Whether 8-bit activations are best kept as uint8: Arm DSP packs with USAT16, and a Relu's zero is then 0."""
        return "dsp" in self.features and "mve" not in self.features


class Kernel:
    """Base of all kernel variants: subclasses with an `op` are registered as one instance each."""

    op: ClassVar[str]  # the IR operator
    name: ClassVar[str]  # in reports and in the search for it; unique
    isa: ClassVar[frozenset[str]] = frozenset()  # features the core has to have
    in_place: ClassVar[frozenset[int]] = frozenset()  # inputs of the output's shape that may be written over
    registry: ClassVar[dict[str, Kernel]] = {}

    def __init_subclass__(cls) -> None:
        if "op" in cls.__dict__:
            if cls.name in Kernel.registry:
                raise InternalError(f"kernel {cls.name} is described twice")
            Kernel.registry[cls.name] = cls()

    def fits(self, node: Node, graph: Graph) -> bool:
        """Whether the kernel takes this node, bounds of its accumulators included."""
        return True

    def cost(self, node: Node, graph: Graph) -> int:
        """Modelled cycles of one inference on a core that has the features, without packing anything."""
        raise InternalError(f"kernel {self.name} has no cost")

    def overwrites(self, node: Node, graph: Graph) -> frozenset[int]:
        """Return the inputs whose place the output may take, where it has their shape and type."""
        return self.in_place

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Return the calls, with weights packed."""
        raise InternalError(f"kernel {self.name} lowers nothing")


def kernels_for(node: Node, graph: Graph, core: Core) -> Iterator[Kernel]:
    """The variants that take a node on a core."""
    for kernel in Kernel.registry.values():
        if kernel.op == node.op and kernel.isa <= core.features and kernel.fits(node, graph):
            yield kernel
