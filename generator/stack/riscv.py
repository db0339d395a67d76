"""What RISC-V instructions do to the stack, as `objdump -d` writes them.

Libraries made for size save registers by calls of libgcc's `__riscv_save_N`, which link by t0 and leave the stack
deeper, and return by a jump to `__riscv_restore_N`: known by name, with the sizes of the ABI (N registers and ra, a
multiple of 16 bytes), and the most that they take on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgewright.stack.walk import Code, Instruction, UnknownDepthError, Walk

_LINE = re.compile(r" *([0-9a-f]{1,16}):\t([^\t]+)(?:\t([^#]*))?(?:# ([0-9a-f]{1,16}))?")
_TARGET = re.compile(r"([0-9a-f]{1,16})(?: <.*)?")
_BRANCHES = {"beq", "bne", "blt", "bge", "bltu", "bgeu", "bgt", "ble", "bgtu", "bleu",
             "beqz", "bnez", "blez", "bgez", "bltz", "bgtz"}  # fmt: skip
_RETURNS = {"ret", "mret", "sret"}
_SAVE = re.compile(r"__riscv_(save|restore)_(\d{1,2})")
_ADD = re.compile(r"sp,sp,(-?\d+)")
_BY_REGISTER = re.compile(r"sp,sp,([a-z]\d+)")
_ALIGN = re.compile(r"sp,sp,-(\d+)")
_UPPER = ("auipc", "lui")
_READS_FIRST = {"sb", "sh", "sw", "sd", "fsw", "fsd", "csrw", "csrs", "csrc"}
_LOOK_BACK = 8  # instructions between a constant's load and its use
_MOST_SAVED = 13  # ra and s0 to s11


class RiscvCode(Code):
    """A program of RISC-V instructions. `register_bytes`: 4 or 8.

    `stack_top`: what the stack pointer is at first; code that goes there anew makes nothing deeper.
    """

    def __init__(
        self, lines: Iterable[str], functions: Mapping[int, tuple[str, int]], register_bytes: int,
        *, stack_top: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(lines, functions)
        self.register_bytes = register_bytes
        self.stack_top = stack_top

    @staticmethod
    def parse(line: str) -> tuple[int, str, str, int | None] | None:
        """As Code has it; the noted address is what a pair of instructions with AUIPC comes to."""
        match = _LINE.match(line)
        if match is None:
            return None
        noted = match[4]
        return int(match[1], 16), match[2].strip(), (match[3] or "").strip(), None if noted is None else int(noted, 16)

    def walk(self, entry: int) -> Walk:
        """As Code has it."""
        return _RiscvWalk(self, entry)

    def leaves(self, instruction: Instruction, entry: int, end: int) -> bool:
        """As Code has it."""
        if instruction.mnemonic in _BRANCHES or instruction.mnemonic == "j":
            return not entry <= _target(instruction) < end
        return instruction.mnemonic in ("jal", "jalr", "jr")

    def saved(self, address: int) -> tuple[str, int] | None:
        """Of libgcc's functions that save and restore registers: which of both, and bytes of stack."""
        match = _SAVE.fullmatch(self.functions.get(address, ("", 0))[0])
        return None if match is None else (match[1], self.saved_bytes(int(match[2]) + 1))

    def saved_bytes(self, registers: int) -> int:
        """Units: bytes, on a stack that is aligned to 16."""
        return (registers * self.register_bytes + 15) // 16 * 16

    def constant(self, address: int, register: str) -> int | None:
        """What a register was loaded with just before `address`, by LI, or LUI and ADDI."""
        added = 0
        for instruction in self.before(address, _LOOK_BACK):
            first, *rest = instruction.operands.split(",")
            if first == register and instruction.mnemonic not in _READS_FIRST:
                if instruction.mnemonic == "li":
                    return int(rest[0], 0) + added
                if instruction.mnemonic == "lui":
                    value = (int(rest[0], 0) << 12) & 0xFFFF_FFFF
                    return (value - (1 << 32) if value >> 31 else value) + added
                if instruction.mnemonic not in ("add", "addi", "addiw") or rest[0] != register:
                    return None
                if not re.fullmatch(r"-?\d+", rest[1]):
                    return None
                added += int(rest[1])
            elif instruction.mnemonic in _BRANCHES | {"j", "jal", "jalr", "jr", "ret"}:
                return None
        return None


def _target(instruction: Instruction) -> int:
    match = _TARGET.fullmatch(instruction.operands.split(",")[-1])
    if match is None:
        raise UnknownDepthError(f"'{instruction.mnemonic} {instruction.operands}' leads nowhere")
    return int(match[1], 16)


