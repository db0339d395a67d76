"""The tables of a target.toml: each checked by itself, frozen, and refusing keys that it does not know."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

ADDRESS_SPACE_BYTES = 1 << 32
_COMPILED_SUFFIXES = (".c", ".S")
_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")
_STACK_ALIGN_BYTES = 8  # AAPCS, RISC-V needs 16 and rounds up in its linker script

Text = Annotated[str, Field(strict=True, min_length=1)]
Identifier = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Positive = Annotated[int, Field(strict=True, gt=0)]
NonNegative = Annotated[int, Field(strict=True, ge=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Word = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]


class Table(BaseModel):
    """A table of target.toml: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Memory(Table):
    """One region of the memory map. Code goes to the first flash region, stack and data to the first RAM region.

    All are there for tensors (RAM) and weights. `wait`: cycles that an access takes beyond one to the fastest region.
    `data_origin`: where loads find the region, if not where code runs from it.
    """

    name: Identifier
    kind: Literal["flash", "ram"]
    origin: NonNegative
    bytes: Positive
    wait: NonNegative = 0
    data_origin: NonNegative | None = None

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.origin + self.bytes

    def holds(self, address: int) -> bool:
        """Whether the address is the region's, be it for code or for data."""
        starts = [self.origin] if self.data_origin is None else [self.origin, self.data_origin]
        return any(start <= address < start + self.bytes for start in starts)


class Toolchain(Table):
    """How C is compiled for the board: a CMake toolchain file and the flags that choose the core."""

    file: Text
    compiler: Text
    cpu_flags: tuple[Text, ...] = ()


class SourceFile(Table):
    """One file that the generated project gets in its target/ folder."""

    source: Text
    name: Text = ""
    compile: StrictBool | None = None

    @property
    def rendered(self) -> bool:
        """Whether the source is a Jinja template."""
        return self.source.endswith(".j2")

    @property
    def out_name(self) -> str:
        """File name in the generated project's target/ folder."""
        return self.name or PurePosixPath(self.source).name.removesuffix(".j2")

    @property
    def compiled(self) -> bool:
        """Whether the file is handed to the compiler (by its suffix, unless `compile` says otherwise)."""
        return self.out_name.endswith(_COMPILED_SUFFIXES) if self.compile is None else self.compile


class Build(Table):
    """Flags beside the core's own: for compiling, for linking, and libraries by name."""

    flags: tuple[Text, ...] = ()
    link_flags: tuple[Text, ...] = ()
    libraries: tuple[Text, ...] = ()


class Stack(Table):
    """The stack that the linker script sets aside."""

    bytes: Annotated[int, Field(strict=True, gt=0, multiple_of=_STACK_ALIGN_BYTES)]


class Interrupts(Table):
    """The external interrupt lines: how many the vector table has, and the C function behind each used one."""

    count: Positive
    handlers: dict[Identifier, NonNegative] = {}
    levels: Positive = 1  # of priority that the board's code gives out: so many handlers can interrupt each other

    @property
    def table(self) -> tuple[str | None, ...]:
        """The handler of each line in order; None where nothing is connected."""
        by_number = {number: name for name, number in self.handlers.items()}
        return tuple(by_number.get(number) for number in range(self.count))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, number in self.handlers.items():
            if number >= self.count:
                raise ValueError(f"handlers.{name} is line {number}, but count = {self.count}")
        if len(set(self.handlers.values())) < len(self.handlers):
            raise ValueError("two handlers claim the same line")
        return self


class Setup(Table):
    """One step of what is done first after a reset: clocks, wait states, pins.

    In the 32-bit register at `address`, bits of `clear` become 0, then those of `set` 1. Where `wait` is not 0
    the step ends when the bits of that mask are `is`, or after a bounded time: an emulator may not model the flag.
    """

    what: Text
    address: Annotated[int, Field(strict=True, ge=0, lt=ADDRESS_SPACE_BYTES, multiple_of=4)]
    clear: Word = 0
    set: Word = 0
    wait: Word = 0
    is_: Annotated[Word, Field(alias="is")] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.clear or self.set or self.wait):
            raise ValueError("does nothing; expected clear, set or wait")
        if self.is_ & ~self.wait:
            raise ValueError(f"is = {self.is_:#x} has bits that wait = {self.wait:#x} does not look at")
        return self


