"""The order of nodes: a legal one whose largest sum of live tensors is as low as can be found.

Exact for networks with few open choices, by search over the sets of nodes that have run; a beam of the best sets, and
the order that the model came in, for the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgewright.ir import Graph
from edgewright.ops import operator

MAX_STATES = 4000  # of the exact search
_BEAM = 24
MAX_BEAM_TRIES = 200_000  # a network of thousands of nodes, mostly an unrolled loop, stays in the order it has


@dataclass(frozen=True)
class _Problem:
    """Nodes by number: whom each waits for, what it makes, and who reads what."""

    before: tuple[int, ...]  # a bit for each node that has to run first
    makes: tuple[tuple[int, ...], ...]  # values
    reads: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]  # bytes of a value; 0 where it is not in the arena
    readers: tuple[int, ...]  # a bit for each node that reads a value; -1 for one that is kept for good
    in_place: tuple[tuple[int, ...], ...]  # values that a node may write over

    after: tuple[tuple[int, ...], ...]  # nodes that wait for a node

    @property
    def nodes(self) -> int:
        return len(self.before)

    @property
    def first(self) -> tuple[int, ...]:
        """Nodes that wait for nothing."""
        return tuple(node for node, waits in enumerate(self.before) if not waits)

    def ready(self, before: tuple[int, ...], node: int, done: int) -> tuple[int, ...]:
        """Nodes that can run once `node` has; `before` could when it did, `done` includes it."""
        freed = (n for n in self.after[node] if not self.before[n] & ~done)
        return (*(n for n in before if n != node), *freed)

    def run(self, done: int, live: int, node: int) -> tuple[int, int]:
        """Live bytes while a node runs, and behind it. `done` has the nodes before it, as bits."""
        after = done | 1 << node
        made = sum(self.sizes[value] for value in self.makes[node])
        dead = [v for v in self.reads[node] if self.readers[v] >= 0 and not self.readers[v] & ~after]
        freed = sum(self.sizes[value] for value in dead)
        saved = max((self.sizes[v] for v in dead if v in self.in_place[node]), default=0)
        during = live + made - min(saved, made)
        unread = sum(self.sizes[value] for value in self.makes[node] if self.readers[value] == 0)
        return during, live + made - freed - unread


def best_order(graph: Graph) -> Graph:
    """Return the graph with its nodes in the best order found; as it is, where none is better."""
    problem = _problem(graph)
    given = _peak(problem, range(problem.nodes))
    if given <= max((problem.run(0, 0, n)[0] for n in range(problem.nodes)), default=0):
        return graph  # as low as its largest node
    found = _exact(problem, given) or _beam(problem)
    if found is None or _peak(problem, found) >= given:
        return graph
    return replace(graph, nodes=tuple(graph.nodes[node] for node in found))


def _problem(graph: Graph) -> _Problem:
    values: dict[str, int] = {}
    root: dict[str, str] = {}  # Reshapes cost nothing

    def find(name: str) -> str:
        while name in root:
            name = root[name]
        return name

    for node in graph.nodes:
        if node.op == "Reshape":
            root[node.output] = node.inputs[0]
    ports = {find(name) for name in (*graph.inputs, *graph.outputs)}
    sizes: list[int] = []
    makers: dict[str, int] = {}
    before, makes, reads, in_place = [], [], [], []
    readers: list[int] = []
    for number, node in enumerate(graph.nodes):
        made, read = [], []
        for name in filter(None, node.outputs):
            makers[name] = number
            if node.op != "Reshape":
                values[name] = len(sizes)
                made.append(len(sizes))
                sizes.append(0 if name in ports else graph.tensors[name].size_bytes)
                readers.append(-1 if name in ports else 0)
        waits = 0
        for name in filter(None, node.inputs):
            if name in makers:
                waits |= 1 << makers[name]
            value = values.get(find(name))
            if value is not None:
                read.append(value)
                if readers[value] >= 0:
                    readers[value] |= 1 << number
        over = operator(node.op).in_place or (frozenset({0, 1}) if operator(node.op).rows == "each" else frozenset())
        size = graph.tensors[node.output].size_bytes
        in_place.append(tuple(
            value for index in over if index < len(node.inputs)
            and (value := values.get(find(node.inputs[index]))) is not None and sizes[value] >= size
        ))  # fmt: skip
        before.append(waits)
        makes.append(tuple(made))
        reads.append(tuple(dict.fromkeys(read)))
    after: list[list[int]] = [[] for _ in before]
    for number, waits in enumerate(before):
        while waits:
            maker = waits.bit_length() - 1
            after[maker].append(number)
            waits ^= 1 << maker
    return _Problem(
        tuple(before), tuple(makes), tuple(reads), tuple(sizes), tuple(readers), tuple(in_place),
        tuple(map(tuple, after)),
    )


def _peak(problem: _Problem, order: Sequence[int]) -> int:
    done = live = peak = 0
    for node in order:
        during, live = problem.run(done, live, node)
        peak, done = max(peak, during), done | 1 << node
    return peak


def _exact(problem: _Problem, limit: int) -> list[int] | None:
    """The order with the lowest peak, by best first search; None where there are too many sets."""
    everything = (1 << problem.nodes) - 1
    heap: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]  # peak, less nodes done, set, live bytes
    came: dict[int, tuple[int, int] | None] = {0: None}
    best, ready = {0: 0}, {0: problem.first}
    while heap:
        peak, _, done, live = heapq.heappop(heap)
        if done == everything:
            return _path(came, done)
        if peak > best[done]:
            continue
        for node in ready[done]:
            during, after = problem.run(done, live, node)
            then, worst = done | 1 << node, max(peak, during)
            if worst <= limit and worst < best.get(then, limit + 1):
                best[then], came[then] = worst, (done, node)
                ready[then] = problem.ready(ready[done], node, then)
                heapq.heappush(heap, (worst, -then.bit_count(), then, after))
                if len(best) > MAX_STATES:
                    return None
    return None


def _beam(problem: _Problem) -> list[int] | None:
    """A good order, keeping the sets with the lowest peaks among those of as many nodes; None if that takes long."""
    came: dict[int, tuple[int, int] | None] = {0: None}
    front: dict[int, tuple[int, int]] = {0: (0, 0)}  # set -> peak, live
    ready = {0: problem.first}
    tries = 0
    for _ in range(problem.nodes):
        tries += sum(map(len, ready.values()))
        if tries > MAX_BEAM_TRIES:
            return None
        following: dict[int, tuple[int, int]] = {}
        for done, (peak, live) in front.items():
            for node in ready[done]:
                during, after = problem.run(done, live, node)
                then, worst = done | 1 << node, (max(peak, during), after)
                if then not in following or worst < following[then]:
                    following[then], came[then] = worst, (done, node)
        front = dict(sorted(following.items(), key=lambda item: (item[1], item[0]))[:_BEAM])
        ready = {s: problem.ready(ready[d], n, s) for s in front for d, n in (came[s] or (0, 0),)}
    return _path(came, next(iter(front), 0)) if front else None


def _path(came: dict[int, tuple[int, int] | None], done: int) -> list[int]:
    order = []
    while (step := came[done]) is not None:
        done, node = step
        order.append(node)
    return order[::-1]
