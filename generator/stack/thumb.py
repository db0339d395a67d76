"""What machine code does to the stack: Thumb instructions, as `objdump -d` writes them, followed along every way.

It is there for what a compiler's call graph cannot tell: assembly in C functions, and libraries that come compiled. In:
instructions and where functions begin. Out: of each function how deep it goes, whom it calls, and how deep it is then.
Nothing is guessed: an instruction that moves the stack pointer in a way not known here makes the depth unknown.

Two things are assumed of code that jumps by a table or an address it computed: such a jump stays within its function
(all code that is reached no other way may be its target), and code that can be reached two ways finds the stack equally
deep. Compilers keep to both, and so does the assembly here.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_DEPTH_BYTES = 1 << 24
_CONDITIONS = ("eq", "ne", "cs", "hs", "cc", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al")
_LINE = re.compile(r" *([0-9a-f]{1,8}):\t([^\t]+)(?:\t([^;@]*))?(?:[;@] \(?([0-9a-f]{1,8}) <)?")
_IT = re.compile(r"it[te]{0,3}")
_TARGET = re.compile(r"([0-9a-f]{1,8})(?: <.*)?")
_LIST = re.compile(r"\{(.*)\}")
_PRE_INDEX = re.compile(r"\[sp, #(-?\d+)\]!")
_POST_INDEX = re.compile(r"\[sp\], #(-?\d+)")
_IMMEDIATE = re.compile(r"sp, (?:sp, )?#(\d+)")
_BY_REGISTER = re.compile(r"sp, (?:sp, )?(r\d+|ip|sl|fp)")
_BRANCHES = {"b", *(f"b{condition}" for condition in _CONDITIONS)}
_LOOPS = {"cbz", "cbnz", "le", "letp", "wls", "wlstp"}
_UNKNOWN_JUMPS = {"bxns", "blxns", "bxj", "bf", "bfl", "bfx", "bflx", "bfcsel", "eret"}
_READS_FIRST = {"cmp", "cmn", "tst", "teq"}
_STACK_REGISTERS = {"msp", "psp", "msp_ns", "psp_ns", "control", "control_ns"}
_LOOK_BACK = 8  # instructions between a constant's load and its use
_MAX_VISITS = 1000  # of one instruction: more only where a loop pushes


class UnknownDepthError(Exception):
    """Why a function's depth cannot be told."""


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly. `following` is the address behind it; `literal` what a pc-relative load reads."""

    following: int
    mnemonic: str  # without .n and .w
    operands: str
    literal: int | None = None


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


class Code:
    """A program's instructions. `functions`: name and size (0: not known) of each function by address.

    `has_far_jumps`: of an Armv6-M, whose branches are short: there compilers jump within long functions by BL.
    `stack_top`: what the stack pointer is at first; a fault's handler may return there, which makes nothing deeper.
    """

    def __init__(
        self, lines: Iterable[str], functions: Mapping[int, tuple[str, int]], *, has_far_jumps: bool = False,
        stack_top: int | None = None,
    ) -> None:  # fmt: skip
        rows = sorted({row[0]: row for row in map(_parse, lines) if row is not None}.values())
        self._instructions: dict[int, Instruction] = {}
        self._words: dict[int, int] = {}
        for index, (address, mnemonic, operands, literal) in enumerate(rows):
            following = rows[index + 1][0] if index + 1 < len(rows) else address + 4
            self._instructions[address] = Instruction(following, mnemonic, operands, literal)
            if mnemonic == ".word":
                self._words[address] = int(operands, 16)
        self._addresses = [row[0] for row in rows]
        self._conditional = self._find_conditional()
        self.functions = functions
        self.has_far_jumps = has_far_jumps
        self.stack_top = stack_top
        self._flows: dict[int, Flow | None] = {}  # None: being followed

    def flow(self, entry: int) -> Flow:
        """Follow the function, or part of one, that begins at `entry`. Raises: UnknownDepthError."""
        if entry not in self._instructions:
            raise UnknownDepthError(f"there is no code at {entry:#x}")
        if entry not in self._flows:
            self._flows[entry] = None
            try:
                self._flows[entry] = _Walk(self, entry).run()
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
        for address in self.within(entry, end):
            instruction = self._instructions[address]
            mnemonic = instruction.mnemonic
            if mnemonic == "bl" or mnemonic in _BRANCHES or mnemonic in _LOOPS:
                if not entry <= int(_target(instruction), 16) < end:
                    return False
            elif mnemonic.startswith(("blx", "bx")) and instruction.operands != "lr":
                return False
        return end > entry

    def instruction(self, address: int) -> Instruction | None:
        """The instruction at an address; None where there is none."""
        return self._instructions.get(address)

    def is_code(self, address: int) -> bool:
        """Whether there is an instruction that does something."""
        instruction = self._instructions.get(address)
        return instruction is not None and instruction.mnemonic != "nop" and not instruction.mnemonic.startswith(".")

    def is_conditional(self, address: int) -> bool:
        """Whether an IT instruction governs this one."""
        return address in self._conditional

    def within(self, start: int, end: int) -> list[int]:
        """All addresses of instructions and data from `start` to before `end`."""
        return self._addresses[bisect.bisect_left(self._addresses, start) : bisect.bisect_left(self._addresses, end)]

    def word(self, address: int | None) -> int | None:
        """A word of a literal pool."""
        return None if address is None else self._words.get(address)

    def constant(self, address: int, register: str) -> int | None:
        """What a register was loaded with just before `address`, where that is one plain load of a constant."""
        index = bisect.bisect_left(self._addresses, address)
        for before in reversed(self._addresses[max(index - _LOOK_BACK, 0) : index]):
            instruction = self._instructions[before]
            if register in re.split(r"\W+", instruction.operands):
                if instruction.mnemonic == "ldr" and instruction.operands.startswith(f"{register}, [pc"):
                    return self.word(instruction.literal)
                move = re.fullmatch(rf"{register}, #(\d+)", instruction.operands)
                return int(move[1]) if move and instruction.mnemonic in ("mov", "movs", "movw") else None
            if instruction.mnemonic in _BRANCHES | _LOOPS | {"bl", "blx", "bx"}:
                return None
        return None

    def _find_conditional(self) -> set[int]:
        found: set[int] = set()
        for index, address in enumerate(self._addresses):
            mnemonic = self._instructions[address].mnemonic
            if _IT.fullmatch(mnemonic):
                found.update(self._addresses[index + 1 : index + len(mnemonic)])
        return found


def _parse(line: str) -> tuple[int, str, str, int | None] | None:
    match = _LINE.match(line)
    if match is None:
        return None
    mnemonic = match[2].strip()
    if mnemonic.endswith((".n", ".w")):
        mnemonic = mnemonic[:-2]
    literal = match[4]
    return int(match[1], 16), mnemonic, (match[3] or "").strip(), None if literal is None else int(literal, 16)


def _target(instruction: Instruction) -> str:
    match = _TARGET.fullmatch(instruction.operands.split(", ")[-1])
    if match is None:
        raise UnknownDepthError(f"'{instruction.mnemonic} {instruction.operands}' leads nowhere")
    return match[1]


class _Walk:
    """One function followed from its entry: `_depths` is the largest depth at which each instruction is reached."""

    def __init__(self, code: Code, entry: int) -> None:
        self._code = code
        self._entry = entry
        self._name, size = code.functions.get(entry, (f"code at {entry:#x}", 0))
        self._is_part = entry not in code.functions
        self._end = entry + size if size else None
        self._depths: dict[int, int] = {}
        self._visits: dict[int, int] = {}
        self._todo: list[int] = []
        self._behind_jumps: dict[int, int] = {}  # what follows a jump by BL, and the depth there
        self._computed: int | None = None  # the depth at the deepest jump to a computed address
        self._flow = Flow()

    def run(self) -> Flow:
        self._reach(self._entry, 0)
        self._follow()
        # Should such a BL be a call after all, control comes back behind it.
        while skipped := [at for at in self._behind_jumps if at not in self._depths and self._code.is_code(at)]:
            self._reach(skipped[0], self._behind_jumps[skipped[0]])
            self._follow()
        guessed: list[int] = []
        while self._computed is not None:
            depth = self._computed
            rest = self._unreached()
            if rest is not None:
                guessed.append(rest)
            for address in guessed:
                self._reach(address, depth)
            self._follow()
            if rest is None and depth == self._computed:
                break
        if not self._is_part and self._flow.returns - {0}:
            raise UnknownDepthError(f"'{self._name}' returns with the stack {max(self._flow.returns)} B deeper")
        return self._flow

    def _unreached(self) -> int | None:
        """Code of this function that nothing led to: where a computed jump may go."""
        if self._end is None:
            raise UnknownDepthError(f"'{self._name}' jumps to an address it computes, and its size is not known")
        for address in self._code.within(self._entry, self._end):
            is_new = address not in self._depths and address not in self._code.functions
            if is_new and self._code.is_code(address):
                return address
        return None

    def _follow(self) -> None:
        while self._todo:
            address = self._todo.pop()
            self._step(address, self._depths[address])

    def _reach(self, address: int, depth: int) -> None:
        """Control may come to `address` with the stack this deep."""
        self._deepen(depth, address)
        if address != self._entry and address in self._code.functions:
            self._flow.jumps[address] = max(self._flow.jumps.get(address, 0), depth)
        elif address not in self._depths or depth > self._depths[address]:
            self._visits[address] = self._visits.get(address, 0) + 1
            if self._visits[address] > _MAX_VISITS or depth > MAX_DEPTH_BYTES:
                raise UnknownDepthError(f"the stack grows in a loop of '{self._name}' at {address:#x}")
            self._depths[address] = depth
            self._todo.append(address)

    def _deepen(self, depth: int, address: int) -> None:
        if depth < 0 and not self._is_part:
            raise UnknownDepthError(f"'{self._name}' takes more off the stack than it put there, at {address:#x}")
        self._flow.depth = max(self._flow.depth, depth)

    def _step(self, address: int, depth: int) -> None:
        instruction = self._code.instruction(address)
        if instruction is None or _is_data(instruction):
            raise UnknownDepthError(f"'{self._name}' runs into what is no code, at {address:#x}")
        conditional = self._code.is_conditional(address)
        mnemonic = instruction.mnemonic
        if conditional and mnemonic[-2:] in _CONDITIONS:
            mnemonic = mnemonic[:-2]
        after = depth + self._change(mnemonic, instruction.operands, address)
        self._deepen(after, address)
        if mnemonic == "bl":
            self._call(int(_target(instruction), 16), instruction.following, depth, conditional)
            return
        if self._leaves(mnemonic, instruction, address, depth, after):
            if conditional:
                self._reach(instruction.following, depth)
            return
        self._reach(instruction.following, max(depth, after) if conditional else after)

    def _leaves(self, mnemonic: str, instruction: Instruction, address: int, depth: int, after: int) -> bool:
        """Note where an instruction leads besides to the next one; say whether it never goes on there."""
        operands = instruction.operands
        if mnemonic in _UNKNOWN_JUMPS:
            raise UnknownDepthError(f"'{self._name}' has a '{mnemonic}' at {address:#x}")
        if mnemonic in _BRANCHES or mnemonic in _LOOPS:
            self._reach(int(_target(instruction), 16), depth)
            return mnemonic == "b"
        if mnemonic in ("blx", "bx"):
            if operands == "lr" and mnemonic == "bx":
                self._flow.returns.add(depth)
                return True
            if not re.fullmatch(r"r\d+|ip|sl|fp|lr", operands):
                raise UnknownDepthError(f"'{self._name}' leaves Thumb code at {address:#x}")
            self._flow.register_calls = max(self._flow.register_calls or 0, depth)
            return mnemonic == "bx"
        if mnemonic in ("tbb", "tbh"):
            self._computed = max(self._computed or 0, depth)
            return True
        if _loads_pc(mnemonic, operands):
            return self._loads_pc(mnemonic, instruction, depth, after)
        return mnemonic == "udf"

    def _call(self, target: int, following: int, depth: int, conditional: bool) -> None:
        """A call. Where a function ends behind it, or a part never returns, control does not come back."""
        depths = [depth]
        if target in self._code.functions:
            self._flow.calls[target] = max(self._flow.calls.get(target, 0), depth)
            behind = self._code.instruction(following)
            if following == self._end or behind is None or _is_data(behind):
                depths = []
        elif self._code.has_far_jumps and self._end is not None and self._entry <= target < self._end:
            if following < self._end and following not in self._code.functions:
                self._behind_jumps[following] = depth
            depths = []
            self._reach(target, depth)
        else:
            part = self._code.flow(target)
            self._flow.add(part, depth)
            depths = [depth + change for change in part.returns]
        for after in [*depths, depth] if conditional else depths:
            self._reach(following, after)

    def _loads_pc(self, mnemonic: str, instruction: Instruction, depth: int, after: int) -> bool:
        returns = mnemonic in ("pop", "ldmia", "ldm") or _POST_INDEX.search(instruction.operands)
        if returns or (mnemonic == "mov" and instruction.operands == "pc, lr"):
            self._flow.returns.add(after)
            return True
        literal = self._code.word(instruction.literal)
        if literal is not None:
            self._reach(literal & ~1, depth)
        else:
            self._computed = max(self._computed or 0, depth)
        return True

    def _change(self, mnemonic: str, operands: str, address: int) -> int:
        """How many bytes deeper the stack is afterwards."""
        first = operands.split(",")[0].strip()
        if mnemonic in ("push", "vpush") or (mnemonic in ("stmdb", "vstmdb") and first == "sp!"):
            return _list_bytes(operands)
        if mnemonic in ("pop", "vpop") or (mnemonic in ("ldmia", "ldm", "vldmia") and first == "sp!"):
            return -_list_bytes(operands)
        if first == "sp" and mnemonic in ("add", "sub", "addw", "subw", "adds", "subs"):
            amount = self._amount(operands, address)
            if amount is not None:
                return amount if mnemonic.startswith("sub") else -amount
        indexed = _PRE_INDEX.search(operands) or _POST_INDEX.search(operands)
        if indexed and first != "sp":
            return -int(indexed[1])
        only_reads = mnemonic in _READS_FIRST or mnemonic.startswith(("str", "ldm", "stm", "vldm", "vstm"))
        writes = first == "sp!" or (first == "sp" and not only_reads) or re.search(r"\[sp[^]]*\](!|,)", operands)
        if mnemonic == "msr" and first.lower() == "msp" and self._code.stack_top is not None:
            source = operands.split(",")[1].strip()
            if self._code.constant(address, source) == self._code.stack_top:
                return 0
        if writes or (mnemonic == "msr" and first.lower() in _STACK_REGISTERS):
            words = f"'{mnemonic} {operands}' at {address:#x}"
            raise UnknownDepthError(f"'{self._name}' moves the stack pointer by {words}")
        return 0

    def _amount(self, operands: str, address: int) -> int | None:
        immediate = _IMMEDIATE.fullmatch(operands)
        if immediate:
            return int(immediate[1])
        register = _BY_REGISTER.fullmatch(operands)
        value = self._code.constant(address, register[1]) if register else None
        return None if value is None else value - (1 << 32) if value >> 31 else value


def _is_data(instruction: Instruction) -> bool:
    """What a disassembler shows as data, but for encodings that execute as NOP (DDI 0403, A5.2.5)."""
    is_hint = instruction.mnemonic == ".short" and re.fullmatch(r"0xbf[1-9a-f]0", instruction.operands)
    return instruction.mnemonic.startswith(".") and not is_hint


def _loads_pc(mnemonic: str, operands: str) -> bool:
    if mnemonic in ("pop", "ldmia", "ldm", "ldmdb"):
        return "pc" in _registers(operands)
    return operands.split(",")[0].strip() == "pc" and not mnemonic.startswith("str")


def _registers(operands: str) -> list[str]:
    match = _LIST.search(operands)
    return [] if match is None else [word.strip() for word in match[1].split(",")]


def _list_bytes(operands: str) -> int:
    """Units: bytes. Of `{r4, r5, lr}`, `{s16-s19}`, `{d8-d15}`."""
    total = 0
    for word in _registers(operands):
        ends = word.split("-")
        size = 8 if word.startswith("d") else 4
        count = int(ends[1][1:]) - int(ends[0][1:]) + 1 if len(ends) == 2 else 1
        total += size * count
    return total
