"""What a board is: the tables of its target.toml together, checked against each other."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from edgewright.boards.flash_ways import FlashWay
from edgewright.boards.power import Power
from edgewright.boards.resets import ResetRegister, StackGuard, Watchdog, stack_guard
from edgewright.boards.tables import (
    ADDRESS_SPACE_BYTES,
    Build,
    Emulator,
    Identifier,
    Interrupts,
    Memory,
    Positive,
    Setup,
    SourceFile,
    Stack,
    Table,
    Text,
    Tool,
    Toolchain,
)
from edgewright.errors import TargetError
from edgewright.resources import resource_dir

_REGION_ALIGN_BYTES = 16  # of arenas and weights


class Target(Table):
    """One board, as its target.toml describes it. Shared code never asks for the name: it asks for the data."""

    name: Text
    description: Text
    cpu: Text
    isa: Text
    features: tuple[Literal["fpu", "dsp", "mve"], ...] = ()  # what kernels may use
    evidence: Literal["host", "built", "emulated", "hardware"]
    device: Literal["library", "emulator", "serial"]
    clock_hz: Positive | None = None
    link_baud: Positive | None = None  # that the link's line is raised to, where both ends can
    toolchain: Toolchain
    memory: tuple[Memory, ...] = ()
    file: tuple[SourceFile, ...]
    build: Build = Build()
    stack: Stack | None = None
    defines: dict[Identifier, Annotated[int, Field(strict=True)] | Text] = {}
    interrupts: Interrupts | None = None
    setup: tuple[Setup, ...] = ()
    reset_cause: ResetRegister | None = None
    watchdog: Watchdog | None = None
    emulator: Emulator | None = None
    tool: tuple[Tool, ...] = ()
    flash: tuple[FlashWay, ...] = ()  # the first whose tool is there is taken
    power: Power | None = None
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder that target.toml lies in."""
        return self._folder

    @property
    def flash_bytes(self) -> int | None:
        """All flash of the memory map; None where there is no map (the host)."""
        return self._sum("flash")

    @property
    def ram_bytes(self) -> int | None:
        """All RAM of the memory map; None where there is no map (the host)."""
        return self._sum("ram")

    @property
    def code_memory(self) -> Memory | None:
        """The region that code and constants are linked to: the first flash."""
        return next((region for region in self.memory if region.kind == "flash"), None)

    @property
    def data_memory(self) -> Memory | None:
        """The region that stack, data and batches are linked to: the first RAM."""
        return next((region for region in self.memory if region.kind == "ram"), None)

    @property
    def ram_regions(self) -> tuple[Memory, ...]:
        """All RAM, the fastest first; of equal ones the first in the file."""
        return tuple(sorted((region for region in self.memory if region.kind == "ram"), key=lambda region: region.wait))

    @property
    def stack_guard(self) -> StackGuard | None:
        """What an overflow of the stack runs into, where the core can guard memory; None without RAM (the host)."""
        ram = self.data_memory
        if ram is None:
            return None
        return stack_guard(ram.origin, [(other.origin, other.end) for other in self.ram_regions if other is not ram])

    @property
    def flash_regions(self) -> tuple[Memory, ...]:
        """All flash: the code's, then the fastest first."""
        others = [region for region in self.memory if region.kind == "flash" and region is not self.code_memory]
        first = [] if self.code_memory is None else [self.code_memory]
        return tuple(first + sorted(others, key=lambda region: region.wait))

    def resolve(self, path: str) -> Path:
        """Find a file that target.toml names: in targets/, or for a board of the user's own in its folder first.

        Raises: TargetError where it is absent or lies outside these folders.
        """
        return resolve(self._folder, path)

    def _sum(self, kind: str) -> int | None:
        return sum(region.bytes for region in self.memory if region.kind == kind) if self.memory else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = memory_mistakes(self.memory)
        if self.device != "library":
            for kind in ("flash", "ram"):
                if not any(region.kind == kind for region in self.memory):
                    problems.append(f'memory: no region of kind = "{kind}"; expected a [[memory]] table')
            if self.stack is None:
                problems.append("stack: missing; expected [stack] with bytes")
            elif self.data_memory and self.stack.bytes > self.data_memory.bytes:
                problems.append(f"stack.bytes: {self.stack.bytes} B do not fit in '{self.data_memory.name}'")
        if (self.device == "emulator") != (self.emulator is not None):
            problems.append('emulator: expected an [emulator] table exactly when device = "emulator"')
        names = [file.out_name for file in self.file]
        for name in dict.fromkeys(names):
            if names.count(name) > 1 or "/" in name or "\\" in name or name in (".", ".."):
                problems.append(f"file: '{name}' is not a plain file name that occurs once")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def memory_mistakes(regions: tuple[Memory, ...]) -> list[str]:
    """What is wrong with regions that are right one by one."""
    found = []
    for index, region in enumerate(regions):
        for other in regions[:index]:
            if region.name == other.name:
                found.append(f"memory: two regions are called '{region.name}'")
            elif region.name.upper() == other.name.upper():
                found.append(f"memory: '{other.name}' and '{region.name}' differ in case only")
            if region.origin < other.end and other.origin < region.end:
                found.append(f"memory: '{other.name}' and '{region.name}' overlap")
        if region.origin % _REGION_ALIGN_BYTES:
            found.append(f"memory: '{region.name}' does not begin at a multiple of {_REGION_ALIGN_BYTES} bytes")
        if region.end > ADDRESS_SPACE_BYTES:
            found.append(f"memory: '{region.name}' ends at {region.end:#x}, beyond 32 bits")
    return found


def resolve(folder: Path, path: str) -> Path:
    """Find a file that the target.toml in `folder` names. Raises: TargetError."""
    pure = PurePosixPath(path)
    shared = resource_dir("targets").resolve()
    own = folder.resolve()
    roots = (shared,) if own.is_relative_to(shared) else (own, shared)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise TargetError(f"'{path}' leads outside {words(roots)}")
    for root in roots:
        candidate = (root / pure).resolve()
        if candidate.is_file():
            if not candidate.is_relative_to(root):
                raise TargetError(f"'{path}' leads outside {root}")
            return candidate
    raise TargetError(f"no file '{path}' in {words(roots)}")


def words(items: Any) -> str:
    """Alternatives, as an error names them."""
    return " or ".join(f"'{item}'" for item in items)
