"""Steps one by one: each layer's time and tensors off the device, and the layer that is wrong named."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_CALIBRATION, DIGITS_TEST, need
from elftools.elf.elffile import ELFFile
from networks import imported, make_model, value
from onnx import helper

import edgewright as ew
from edgewright.api import Built
from edgewright.drivers.device import DeviceRun, open_device
from edgewright.drivers.steps import tensors
from edgewright.errors import DataError, TargetError
from edgewright.profile import profile
from edgewright.tracing import check_layers, first_difference


def samples(count: int) -> np.ndarray:
    with np.load(DIGITS_TEST) as data:
        return np.asarray(data["x"][:count])


@pytest.fixture(scope="module")
def quantized():
    with np.load(DIGITS_CALIBRATION) as data:
        return ew.quantize(ew.load(DIGITS), data["x"])


def damage(built: Built, layer: str) -> None:
    """Change some of a layer's weights in what was built, in the program and in the library."""
    manifest = built.firmware.manifest
    (step,) = [step for step in manifest.steps if step.name == layer]
    code = (built.firmware.folder / "model.c").read_text(encoding="utf-8")
    body = code[code.index(f"void {step.function}(") :].partition("\n}\n")[0]
    name = re.findall(rf"\b{manifest.c_prefix}_w\d+\b", body)[0]
    for path in filter(None, (built.firmware.elf, built.firmware.library)):
        with path.open("r+b") as stream:
            table = ELFFile(stream)
            (symbol,) = table.get_section_by_name(".symtab").get_symbol_by_name(name)
            section = table.get_section(symbol["st_shndx"])
            at = section["sh_offset"] + symbol["st_value"] - section["sh_addr"]
            stream.seek(at)
            weights = stream.read(symbol["st_size"])
            stream.seek(at)
            stream.write(bytes(byte ^ 0x15 for byte in weights[:96]) + weights[96:])


def check_good_and_bad(built: Built, port: str | None, layer: str) -> None:
    """All layers are right; then the one whose weights are damaged is named, and no other."""
    x = samples(1)
    with open_device(built.firmware, port) as device:
        plain = device.predict(x).outputs
        made = tensors(device, x)
        again = device.predict(x)  # an ordinary run is as it was
    for name, values in plain.items():
        np.testing.assert_array_equal(made[name].reshape(-1), values.reshape(-1))
        np.testing.assert_array_equal(again.outputs[name], values)
    checks = check_layers(built.firmware, x, made)
    assert {check.tensor for check in checks} == set(made)
    assert all(check.max_error is not None for check in checks)
    assert first_difference(checks) is None
    damage(built, layer)
    with open_device(built.firmware, port) as device:
        checks = check_layers(built.firmware, x, tensors(device, x))
    assert [check.layer for check in checks if check.differing] == [layer]


@pytest.mark.parametrize("port", ["pty", pytest.param(None, marks=pytest.mark.slow)])
def test_a_wrong_layer_is_named_on_the_host(quantized, port: str | None) -> None:
    check_good_and_bad(ew.generate(quantized, "host").build(), port, "conv2")


@pytest.mark.slow
def test_floats_in_an_arena_that_has_the_ports() -> None:
    check_good_and_bad(ew.generate(ew.load(DIGITS), "host", io="arena").build(), "pty", "conv3")


@pytest.mark.slow
def test_a_wrong_layer_is_named_on_an_emulated_board(quantized, emulated_m4: str) -> None:
    """In bands of rows: the layer's parts are put together."""
    built = ew.generate(quantized, emulated_m4, "ram").build()
    trace = built.firmware.manifest.trace
    assert any(made.axis is not None for step in trace for made in step.made)
    assert len(trace) > len(built.firmware.manifest.steps)
    check_good_and_bad(built, None, "conv3")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "choices"),
    [
        ("qemu-riscv32", {}),
        ("mps2-an386", {"place": {"conv1": "BRAM"}, "io": "arena"}),
        ("mps2-an386", {"stage_weights": "BRAM", "optimize": "size"}),
        ("mps3-an547", {"optimize": "speed"}),
    ],
)
def test_other_boards(quantized, target: str, choices: dict[str, object]) -> None:
    riscv = target.startswith("qemu-riscv")
    need(*(("riscv64-unknown-elf-gcc", "qemu-system-riscv32") if riscv else ("arm-none-eabi-gcc", "qemu-system-arm")))
    check_good_and_bad(ew.generate(quantized, target, **choices).build(), None, "conv3")


