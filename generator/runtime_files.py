"""The part of runtime_c/ that a generated project takes along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edgewright.errors import InternalError
from edgewright.resources import resource_dir

_INCLUDE = re.compile(rb'^\s*#\s*include\s+"(ew_[a-z0-9_]+\.[ch])"', re.MULTILINE)


@cache
def _paths() -> Mapping[str, Path]:
    """Where each file of runtime_c/ lies, by its name."""
    root = resource_dir("runtime_c")
    return {
        path.name: path
        for folder in ("include", "kernels", "link", "mlperf")
        for path in sorted((root / folder).rglob("ew_*.[ch]"))
    }


class RuntimeFiles:
    """What is asked for, and what that includes: contents by name in `files`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def sources(self, folder: str) -> list[str]:
        """The names of a folder's C files."""
        return sorted(name for name, path in _paths().items() if path.parent.name == folder and path.suffix == ".c")

    def need(self, name: str) -> None:
        """Take a file along, with all that it includes. Raises: InternalError where there is none."""
        if name in self.files:
            return
        if name not in _paths():
            raise InternalError(f"no file '{name}' in runtime_c/")
        body = _paths()[name].read_bytes()
        self.files[name] = body
        self.need_included(body)

    def need_included(self, body: bytes, optional: bool = False) -> None:
        """Take along what a file includes; `optional`: files that are not of runtime_c/ may be among it."""
        for match in _INCLUDE.findall(body):
            name = match.decode()
            if name in _paths() or not optional:
                self.need(name)
