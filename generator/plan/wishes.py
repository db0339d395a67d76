"""`--place NAME=REGION`: from names of tensors, constants and operators to pieces of the arena and arrays.

Passes rename what they change by adding to the name ('conv1_out' becomes 'conv1_out.nhwc'), and the quantizer adds
'_quantized'; a name therefore stands for these too, where nothing is called just so.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgewright.errors import MemoryPlanError
from edgewright.ir import Graph
from edgewright.plan.regions import Placement, SharedPlaceError
from edgewright.plan.storage import Program
from edgewright.plan.touches import Constant, Key

if TYPE_CHECKING:
    from edgewright.plan.planner import Step

_DERIVED = (".", "_quantized")
_LISTED = 12  # names that an error lists


def resolve(
    placement: Placement, program: Program, roots: Iterable[str], steps: Sequence[Step], constants: Sequence[Constant]
) -> tuple[dict[str, str], dict[Key, str]]:
    """Return the regions wished for: of roots, and of constants by key.

    Raises: MemoryPlanError where a name or a region is unknown, or a tensor cannot lie there; SharedPlaceError where
    tensors that share bytes are wished for in different regions.
    """
    return _Wishes(placement, program, frozenset(roots), steps, constants).all()


class _Wishes:
    def __init__(
        self, placement: Placement, program: Program, roots: frozenset[str], steps: Sequence[Step],
        constants: Sequence[Constant],
    ) -> None:  # fmt: skip
        self.placement = placement
        self.graph: Graph = program.graph
        self.ram = [region.name for region in placement.ram]
        self.regions = [*(region.name for region in placement.flash), *self.ram]
        self.tensors: dict[str, set[str]] = {}  # names -> roots
        for name, place in program.storage.items():
            if place.kind == "arena" and place.root in roots:
                self.tensors.setdefault(name, set()).add(place.root)
        whole = frozenset(self.tensors)
        for work in program.work:  # a layer that runs in bands may have parts in the arena only
            place = program.storage[work.node.output]
            if place.kind == "arena" and work.layer not in whole:
                self.tensors.setdefault(work.layer, set()).add(place.root)
        self.constants: dict[str, set[Key]] = {}  # names -> keys
        self.operators: dict[str, set[Key]] = {}
        for step in steps:
            own = {c.key for c in constants if step.index in c.steps}
            if own:
                self.operators.setdefault(step.node.name, set()).update(own)
            packed = {c.key for c in constants if step.index in c.steps and not c.names}
            for name in filter(None, step.node.inputs):
                if self.graph.tensors[name].data is not None:
                    exact = {c.key for c in constants if name in c.names}
                    self.constants.setdefault(name, set()).update(exact or packed)

    def all(self) -> tuple[dict[str, str], dict[Key, str]]:
        """Every wish; a later one does not replace an earlier one that says otherwise."""
        roots: dict[str, str] = {}
        keys: dict[Key, str] = {}
        for name, region in self.placement.place.items():
            if region not in self.regions:
                raise MemoryPlanError(f"place {name}={region}: no region '{region}'; there are {_words(self.regions)}")
            wanted = self._tensors(name)
            if wanted and region not in self.ram:
                raise MemoryPlanError(
                    f"place {name}={region}: '{region}' is flash, and a tensor needs RAM: {_words(self.ram)}"
                )
            for root in wanted:
                if roots.setdefault(root, region) != region:
                    raise SharedPlaceError(
                        f"place {name}={region}: it shares its bytes with a tensor that was placed in '{roots[root]}'"
                    )
            for key in self._constants(name):
                if keys.setdefault(key, region) != region:
                    raise SharedPlaceError(
                        f"place {name}={region}: it is packed together with a constant placed in '{keys[key]}'"
                    )
            if not wanted and not self._constants(name):
                raise MemoryPlanError(f"place {name}={region}: {self._unknown(name)}")
        return roots, keys

    def _tensors(self, name: str) -> set[str]:
        callers = name in (*self.graph.inputs, *self.graph.outputs) and name not in self.tensors
        return set() if callers or name in self.constants else _found(name, self.tensors)

    def _constants(self, name: str) -> set[Key]:
        if name in self.tensors:
            return set()
        constants = _found(name, self.constants)
        return constants if constants or self._tensors(name) else self.operators.get(name, set())

    def _unknown(self, name: str) -> str:
        if name in (*self.graph.inputs, *self.graph.outputs):
            return "inputs and outputs are the caller's; with --io arena they can be placed"
        known = sorted({*self.tensors, *self.constants, *self.operators})
        near = difflib.get_close_matches(name, known, n=_LISTED, cutoff=0.5)
        listed = [*near, *(other for other in known if other not in near)][:_LISTED]
        more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
        return f"the plan has no tensor or constant of that name; there are {_words(listed)}{more}"


def _found(name: str, known: Mapping[str, set[str]]) -> set[str]:
    """What the name stands for, or the names that passes made of it."""
    if name in known:
        return known[name]
    derived = [other for other in known if other.startswith(tuple(name + mark for mark in _DERIVED))]
    return {item for other in derived for item in known[other]}


def _words(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
