"""A network that does not fit a board's RAM is cut into bands until it does, or is refused with the numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, need

import edgewright as ew
from edgewright.boards import Target, load_target
from edgewright.errors import MemoryPlanError
from edgewright.inspection import inspect_model
from edgewright.pipeline import plan


def with_ram(folder: Path, ram_bytes: int) -> Target:
    """The emulated Cortex-M4F, as if it had one RAM, and a smaller one."""
    source = load_target("mps2-an386").folder
    folder = folder / "mps2-an386"
    shutil.copytree(source, folder)
    text = (folder / "target.toml").read_text(encoding="utf-8")
    text, changes = re.subn(r"(origin = 0x2000_0000\nbytes = )\S+", rf"\g<1>{ram_bytes}", text)
    assert changes == 1
    text = re.sub(r'\[\[memory\]\]\nname = "(BRAM|PSRAM)"\n([a-z].*\n)+', "", text)
    (folder / "target.toml").write_text(text, encoding="utf-8")
    return load_target(str(folder))


def test_bands_make_it_fit(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    board, model = with_ram(tmp_path / "small", 20 * 1024), ew.load(DIGITS)
    assert not plan(model, load_target("mps2-an386")).segments
    assert plan(model, board).segments
    with np.load(DIGITS_TEST) as data:
        x = data["x"][:20]
    with ew.generate(model, board).build().flash() as device:
        report = device.predict(x).report()
    assert report.fidelity.mismatching_elements == 0
    assert report.build.arena_bytes < 7168
    assert report.build.ram_bytes <= 20 * 1024


def test_what_cannot_fit_is_refused(tmp_path: Path) -> None:
    board = with_ram(tmp_path / "tiny", 9 * 1024)
    with pytest.raises(MemoryPlanError, match=r"B too few"):
        ew.generate(ew.load(DIGITS), board)


@pytest.mark.slow
def test_a_program_beside_which_no_sample_fits_is_refused(tmp_path: Path) -> None:
    """Where somebody asks for the arena's size, the linker is content, and no sample could ever be run."""
    need("arm-none-eabi-gcc")
    ample = ew.generate(ew.load(DIGITS), with_ram(tmp_path / "ample", 64 * 1024), ram_limit=7168).build().firmware.sizes
    assert ample.ram_bytes is not None
    scarce = with_ram(tmp_path / "scarce", ample.ram_bytes + 256)
    with pytest.raises(MemoryPlanError, match=r"leaves 256 of [\d,]+ B of 'ZBT_SRAM23' .*one sample takes 304 B"):
        ew.generate(ew.load(DIGITS), scarce, ram_limit=7168).build()


def test_a_plan_for_no_board_is_laid_out_on_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arena counts on a board whose RAM has a name of its own."""
    inspected = inspect_model(ew.load(DIGITS))
    for board, fits in ((with_ram(tmp_path / "small", 14 * 1024), False), (load_target("mps2-an386"), True)):
        monkeypatch.setattr("edgewright.inspection.list_targets", lambda board=board: [board])
        assert inspected.record()["fits"] == {"mps2-an386": fits}


def test_a_limit_that_cannot_be_kept_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(MemoryPlanError, match=r"at most 1,000 B: the least is [\d,]+ B, 7,168 B without bands"):
        ew.generate(ew.load(DIGITS), "mps2-an386", ram_limit=1000)
