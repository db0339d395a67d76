"""The kernel core and its own C tests, on every toolchain that is installed."""

from __future__ import annotations

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
    done = subprocess.run([scons, "-j2", "test"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed = {path.parent.parent.name for path in (REPOSITORY / "out").glob("*/tests/*.passed")}
    assert "host" in passed
    if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
        assert {"cortex-m4f", "cortex-m3", "cortex-m55"} <= passed