class _RiscvWalk(Walk):
    def __init__(self, code: RiscvCode, entry: int) -> None:
        super().__init__(code, entry)
        self._program = code

    def follow_computed(self) -> None:
        """As Walk has it. A jump by a register, in a function that has no code besides, is a call at its end."""
        if self.computed is not None and self.unreached() is None:
            self.call_by_register(self.computed)
        super().follow_computed()

    def step(self, address: int, depth: int) -> None:
        """As Walk has it."""
        instruction = self._program.instruction(address)
        if instruction is None or instruction.mnemonic.startswith("."):
            raise UnknownDepthError(f"'{self.name}' runs into what is no code, at {address:#x}")
        mnemonic = instruction.mnemonic
        if mnemonic in _RETURNS or (mnemonic == "jr" and instruction.operands == "ra"):
            self.flow.returns.add(depth)
        elif mnemonic in _BRANCHES:
            self.reach(_target(instruction), depth)
            self.reach(instruction.following, depth)
        elif mnemonic == "j":
            self._jump(_target(instruction), depth)
        elif mnemonic == "jr":
            self._jump_by_register(instruction, depth)
        elif mnemonic in ("jal", "jalr"):
            self._link(instruction, address, depth)
        elif mnemonic not in ("unimp", "c.unimp"):
            after = self._after(instruction, address, depth)
            self.deepen(after, address)
            self.reach(instruction.following, after)

    def _jump(self, target: int, depth: int) -> None:
        saved = self._program.saved(target)
        if saved is not None and saved[0] == "restore":
            self.flow.returns.add(depth - saved[1])
        else:
            self.reach(target, depth)

    def _jump_by_register(self, instruction: Instruction, depth: int) -> None:
        if instruction.noted is not None:
            self._jump(instruction.noted, depth)
        else:
            self.computed = max(self.computed or 0, depth)

    def _link(self, instruction: Instruction, address: int, depth: int) -> None:
        """A call, by JAL, JALR, or AUIPC and JALR. Where a function ends behind it, control does not come back."""
        words = instruction.operands.split(",")
        link = words[0] if len(words) > 1 and not words[0][0].isdigit() else "ra"
        target = instruction.noted if instruction.mnemonic == "jalr" else _target(instruction)
        saved = None if target is None else self._program.saved(target)
        if saved is not None and saved[0] == "save" and link == "t0":
            self.deepen(depth + self._program.saved_bytes(_MOST_SAVED), address)
            self.reach(instruction.following, depth + saved[1])
            return
        if link not in ("ra", "zero"):
            raise UnknownDepthError(f"'{self.name}' links by {link} at {address:#x}")
        if target is None:
            self.call_by_register(depth)
        elif target not in self._program.functions:
            raise UnknownDepthError(f"'{self.name}' calls what is no function, at {address:#x}")
        else:
            self.call(target, depth)
        if instruction.following != self.end:
            self.reach(instruction.following, depth)

    def _after(self, instruction: Instruction, address: int, depth: int) -> int:
        """How deep the stack is after an instruction that goes on to the next."""
        mnemonic, operands = instruction.mnemonic, instruction.operands
        if operands.split(",")[0] != "sp" or mnemonic in _READS_FIRST:
            return depth
        if mnemonic in _UPPER and self._begins_anew(instruction, address):
            return 0
        added = _ADD.fullmatch(operands)
        if self._is_completion(instruction, address):
            return depth
        if mnemonic in ("add", "addi") and added:
            return depth - int(added[1])
        if mnemonic in ("add", "addi") and operands.startswith("sp,gp,") and self._is_top(instruction.noted):
            return 0
        aligned = _ALIGN.fullmatch(operands)
        if mnemonic in ("and", "andi") and aligned and int(aligned[1]).bit_count() == 1:
            return depth + int(aligned[1]) - 1
        by = _BY_REGISTER.fullmatch(operands)
        amount = self._program.constant(address, by[1]) if by else None
        if amount is not None and mnemonic in ("add", "sub"):
            return depth - amount if mnemonic == "add" else depth + amount
        raise UnknownDepthError(f"'{self.name}' moves the stack pointer by '{mnemonic} {operands}' at {address:#x}")

    def _is_top(self, value: int | None) -> bool:
        return value is not None and value == self._program.stack_top

    def _begins_anew(self, upper: Instruction, address: int) -> bool:
        """Whether AUIPC or LUI at `address` and the instruction behind it load the top of the stack."""
        completion = self._program.instruction(upper.following)
        added = None if completion is None else _added(completion)
        if added is None:
            return False
        value = (int(upper.operands.split(",")[1], 0) << 12) + added + (address if upper.mnemonic == "auipc" else 0)
        return self._is_top(value & 0xFFFF_FFFF)

    def _is_completion(self, instruction: Instruction, address: int) -> bool:
        """Whether this is the second instruction of a load of the stack pointer, which was judged at the first."""
        before = self._program.before(address, 1)
        begun = bool(before) and before[0].mnemonic in _UPPER and before[0].operands.startswith("sp,")
        return begun and _added(instruction) is not None


def _added(instruction: Instruction) -> int | None:
    """What an instruction adds to the stack pointer; MV is objdump's name for nothing."""
    if instruction.mnemonic == "mv" and instruction.operands == "sp,sp":
        return 0
    match = _ADD.fullmatch(instruction.operands)
    return int(match[1]) if match and instruction.mnemonic in ("add", "addi") else None
