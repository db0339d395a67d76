"""What a device said before it stopped, in words: which exception, where in the network, with which registers.

In: the report of a board's start-up code (targets/_cpu/) and the firmware's ELF file. Out: one line. The device keeps
no trace of where it is: the program counter and the symbols say it.
"""

from __future__ import annotations

from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from edgewright.drivers.frames import Fault
from edgewright.errors import ToolError
from edgewright.manifest import Manifest

THUMB_BIT = 1  # of a function's address: not part of it
_EXCEPTIONS = {2: "NMI", 3: "HardFault", 4: "MemManage", 5: "BusFault", 6: "UsageFault", 7: "SecureFault",
               17: "undefined instruction", 19: "prefetch abort", 20: "data abort"}  # fmt: skip


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
    """Return what happened and where: the step of the network whose function the program or its caller is in."""
    registers = dict(fault.registers)
    number = registers.get("exception", 0)
    name = _EXCEPTIONS.get(number, f"exception {number}")
    said = " ".join(f"{key}=0x{value:08x}" for key, value in registers.items() if key != "exception")
    table = functions(elf)
    places = [_function_at(table, registers[key]) for key in ("pc", "lr") if key in registers]
    steps = {step.function: (index, step) for index, step in enumerate(manifest.steps)}
    where = f"in {places[0]}" if places and places[0] else "outside of all functions"
    for place in places:
        if place in steps:
            index, step = steps[place]
            where = f"in step {index}, {step.op} '{step.name}' ({place})"
            break
    return f"the device crashed: {name} {where}; {said}"


def _function_at(table: list[tuple[str, int, int]], address: int) -> str | None:
    address &= ~THUMB_BIT
    for name, start, size in table:
        if start & ~THUMB_BIT <= address < (start & ~THUMB_BIT) + size:
            return name
    return None
