"""What the stack's analysis needs of a linked program: functions, where it is entered, whose addresses are taken."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_RELOC_TYPE_ARM as ARM
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import ARMAttributesSection, Section, SymbolTableSection

from edgewright.errors import ToolError

VECTORS = ".vectors"
DECLARED = "ew_stack_of_"  # before a function's name: an absolute symbol, how deep its assembly gets
_SAYS_NO_ADDRESS = {
    ARM[name]
    for name in (
        "R_ARM_NONE", "R_ARM_THM_CALL", "R_ARM_THM_JUMP24", "R_ARM_THM_JUMP19", "R_ARM_THM_JUMP11", "R_ARM_THM_JUMP8",
        "R_ARM_THM_JUMP6", "R_ARM_PREL31", "R_ARM_V4BX",
    )
}  # fmt: skip
_BY_SYMBOL = {ARM[name] for name in ("R_ARM_THM_MOVW_ABS_NC", "R_ARM_THM_MOVT_ABS")}
_RESET, _HARD_FAULT = 1, 3  # places in the vector table
_TRAP = "ew_trap"  # of RISC-V: every interrupt and every exception
_STACK_TOP = "ew_stack_top"  # of RISC-V, which has no table that begins with it
_RISCV_ADDRESSES = {1, 2, 20, 23, 26}  # R_RISCV_32, _64, _GOT_HI20, _PCREL_HI20, _HI20 of the psABI


@dataclass(frozen=True)
class Symbol:
    """A function's name; `unit`: the source file's, where the function is local to it."""

    name: str
    unit: str | None
    size_bytes: int


@dataclass(frozen=True)
class Entries:
    """Addresses of the functions that the processor itself calls. `handlers`: of interrupts; `fault`: after them."""

    reset: int
    handlers: frozenset[int]
    fault: int


@dataclass(frozen=True)
class Image:
    """A linked program. Addresses are without the Thumb bit.

    `functions`: names by address. `entries`: None where there is no table of them.
    `taken`: functions whose address is stored or loaded somewhere, the vector table apart; None where the linker kept
    no relocations, which tell that. `machine`: "thumb", "rv32", "rv64", or nothing that is analysed.
    `architecture`: of Arm, the tag CPU_arch of the ABI's build attributes.
    `declared`: bytes of stack that assembly says a function needs, by the function's name.
    `stack_top`: what the stack pointer is at first; None where the program does not say it.
    """

    functions: dict[int, tuple[Symbol, ...]]
    entries: Entries | None
    taken: frozenset[int] | None
    machine: str = ""
    architecture: int | None = None
    declared: dict[str, int] = field(default_factory=dict)
    stack_top: int | None = None

    def find(self, name: str, unit: str | None = None) -> int | None:
        """The address of a function: of a file's own, else of the one that every file sees."""
        for owner in (unit, None) if unit is not None else (None,):
            for address, symbols in self.functions.items():
                if any(symbol.name == name and symbol.unit == owner for symbol in symbols):
                    return address
        return None


def read_image(path: Path) -> Image:
    """Read an ELF file. Raises: ToolError where it is not one."""
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf["e_machine"] == "EM_ARM":
                functions = _functions(elf, thumb=True)
                taken = _taken(elf, functions)
                entries, top = _vectors(elf)
                return Image(functions, entries, taken, "thumb", _architecture(elf), _declared(elf), top)
            if elf["e_machine"] == "EM_RISCV":
                functions = _functions(elf, thumb=False)
                image = Image(functions, None, _taken_riscv(elf, functions), f"rv{elf.elfclass}", None, _declared(elf))
                trap = image.find(_TRAP)
                entries = None if trap is None else Entries(elf["e_entry"], frozenset({trap}), trap)
                return replace(image, entries=entries, stack_top=_value_of(elf, _STACK_TOP))
            return Image({}, None, None)
    except (ELFError, OSError, struct.error) as error:
        raise ToolError(f"'{path.name}' is not a whole ELF file: {error}") from error


