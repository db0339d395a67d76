"""Exact instruction counts from QEMU: builds the project's own TCG plugin once, and reads what it counted.

In: the plugin's C source (targets/_emulator/qemu/) and the emulator it is for. Out: a shared library in the user's
cache folder, and instructions and modelled cycles of each inference. The plugin's protocol is at the top of its source.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.boards import Markers
from edgewright.drivers.process import find_tool, run, start
from edgewright.errors import ToolError
from edgewright.ir import Array

_COMPILER = "cc"
_TIMEOUT_S = 60.0
_POLL_S = 0.01
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")


@dataclass(frozen=True)
class Part:
    """A piece of code that is counted for itself: the address ranges [first, end) of part `number`."""

    first: int
    end: int
    number: int


@dataclass(frozen=True)
class Parts:
    """How an inference is split: a part keeps control, in what it calls too, until another is entered.

    Part `count - 1` also gets what runs before the first part.
    """

    ranges: Sequence[Part]
    count: int

    def write(self, path: Path) -> None:
        """Write the plugin's file of parts."""
        path.write_text("".join(f"{part.first:x} {part.end:x} {part.number}\n" for part in self.ranges))


def cache_dir() -> Path:
    """Return the user's cache folder for edgewright (XDG Base Directory Specification); it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if Path(root).is_absolute() else Path.home() / ".cache") / "edgewright"


def build_plugin(source: Path, emulator: Path) -> Path:
    """Return the plugin built from `source` for the program `emulator`; it is built on first use.

    The cached file's name carries a hash of the source and the headers beside it, the flags and the emulator's
    identity: a change builds anew.
    Raises: ToolError where there is no C compiler, it fails, or the emulator does not load what was built.
    """
    program = emulator.resolve()
    status = program.stat()
    identity = f"{program} {status.st_size} {status.st_mtime_ns} {_FLAGS}"
    sources = b"".join(path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h"))))
    key = hashlib.sha256(sources + identity.encode()).hexdigest()[:20]
    plugin = cache_dir() / "qemu-plugin" / f"{source.stem}-{key}.so"
    if plugin.is_file():
        return plugin
    compiler = find_tool(_COMPILER)
    api = _plugin_api(emulator)
    try:
        plugin.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=plugin.parent) as scratch:
            built = Path(scratch) / plugin.name
            run([compiler, *_FLAGS, f"-DEW_PLUGIN_API={api}", "-o", built, source], timeout_s=_TIMEOUT_S)
            _check_loads(built, emulator, Path(scratch))
            built.replace(plugin)  # atomic: two processes may build at the same time
    except OSError as error:
        raise ToolError(f"the plugin cannot be kept in {plugin.parent}: {error.strerror}") from error
    return plugin


def plugin_argument(
    plugin: Path | None, out: Path, markers: Markers, cycle_model: str | None = None,
    parts: tuple[Path, int] | None = None,
) -> str:  # fmt: skip
    """Return the value of QEMU's option -plugin. QEMU wants a comma in a path doubled.

    `plugin`: None for an emulator that counts by itself, and takes the arguments alone. `parts`: the file that
    `Parts.write` made, and their count.
    """
    values: dict[str, str | int] = {
        "out": str(out).replace(",", ",,"),
        "bytes": markers.bytes,
        "begin": f"{markers.begin:#x}",
        "end": f"{markers.end:#x}",
        "pause": f"{markers.pause:#x}",
        "resume": f"{markers.resume:#x}",
    }
    if cycle_model is not None:
        values["core"] = cycle_model
    if parts is not None:
        values["n_parts"] = parts[1]
        values["parts"] = str(parts[0]).replace(",", ",,")
    words = ",".join(f"{key}={value}" for key, value in values.items())
    return words if plugin is None else f"{str(plugin).replace(',', ',,')},{words}"


def read_counts(path: Path, n_parts: int = 0) -> Array:
    """Return what was counted in each inference that has ended so far, in order. The emulator may be running.

    Shapes: (inferences, 1 + n_parts, 2), int64: the whole and then each part; instructions and modelled cycles.
    """
    data = np.frombuffer(path.read_bytes() if path.exists() else b"", np.uint8)
    record_bytes = (1 + n_parts) * 2 * 8
    whole = len(data) - len(data) % record_bytes
    return data[:whole].view(np.int64).reshape(-1, 1 + n_parts, 2)


def _check_loads(plugin: Path, emulator: Path, scratch: Path) -> None:
    """Load the plugin into an emulator without a machine. (With one, QEMU loads plugins only after its line is opened.)

    Raises: ToolError with the emulator's words if it refuses.
    """
    out = scratch / "ready"
    argument = plugin_argument(plugin, out, Markers(bytes=2, begin=1, end=2, pause=3, resume=4))
    machine = ("-M", "none", "-nodefaults", "-display", "none", "-S")
    deadline = time.monotonic() + _TIMEOUT_S
    with start([emulator, *machine, "-plugin", argument]) as process:
        while not out.exists():
            if process.exit_status() is not None or time.monotonic() > deadline:
                raise ToolError(f"'{emulator.name}' does not load the plugin: {process.last_words}")
            time.sleep(_POLL_S)


def _plugin_api(emulator: Path) -> int:
    """Return the version of the plugin API to build for; see the plugin's source."""
    words = run([emulator, "--version"], timeout_s=_TIMEOUT_S).stdout
    match = re.search(r"version (\d+)\.(\d+)", words)
    if match is None:
        raise ToolError(f"'{emulator.name} --version' names no version: {words.strip()[:80]!r}")
    version = (int(match[1]), int(match[2]))
    return 1 if version < (9, 0) else 2 if version < (9, 1) else 3
