"""The kernel core and its own C tests, on every toolchain that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, need


@pytest.mark.slow
def test_kernels_on_every_toolchain() -> None:
    need("gcc")
    beside = Path(sys.executable).parent / "scons"
    scons = str(beside) if beside.exists() else shutil.which("scons")
    if scons is None:
        pytest.skip("not installed: scons")
    # -O3, the default, takes three times as long to compile; it is what the other tests build kernels with, too
    level = "-O3" if os.environ.get("EDGEWRIGHT_ALL") else "-O1"
    command = [scons, "-j2", "test", f"opt={level}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed = {path.parent.parent.name for path in (REPOSITORY / "out").glob("*/tests/*.passed")}
    assert "host" in passed
    if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
        assert {"cortex-m4f", "cortex-m3", "cortex-m55"} <= passed