class Markers(Table):
    """Opcodes, of `bytes` bytes each, that begin and end one inference and that bracket an interrupt handler."""

    bytes: Literal[2, 4]
    begin: NonNegative
    end: NonNegative
    pause: NonNegative
    resume: NonNegative


class Counting(Table):
    """How instructions are counted in the emulator: by a plugin, or else by a timer that counts instructions.

    `plugin` is the plugin's C source; `plugin_argv` has {plugin}, the built file with its arguments. Without a plugin
    the emulator counts by itself, and {plugin} is the arguments alone.
    `cycle_model` names the rules by which it also models cycles (ew_cycles.h); None where there are none for the core.
    With `icount_argv` the board's timer runs in step with instructions: `icount_instructions_per_tick` of them a tick.
    """

    plugin: Text | None = None
    plugin_argv: tuple[Text, ...]
    cycle_model: Literal["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"] | None = None
    markers: Markers
    icount_argv: tuple[Text, ...] | None = None
    icount_instructions_per_tick: PositiveNumber | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({self.plugin is None, self.icount_argv is None, self.icount_instructions_per_tick is None}) > 1:
            raise ValueError("plugin, icount_argv and icount_instructions_per_tick belong together")
        return self


class Emulator(Table):
    """How the board's emulator is started.

    argv has {elf}, and may have {port} (a free local TCP port) and {script}, the path of `script`. `ready` is a regular
    expression: the line on standard error that says it is listening; its group `port`, if any, is the port in use.
    `url` is what pyserial opens.
    """

    argv: tuple[Text, ...]
    script: Text | None = None
    machine: Text
    ready: Text
    url: Text = "socket://127.0.0.1:{port}"
    startup_timeout_s: Seconds = 10.0
    counting: Counting | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.argv:
            raise ValueError("argv is empty")
        script = () if self.script is None else ("script",)
        _check_placeholders("argv", self.argv, needed={"elf", *script}, known={"elf", "port", *script})
        _check_placeholders("url", (self.url,), needed=set(), known={"port"})
        if self.counting is not None:
            _check_placeholders("counting.plugin_argv", self.counting.plugin_argv, needed={"plugin"}, known={"plugin"})
            icount = self.counting.icount_argv or ()
            _check_placeholders("counting.icount_argv", icount, needed=set(), known=set())
        try:
            groups = re.compile(self.ready).groupindex
        except re.error as error:
            raise ValueError(f"ready is not a regular expression: {error}") from None
        if "port" not in groups and not any("{port}" in word for word in self.argv):
            raise ValueError("no port: argv has no {port}, and ready has no group (?P<port>...)")
        return self


class Tool(Table):
    """A program that building or running for the board needs, and the Debian packages that bring it.

    What is no program by itself (a package of another language) is there if `check` succeeds, a command that may have
    {script}, the path of `script`; `hint` then says how to get it.
    """

    name: Text
    apt: tuple[Text, ...] = ()
    purpose: Text
    check: tuple[Text, ...] = ()
    script: Text | None = None
    hint: Text = "Install it."

    @model_validator(mode="after")
    def _check(self) -> Self:
        script = set() if self.script is None else {"script"}
        _check_placeholders("check", self.check, needed=script, known=script)
        return self


def _check_placeholders(key: str, words: tuple[str, ...], *, needed: set[str], known: set[str]) -> None:
    """Raise ValueError unless the words have all needed placeholders and no unknown one."""
    found = {name for word in words for name in _PLACEHOLDER.findall(word)}
    for name in sorted(needed - found):
        raise ValueError(f"{key} has no {{{name}}}")
    for name in sorted(found - known):
        raise ValueError(f"{key} has an unknown placeholder {{{name}}}")
