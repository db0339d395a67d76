"""Where the commands begin: signals are taken care of before anything slow is imported."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds the stack, so that no emulator or half-written file is left


def main() -> None:
    """Run the command `edgewright`."""
    _run("edgewright.cli")


def conformance() -> None:
    """Run the command `edgewright-conformance`."""
    _run("edgewright.conformance.cli")


def _run(module: str) -> None:
    """Import a module and run its main()."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        import_module("numpy")  # by us: where a C extension imports it, an interruption becomes an ImportError
        import_module(module).main()
    except KeyboardInterrupt:
        sys.stderr.write("edgewright: interrupted\n")
        sys.exit(INTERRUPTED)
