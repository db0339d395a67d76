"""What a board is: `targets/<name>/target.toml` read into a checked, frozen `Target`.

In: a target's name, or a folder of the user's own that holds a target.toml. Out: a `Target`; every file it
names has been found. This room never asks which board it is, never starts a process and writes nothing.
Adding a board is adding a folder; `targets/README.md` explains every key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StrictBool, ValidationError, model_validator

from edgewright.board_mistakes import describe, named_files
from edgewright.board_power import Power
from edgewright.board_resets import ResetRegister, StackGuard, Watchdog, stack_guard
from edgewright.errors import TargetError
from edgewright.flash_ways import FlashWay
from edgewright.resources import resource_dir

FILE_NAME = "target.toml"
_COMPILED_SUFFIXES = (".c", ".S")
_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")
_STACK_ALIGN_BYTES = 8  # AAPCS, RISC-V needs 16 and rounds up in its linker script

_REGION_ALIGN_BYTES = 16  # of arenas and weights
_ADDRESS_SPACE_BYTES = 1 << 32

Text = Annotated[str, Field(strict=True, min_length=1)]
Identifier = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Positive = Annotated[int, Field(strict=True, gt=0)]
NonNegative = Annotated[int, Field(strict=True, ge=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Word = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]


class _Table(BaseModel):
    """A table of target.toml: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Memory(_Table):
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


class Toolchain(_Table):
    """How C is compiled for the board: a CMake toolchain file and the flags that choose the core."""

    file: Text
    compiler: Text
    cpu_flags: tuple[Text, ...] = ()


class SourceFile(_Table):
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


class Build(_Table):
    """Flags beside the core's own: for compiling, for linking, and libraries by name."""

    flags: tuple[Text, ...] = ()
    link_flags: tuple[Text, ...] = ()
    libraries: tuple[Text, ...] = ()


class Stack(_Table):
    """The stack that the linker script sets aside."""

    bytes: Annotated[int, Field(strict=True, gt=0, multiple_of=_STACK_ALIGN_BYTES)]


class Interrupts(_Table):
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


class Setup(_Table):
    """One step of what is done first after a reset: clocks, wait states, pins.

    In the 32-bit register at `address`, bits of `clear` become 0, then those of `set` 1. Where `wait` is not 0
    the step ends when the bits of that mask are `is`, or after a bounded time: an emulator may not model the flag.
    """

    what: Text
    address: Annotated[int, Field(strict=True, ge=0, lt=_ADDRESS_SPACE_BYTES, multiple_of=4)]
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


class Markers(_Table):
    """Opcodes, of `bytes` bytes each, that begin and end one inference and that bracket an interrupt handler."""

    bytes: Literal[2, 4]
    begin: NonNegative
    end: NonNegative
    pause: NonNegative
    resume: NonNegative


class Counting(_Table):
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


class Emulator(_Table):
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


class Tool(_Table):
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


class Target(_Table):
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
        return _resolve(self._folder, path)

    def _sum(self, kind: str) -> int | None:
        return sum(region.bytes for region in self.memory if region.kind == kind) if self.memory else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = _memory_mistakes(self.memory)
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


def _memory_mistakes(regions: tuple[Memory, ...]) -> list[str]:
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
        if region.end > _ADDRESS_SPACE_BYTES:
            found.append(f"memory: '{region.name}' ends at {region.end:#x}, beyond 32 bits")
    return found


def targets_dir() -> Path:
    """Return the folder of the boards that come with edgewright."""
    return resource_dir("targets")


def target_names() -> tuple[str, ...]:
    """Return the names of all boards that come with edgewright, in order."""
    return tuple(sorted(path.parent.name for path in targets_dir().glob(f"[!_]*/{FILE_NAME}")))


def list_targets() -> tuple[Target, ...]:
    """Read all boards that come with edgewright, in order of name. Raises: TargetError."""
    return tuple(read_target(targets_dir() / name) for name in target_names())


def load_target(name: str | Path) -> Target:
    """Read the board called `name`, or the one in the folder `name`.

    A name wins over a folder of the same name; `./name` is always the folder.
    Raises: TargetError where there is none (with near matches), or where target.toml is at fault.
    """
    names = target_names()
    if str(name) in names:
        return read_target(targets_dir() / str(name))
    folder = Path(name)
    if folder.is_dir():
        return read_target(folder)
    if folder.name == FILE_NAME and folder.is_file():
        return read_target(folder.parent)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f"did you mean {_words(near)}?" if near else f"known targets: {', '.join(names)}."
    raise TargetError(f"unknown target '{name}': {hint} A folder with a {FILE_NAME} is taken as well.")


def read_target(folder: Path) -> Target:
    """Read and check folder/target.toml. Raises: TargetError with a line for each mistake."""
    path = folder / FILE_NAME
    name = folder.resolve().name
    label = f"{name}/{FILE_NAME}"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"{label}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{label}: is not TOML: {error}") from error
    target, problems = None, []
    try:
        target = Target.model_validate(data)
    except ValidationError as error:
        problems = [line for detail in error.errors() for line in describe(detail, Target)]
        problems += [line for line in _memory_mistakes(_regions(data)) if line not in problems]
    if isinstance(data.get("name"), str) and data["name"] not in ("", name):
        problems.append(f"name: expected the folder's name '{name}', got '{data['name']}'")
    for key, named in named_files(data):
        try:
            _resolve(folder, named)
        except TargetError as error:
            problems.append(f"{key}: {error}")
    if target is None or problems:
        raise TargetError("\n".join(f"{label}: {problem}" for problem in problems))
    target._folder = folder
    return target


def _regions(data: dict[str, Any]) -> tuple[Memory, ...]:
    """The memory map of a file that has other mistakes; empty where the map itself has some."""
    try:
        return tuple(Memory.model_validate(table) for table in data.get("memory", ()))
    except (ValidationError, TypeError):
        return ()


def _resolve(folder: Path, path: str) -> Path:
    """Find a file that the target.toml in `folder` names. Raises: TargetError."""
    pure = PurePosixPath(path)
    shared = resource_dir("targets").resolve()
    own = folder.resolve()
    roots = (shared,) if own.is_relative_to(shared) else (own, shared)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise TargetError(f"'{path}' leads outside {_words(roots)}")
    for root in roots:
        candidate = (root / pure).resolve()
        if candidate.is_file():
            if not candidate.is_relative_to(root):
                raise TargetError(f"'{path}' leads outside {root}")
            return candidate
    raise TargetError(f"no file '{path}' in {_words(roots)}")


def _check_placeholders(key: str, words: tuple[str, ...], *, needed: set[str], known: set[str]) -> None:
    """Raise ValueError unless the words have all needed placeholders and no unknown one."""
    found = {name for word in words for name in _PLACEHOLDER.findall(word)}
    for name in sorted(needed - found):
        raise ValueError(f"{key} has no {{{name}}}")
    for name in sorted(found - known):
        raise ValueError(f"{key} has an unknown placeholder {{{name}}}")


def _words(items: Any) -> str:
    return " or ".join(f"'{item}'" for item in items)
