"""Devices: in-process, behind a pseudo terminal, emulated; the same methods and the same answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import DIGITS, DIGITS_TEST, SHARED_MODELS, need
from harness import assert_close
from networks import (
    NOT_BY_ORT,
    SEED,
    all_cases,
    case_id,
    case_inputs,
    case_model,
    expected,
    imported,
    random_inputs,
    random_network,
)

import edgewright as ew
from edgewright.drivers import emulator
from edgewright.drivers.device import Device, open_device
from edgewright.errors import DataError, DeviceError, PortError
from edgewright.ops import Case


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    with np.load(DIGITS_TEST) as data:
        return {"x": data["x"], "y": data["y"]}


@pytest.fixture(scope="module")
def host_built() -> ew.Built:
    need("gcc")
    return ew.generate(ew.load(DIGITS), "host").build()


@pytest.fixture(scope="module")
def emulated_built() -> ew.Built:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    return ew.generate(ew.load(DIGITS), "mps2-an386").build()


@pytest.fixture(params=["in-process", "pty", "emulated"])
def board(request: pytest.FixtureRequest) -> Iterator[ew.Board]:
    name = "emulated_built" if request.param == "emulated" else "host_built"
    built = request.getfixturevalue(name)
    with built.flash("pty" if request.param == "pty" else None) as board:
        yield board


def test_every_device_gives_the_same(board: ew.Board, digits: dict[str, np.ndarray]) -> None:
    """10 samples in batches of 4 give 10 results in order, equal to one batch of all."""
    x, y = digits["x"][:10], digits["y"][:10]
    assert board.is_alive()
    result = board.predict(x, batch_size=4)
    assert result.run.batches == 3
    whole = board.predict(x)
    assert whole.run.batches == 1
    np.testing.assert_array_equal(result.outputs["probabilities"], whole.outputs["probabilities"])
    report = result.report(y)
    assert report.fidelity.passed
    assert report.kpi is not None
    assert report.run.samples == 10
    first, run = board.device.infer(x[3:4])
    np.testing.assert_array_equal(first[0], whole.outputs["probabilities"][3])
    assert run.samples == 1


def test_what_a_device_refuses(board: ew.Board) -> None:
    for bad in (np.zeros((0, 1, 8, 8), np.float32), np.zeros((2, 1, 8, 9), np.float32),
                np.full((1, 1, 8, 8), np.inf, np.float32), np.zeros((1, 1, 8, 8), complex)):  # fmt: skip
        with pytest.raises(DataError):
            board.predict(bad)
    assert board.is_alive()


def test_a_closed_device_says_so(host_built: ew.Built, digits: dict[str, np.ndarray]) -> None:
    for port in (None, "pty"):
        board = host_built.flash(port)
        board.close()
        board.close()
        with pytest.raises(DeviceError, match="closed"):
            board.predict(digits["x"][:1])


def test_emulated_figures(emulated_built: ew.Built, digits: dict[str, np.ndarray]) -> None:
    """All held-out images; the instruction count is exact, and the same for a repeated sample."""
    x = np.concatenate([digits["x"], digits["x"][:1]])
    with emulated_built.flash() as board:
        result = board.predict(x, batch_size=100)
    report = result.report(np.concatenate([digits["y"], digits["y"][:1]]))
    assert report.kpi is not None
    assert report.kpi.accuracy >= 0.97
    assert report.fidelity.argmax_differences == 0
    assert report.run.instructions_source == "plugin, exact"
    assert report.run.latency_us is None, "an emulator's time is not a board's"
    assert report.run.cycles_source == "model"
    counts = result.run.instructions
    assert counts is not None
    assert counts[0] == counts[-1] > report.model.macs
    assert report.link is not None
    assert report.link.payload_bytes > x.nbytes
    assert report.build.stack_bytes is not None
    assert report.build.stack_reserved_bytes is not None
    assert 0 < report.build.stack_bytes < report.build.stack_reserved_bytes


def test_without_the_plugin_the_timer_counts(
    emulated_built: ew.Built, digits: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulated_built.flash() as board:
        exact = board.predict(digits["x"][:3]).run.instructions
    start = emulator.start_emulator
    monkeypatch.setattr("edgewright.drivers.device.start_emulator", lambda t, elf, **_: start(t, elf, mode="icount"))
    with emulated_built.flash() as board:
        run = board.predict(digits["x"][:3]).run
    assert run.instructions_source == "icount, resolution 40"
    assert run.cycles is None
    assert exact is not None
    assert run.instructions is not None
    assert np.abs(run.instructions - exact).max() <= 2 * 40


def test_another_build_is_noticed(host_built: ew.Built) -> None:
    manifest = host_built.firmware.manifest.model_copy(update={"build_id": "0" * 32})
    other = replace(host_built.firmware, manifest=manifest)
    with pytest.raises(PortError, match="another build"):
        open_device(other, "pty")


@pytest.mark.slow
def test_a_rebuilt_library_is_not_the_old_one(tmp_path: Path) -> None:
    """The loader knows a library by its path: a second build there has to be a second library."""
    need("gcc")
    outputs = []
    for seed in (SEED, SEED + 1):
        model = imported(random_network(seed))
        built = ew.generate(model, "host").build(tmp_path / "same")
        x = {name: values[:, 0] for name, values in random_inputs(model, samples=2).items()}
        with built.flash() as board:
            outputs.append(board.predict(x))
        assert outputs[-1].report().fidelity.passed


def test_a_dying_emulator_is_a_device_error(emulated_built: ew.Built, digits: dict[str, np.ndarray]) -> None:
    with emulated_built.flash() as board:
        os.kill(board.device._emulator.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(DeviceError):
            board.predict(digits["x"])
        assert not board.is_alive()


def test_every_device_has_the_same_methods() -> None:
    public = {name for name in dir(Device) if not name.startswith("_")}
    assert {"prepare_for_inference", "infer", "predict", "is_alive", "close"} <= public


def _emulators() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"qemu-system-arm" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_emulator(number: signal.Signals, emulated_m4: str, tmp_path: Path) -> None:
    before = _emulators()
    x = np.zeros((20_000, 1, 8, 8), np.float32)
    np.savez(tmp_path / "many.npz", x=x)
    command = [sys.executable, "-m", "edgewright", "deploy", str(DIGITS), "-t", emulated_m4, "-d", "many.npz"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not _emulators() - before and time.monotonic() < deadline:
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    time.sleep(1.0)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    assert ("interrupted" in errors) == (number == signal.SIGINT)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    deadline = time.monotonic() + 5
    while _emulators() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _emulators() - before


def test_interrupted_while_it_still_imports(tmp_path: Path) -> None:
    """The signal comes when the handlers are there, and numpy is not."""
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy':\n"
        "            os.kill(os.getpid(), int(sys.argv[1]))\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from edgewright.entry import main\n"
        "main()\n"
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        command = [sys.executable, "-c", code, str(int(number))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 128 + number, done.stderr
        assert "Traceback" not in done.stderr


# ---- operators and networks on the emulated core


def merged(cases: list[Case], opset: int) -> onnx.ModelProto:
    """One model that holds the networks of many cases side by side: one firmware instead of many."""
    models = []
    for index, case in enumerate(cases):
        models.append(onnx.compose.add_prefix(case_model(case), f"c{index}_"))
    whole = models[0]
    for model in models[1:]:
        whole = onnx.compose.merge_models(whole, model, io_map=[])
    whole.opset_import[0].version = opset
    return whole


TOGETHER = 40  # cases in one firmware


def on_board() -> dict[int, list[Case]]:
    """The cases that boards and ONNX Runtime both take, by operator set; each set mixed, in a seeded order."""
    found: dict[int, list[Case]] = {}
    for case in all_cases():
        # ONNX Runtime takes no recurrent layer with the batch first; boards are sent no infinities
        if not case.attrs.get("layout") and not case.slow and not case.special and case_id(case) not in NOT_BY_ORT:
            found.setdefault(case.opset, []).append(case)
    return {
        opset: [cases[i] for i in np.random.default_rng(opset).permutation(len(cases))]
        for opset, cases in found.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("opset", "first"), [
    (opset, first) for opset, cases in sorted(on_board().items()) for first in range(0, len(cases), TOGETHER)
])  # fmt: skip
def test_every_operator_on_the_emulated_core(opset: int, first: int, emulated_m4: str) -> None:
    some = on_board()[opset][first : first + TOGETHER]
    model = imported(merged(some, opset), f"opset{opset}")
    inputs, wanted = {}, []
    for index, case in enumerate(some):
        alone = imported(case_model(case))
        own = case_inputs(case, alone)
        wanted += expected(alone, own)
        inputs.update((f"c{index}_{name}", values) for name, values in own.items())
    with ew.generate(model, emulated_m4).build().flash() as board:
        ports = board.built.firmware.manifest.inputs
        x = {p.name: inputs[p.name].reshape(1, *(p.shape[1:] if p.shape[:1] == (1,) else p.shape)) for p in ports}
        result = board.predict(x)
    got = [values.reshape(w.shape) for values, w in zip(result.outputs.values(), wanted, strict=True)]
    assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED + 100, SEED + 108))  # + 100: GCC 12.2 deleted a step (model.c.j2, EW_STEP)
def test_random_networks_on_the_emulated_core(seed: int, emulated_m4: str) -> None:
    model = imported(random_network(seed))
    x = {name: values[:, 0] for name, values in random_inputs(model, samples=3).items()}
    with ew.generate(model, emulated_m4, optimize="speed").build().flash() as board:
        report = board.predict(x).report()
    assert report.fidelity.passed
    assert report.fidelity.max_error_of_range < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the folder with the MLPerf Tiny models is not there")
@pytest.mark.parametrize("target", ["host", "mps2-an386"])
@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_mlperf_tiny_float_models(name: str, target: str) -> None:
    need("gcc", *(["arm-none-eabi-gcc", "qemu-system-arm"] if target != "host" else []))
    with np.load(SHARED_MODELS / f"{name}_fp32.npz") as data:
        x = data["x"]
    with ew.generate(ew.load(SHARED_MODELS / f"{name}_fp32.onnx"), target).build().flash() as board:
        report = board.predict(x).report()
    assert report.fidelity.passed
    assert report.fidelity.max_error_of_range <= 1e-4
    assert report.build.flash_bytes is not None
    assert report.build.ram_bytes is not None
    assert report.model.macs == {"kws": 2_656_768, "ic": 12_501_632, "ad": 264_192}[name]
