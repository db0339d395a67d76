"""What many tests share: paths, the seed, tools that may be missing, networks made on the spot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# before numpy is imported: its matrices are small here, and threads that wait for each other slow down a busy machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from edgewright.boards import Target
from edgewright.doctor import check_tool

REPOSITORY = Path(__file__).resolve().parent.parent
DIGITS = REPOSITORY / "examples" / "digits" / "digits.onnx"
DIGITS_CALIBRATION = REPOSITORY / "examples" / "digits" / "digits_calibration.npz"
DIGITS_TEST = REPOSITORY / "examples" / "digits" / "digits_test.npz"
SHARED_MODELS = REPOSITORY.parent / "shared" / "models"

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def need(*programs: str) -> None:
    """Skip the test, with the reason, where a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_tools(target: Target, *programs: str) -> None:
    """Skip the test, with the reason, where a program is missing, or a tool that the target needs."""
    need(*programs, *(tool.name for tool in target.tool if not tool.check))
    for found in (check_tool(target, tool) for tool in target.tool if tool.check):
        if found.version is None:
            pytest.skip(f"{found.name} is not there. {found.remedy}")


@pytest.fixture
def emulated_m4() -> str:
    """The emulated Cortex-M4F's name; skips where it cannot be built for or run."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    return "mps2-an386"
