"""The command line: what it prints, what it writes, and one clear line with the right exit status for bad input."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import DIGITS, DIGITS_TEST, need
from networks import SEED, constant, make_model, value
from onnx import helper

from edgewright import cli
from edgewright.boards import target_names
from edgewright.drivers import emulator
from edgewright.report.result import Result

Run = Callable[..., "Outcome"]


class Outcome:
    """Exit status and what was printed."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def lines(self) -> list[str]:
        return self.err.strip().splitlines()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Call the command line in this process, from a scratch folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["edgewright", *map(str, words)])
        with pytest.raises(SystemExit) as leave:
            cli.main()
            sys.exit(0)
        out, err = capsys.readouterr()
        code = leave.value.code
        return Outcome(code if isinstance(code, int) else 0, out, err)

    return call


def refused(outcome: Outcome, *words: str, status: int = 2, lines: int = 1) -> None:
    """One clear line that holds these words, no traceback."""
    assert outcome.status == status, outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.lines) == lines, outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


def small_model(path: Path, op: str = "Relu", shape: tuple[object, ...] = ("n", 4)) -> Path:
    node = helper.make_node(op, ["x"], ["y"], name="only")
    onnx.save(make_model([node], [value("x", shape)], ["y"]), path)
    return path


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


# ---- what works


def test_deploy_on_the_host(run: Run, tmp_path: Path) -> None:
    need("gcc")
    outcome = run("deploy", DIGITS, "--target", "host", "--data", DIGITS_TEST, "--json", "r.json", "--batch", "64")
    assert outcome.status == 0, outcome.err
    assert "accuracy" in outcome.out
    result = Result.model_validate_json((tmp_path / "r.json").read_text())
    assert result.kpi is not None
    assert result.kpi.accuracy >= 0.97
    assert result.kpi.correct == result.kpi.reference_correct
    assert sum(map(sum, result.kpi.confusion)) == result.run.samples
    assert result.fidelity.passed
    assert result.fidelity.argmax_differences == 0
    assert result.target.evidence == "host"
    assert result.run.latency_us is not None
    assert result.run.instructions_per_inference is None
    assert result.run.energy_uj is None
    assert result.build.flash_bytes is not None
    assert result.link is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json"], "nothing else is left"


@pytest.mark.slow
def test_profile(run: Run, tmp_path: Path, emulated_m4: str) -> None:
    with np.load(DIGITS_TEST) as data:
        few = save(tmp_path / "few.npz", x=data["x"][:2])
    refused(run("deploy", DIGITS, "-t", "host", "-d", few, "--profile", "--no-trace"), "cannot run single steps")
    outcome = run("deploy", DIGITS, "-t", emulated_m4, "-d", few, "--profile", "--json", "r.json", "-o", "p")
    assert outcome.status == 0, outcome.err
    assert "MAC/cycle" in outcome.out
    result = Result.model_validate_json((tmp_path / "r.json").read_text())
    assert result.profile is not None
    assert len(result.profile) == 8
    again = run("run", "p", "-d", few, "--profile", "--json", "-")
    assert Result.model_validate_json(again.out).profile == result.profile
    plain = run("run", "p", "-d", few, "--json", "-")
    assert Result.model_validate_json(plain.out).profile is None


def test_stage_by_stage(run: Run, tmp_path: Path) -> None:
    need("gcc")
    assert run("generate", DIGITS, "-t", "host", "-o", "p", "-q").status == 0
    refused(run("run", "p", "-d", DIGITS_TEST), "has not been built", "edgewright build p")
    assert run("build", "p", "-q").status == 0
    assert run("flash", "p", "-q").status == 0
    assert run("flash", "p", "--port", "pty", "-q").status == 0
    outcome = run("run", "p", "-d", DIGITS_TEST, "--port", "pty", "--batch", "100", "--json", "-", "--timeout", "30")
    assert outcome.status == 0, outcome.err
    result = Result.model_validate_json(outcome.out)
    assert result.run.batches == 5
    assert result.link is not None
    assert result.link.line_utilisation is None, "a pseudo terminal has no baud rate"
    assert run("generate", DIGITS, "-t", "host", "-o", "p", "-q", "--optimize", "size").status == 0, "again is fine"
    assert not (tmp_path / "p" / "build").exists(), "an older build is not taken for the new one"


