"""Exact instruction counts from QEMU: builds the project's own TCG plugin once, and reads what it counted.

In: the plugin's C source (targets/_emulator/qemu/) and the emulator it is for. Out: a shared library in the user's
cache folder, and one number an inference. The plugin's protocol is described at the top of its source.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
import time
from pathlib import Path

from edgewright.boards import Markers
from edgewright.drivers.process import find_tool, run, start
from edgewright.errors import ToolError

_COMPILER = "cc"
_TIMEOUT_S = 60.0
_POLL_S = 0.01
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
_RECORD = struct.Struct("=Q")


def cache_dir() -> Path:
    """Return the user's cache folder for edgewright (XDG Base Directory Specification); it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if Path(root).is_absolute() else Path.home() / ".cache") / "edgewright"


def build_plugin(source: Path, emulator: Path) -> Path:
    """Return the plugin built from `source` for the program `emulator`; it is built on first use.

    The cached file's name carries a hash of the source, the flags and the emulator's identity: a change builds anew.
    Raises: ToolError where there is no C compiler, it fails, or the emulator does not load what was built.
    """
    program = emulator.resolve()
    status = program.stat()
    identity = f"{program} {status.st_size} {status.st_mtime_ns} {_FLAGS}"
    key = hashlib.sha256(source.read_bytes() + identity.encode()).hexdigest()[:20]
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


def plugin_argument(plugin: Path, out: Path, markers: Markers) -> str:
    """Return the value of QEMU's option -plugin. QEMU wants a comma in a path doubled."""
    values = {
        "out": str(out).replace(",", ",,"),
        "bytes": markers.bytes,
        "begin": f"{markers.begin:#x}",
        "end": f"{markers.end:#x}",
        "pause": f"{markers.pause:#x}",
        "resume": f"{markers.resume:#x}",
    }
    words = ",".join(f"{key}={value}" for key, value in values.items())
    return f"{str(plugin).replace(',', ',,')},{words}"


def read_counts(path: Path) -> list[int]:
    """Return the instruction count of each inference that has ended so far, in order. The emulator may be running."""
    data = path.read_bytes() if path.exists() else b""
    whole = len(data) - len(data) % _RECORD.size
    return [count for (count,) in _RECORD.iter_unpack(data[:whole])]


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
