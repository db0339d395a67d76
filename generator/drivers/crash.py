"""What a device said before it stopped, in words: which exception, where in the network, with which registers.

In: the report of a board's start-up code (targets/_cpu/) and the firmware's ELF file. Out: one line. The device keeps
no trace of where it is: the program counter, the return addresses on its stack and the symbols say it.
"""

from __future__ import annotations

from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from edgewright.boards.resets import ResetCause
from edgewright.drivers.frames import Fault
from edgewright.errors import ToolError
from edgewright.manifest import Manifest

THUMB_BIT = 1  # of a function's address: not part of it
PLACES = ("pc", "lr", "at0", "at1", "at2", "at3", "at4", "at5")  # from the innermost call on
_EXCEPTIONS = {2: "NMI", 3: "HardFault", 4: "MemManage", 5: "BusFault", 6: "UsageFault", 7: "SecureFault",
               17: "undefined instruction", 19: "prefetch abort", 20: "data abort"}  # fmt: skip
_RISCV_EXCEPTIONS = {
    1: "instruction access fault", 2: "illegal instruction", 3: "breakpoint", 4: "misaligned load",
    5: "load access fault", 6: "misaligned store", 7: "store access fault",
}  # fmt: skip
_CAUSES = {ResetCause.STACK_OVERFLOW: "stack overflow", ResetCause.WATCHDOG: "the watchdog ran out"}


def functions(elf: Path) -> list[tuple[str, int, int]]:
    """Name, address and size of all functions. Raises: ToolError for what is no ELF file."""
    try:
        with elf.open("rb") as stream:
            table = ELFFile(stream).get_section_by_name(".symtab")
            symbols = list(table.iter_symbols()) if table is not None else []
    except ELFError as error:
        raise ToolError(f"'{elf.name}' is not an ELF file: {error}") from error
    found = (symbol for symbol in symbols if symbol["st_info"]["type"] == "STT_FUNC")
    return [(symbol.name, int(symbol["st_value"]), int(symbol["st_size"])) for symbol in found]


def describe_fault(fault: Fault, elf: Path, manifest: Manifest) -> str:
    """Return what happened and where: the step of the network whose function the program or one that called is in."""
    registers = dict(fault.registers)
    number = registers.get("exception", 0)
    names = _RISCV_EXCEPTIONS if "mtval" in registers else _EXCEPTIONS
    name = names.get(number, f"exception {number}")
    if fault.cause is not ResetCause.FAULT:
        name = f"{_CAUSES.get(fault.cause, fault.cause.words)} ({name})"
    hidden = ("exception", "cause", *PLACES[2:])
    said = " ".join(f"{key}=0x{value:08x}" for key, value in registers.items() if key not in hidden)
    table = functions(elf)
    places = [_function_at(table, registers[key]) for key in PLACES if key in registers]
    steps = {step.function: (index, step) for index, step in enumerate(manifest.steps)}
    known = list(dict.fromkeys(place for place in places if place is not None))
    where = f"in {known[0]}" if known else "outside of all functions"
    for number, place in enumerate(known):
        if place in steps:
            index, step = steps[place]
            where = f"in step {index}, {step.op} '{step.name}' ({place})"
            known = known[: number + 1]
            break
    called = f"; calls {' < '.join(known)}" if known else ""
    return f"the device crashed: {name} {where}{called}" + (f"; {said}" if said else "")


def _function_at(table: list[tuple[str, int, int]], address: int) -> str | None:
    address &= ~THUMB_BIT
    for name, start, size in table:
        if start & ~THUMB_BIT <= address < (start & ~THUMB_BIT) + size:
            return name
    return None