def test_times_and_single_tensors(quantized) -> None:
    built = ew.generate(quantized, "host").build()
    x = samples(5)
    with built.flash("pty") as board:
        times = board.layer_times(x)
        assert times.shape == (5, len(built.firmware.manifest.trace))
        assert (times > 0).any()
        names = [made.name for step in built.firmware.manifest.trace for made in step.made]
        few = board.tensors(x[2:3], {names[3], names[1]})
        whole = board.tensors(x[2:3])
        assert list(few) == [names[1], names[3]]
        for name, values in few.items():
            np.testing.assert_array_equal(values, whole[name])
        assert board.check_layers(x[:1])[0].differing == 0
        with pytest.raises(DataError, match="no layer makes a tensor 'nothing'"):
            board.tensors(x[:1], ["nothing"])
        with pytest.raises(DataError, match="one sample at a time; there are 5"):
            board.tensors(x)
    with built.flash("pty", profile=True) as board:
        report = board.predict(x).report()
    assert report.profile is not None
    assert [record.name for record in report.profile] == [step.name for step in built.firmware.manifest.steps]
    assert abs(sum(record.share for record in report.profile) - 1) < 1e-9
    assert all(record.time_us is not None and record.cycles is None for record in report.profile)


@pytest.mark.slow
def test_more_steps_than_the_device_takes_at_a_time() -> None:
    """Seventy steps in three RUNs that go on from each other; and in one in-process, with the same tensors."""
    nodes = [helper.make_node(("Sin", "Cos")[k % 2], [f"t{k}"], [f"t{k + 1}"]) for k in range(70)]
    model = imported(make_model(nodes, [value("t0", (1, 5))], ["t70"]))
    built = ew.generate(model, "host").build()
    x = np.linspace(-2, 2, 5, dtype=np.float32)[np.newaxis]
    with built.flash("pty") as line, built.flash() as library:
        times, made, wanted = line.layer_times(x), line.tensors(x), library.tensors(x)
        assert not any(check.differing for check in line.check_layers(x))
    assert (times.shape, len(made)) == ((1, 70), 70)
    for name, values in wanted.items():
        np.testing.assert_array_equal(made[name], values)


@pytest.mark.slow
def test_cycles_are_those_of_a_boards_timer_at_the_cores_clock(quantized) -> None:
    built = ew.generate(quantized, "host").build()
    manifest = built.firmware.manifest
    ticks = np.full((2, len(manifest.trace)), 500, np.uint32)
    ticks[1] = 700
    for evidence, clock_hz, has_cycles in (
        ("hardware", 8_000_000, True), ("hardware", 9_000_000, False), ("built", 8_000_000, False),
        ("host", None, False),
    ):  # fmt: skip
        target = built.firmware.target.model_copy(update={"evidence": evidence, "clock_hz": clock_hz})
        done = DeviceRun({}, 2, 1, 1.0, 1.0, step_ticks=ticks, timer_hz=8_000_000)
        records = profile(replace(built.firmware, target=target), done)
        assert records is not None
        assert len(records) == len(manifest.steps)
        for record in records:
            assert record.time_us == pytest.approx(75.0)
            assert record.cycles == (pytest.approx(600.0) if has_cycles else None)
            assert record.instructions is None


@pytest.mark.slow
def test_without_the_trace_nothing_of_it_is_there(quantized) -> None:
    for choices in ({"trace": False}, {"front": "mlperf"}):
        tree = ew.generate(quantized, "mps2-an386", **choices).tree
        assert not tree.manifest.trace
        assert not any(b"_step_in" in body or b"EW_LINK_STEPS=" in body for body in tree.files.values())
    with_it = ew.generate(quantized, "mps2-an386").tree
    ordinary = with_it.files["model.c"].partition(b"_step_in")[0].rpartition(b"ew_status")[0]
    assert tree.files["model.c"].startswith(ordinary.rstrip())
    with (
        ew.generate(quantized, "host", trace=False).build().flash("pty") as board,
        pytest.raises(TargetError, match="cannot run single steps"),
    ):
        board.tensors(samples(1))


def test_the_command(quantized, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from edgewright.cli import app

    built = ew.generate(quantized, "host").build(tmp_path / "p")
    data = tmp_path / "few.npz"
    np.savez(data, x=samples(3))
    call = ["trace", str(tmp_path / "p"), "-d", str(data)]
    runner = CliRunner()
    files = ["--json", str(tmp_path / "r.json"), "--save", str(tmp_path / "t.npz")]
    out = runner.invoke(app, [*call, "--sample", "2", *files])
    assert out.exit_code == 0, out.output
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert result["first_difference"] is None
    with np.load(tmp_path / "t.npz") as saved:
        assert set(saved.files) == {layer["tensor"] for layer in result["layers"]}
    name = result["layers"][2]["tensor"]
    out = runner.invoke(app, [*call, "--tensor", name, "--save", str(tmp_path / "one.npz")])
    assert out.exit_code == 0, out.output
    with np.load(tmp_path / "one.npz") as saved:
        assert saved.files == [name]
    assert runner.invoke(app, [*call, "--sample", "3"]).exit_code != 0
    assert runner.invoke(app, [*call, "--tensor", name]).exit_code != 0
    damage(built, "conv2")
    out = runner.invoke(app, [*call, "--port", "pty"])
    assert out.exit_code == 1
    assert "the first layer that differs is step 2, QConv 'conv2'" in out.output.replace("\n", " ")
    shutil.rmtree(tmp_path / "p")
