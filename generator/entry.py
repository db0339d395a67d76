"""Where the command `edgewright` begins: signals are taken care of before anything slow is imported."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds the stack, so that no emulator or half-written file is left


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        from edgewright.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("edgewright: interrupted\n")
        sys.exit(INTERRUPTED)
