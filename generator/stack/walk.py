"""What machine code does to the stack, followed along every way: what does not depend on the processor.

It is there for what a compiler's call graph cannot tell: assembly in C functions, and libraries that come compiled. In:
instructions as `objdump -d` writes them, and where functions begin. Out: of each function how deep it goes, whom it
calls, and how deep it is then. Nothing is guessed: an instruction that moves the stack pointer in a way that a
processor's module does not know makes the depth unknown.

Two things are assumed of code that jumps by a table or an address it computed: such a jump stays within its function
(all code that is reached no other way may be its target), and code that can be reached two ways finds the stack equally
deep. Compilers keep to both, and so does the assembly here.
"""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_DEPTH_BYTES = 1 << 24
_MAX_VISITS = 1000  # of one instruction: more only where a loop pushes


class UnknownDepthError(Exception):
    """Why a function's depth cannot be told."""


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly. `following` is the address behind it; `noted` the one in objdump's remark."""

    following: int
    mnemonic: str
    operands: str
    noted: int | None = None


@dataclass
class Flow:
    """What one function does. Units: bytes below the stack pointer it was entered with.

    `calls` and `jumps` (to another function, as the last act): how deep the stack is then, by address.
    `register_calls`: the depth at the deepest call or jump through a register; None where there is none.
    `returns`: how deep the stack is at returns; of a function 0, of a part of one (assembly) any.
    """

    depth: int = 0
    calls: dict[int, int] = field(default_factory=dict)
    jumps: dict[int, int] = field(default_factory=dict)
    register_calls: int | None = None
    returns: set[int] = field(default_factory=set)

    def add(self, part: Flow, depth: int) -> None:
        """Take over what a part of this function does that is called with the stack `depth` deep."""
        for own, theirs in ((self.calls, part.calls), (self.jumps, part.jumps)):
            for address, below in theirs.items():
                own[address] = max(own.get(address, 0), depth + below)
        if part.register_calls is not None:
            self.register_calls = max(self.register_calls or 0, depth + part.register_calls)
        self.depth = max(self.depth, depth + part.depth)


class Code(ABC):
    """A program's instructions. `functions`: name and size (0: not known) of each function by address."""

    def __init__(self, lines: Iterable[str], functions: Mapping[int, tuple[str, int]]) -> None:
        rows = sorted({row[0]: row for row in map(self.parse, lines) if row is not None}.values())
        self.instructions: dict[int, Instruction] = {}
        for index, (address, mnemonic, operands, noted) in enumerate(rows):
            following = rows[index + 1][0] if index + 1 < len(rows) else address + 4
            self.instructions[address] = Instruction(following, mnemonic, operands, noted)
        self.addresses = [row[0] for row in rows]
        self.functions = functions
        self._flows: dict[int, Flow | None] = {}  # None: being followed

    @staticmethod
    @abstractmethod
    def parse(line: str) -> tuple[int, str, str, int | None] | None:
        """Address, mnemonic, operands and noted address of a line; None where it has no instruction."""

    @abstractmethod
    def walk(self, entry: int) -> Walk:
        """What follows the code at `entry`."""

    @abstractmethod
    def leaves(self, instruction: Instruction, entry: int, end: int) -> bool:
        """Whether an instruction leads out of entry to end - 1 other than by returning."""

    def flow(self, entry: int) -> Flow:
        """Follow the function, or part of one, that begins at `entry`. Raises: UnknownDepthError."""
        if entry not in self.instructions:
            raise UnknownDepthError(f"there is no code at {entry:#x}")
        if entry not in self._flows:
            self._flows[entry] = None
            try:
                self._flows[entry] = self.walk(entry).run()
            finally:
                if self._flows[entry] is None:
                    del self._flows[entry]
        flow = self._flows[entry]
        if flow is None:
            raise UnknownDepthError(f"the code at {entry:#x} calls itself")
        return flow

    def calls_nothing(self, entry: int) -> bool:
        """Whether a function of a known size leaves it only to return."""
        end = entry + self.functions[entry][1] if entry in self.functions else entry
        inside = (self.instructions[address] for address in self.within(entry, end))
        return end > entry and not any(self.leaves(instruction, entry, end) for instruction in inside)

    def instruction(self, address: int) -> Instruction | None:
        """The instruction at an address; None where there is none."""
        return self.instructions.get(address)

    def is_code(self, address: int) -> bool:
        """Whether there is an instruction that does something."""
        instruction = self.instructions.get(address)
        return instruction is not None and instruction.mnemonic != "nop" and not instruction.mnemonic.startswith(".")

    def within(self, start: int, end: int) -> list[int]:
        """All addresses of instructions and data from `start` to before `end`."""
        return self.addresses[bisect.bisect_left(self.addresses, start) : bisect.bisect_left(self.addresses, end)]

    def before(self, address: int, most: int) -> list[Instruction]:
        """At most so many instructions before an address, the last first."""
        index = bisect.bisect_left(self.addresses, address)
        return [self.instructions[at] for at in reversed(self.addresses[max(index - most, 0) : index])]


