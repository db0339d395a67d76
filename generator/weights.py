"""The constants of a generated project: C arrays, or a binary file that the assembler puts into the program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgewright.boards import Target
from edgewright.ir import Array, DType
from edgewright.literals import c_rows

Weights = Literal["auto", "c", "binary"]  # how constants are written
BINARY_FROM_BYTES = 1 << 20  # "auto" writes C arrays up to here: people read them, and compilers take their time
_ALIGN = 16


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in weights.c."""

    identifier: str
    c_type: str
    values: Array
    comment: str
    section: str  # empty where it lies with the code

    @property
    def stored(self) -> Array:
        """The elements as they lie in memory, one after the other."""
        return DType.of(self.values).to_memory(self.values).reshape(-1)


def is_binary(wanted: Weights, constants: Sequence[Constant], target: Target) -> bool:
    """Whether constants go to weights.bin. The assembler text is for ELF: on other systems the host has C arrays."""
    if wanted != "auto":
        return wanted == "binary"
    is_elf = target.device != "library" or sys.platform == "linux"
    return is_elf and sum(constant.values.nbytes for constant in constants) >= BINARY_FROM_BYTES


def in_c(constants: Sequence[Constant]) -> list[dict[str, Any]]:
    """Return what weights.c needs of each for a C array."""
    return [{"constant": constant, "rows": c_rows(constant.values)} for constant in constants]


def in_binary(constants: Sequence[Constant]) -> tuple[list[dict[str, Any]], list[bytes | memoryview]]:
    """Return what weights.c needs of each, and the content of weights.bin in pieces. Units: bytes."""
    items: list[dict[str, Any]] = []
    pieces: list[bytes | memoryview] = []
    offset = 0
    for constant in constants:
        stored = np.ascontiguousarray(constant.stored).view(np.uint8)
        padding = -stored.nbytes % _ALIGN
        items.append({"constant": constant, "offset": offset, "bytes": stored.nbytes})
        pieces += [memoryview(stored), bytes(padding)]  # type: ignore[arg-type]
        offset += stored.nbytes + padding
    return items, pieces
