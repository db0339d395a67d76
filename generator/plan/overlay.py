"""Roots laid over each other where the one is no longer needed: results in place of operands, bands behind their rows.

Two roots become one, at a distance from each other, when no byte of the one is written while the other's is still
needed. A kernel that may write over its operand lets the two meet in one step, element on element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewright.ir import Array
from edgewright.plan.liveness import END, FIRST, LAST, START, Rectangles, rectangles
from edgewright.plan.storage import Program, Storage

_DISTANCE_ALIGN = 16
_MOST_BANDED = 24  # roots that come or go by bands and are tried on each other


@dataclass(frozen=True)
class _Proposal:
    """Lay the root of `result` over the root of `operand`, so that they become one."""

    step: int
    operand: str
    result: str
    exact: bool  # element on element; else as near as the bytes' lifetimes allow


@dataclass(eq=False)
class _Root:
    """Roots joined so far, in the first one's bytes: it may begin below 0."""

    low: int
    high: int
    align: int  # bytes of the largest element in it
    live: Rectangles

    @property
    def size(self) -> int:
        return self.high - self.low

    def at(self, shift: int) -> _Root:
        """The same, moved."""
        move = np.array([shift, shift, 0, 0])
        return _Root(self.low + shift, self.high + shift, self.align, self.live + move)

    def over(self, other: _Root) -> _Root:
        """Both together."""
        live = np.concatenate([self.live, other.live])
        return _Root(min(self.low, other.low), max(self.high, other.high), max(self.align, other.align), live)


class _Overlay:
    def __init__(
        self, program: Program, in_place: Sequence[frozenset[int]], scratch: Mapping[int, int], *, hopeful: bool
    ) -> None:
        self.program = program
        self.hopeful = hopeful
        self.in_place = in_place
        self.pairs, self.followers = _proposals(program, in_place)
        align: dict[str, int] = {}
        for name, storage in program.storage.items():
            align[storage.root] = max(align.get(storage.root, 1), program.graph.tensors[name].dtype.size_bytes)
        self.roots = {
            root: _Root(0, program.root_bytes[root], align[root], live) for root, live in rectangles(program).items()
        }
        self.joined: dict[str, tuple[str, int]] = {}  # a root -> the one it is in now, and where
        self.live = np.zeros(len(program.work) + 2, np.int64)  # of all roots together, from step -1 on
        for root in self.roots.values():
            self.live[_span(root)] += root.size
        for step, size in scratch.items():
            self.live[step + 1] += size

    def where(self, name: str) -> tuple[str, int]:
        storage = self.program.storage[name]
        root, offset = storage.root, storage.offset_bytes
        while root in self.joined:
            root, more = self.joined[root]
            offset += more
        return root, offset

    def offer(self, proposal: _Proposal) -> None:
        """Lay a result over an operand where that is legal and helps."""
        (a, a_at), (b, b_at) = self.where(proposal.operand), self.where(proposal.result)
        if a == b:
            return
        if not proposal.exact:
            self.slide(a, b)
        elif self._clear(a, b, a_at - b_at):
            self._join(a, b, [a_at - b_at])

    def slide(self, a: str, b: str) -> None:
        """Lay root b over root a, as near as the lifetimes of their bytes allow, where that helps."""
        self._join(a, b, _distances(self.roots[a].live, self.roots[b].live))

    def partial(self) -> list[tuple[str, str]]:
        """Pairs of roots that are alive at one time and come or go by bands, the largest first."""
        banded = sorted((r for r, root in self.roots.items() if len(root.live) > 1), key=lambda r: -self.roots[r].size)
        pairs = [
            (a, b) for a in banded[:_MOST_BANDED] for b in banded[:_MOST_BANDED]
            if _first(self.roots[a]) < _first(self.roots[b]) < _last(self.roots[a])
        ]  # fmt: skip
        return sorted(pairs, key=lambda pair: -min(self.roots[root].size for root in pair))

    def _join(self, a: str, b: str, shifts: Sequence[int]) -> None:
        lower, upper = self.roots[a], self.roots[b]
        align = max(lower.align, upper.align)
        best = None
        for shift in shifts:
            both = lower.over(upper.at(shift))
            if shift % align == 0 and self._helps(lower, upper, both) and (best is None or both.size < best[0].size):
                best = both, shift
        if best is None:
            return
        for root in (lower, upper):
            self.live[_span(root)] -= root.size
        self.live[_span(best[0])] += best[0].size
        self.roots[a] = best[0]
        del self.roots[b]
        self.joined[b] = a, best[1]

    def _helps(self, a: _Root, b: _Root, both: _Root) -> bool:
        """Whether less is live at the worst step of the two, or as much and no more than the larger of them takes.

        Hopeful: whether they take less together. In a chain of results, each over the one before, that may cost at
        first: the first two, now one, are live beside the third, until that joins them too.
        """
        if self.hopeful:
            return both.size < a.size + b.size
        span = _span(both)
        after = self.live.copy()
        for root in (a, b):
            after[_span(root)] -= root.size
        after[span] += both.size
        before_peak, after_peak = int(self.live[span].max()), int(after[span].max())
        return after_peak < before_peak or (after_peak == before_peak and both.size <= max(a.size, b.size))

    def _clear(self, a: str, b: str, shift: int) -> bool:
        """Whether b moved by `shift` meets nothing of a in the same bytes, but for operands that it replaces."""
        steps = [p.step for p in self.pairs if self.where(p.operand)[0] == a and self._replaces(p, a, b, shift)]
        mine, theirs = self.roots[a].live, self.roots[b].live
        bytes_meet = (mine[:, None, START] < theirs[None, :, END] + shift) & (
            theirs[None, :, START] + shift < mine[:, None, END]
        )
        touch = (mine[:, None, LAST] == theirs[None, :, FIRST]) & np.isin(theirs[:, FIRST], steps)
        return not bool((bytes_meet & _meet(mine, theirs) & ~touch).any())

    def _replaces(self, pair: _Proposal, a: str, b: str, shift: int) -> bool:
        """Whether the pair's result then lies on its operand, and on no other input of its step."""
        root, offset = self.where(pair.result)
        _, start = self.where(pair.operand)
        if root != b or offset + shift != start:
            return False
        tensors = self.program.graph.tensors
        end = start + tensors[pair.result].size_bytes
        for index, name in enumerate(self.program.work[pair.step].node.inputs):
            if name and self.program.place(name) is not None:
                other, first = self.where(name)
                overlaps = other == a and first < end and start < first + tensors[name].size_bytes
                if overlaps and (first != start or index not in self.in_place[pair.step]):
                    return False
        return True

    def program_now(self) -> Program:
        """The program with its roots joined."""
        storage = {}
        for name, old in self.program.storage.items():
            storage[name] = old
            if old.kind == "arena" and (old.root in self.roots or old.root in self.joined):
                root, offset = self.where(name)
                storage[name] = Storage(old.kind, root, offset - self.roots[root].low)
        return replace(
            self.program, storage=storage, root_bytes={name: root.size for name, root in self.roots.items()}
        )