def _functions(elf: ELFFile, *, thumb: bool) -> dict[int, tuple[Symbol, ...]]:
    table = elf.get_section_by_name(".symtab")
    found: dict[int, list[Symbol]] = {}
    unit: str | None = None
    if not isinstance(table, SymbolTableSection):
        return {}
    for symbol in table.iter_symbols():
        kind, bind = symbol["st_info"]["type"], symbol["st_info"]["bind"]
        if kind == "STT_FILE":
            unit = symbol.name
        if kind == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF" and (symbol["st_value"] & 1) == thumb:
            owner = unit if bind == "STB_LOCAL" else None
            found.setdefault(symbol["st_value"] & ~1, []).append(Symbol(symbol.name, owner, symbol["st_size"]))
    return {address: tuple(symbols) for address, symbols in sorted(found.items())}


def _declared(elf: ELFFile) -> dict[str, int]:
    table = elf.get_section_by_name(".symtab")
    found: dict[str, int] = {}
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        if symbol.name.startswith(DECLARED) and symbol["st_shndx"] == "SHN_ABS":
            name = symbol.name[len(DECLARED) :]
            found[name] = max(found.get(name, 0), symbol["st_value"])
    return found


def _value_of(elf: ELFFile, name: str) -> int | None:
    table = elf.get_section_by_name(".symtab")
    found = table.get_symbol_by_name(name) if isinstance(table, SymbolTableSection) else None
    return int(found[0]["st_value"]) if found else None


def _architecture(elf: ELFFile) -> int | None:
    for section in elf.iter_sections():
        if isinstance(section, ARMAttributesSection):
            for part in section.iter_subsections():
                for group in part.iter_subsubsections():
                    for attribute in group.iter_attributes("TAG_CPU_ARCH"):
                        return int(attribute.value)
    return None


def _vectors(elf: ELFFile) -> tuple[Entries | None, int | None]:
    """What the vector table leads to, and the stack pointer that it begins with."""
    section = elf.get_section_by_name(VECTORS)
    data = b"" if section is None else section.data()
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    if len(words) <= _HARD_FAULT:
        return None, None
    fault = words[_HARD_FAULT] & ~1
    handlers = frozenset(word & ~1 for word in words[_RESET + 1 :] if word) - {fault}
    return Entries(words[_RESET] & ~1, handlers, fault), words[0]


def _relocations(elf: ELFFile) -> Iterator[tuple[Section, RelocationSection]]:
    """Sections that are loaded, each with its relocations."""
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection):
            of = elf.get_section(section["sh_info"])
            if of["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                yield of, section


def _taken_riscv(elf: ELFFile, functions: dict[int, tuple[Symbol, ...]]) -> frozenset[int] | None:
    found: set[int] = set()
    any_relocations = False
    for _, section in _relocations(elf):
        any_relocations = True
        symbols = elf.get_section(section["sh_link"])
        for relocation in section.iter_relocations():
            if relocation["r_info_type"] in _RISCV_ADDRESSES:
                value = symbols.get_symbol(relocation["r_info_sym"])["st_value"] + relocation["r_addend"]
                if value in functions:
                    found.add(value)
    return frozenset(found) if any_relocations else None


def _taken(elf: ELFFile, functions: dict[int, tuple[Symbol, ...]]) -> frozenset[int] | None:
    found: set[int] = set()
    any_relocations = False
    for of, section in _relocations(elf):
        any_relocations = True
        if of.name == VECTORS:
            continue
        data, base, symbols = of.data(), of["sh_addr"], elf.get_section(section["sh_link"])
        for relocation in section.iter_relocations():
            kind, offset = relocation["r_info_type"], relocation["r_offset"] - base
            if kind in _BY_SYMBOL:
                value = symbols.get_symbol(relocation["r_info_sym"])["st_value"]
            elif kind in _SAYS_NO_ADDRESS:
                continue
            else:
                (value,) = struct.unpack_from("<I", data, offset)
            if value & 1 and value & ~1 in functions:
                found.add(value & ~1)
    return frozenset(found) if any_relocations else None
