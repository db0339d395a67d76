"""Starts a board's emulator with a firmware in it, as the board's target.toml says, and never leaves one behind.

In: a `Target` with an [emulator] table and an ELF file. Out: a URL that pyserial opens, and instruction counts. Nothing
here knows what travels over the line.
"""

from __future__ import annotations

import logging
import socket
import tempfile
from pathlib import Path
from typing import Literal

from edgewright.boards import Emulator as EmulatorTable
from edgewright.boards import Target
from edgewright.closing import Closing
from edgewright.drivers import icount
from edgewright.drivers.icount import Parts
from edgewright.drivers.process import Background, find_tool, start
from edgewright.errors import DeviceError, TargetError, ToolError
from edgewright.ir import Array

LOG = logging.getLogger(__name__)

_ENDING_S = 0.5

Mode = Literal["plugin", "icount", "none"]


class Emulator(Closing):
    """A running emulator; a context manager that ends it. The firmware starts when `url` is first opened.

    mode: how instructions are counted: "plugin" (exactly), "icount" (by the board's timer, which then runs in step with
    instructions) or "none". mode_reason: why it is not the plugin; empty if it is.
    """

    def __init__(
        self, process: Background, url: str, mode: Mode, mode_reason: str, target: Target, scratch: Scratch,
        n_parts: int = 0,
    ) -> None:  # fmt: skip
        self._process = process
        self._scratch = scratch
        self._n_parts = n_parts
        self._counting = target.emulator.counting if target.emulator else None
        self.url = url
        self.mode = mode
        self.mode_reason = mode_reason

    @property
    def pid(self) -> int:
        """Process number of the emulator."""
        return self._process.pid

    @property
    def instructions_per_tick(self) -> float | None:
        """Instructions a tick of the board's timer stands for, in mode "icount": also the resolution. Else None."""
        return self._counting.icount_instructions_per_tick if self.mode == "icount" and self._counting else None

    @property
    def cycle_model(self) -> str | None:
        """The rules by which cycles are modelled, in mode "plugin"; None: they are not."""
        return self._counting.cycle_model if self.mode == "plugin" and self._counting else None

    def read_counts(self) -> Array:
        """Return what was counted in each inference that has ended since the start, in order.

        Shapes: (inferences, 1 + parts, 2): the whole and then each part; instructions and modelled cycles.
        Raises: ToolError unless `mode` is "plugin".
        """
        if self.mode != "plugin":
            raise ToolError(f"this emulator counts no instructions by itself (mode '{self.mode}')")
        return icount.read_counts(self._scratch.counts, self._n_parts)

    def check(self) -> None:
        """Raise DeviceError, with the emulator's own words, if it has ended: its line is closed a moment before."""
        status = self._process.exit_status(_ENDING_S)
        if status is not None:
            words = self._process.last_words or "without a word"
            raise DeviceError(f"the emulator ended by itself (exit status {status}):\n{words}")

    def close(self) -> None:
        """End the emulator. Harmless when repeated."""
        try:
            self._process.close()
        finally:
            self._scratch.close()


class Scratch:
    """A temporary folder for the plugin's output."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgewright-")

    @property
    def counts(self) -> Path:
        """The file that the plugin writes."""
        return Path(self._folder.name) / "counts"

    @property
    def parts(self) -> Path:
        """The file that tells the plugin which code is which part."""
        return Path(self._folder.name) / "parts"

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


def start_emulator(target: Target, elf: Path, *, mode: Mode | None = None, parts: Parts | None = None) -> Emulator:
    """Start the target's emulator with `elf`, and return when it listens.

    mode: None takes the plugin, and "icount" where the plugin cannot be built or loaded (see `Emulator.mode_reason`).
    parts: how each inference is split, where the plugin counts.
    Raises: ToolError where the emulator is missing, dies (with its own words) or is not ready in time; where `mode`
    asks for a plugin that cannot be had. TargetError where the target has no emulator.
    """
    table = target.emulator
    if table is None:
        raise TargetError(f"'{target.name}' has no emulator")
    if not elf.is_file():
        raise ToolError(f"no firmware at {elf}: build it first")
    program = find_tool(table.argv[0])
    if table.counting is None or mode == "none":
        if mode in ("plugin", "icount"):
            raise TargetError(f"'{target.name}' has no [emulator.counting]")
        reason = "asked for" if table.counting else "the target has no [emulator.counting]"
        return _launch(target, table, program, elf, "none", reason, ())
    icount_argv = table.counting.icount_argv
    if mode == "icount":
        if icount_argv is None:
            raise TargetError(f"'{target.name}' has no icount_argv in [emulator.counting]")
        return _launch(target, table, program, elf, "icount", "asked for", icount_argv)
    if table.counting.plugin is None or icount_argv is None:
        return _launch(target, table, program, elf, "plugin", "", table.counting.plugin_argv, parts=parts)
    try:
        plugin = icount.build_plugin(target.resolve(table.counting.plugin), program)
    except ToolError as error:
        if mode == "plugin":
            raise ToolError(f"instructions cannot be counted by plugin: {error}") from error
        LOG.warning("counting instructions by the board's timer, because the plugin cannot be used: %s", error)
        return _launch(target, table, program, elf, "icount", str(error), icount_argv)
    return _launch(target, table, program, elf, "plugin", "", table.counting.plugin_argv, plugin, parts)


def _launch(
    target: Target,
    table: EmulatorTable,
    program: Path,
    elf: Path,
    mode: Mode,
    reason: str,
    extra: tuple[str, ...],
    plugin: Path | None = None,
    parts: Parts | None = None,
) -> Emulator:
    """Start the emulator, wait for the line that says it is ready, and find out its port."""
    port = _free_port() if any("{port}" in word for word in table.argv) else 0
    script = "" if table.script is None else str(target.resolve(table.script))
    scratch = Scratch()
    process = None
    try:
        fill = {"{elf}": str(elf), "{port}": str(port), "{script}": script}
        if mode == "plugin" and table.counting is not None:
            split = None
            if parts is not None:
                parts.write(scratch.parts)
                split = (scratch.parts, parts.count)
            counting = table.counting
            fill["{plugin}"] = icount.plugin_argument(
                plugin, scratch.counts, counting.markers, counting.cycle_model, split
            )
        process = start([program, *(_fill(word, fill) for word in (*table.argv[1:], *extra))])
        ready = process.wait_for_line(table.ready, table.startup_timeout_s)
        said = ready.groupdict().get("port")
        url = _fill(table.url, {"{port}": said or str(port)})
        return Emulator(process, url, mode, reason, target, scratch, parts.count if parts is not None else 0)
    except BaseException:
        if process is not None:
            process.close()
        scratch.close()
        raise


def _fill(word: str, values: dict[str, str]) -> str:
    """Replace placeholders, each once and only those of the description: a path may contain braces."""
    for name, value in values.items():
        if name in word:
            return value.join(word.split(name))
    return word


def _free_port() -> int:
    """Return a local TCP port that is free now. Emulators that can choose one themselves are safer: see `ready`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
