"""What Thumb instructions do to the stack, as `objdump -d` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgewright.stack.walk import Code, Instruction, UnknownDepthError, Walk

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


class ThumbCode(Code):
    """A program of Thumb instructions.

    `has_far_jumps`: of an Armv6-M, whose branches are short: there compilers jump within long functions by BL.
    `stack_top`: what the stack pointer is at first; a fault's handler may return there, which makes nothing deeper.
    """

    def __init__(
        self, lines: Iterable[str], functions: Mapping[int, tuple[str, int]], *, has_far_jumps: bool = False,
        stack_top: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(lines, functions)
        self.has_far_jumps = has_far_jumps
        self.stack_top = stack_top
        self._conditional = self._find_conditional()

    @staticmethod
    def parse(line: str) -> tuple[int, str, str, int | None] | None:
        """As Code has it; mnemonics are without .n and .w, and the noted address is of a pc-relative load."""
        match = _LINE.match(line)
        if match is None:
            return None
        mnemonic = match[2].strip()
        if mnemonic.endswith((".n", ".w")):
            mnemonic = mnemonic[:-2]
        noted = match[4]
        return int(match[1], 16), mnemonic, (match[3] or "").strip(), None if noted is None else int(noted, 16)

    def walk(self, entry: int) -> Walk:
        """As Code has it."""
        return _ThumbWalk(self, entry)

    def leaves(self, instruction: Instruction, entry: int, end: int) -> bool:
        """As Code has it."""
        mnemonic = instruction.mnemonic
        if mnemonic == "bl" or mnemonic in _BRANCHES or mnemonic in _LOOPS:
            return not entry <= int(_target(instruction), 16) < end
        return mnemonic.startswith(("blx", "bx")) and instruction.operands != "lr"

    def is_conditional(self, address: int) -> bool:
        """Whether an IT instruction governs this one."""
        return address in self._conditional

    def word(self, address: int | None) -> int | None:
        """A word of a literal pool."""
        instruction = None if address is None else self.instructions.get(address)
        return int(instruction.operands, 16) if instruction is not None and instruction.mnemonic == ".word" else None

    def constant(self, address: int, register: str) -> int | None:
        """What a register was loaded with just before `address`, where that is one plain load of a constant."""
        for instruction in self.before(address, _LOOK_BACK):
            if register in re.split(r"\W+", instruction.operands):
                if instruction.mnemonic == "ldr" and instruction.operands.startswith(f"{register}, [pc"):
                    return self.word(instruction.noted)
                move = re.fullmatch(rf"{register}, #(\d+)", instruction.operands)
                return int(move[1]) if move and instruction.mnemonic in ("mov", "movs", "movw") else None
            if instruction.mnemonic in _BRANCHES | _LOOPS | {"bl", "blx", "bx"}:
                return None
        return None

    def _find_conditional(self) -> set[int]:
        found: set[int] = set()
        for index, address in enumerate(self.addresses):
            mnemonic = self.instructions[address].mnemonic
            if _IT.fullmatch(mnemonic):
                found.update(self.addresses[index + 1 : index + len(mnemonic)])
        return found


def _target(instruction: Instruction) -> str:
    match = _TARGET.fullmatch(instruction.operands.split(", ")[-1])
    if match is None:
        raise UnknownDepthError(f"'{instruction.mnemonic} {instruction.operands}' leads nowhere")
    return match[1]


class _ThumbWalk(Walk):
    def __init__(self, code: ThumbCode, entry: int) -> None:
        super().__init__(code, entry)
        self._program = code
        self._behind_jumps: dict[int, int] = {}  # what follows a jump by BL, and the depth there

    def follow(self) -> None:
        """As Walk has it; should a jump by BL be a call after all, control comes back behind it."""
        super().follow()
        while skipped := [at for at in self._behind_jumps if at not in self.depths and self._program.is_code(at)]:
            self.reach(skipped[0], self._behind_jumps[skipped[0]])
            super().follow()

    def step(self, address: int, depth: int) -> None:
        """As Walk has it."""
        instruction = self._program.instruction(address)
        if instruction is None or _is_data(instruction):
            raise UnknownDepthError(f"'{self.name}' runs into what is no code, at {address:#x}")
        conditional = self._program.is_conditional(address)
        mnemonic = instruction.mnemonic
        if conditional and mnemonic[-2:] in _CONDITIONS:
            mnemonic = mnemonic[:-2]
        after = depth + self._change(mnemonic, instruction.operands, address)
        self.deepen(after, address)
        if mnemonic == "bl":
            self._call(int(_target(instruction), 16), instruction.following, depth, conditional)
            return
        if self._leaves(mnemonic, instruction, address, depth, after):
            if conditional:
                self.reach(instruction.following, depth)
            return
        self.reach(instruction.following, max(depth, after) if conditional else after)

    def _leaves(self, mnemonic: str, instruction: Instruction, address: int, depth: int, after: int) -> bool:
        """Note where an instruction leads besides to the next one; say whether it never goes on there."""
        operands = instruction.operands
        if mnemonic in _UNKNOWN_JUMPS:
            raise UnknownDepthError(f"'{self.name}' has a '{mnemonic}' at {address:#x}")
        if mnemonic in _BRANCHES or mnemonic in _LOOPS:
            self.reach(int(_target(instruction), 16), depth)
            return mnemonic == "b"
        if mnemonic in ("blx", "bx"):
            if operands == "lr" and mnemonic == "bx":
                self.flow.returns.add(depth)
                return True
            if not re.fullmatch(r"r\d+|ip|sl|fp|lr", operands):
                raise UnknownDepthError(f"'{self.name}' leaves Thumb code at {address:#x}")
            self.call_by_register(depth)
            return mnemonic == "bx"
        if mnemonic in ("tbb", "tbh"):
            self.computed = max(self.computed or 0, depth)
            return True
        if _loads_pc(mnemonic, operands):
            return self._loads_pc(mnemonic, instruction, depth, after)
        return mnemonic == "udf"

    def _call(self, target: int, following: int, depth: int, conditional: bool) -> None:
        """A call. Where a function ends behind it, or a part never returns, control does not come back."""
        depths = [depth]
        if target in self._program.functions:
            self.call(target, depth)
            behind = self._program.instruction(following)
            if following == self.end or behind is None or _is_data(behind):
                depths = []
        elif self._program.has_far_jumps and self.end is not None and self.entry <= target < self.end:
            if following < self.end and following not in self._program.functions:
                self._behind_jumps[following] = depth
            depths = []
            self.reach(target, depth)
        else:
            part = self._program.flow(target)
            self.flow.add(part, depth)
            depths = [depth + change for change in part.returns]
        for after in [*depths, depth] if conditional else depths:
            self.reach(following, after)

    def _loads_pc(self, mnemonic: str, instruction: Instruction, depth: int, after: int) -> bool:
        returns = mnemonic in ("pop", "ldmia", "ldm") or _POST_INDEX.search(instruction.operands)
        if returns or (mnemonic == "mov" and instruction.operands == "pc, lr"):
            self.flow.returns.add(after)
            return True
        literal = self._program.word(instruction.noted)
        if literal is not None:
            self.reach(literal & ~1, depth)
        else:
            self.computed = max(self.computed or 0, depth)
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
        if mnemonic == "msr" and first.lower() == "msp" and self._program.stack_top is not None:
            source = operands.split(",")[1].strip()
            if self._program.constant(address, source) == self._program.stack_top:
                return 0
        if writes or (mnemonic == "msr" and first.lower() in _STACK_REGISTERS):
            words = f"'{mnemonic} {operands}' at {address:#x}"
            raise UnknownDepthError(f"'{self.name}' moves the stack pointer by {words}")
        return 0

    def _amount(self, operands: str, address: int) -> int | None:
        immediate = _IMMEDIATE.fullmatch(operands)
        if immediate:
            return int(immediate[1])
        register = _BY_REGISTER.fullmatch(operands)
        value = self._program.constant(address, register[1]) if register else None
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
