"""The names that nodes of an ONNX graph can read: of the model, of an operator's definition, of a branch or body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

import onnx
import onnx.helper

# What an ONNX value is here: a tensor of ours by its name, a sequence of values, or None, an optional that is empty.
Value = str | tuple["Value", ...] | None


@dataclass(frozen=True, eq=False)
class Scope:
    """The values that were made so far, by their names in ONNX; those of `outer` can be read, too."""

    opsets: Mapping[str, int]  # a domain -> its version; ONNX's own is ""
    used: Set[str]  # names that anything reads
    prefix: str = ""  # of the names that nodes and tensors get
    outer: Scope | None = None
    values: dict[str, Value] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether there is a value of this name."""
        return name in self.values or (self.outer is not None and self.outer.has(name))

    def find(self, name: str) -> Value:
        """Return a value. Raises: KeyError where there is none."""
        return self.values[name] if self.outer is None or name in self.values else self.outer.find(name)

    def opset(self, domain: str) -> int:
        """Return the version of a domain's operators; ONNX's newest for a domain that is not imported."""
        return self.opsets.get(own_domain(domain), onnx.defs.onnx_opset_version())


def own_domain(domain: str) -> str:
    """Return the domain's name; ONNX's own has two."""
    return "" if domain == "ai.onnx" else domain


def opsets_of(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Return the operator sets that a model or a function imports."""
    return {own_domain(entry.domain): int(entry.version) for entry in entries}


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.type == attribute.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def reads(node: onnx.NodeProto) -> set[str]:
    """Return what a node reads: its inputs, and what its graphs take from outside."""
    return {name for name in node.input if name}.union(*map(_captured, subgraphs(node)))


def _captured(graph: onnx.GraphProto) -> set[str]:
    inside = {value.name for value in graph.input} | {value.name for value in graph.initializer}
    inside.update(name for node in graph.node for name in node.output)
    wanted = {value.name for value in graph.output}.union(*map(reads, graph.node))
    return wanted - inside


def live(nodes: Iterable[onnx.NodeProto], wanted: Iterable[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that the wanted values depend on, in their order, and all names that are read."""
    used = set(wanted)
    kept = []
    for node in reversed(list(nodes)):
        if any(name in used for name in node.output):
            kept.append(node)
            used |= reads(node)
    return kept[::-1], used
