"""A linked program as the files that flash tools take: raw binary, Intel HEX, UF2.

In: an ELF file. Out: bytes. What is loaded lies at its load addresses, so that initialised data are in flash, where the
start-up code copies them from. Gaps are 0xFF, as erased flash is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from edgewright.errors import ToolError

LARGEST_BYTES = 64 << 20
ERASED = 0xFF
UF2_PAGE_BYTES = 256
_UF2_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_UF2_HAS_FAMILY = 0x2000
_HEX_ROW_BYTES = 16


@dataclass(frozen=True)
class Image:
    """What is written to the board: `data` from `address` on; `entry` is where the program begins. Units: bytes."""

    address: int
    data: bytes
    entry: int

    def hex(self) -> str:
        """Intel HEX, with addresses of 32 bits."""
        lines = []
        upper = None
        for start in range(0, len(self.data), _HEX_ROW_BYTES):
            address = self.address + start
            if address >> 16 != upper:
                upper = address >> 16
                lines.append(_hex_line(0, 4, upper.to_bytes(2, "big")))
            row = self.data[start : start + min(_HEX_ROW_BYTES, 0x10000 - (address & 0xFFFF))]
            lines.append(_hex_line(address & 0xFFFF, 0, row))
        return "\n".join([*lines, _hex_line(0, 5, self.entry.to_bytes(4, "big")), _hex_line(0, 1, b"")]) + "\n"

    def uf2(self, family: int) -> bytes:
        """UF2 in pages of 256 bytes; `family` is the chip's number in Microsoft's list."""
        front = self.address % UF2_PAGE_BYTES
        data = bytes([ERASED]) * front + self.data
        data += bytes([ERASED]) * (-len(data) % UF2_PAGE_BYTES)
        count = len(data) // UF2_PAGE_BYTES
        blocks = []
        for number in range(count):
            page = data[number * UF2_PAGE_BYTES : (number + 1) * UF2_PAGE_BYTES]
            address = self.address - front + number * UF2_PAGE_BYTES
            head = struct.pack("<8I", *_UF2_MAGIC[:2], _UF2_HAS_FAMILY, address, len(page), number, count, family)
            blocks.append(head + page.ljust(476, b"\0") + struct.pack("<I", _UF2_MAGIC[2]))
        return b"".join(blocks)


def read_image(elf: Path) -> Image:
    """Read what is loaded. Raises: ToolError for a damaged file, or one that would be larger than 64 MiB."""
    try:
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            entry = int(file["e_entry"])
            parts = sorted(
                (int(each["p_paddr"]), each.data())
                for each in file.iter_segments()
                if each["p_type"] == "PT_LOAD" and each["p_filesz"] > 0
            )
    except (ELFError, OSError, ValueError) as error:
        raise ToolError(f"'{elf}' is no firmware that could be flashed: {error}") from error
    if not parts:
        raise ToolError(f"'{elf}' has nothing to load")
    first, end = parts[0][0], max(address + len(data) for address, data in parts)
    if end - first > LARGEST_BYTES:
        raise ToolError(f"'{elf}' is loaded to {first:#x} and up to {end:#x}: too far apart for one image")
    image = bytearray([ERASED]) * (end - first)
    for address, data in parts:
        image[address - first : address - first + len(data)] = data
    return Image(first, bytes(image), entry)


def _hex_line(address: int, kind: int, data: bytes) -> str:
    body = bytes([len(data), address >> 8, address & 0xFF, kind]) + data
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()