def test_inspect_targets_doctor(run: Run) -> None:
    outcome = run("inspect", DIGITS, "--json", "-")
    facts = json.loads(outcome.out)
    assert facts["model"]["macs"] == 173760
    assert facts["fits"]["mps2-an386"] is True
    assert "Conv" in run("inspect", DIGITS).out
    assert {row["name"] for row in json.loads(run("targets", "--json", "-").out)} >= {"host", "mps2-an386"}
    assert "mps2-an386" in run("targets").out
    assert any(row["name"] == "cc" for row in json.loads(run("doctor", "--json", "-").out))


def test_help_version_and_no_color(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "deploy" in run("--help").out
    assert "--batch" in run("deploy", "--help").out
    assert run("--version").out.startswith("edgewright ")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("targets").out


# ---- what is refused


def test_a_missing_or_damaged_model(run: Run, tmp_path: Path) -> None:
    refused(run("inspect", "nothing.onnx"), "nothing.onnx", "No such file")
    refused(run("inspect", tmp_path), "directory")
    (tmp_path / "text.onnx").write_text("this is no model\n" * 50)
    refused(run("inspect", "text.onnx"), "not an ONNX model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(run("inspect", "empty.onnx"), "not an ONNX model")
    whole = DIGITS.read_bytes()
    for share in range(1, 20):
        (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) * share // 20])
        outcome = run("inspect", "cut.onnx")
        refused(outcome, "cut.onnx")


def test_unsupported_operators_all_at_once(run: Run, tmp_path: Path) -> None:
    nodes = [helper.make_node("Unique", ["x"], [name], name=name) for name in ("first", "second")]
    nodes.append(helper.make_node("Add", ["first", "second"], ["y"]))
    onnx.save(make_model(nodes, [value("x", [2, 2])], ["y"]), tmp_path / "m.onnx")
    refused(run("inspect", "m.onnx"), "Unique 'first'", "Unique 'second'", lines=3)


def test_an_unpinned_dimension(run: Run, tmp_path: Path) -> None:
    small_model(tmp_path / "m.onnx", shape=("n", "time", 3))
    refused(run("inspect", "m.onnx"), "time", "--input x=1,time,3")
    assert run("inspect", "m.onnx", "--input", "x=1,9,3", "-q").status == 0
    for pin in ("x", "x=", "x=1,a,3", "x=0,9,3", "=1,9,3"):
        assert run("inspect", "m.onnx", "--input", pin).status == 2


def test_wrong_data(run: Run, tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.onnx")
    good = np.zeros((3, 4), np.float32)

    def deploy(data: Path) -> Outcome:
        return run("deploy", model, "-t", "host", "-d", data)

    refused(deploy(Path("nothing.npz")), "nothing.npz", "No such file")
    refused(deploy(model), "not an .npz")
    refused(deploy(save(tmp_path / "a.npz", x=np.zeros((3, 5), np.float32))), "[3, 5]", "[n, 4]")
    refused(deploy(save(tmp_path / "b.npz", z=good)), "'x'")
    refused(deploy(save(tmp_path / "c.npz", x=np.array(["a", "b"]))), "shape")
    refused(deploy(save(tmp_path / "d.npz", x=good.astype(np.complex64))), "complex64", "float32")
    refused(deploy(save(tmp_path / "e.npz", x=good[:0])), "empty")
    bad = good.copy()
    bad[1, 2] = np.nan
    refused(deploy(save(tmp_path / "f.npz", x=bad)), "sample 1", "NaN")
    refused(deploy(save(tmp_path / "g.npz", x=good, y=np.zeros(2, np.int64))), "3 samples")
    save(tmp_path / "h.npz", x=np.array([pickle.loads, None], dtype=object))
    refused(deploy(tmp_path / "h.npz"), "plain arrays")
    np.save(tmp_path / "i.npy", good)
    refused(deploy(tmp_path / "i.npy"), "npz")
    assert deploy(save(tmp_path / "j.npz", x=good.astype(np.float64))).status == 0
    assert deploy(save(tmp_path / "k.npz", x=good.reshape(3, 1, 4))).status == 0


def test_labels_that_do_not_fit(run: Run, tmp_path: Path) -> None:
    need("gcc")
    model = small_model(tmp_path / "m.onnx")
    data = save(tmp_path / "a.npz", x=np.zeros((3, 4), np.float32), y=np.array([0, 1, 9]))
    refused(run("deploy", model, "-t", "host", "-d", data), "class 9", "sample 2", "0 to 3")
    data = save(tmp_path / "b.npz", x=np.zeros((3, 4), np.float32), y=np.array([-1, 1, 2]))
    refused(run("deploy", model, "-t", "host", "-d", data), "class -1", "sample 0")


@pytest.mark.slow
def test_a_project_built_by_plain_cmake(run: Run, tmp_path: Path) -> None:
    need("gcc", "cmake", "make")
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    for command in (["cmake", "-G", "Unix Makefiles", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path / "p", check=True, capture_output=True)
    outcome = run("run", "p", "-d", DIGITS_TEST, "--json", "-")
    assert outcome.status == 0, outcome.err
    assert "-O2" in Result.model_validate_json(outcome.out).build.flags


def test_an_unknown_target(run: Run) -> None:
    refused(run("generate", DIGITS, "-t", "mps2-an368"), "mps2-an368", "mps2-an386")
    refused(run("deploy", DIGITS, "-t", "toaster", "-d", DIGITS_TEST), "toaster")


def test_a_model_too_big_for_the_board(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    wide = constant("w", rng.standard_normal((1100, 1000)).astype(np.float32))
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")
    onnx.save(make_model([node], [value("x", [1, 1100])], ["y"], [wide]), tmp_path / "flash.onnx")
    outcome = run("generate", "flash.onnx", "-t", "mps2-an386", "-o", "p")
    refused(outcome, "4,400,000 B", "4,194,304 B", "205,696 B too few", "mps2-an386")
    assert not (tmp_path / "p").exists()
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="early"),
        helper.make_node("Sigmoid", ["a"], ["b"], name="mid"),
        helper.make_node("Add", ["a", "b"], ["y"], name="late"),
    ]
    onnx.save(make_model(nodes, [value("x", [1, 1_500_000])], ["y"]), tmp_path / "ram.onnx")
    refused(run("deploy", "ram.onnx", "-t", "mps2-an386", "-d", DIGITS_TEST), "RAM", "too few", "peak")
    fits = json.loads(run("inspect", "ram.onnx", "--json", "-").out)["fits"]
    assert fits == {name: name in ("host", "raspi0", "raspi2") for name in target_names()}


@pytest.mark.slow
def test_a_program_that_the_linker_refuses(run: Run, tmp_path: Path, emulated_m4: str) -> None:
    """Weights that fit alone, and not beside the code."""
    rng = np.random.default_rng(SEED)
    wide = constant("w", rng.standard_normal((1023, 1024)).astype(np.float32))
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")
    onnx.save(make_model([node], [value("x", [1, 1023])], ["y"], [wide]), tmp_path / "m.onnx")
    data = save(tmp_path / "d.npz", x=np.zeros((1, 1023), np.float32))
    refused(run("deploy", "m.onnx", "-t", emulated_m4, "-d", data), "does not fit", "flash", "more are needed")


def test_missing_tools(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("gcc")
    (tmp_path / "bin").mkdir()
    run("generate", DIGITS, "-t", "mps2-an386", "-o", "arm", "-q")
    run("generate", DIGITS, "-t", "host", "-o", "native", "-q")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    refused(run("build", "arm"), "arm-none-eabi-gcc", "not installed")
    refused(run("build", "native"), "'cc'", "not installed")
    assert run("doctor", "-q").status == 0


@pytest.mark.slow
def test_a_missing_emulator(run: Run, monkeypatch: pytest.MonkeyPatch, emulated_m4: str) -> None:
    assert run("generate", DIGITS, "-t", emulated_m4, "-o", "p", "-q").status == 0
    assert run("build", "p", "-q").status == 0
    find = emulator.find_tool

    def without_emulator(name: str) -> Path:
        return find("no-such-emulator") if name.startswith("qemu") else find(name)

    monkeypatch.setattr(emulator, "find_tool", without_emulator)
    refused(run("run", "p", "-d", DIGITS_TEST), "no-such-emulator", "not installed")


@pytest.mark.slow
def test_ports_that_do_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    run("build", "p", "-q")
    refused(run("run", "p", "-d", DIGITS_TEST, "--port", "/dev/ttyNONE"), "/dev/ttyNONE")
    refused(run("run", "p", "-d", DIGITS_TEST, "--port", "nonsense://x"), "nonsense")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        held = []
        threading.Thread(target=lambda: held.append(server.accept()), daemon=True).start()
        from edgewright.drivers.link import Link

        original = Link.open.__func__

        def impatient(cls: type[Link], url: str, **options: object) -> Link:
            return original(cls, url, **{**options, "connect_timeout_s": 0.5})

        monkeypatch.setattr(Link, "open", classmethod(impatient))
        refused(run("run", "p", "-d", DIGITS_TEST, "--port", url), url, "no device answered")


def test_a_folder_that_holds_something_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused(run("generate", DIGITS, "-t", "host", "-o", "mine"), "mine", "--force")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    refused(run("generate", DIGITS, "-t", "host", "-o", "file"), "not a folder")
    refused(run("build", "mine"), "not a generated project")
    refused(run("generate", DIGITS, "-t", "host", "--optimize", "fast"), "speed")
    refused(run("inspect", DIGITS, "--json", "none/r.json"), "none/r.json")
    assert run("deploy", DIGITS, "-t", "host", "-d", DIGITS_TEST, "--batch", "0").status == 2


def test_a_damaged_manifest(run: Run, tmp_path: Path) -> None:
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    path = tmp_path / "p" / "edgewright.json"
    good = json.loads(path.read_text())
    for change in ({"c_prefix": "x; rm -rf /"}, {"input_bytes": -1}, {"surprise": 1}, {"build_id": "zz"}):
        path.write_text(json.dumps({**good, **change}))
        refused(run("build", "p"), "damaged", next(iter(change)))
    path.write_text("{")
    refused(run("build", "p"), "damaged")
    ports = good["inputs"]
    for change in ({"inputs": []}, {"inputs": [{**ports[0], "size_bytes": 8}]}, {"inputs": [ports[0], ports[0]]},
                   {"inputs": [{**ports[0], "offset_bytes": 1 << 40}]}, {"input_bytes": 1 << 60}):  # fmt: skip
        path.write_text(json.dumps({**good, **change}))
        refused(run("build", "p"), "damaged")


@pytest.mark.slow
def test_a_project_changed_after_its_build(run: Run, tmp_path: Path) -> None:
    need("gcc")
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    run("build", "p", "-q")
    (tmp_path / "p" / "notes.txt").write_text("mine")
    assert run("run", "p", "-d", DIGITS_TEST, "-q").status == 0
    reference = tmp_path / "p" / "reference.onnx"
    whole = reference.read_bytes()
    reference.write_bytes(whole[: len(whole) // 2])
    refused(run("run", "p", "-d", DIGITS_TEST), "model to compare with")
    small_model(reference, shape=(1, 4))
    refused(run("run", "p", "-d", DIGITS_TEST), "model to compare with", "image")
    reference.write_bytes(whole)
    os.utime(tmp_path / "p" / "model.c", (2e9, 2e9))
    refused(run("run", "p", "-d", DIGITS_TEST), "model.c", "newer than the build")


@pytest.mark.slow
def test_a_library_that_never_returns(run: Run, tmp_path: Path) -> None:
    need("gcc")
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    source = tmp_path / "p" / "model.c"
    endless = "    for (volatile int i = 0; i == 0;) {}\n    return EW_OK;"
    source.write_text(source.read_text().replace("    return EW_OK;", endless))
    run("build", "p", "-q")
    refused(run("run", "p", "-d", DIGITS_TEST, "--timeout", "0.3"), "sample 0", "0.3 s", status=3)


def test_a_result_goes_through_links_and_into_pipes(run: Run, tmp_path: Path) -> None:
    """What is no plain file is written to, never replaced."""
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert run("inspect", DIGITS, "--json", "link.json", "-q").status == 0
    assert (tmp_path / "link.json").is_symlink()
    assert "macs" in (tmp_path / "real.json").read_text()
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert run("inspect", DIGITS, "--json", "pipe", "-q").status == 0
    reader.join(10)
    assert "macs" in read[0]
    assert (tmp_path / "pipe").is_fifo()


def test_a_name_too_long(run: Run) -> None:
    refused(run("generate", DIGITS, "-t", "host", "-o", "x" * 300), "too long")
    refused(run("inspect", DIGITS, "--json", "x" * 300), "too long")


@pytest.mark.slow
def test_an_interrupted_write_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fail the Nth file of the project, for every N: no half-written project, and an older one stays whole."""
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    before = {p: p.read_bytes() for p in (tmp_path / "p").rglob("*") if p.is_file()}
    real = Path.write_bytes
    for n in range(len(before)):
        for folder in ("p", "q"):
            written: list[Path] = []

            def failing(path: Path, body: bytes, n: int = n, written: list[Path] = written) -> int:
                written.append(path)
                if len(written) > n:
                    raise OSError(28, "No space left on device")
                return real(path, body)

            monkeypatch.setattr(Path, "write_bytes", failing)
            refused(run("generate", DIGITS, "-t", "host", "-o", folder, "--optimize", "size"), "No space left")
        monkeypatch.setattr(Path, "write_bytes", real)
    assert {p: p.read_bytes() for p in (tmp_path / "p").rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_failed_comparison_is_status_1(run: Run, tmp_path: Path) -> None:
    """A board that gives something else than its model: the project was edited by hand."""
    need("gcc")
    run("generate", DIGITS, "-t", "host", "-o", "p", "-q")
    weights = tmp_path / "p" / "weights.c"
    text = weights.read_text()
    head, _, rest = text.partition("= {\n    ")
    weights.write_text(f"{head}= {{\n    9.0f, {rest.partition(', ')[2]}")
    run("build", "p", "-q")
    outcome = run("run", "p", "-d", DIGITS_TEST, "--json", "r.json", "-q")
    refused(outcome, "differ", status=1)
    assert not Result.model_validate_json((tmp_path / "r.json").read_text()).fidelity.passed


@pytest.mark.slow
def test_without_onnx_runtime(tmp_path: Path) -> None:
    """The ONNX reference evaluator stands in."""
    need("gcc")
    with np.load(DIGITS_TEST) as data:
        few = save(tmp_path / "few.npz", x=data["x"][:5], y=data["y"][:5])
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')\n")
    words = ["deploy", str(DIGITS), "-t", "host", "-d", str(few), "--json", "r.json"]
    command = [sys.executable, "-m", "edgewright", *words]
    subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert Result.model_validate_json((tmp_path / "r.json").read_text()).fidelity.reference == "onnx-reference"
