"""How often the steps of a plan touch each piece of the arena and each constant: an estimate, for where to put them.

An operand of a step without MACs is read once. With MACs, a layer's constants are read once for each two pixels of its
result, and an activation once for every four MACs that it takes part in: what kernels hold in registers, roughly.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewright.ir import Array, Graph
from edgewright.plan.storage import Storage

if TYPE_CHECKING:
    from edgewright.plan.planner import Step

PIXELS_A_RUN = 2  # of a result, for which a kernel reads the weights once
MACS_A_READ = 4  # results that an activation is used for once it is in a register

Key = str  # of a constant: its bytes' digest and type


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that steps read. `names`: the graph's constants that it is, none where a kernel has packed them.

    Units: bytes; `touched_bytes` in one inference. `origin`: the first name, or the layer that it was packed for.
    """

    key: Key
    values: Array
    origin: str
    names: tuple[str, ...]
    steps: tuple[int, ...]
    touched_bytes: int
    region: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return int(self.values.nbytes)


class Keys:
    """What tells constants apart: two of the same bytes and type are one. Each array is digested once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Array, Key]] = {}  # by id; the array is held, so that the id stays its own

    def of(self, values: Array) -> Key:
        """Return the key of an array."""
        known = self._known.get(id(values))
        if known is None:
            key = f"{values.dtype.name}:{hashlib.sha256(values.tobytes()).hexdigest()}"
            known = self._known[id(values)] = (values, key)
        return known[1]


def constants_of(
    steps: Sequence[Step], graph: Graph, storage: Mapping[str, Storage], keys: Keys
) -> tuple[Constant, ...]:
    """Return every array that the steps' calls read, in the order of the steps, each once; no region is chosen yet."""
    arrays: dict[Key, tuple[Array, str]] = {}
    names: dict[Key, list[str]] = defaultdict(list)
    readers: dict[Key, list[int]] = defaultdict(list)
    touched: dict[Key, int] = defaultdict(int)
    for step in steps:
        for values, name in _arrays(step, graph, storage):
            key = keys.of(values)
            arrays.setdefault(key, (values, name or step.layer))
            if name and name not in names[key]:
                names[key].append(name)
            if step.index not in readers[key]:
                readers[key].append(step.index)
            touched[key] += int(values.nbytes) * _runs(step, graph)
    return tuple(
        Constant(key, values, origin, tuple(names[key]), tuple(readers[key]), touched[key])
        for key, (values, origin) in arrays.items()
    )


def touches_of(steps: Sequence[Step], graph: Graph, storage: Mapping[str, Storage],
               scratch_bytes: Mapping[str, int]) -> dict[str, int]:  # fmt: skip
    """Return the bytes that are read and written in one inference, by root in the arena."""
    result: dict[str, int] = defaultdict(int)
    for step in steps:
        for name in filter(None, step.node.inputs):
            if storage[name].kind == "arena":
                tensor = graph.tensors[name]
                reads = max(step.macs // (MACS_A_READ * max(tensor.elements, 1)), 1)
                result[storage[name].root] += reads * tensor.size_bytes
        for name in filter(None, step.node.outputs):
            if storage[name].kind == "arena":
                result[storage[name].root] += graph.tensors[name].size_bytes
        if step.scratch:
            result[step.scratch] += 2 * _runs(step, graph) * scratch_bytes[step.scratch]
    return dict(result)


def _arrays(step: Step, graph: Graph, storage: Mapping[str, Storage]) -> list[tuple[Array, str]]:
    """Arrays of a step's calls, and the name of those that the graph has as they are."""
    found = []
    for call in step.calls:
        for argument in call.arguments:
            if isinstance(argument, np.ndarray):
                found.append((argument, ""))
            elif isinstance(argument, str) and storage[argument].kind == "constant":
                root = storage[argument].root
                found.append((np.asarray(graph.constant(root)), root))
    return found


def _runs(step: Step, graph: Graph) -> int:
    """How often a step goes through its constants."""
    shape = graph.tensors[step.node.output].shape
    pixels = math.prod(shape[:-1]) if step.macs else 1
    return max(-(-pixels // PIXELS_A_RUN), 1)
