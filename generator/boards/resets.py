"""How a board is reset: why it was (a register's flags), by which watchdog, and what guards its stack.

In: tables of a target.toml. Out: checked, frozen descriptions. The causes are those of ew_port.h, which a device
tells as numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Word = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
Identifier = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Text = Annotated[str, Field(strict=True, min_length=1)]

GUARD_BYTES = 4096  # below the RAM, where they cost nothing: a frame that is larger may leap over them
GUARD_IN_RAM_BYTES = 256  # the smallest region of an Armv6-M's MPU


class ResetCause(enum.IntEnum):
    """Why a board was reset, as HELLO says it: ew_reset_cause of ew_port.h."""

    UNKNOWN = 0
    POWER_ON = 1
    PIN = 2
    SOFTWARE = 3
    WATCHDOG = 4
    FAULT = 5
    LOCKUP = 6
    BROWN_OUT = 7
    STACK_OVERFLOW = 8

    @property
    def words(self) -> str:
        """As the end of a sentence: the board was reset ..."""
        return _WORDS[self]


_WORDS = {
    ResetCause.UNKNOWN: "for a reason that it does not know",
    ResetCause.POWER_ON: "by its power",
    ResetCause.PIN: "by its reset pin",
    ResetCause.SOFTWARE: "by software",
    ResetCause.WATCHDOG: "by its watchdog",
    ResetCause.FAULT: "after a fault",
    ResetCause.LOCKUP: "by a lockup of its processor",
    ResetCause.BROWN_OUT: "by a brown-out of its supply",
    ResetCause.STACK_OVERFLOW: "after a stack overflow",
}

CauseName = Literal["power-on", "pin", "software", "watchdog", "lockup", "brown-out", "unknown"]


def _c_name(name: str) -> str:
    return f"EW_RESET_{name.upper().replace('-', '_')}"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResetFlag(_Table):
    """A cause, and the bits of which one at least is set after it."""

    cause: CauseName
    mask: Annotated[int, Field(strict=True, gt=0, lt=1 << 32)]

    @property
    def c_cause(self) -> str:
        """The cause in C."""
        return _c_name(self.cause)


class ResetRegister(_Table):
    """The 32-bit register that says why a chip was reset.

    The first of `flags` that is set counts; `without_flag`: the cause if none is. What was read is written back with
    the bits of `clear` set, which clears the flags, also where each is cleared by writing it as 1.
    """

    what: Text
    address: Annotated[int, Field(strict=True, ge=0, lt=1 << 32, multiple_of=4)]
    flags: tuple[ResetFlag, ...]
    without_flag: CauseName = "unknown"
    clear: Word = 0

    @property
    def c_without_flag(self) -> str:
        """The cause where no flag is set, in C."""
        return _c_name(self.without_flag)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.flags:
            raise ValueError("flags is empty")
        seen = 0
        for flag in self.flags:
            if not flag.mask & ~seen:
                raise ValueError(f"flags: '{flag.cause}' never counts, as what is before it has all of its bits")
            seen |= flag.mask
        if self.clear & seen:
            raise ValueError(f"clear = {self.clear:#x} has bits of flags")
        return self


class Watchdog(_Table):
    """The watchdog that a firmware may be generated with. Units: seconds, from the shortest period to the longest.

    `source` is its driver: ew_watchdog_init, _feed and _has_warned of ew_fault_text.h. `defines` become macros, beside
    EW_WATCHDOG_MS, the period.
    """

    source: Text
    seconds: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    defines: dict[Identifier, Annotated[int, Field(strict=True)] | Text] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        shortest, longest = self.seconds
        if shortest > longest:
            raise ValueError(f"seconds: {shortest:g} is above {longest:g}")
        return self

    def milliseconds(self, seconds: float) -> int:
        """The period in C. Raises: ValueError where the watchdog cannot wait so briefly, or so long."""
        shortest, longest = self.seconds
        if not shortest <= seconds <= longest:
            raise ValueError(f"it can wait {shortest:g} to {longest:g} s")
        return max(1, round(seconds * 1000))


@dataclass(frozen=True)
class StackGuard:
    """Memory below a stack in which only reading is allowed. Units: bytes; a power of two, aligned to its size.

    `bytes_in_ram`: what of the first RAM lies below the stack for it.
    """

    start: int
    bytes: int
    bytes_in_ram: int = 0

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.start + self.bytes


def stack_guard(ram_origin: int, other_ram: Sequence[tuple[int, int]]) -> StackGuard:
    """Return where the guard of a stack lies that begins at or near `ram_origin`; `other_ram`: origins and ends."""
    start = ram_origin - GUARD_BYTES
    if start >= 0 and ram_origin % GUARD_BYTES == 0 and not any(a < ram_origin and start < b for a, b in other_ram):
        return StackGuard(start, GUARD_BYTES)
    start = -(-ram_origin // GUARD_IN_RAM_BYTES) * GUARD_IN_RAM_BYTES
    return StackGuard(start, GUARD_IN_RAM_BYTES, start + GUARD_IN_RAM_BYTES - ram_origin)