class Walk(ABC):
    """One function followed from its entry: `depths` is the largest depth at which each instruction is reached."""

    def __init__(self, code: Code, entry: int) -> None:
        self.code = code
        self.entry = entry
        self.name, size = code.functions.get(entry, (f"code at {entry:#x}", 0))
        self.is_part = entry not in code.functions
        self.end = entry + size if size else None
        self.depths: dict[int, int] = {}
        self.flow = Flow()
        self.computed: int | None = None  # the depth at the deepest jump to a computed address
        self._visits: dict[int, int] = {}
        self._todo: list[int] = []

    @abstractmethod
    def step(self, address: int, depth: int) -> None:
        """Take one instruction, which is reached with the stack `depth` deep."""

    def follow(self) -> None:
        """Take every instruction that something led to."""
        while self._todo:
            address = self._todo.pop()
            self.step(address, self.depths[address])

    def run(self) -> Flow:
        """Follow everything. Raises: UnknownDepthError."""
        self.reach(self.entry, 0)
        self.follow()
        self.follow_computed()
        if not self.is_part and self.flow.returns - {0}:
            raise UnknownDepthError(f"'{self.name}' returns with the stack {max(self.flow.returns)} B deeper")
        return self.flow

    def follow_computed(self) -> None:
        """Follow what only a computed jump can lead to."""
        guessed: list[int] = []
        while self.computed is not None:
            depth = self.computed
            rest = self.unreached()
            if rest is not None:
                guessed.append(rest)
            for address in guessed:
                self.reach(address, depth)
            self.follow()
            if rest is None and depth == self.computed:
                break

    def unreached(self) -> int | None:
        """Code of this function that nothing led to: where a computed jump may go."""
        if self.end is None:
            raise UnknownDepthError(f"'{self.name}' jumps to an address it computes, and its size is not known")
        for address in self.code.within(self.entry, self.end):
            is_new = address not in self.depths and address not in self.code.functions
            if is_new and self.code.is_code(address):
                return address
        return None

    def reach(self, address: int, depth: int) -> None:
        """Control may come to `address` with the stack this deep."""
        self.deepen(depth, address)
        if address != self.entry and address in self.code.functions:
            self.flow.jumps[address] = max(self.flow.jumps.get(address, 0), depth)
        elif address not in self.depths or depth > self.depths[address]:
            self._visits[address] = self._visits.get(address, 0) + 1
            if self._visits[address] > _MAX_VISITS or depth > MAX_DEPTH_BYTES:
                raise UnknownDepthError(f"the stack grows in a loop of '{self.name}' at {address:#x}")
            self.depths[address] = depth
            self._todo.append(address)

    def deepen(self, depth: int, address: int) -> None:
        """The stack is this deep at `address`."""
        if depth < 0 and not self.is_part:
            raise UnknownDepthError(f"'{self.name}' takes more off the stack than it put there, at {address:#x}")
        self.flow.depth = max(self.flow.depth, depth)

    def call(self, target: int, depth: int) -> None:
        """A function is called."""
        self.flow.calls[target] = max(self.flow.calls.get(target, 0), depth)

    def call_by_register(self, depth: int) -> None:
        """A function is called, or jumped to, whose address is in a register."""
        self.flow.register_calls = max(self.flow.register_calls or 0, depth)
