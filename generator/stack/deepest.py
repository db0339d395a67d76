"""The deepest way through a program: what each function adds, added up along its calls."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.stack.callgraph import INDIRECT, CallGraph, Function
from edgewright.stack.image import Image
from edgewright.stack.walk import Code, Flow, UnknownDepthError


class UnboundedError(Exception):
    """Why a stack has no bound, or none that is known."""


@dataclass(frozen=True)
class _Local:
    """One function. Units: bytes. `callees`: how deep its own frame is when it calls, by address."""

    name: str
    frame_bytes: int
    callees: dict[int, int]


class Program:
    """Functions by address, joined from machine code and the compiler's call graph."""

    def __init__(self, image: Image, graph: CallGraph, code: Code) -> None:
        self._image = image
        self._graph = graph
        self._code = code
        self._addresses: dict[tuple[str | None, str], set[int]] = {}
        for address, symbols in image.functions.items():
            for symbol in symbols:
                self._addresses.setdefault((symbol.unit, symbol.name), set()).add(address)
        self._locals: dict[int, _Local] = {}
        self._deepest: dict[int, tuple[int, int | None]] = {}  # bytes, and the callee that makes it so

    def deepest(self, entry: int) -> int:
        """How deep a function gets, all it calls included. Units: bytes. Raises: UnboundedError."""
        entry &= ~1
        way: list[int] = [entry]
        on_way = {entry}
        while way:
            here = way[-1]
            local = self._local(here)
            unknown = next((c for c in local.callees if c not in self._deepest), None)
            if unknown is None:
                callee = max(local.callees, key=lambda c: local.callees[c] + self._deepest[c][0], default=None)
                below = 0 if callee is None else local.callees[callee] + self._deepest[callee][0]
                self._deepest[here] = max(below, local.frame_bytes), callee if below >= local.frame_bytes else None
                on_way.discard(way.pop())
            elif unknown in on_way:
                names = [self._local(each).name for each in way[way.index(unknown) :]]
                raise UnboundedError(f"recursion: {' > '.join([*names, names[0]])}")
            else:
                way.append(unknown)
                on_way.add(unknown)
        return self._deepest[entry][0]

    def path(self, entry: int) -> tuple[str, ...]:
        """The functions of the deepest way from `entry`, which `deepest` has looked at."""
        names: list[str] = []
        at: int | None = entry & ~1
        while at is not None:
            names.append(self._local(at).name)
            at = self._deepest[at][1]
        return tuple(names)

    def _local(self, address: int) -> _Local:
        if address not in self._locals:
            self._locals[address] = self._join(address)
        return self._locals[address]

    def _join(self, address: int) -> _Local:
        name = self._code.functions.get(address, (f"code at {address:#x}", 0))[0]
        compiled = self._compiled(address)
        growing = [function.name for function in compiled if not function.is_fixed]
        if growing:
            raise UnboundedError(f"the frame of '{growing[0]}' grows at run time")
        flow = self._flow(address, name)
        frame = max([flow.depth, *(function.frame_bytes for function in compiled)])
        callees = dict(flow.calls)
        for callee, depth in flow.jumps.items():
            callees[callee] = max(callees.get(callee, 0), depth)
        others = self._named_callees(compiled, set(callees))
        says_so = any(INDIRECT in function.callees for function in compiled)
        if says_so or (flow.register_calls is not None and not others):
            others |= self._pointed_at(name, compiled, flow)
        return _Local(name, frame, {**callees, **dict.fromkeys(sorted(others), frame)})

    def _flow(self, address: int, name: str) -> Flow:
        """What the machine code does; where that cannot be told, what its assembly declares, if it calls nothing."""
        try:
            return self._code.flow(address)
        except UnknownDepthError as error:
            declared = self._image.declared.get(name)
            if declared is None or not self._code.calls_nothing(address):
                raise UnboundedError(str(error)) from error
            return Flow(depth=declared)

    def _compiled(self, address: int) -> tuple[Function, ...]:
        """What the compiler says of the function at an address."""
        return tuple(
            function
            for symbol in self._image.functions.get(address, ())
            for function in self._graph.find(symbol.name, symbol.unit)
        )

    def _named_callees(self, compiled: tuple[Function, ...], known: set[int]) -> set[int]:
        """Functions that the compiler says are called and machine code does not call by address.

        One that is not in the program is called by nothing that is: the linker would have missed it.
        """
        found: set[int] = set()
        for function in compiled:
            for title in function.callees - {INDIRECT}:
                unit, colon, name = title.rpartition(":")
                owner = unit.rpartition("/")[2] if colon else None
                found |= self._addresses.get((owner, name)) or self._addresses.get((None, name), set())
        return found - known

    def _pointed_at(self, name: str, compiled: tuple[Function, ...], flow: Flow) -> set[int]:
        if not compiled:
            raise UnboundedError(f"'{name}', which the compiler's call graph does not have, calls by a pointer")
        if self._image.taken is None:
            raise UnboundedError(f"'{name}' calls by a pointer, and the program was linked without --emit-relocs")
        return set(self._image.taken)
