"""What a linked program takes, read from its ELF file: region by region on a board, in all on the host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from edgewright.boards import Memory, Target
from edgewright.errors import ToolError
from edgewright.manifest import Manifest


@dataclass(frozen=True)
class RegionUse:
    """What lies in one region of a board's memory. Units: bytes.

    `used_bytes` is everything, initial values that are stored there for RAM included.
    """

    name: str
    kind: Literal["flash", "ram"]
    bytes: int
    used_bytes: int
    arena_bytes: int
    weights_bytes: int


@dataclass(frozen=True)
class Sizes:
    """Of a program. Units: bytes; a figure that cannot be told is None. `code_bytes`: flash without weights."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    code_bytes: int | None = None
    regions: tuple[RegionUse, ...] = ()


@dataclass(frozen=True)
class _Section:
    """Where a section runs, and where its content is stored (None: it has none). Units: bytes."""

    address: int
    load_address: int | None
    size: int
    writable: bool


def measure(path: Path | None, manifest: Manifest, target: Target) -> Sizes:
    """Measure a board's whole program; on the host, the model alone (its library). Raises: ToolError."""
    if path is None:
        return Sizes()
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            sections = list(_sections(elf))
            arrays = list(_arrays(elf, manifest.c_prefix))
    except ELFError as error:
        raise ToolError(f"'{path.name}' is not an ELF file: {error}") from error
    flash = sum(section.size for section in sections if section.load_address is not None)
    ram = sum(section.size for section in sections if section.writable)
    regions = tuple(_use(region, sections, arrays) for region in target.memory)
    if regions:  # weights in RAM are not writable
        ram = sum(region.used_bytes for region in regions if region.kind == "ram")
    return Sizes(flash, ram, flash - manifest.memory.weights_bytes, regions)


def _use(region: Memory, sections: list[_Section], arrays: list[tuple[bool, int, int]]) -> RegionUse:
    def inside(address: int | None) -> bool:
        return address is not None and region.holds(address)

    used = sum(s.size for s in sections if inside(s.address) or inside(s.load_address))
    arena = sum(size for is_arena, address, size in arrays if is_arena and inside(address))
    weights = sum(size for is_arena, address, size in arrays if not is_arena and inside(address))
    return RegionUse(region.name, region.kind, region.bytes, used, arena, weights)


def _sections(elf: ELFFile) -> Iterator[_Section]:
    """Sections that are loaded or reserved."""
    segments = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
    for section in elf.iter_sections():
        flags, size, address = section["sh_flags"], int(section["sh_size"]), int(section["sh_addr"])
        if not flags & SH_FLAGS.SHF_ALLOC or not size:
            continue
        load = None
        if section["sh_type"] != "SHT_NOBITS":
            segment = next((s for s in segments if s.section_in_segment(section)), None)
            load = address if segment is None else address - int(segment["p_vaddr"]) + int(segment["p_paddr"])
        yield _Section(address, load, size, bool(flags & SH_FLAGS.SHF_WRITE))


def _arrays(elf: ELFFile, prefix: str) -> Iterator[tuple[bool, int, int]]:
    """The network's arenas and weights: whether it is an arena, address, bytes."""
    table = elf.get_section_by_name(".symtab")
    for symbol in table.iter_symbols() if table is not None else ():
        if symbol["st_info"]["type"] != "STT_OBJECT":
            continue
        is_weights = re.fullmatch(rf"{re.escape(prefix)}_w\d+", symbol.name) is not None
        if is_weights or re.fullmatch(r"arena(_\w+)?", symbol.name):
            yield not is_weights, int(symbol["st_value"]), int(symbol["st_size"])