def overlaid(program: Program, in_place: Sequence[frozenset[int]], scratch: Mapping[int, int]) -> Program:
    """Return the program with roots joined wherever less is live for it at the worst of their steps; or, if that makes
    the worst step of all smaller, wherever two take less room together.

    Units: bytes. `in_place`: for each step the inputs that its kernel may write over; `scratch`: what a step needs
    besides its tensors.
    """
    tried = []
    for hopeful in (False, True):
        overlay = _Overlay(program, in_place, scratch, hopeful=hopeful)
        for proposal in (*overlay.pairs, *overlay.followers):
            overlay.offer(proposal)
        for a, b in overlay.partial():
            if a in overlay.roots and b in overlay.roots:
                overlay.slide(a, b)
        tried.append(overlay)
    return min(tried, key=lambda overlay: int(overlay.live.max())).program_now()


def _proposals(program: Program, in_place: Sequence[frozenset[int]]) -> tuple[list[_Proposal], list[_Proposal]]:
    """Results over operands; and the parts of a result behind the parts of an operand."""
    tensors = program.graph.tensors

    def is_part(name: str) -> bool:
        return tensors[name].size_bytes < program.root_bytes[program.storage[name].root]

    exact: list[_Proposal] = []
    later: dict[tuple[str, str], _Proposal] = {}
    for step, work in enumerate(program.work):
        node = work.node
        if program.place(node.output) is None:
            continue
        for index, name in enumerate(node.inputs):
            if not name or program.place(name) is None:
                continue
            pair = program.storage[name].root, program.storage[node.output].root
            if pair[0] == pair[1]:
                continue
            if index in in_place[step] and tensors[name].shape == tensors[node.output].shape:
                if tensors[name].size_bytes == tensors[node.output].size_bytes:
                    exact.append(_Proposal(step, name, node.output, True))
            elif is_part(name) or is_part(node.output):
                later.setdefault(pair, _Proposal(step, name, node.output, False))
    return exact, list(later.values())


def _first(root: _Root) -> int:
    return int(root.live[:, FIRST].min())


def _last(root: _Root) -> int:
    return int(root.live[:, LAST].max())


def _span(root: _Root) -> slice:
    """Where in `_Overlay.live` a root is live."""
    return slice(_first(root) + 1, _last(root) + 2)


def _meet(a: Rectangles, b: Rectangles) -> Array:
    """Whether rectangles are live in one step. Shapes: [n, 4], [m, 4] -> [n, m]."""
    return np.asarray((a[:, None, FIRST] <= b[None, :, LAST]) & (b[None, :, FIRST] <= a[:, None, LAST]))


def _distances(a: Rectangles, b: Rectangles) -> list[int]:
    """The least shifts of b that keep it below, or above, all of a that is live at the same time."""
    meet = _meet(a, b)
    if not meet.any():
        return []
    below = int((a[:, None, START] - b[None, :, END])[meet].min())
    above = int((a[:, None, END] - b[None, :, START])[meet].max())
    return [below - below % _DISTANCE_ALIGN, above + -above % _DISTANCE_ALIGN]
