"""The conformance runner on a sample of ONNX's suite, on broken code, and the ONNX backend; --bind."""

from __future__ import annotations

import os
import time
import unittest
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from conftest import REPOSITORY, need
from networks import constant, imported, make_model, value
from onnx import TensorProto
from onnx.helper import make_node

import edgewright as ew
from edgewright import backend
from edgewright.conformance import cli, operators
from edgewright.conformance.cases import SuiteCase, collect
from edgewright.conformance.compare import difference
from edgewright.conformance.isolation import map_isolated
from edgewright.conformance.lower import Lowered, Refusal, lower_case
from edgewright.conformance.on_board import sample
from edgewright.conformance.reasons import grouped, parts_of
from edgewright.conformance.report import markdown
from edgewright.conformance.results import CaseResult, SuiteOptions, SuiteResult
from edgewright.conformance.suite import run_suite
from edgewright.errors import DataError, EdgewrightError, ShapeError, UnsupportedError
from edgewright.frontends.onnx_bind import bind_inputs, parse_bindings

EVERY = 50  # of the suite's cases, sorted by name
SURE = ("test_relu", "test_reshape_negative_dim", "test_add_bcast", "test_Conv2d_padding", "test_reduce_mean_default*")


@pytest.fixture(scope="module")
def suite() -> list[SuiteCase]:
    return collect()


@pytest.mark.slow
def test_sample(suite: list[SuiteCase], tmp_path: Path) -> None:
    need("cc")
    assert len(suite) > 1500
    chosen = {case.name: case for case in (*suite[::EVERY], *(case for glob in SURE for case in collect(glob)))}
    stages: list[str] = []
    options = SuiteOptions(tmp_path / "cache", jobs=2)
    result = run_suite(list(chosen.values()), options, lambda stage, done, total: stages.append(stage))
    assert [case for case in result.cases if case.status not in ("right", "refused")] == []
    status = {case.name: case for case in result.cases}
    assert status["node/test_relu"].status == "right" and status["node/test_add_bcast"].operator == "Add"
    assert status["node/test_reshape_negative_dim"].bound == ("shape",)
    assert status["pytorch-converted/test_Conv2d_padding"].status == "right"  # of operator set 6
    assert status["node/test_reduce_mean_default_axes_keepdims_example"].bound == ()  # its axes have no elements
    assert result.count("right") > 5 and set(stages) == {"generate", "compile", "run"}
    text = markdown(result, (1e-3, 1e-7))
    assert "| Relu | 1 | 0 | 0 | 0 | 0 |" in text and "## Failures" not in text


@pytest.mark.slow
def test_compiled_programs_are_kept(tmp_path: Path) -> None:
    need("cc")
    cases, options = collect("test_relu"), SuiteOptions(tmp_path, jobs=1)
    assert [run_suite(cases, options).compiled for _ in range(2)] == [1, 0]
    assert run_suite(cases, replace(options, flags=(*options.flags, "-DX"))).compiled == 1


def test_the_document_of_operators_is_current() -> None:
    text = operators.markdown()
    stored = (REPOSITORY / "docs" / "OPERATORS.md").read_text(encoding="utf-8")
    if f"of onnx {onnx.__version__}\n" not in stored:
        pytest.skip("docs/OPERATORS.md was made with another onnx")
    assert text == stored, "run edgewright-conformance --write"


# ---- what goes wrong

STATEMENTS = {  # put before the end of an inference of y = Relu(x)
    "fine": "", "wrong": "y[0] += 1.0f;", "trap": "__builtin_trap();",
    "endless": "for (volatile int i = 0; i == 0;) {}",
    "beyond": "y[60] = 0;", "input": "((float *)(size_t)x)[0] = 123.0f;", "not C": "no C",
    "state": "static float n; y[0] += n++;",
    "over": "((volatile unsigned char *)y)[240] = 0;", "to_input": "((volatile float *)(size_t)x)[0] = 123.0f;",
    "unfit": "static volatile char big[64 * 1024 * 1024]; big[0] = 1;",
}  # fmt: skip
OUTCOMES = {
    "fine": ("right", ""), "wrong": ("wrong", "1 of 60 elements differ; the first, [0, 0, 0]"),
    "trap": ("crash", "signal"), "endless": ("hang", "did not finish"), "beyond": ("crash", "outside of buffer 1"),
    "input": ("crash", "written to input 0"), "not C": ("compiler", "error"), "state": ("crash", "second inference"),
    "refused": ("refused", "test"), "abort": ("crash", "signal 6"), "raise": ("crash", "ZeroDivisionError"),
}  # fmt: skip


def broken(case: SuiteCase, target: str) -> Lowered | Refusal:
    """Lower a case and break its C as its name says."""
    kind = case.name.partition("/")[2]
    if kind == "abort":
        os.abort()
    if kind == "raise":
        raise ZeroDivisionError
    if kind == "refused":
        return Refusal("test")
    lowered = lower_case(case, target)
    assert isinstance(lowered, Lowered)
    whole = lowered.native.files["model.c"].decode()
    files = {
        **lowered.native.files,
        "model.c": whole.replace("    return EW_OK;", f"{STATEMENTS[kind]}\nreturn EW_OK;").encode(),
    }
    return replace(lowered, native=replace(lowered.native, files=files))


@pytest.mark.slow
def test_failures_are_told_apart(tmp_path: Path) -> None:
    need("cc")
    (relu,) = collect("node/test_relu")
    cases = [replace(relu, name=f"node/{kind}") for kind in OUTCOMES]
    result = run_suite(cases, SuiteOptions(tmp_path, jobs=2, timeout_s=2.5), lower=broken)
    found = {case.name.partition("/")[2]: case for case in result.cases}
    assert {kind: case.status for kind, case in found.items()} == {
        kind: status for kind, (status, _) in OUTCOMES.items()
    }
    for kind, (_, words) in OUTCOMES.items():
        assert words in found[kind].reason
    assert result.count("crash") == 6
    assert "## Failures" in markdown(result, (1e-3, 1e-7))


@pytest.mark.slow
def test_on_an_emulated_board(suite: list[SuiteCase], tmp_path: Path, emulated_m4: str) -> None:
    cases = [*sample(suite, 150)[::2], *(case for glob in SURE for case in collect(f"node/{glob}"))]
    options = SuiteOptions(tmp_path, jobs=2, target=emulated_m4)
    result = run_suite(list({case.name: case for case in cases}.values()), options)
    assert [case for case in result.cases if case.status not in ("right", "refused")] == []
    assert result.count("right") > 30
    assert "emulated: mps2-an386" in markdown(result, (1e-3, 1e-7))


@pytest.mark.slow
def test_failures_on_a_board(tmp_path: Path, emulated_m4: str) -> None:
    (relu,) = collect("node/test_relu")
    kinds = [kind for kind in STATEMENTS if kind not in ("input", "beyond")]
    cases = [replace(relu, name=f"node/{kind}") for kind in (*kinds, "unfit", "over", "to_input")]
    result = run_suite(cases, SuiteOptions(tmp_path, jobs=2, timeout_s=2.5, target=emulated_m4), lower=broken)
    found = {case.name.partition("/")[2]: case for case in result.cases}
    words = {
        "fine": ("right", ""), "wrong": ("wrong", "1 of 60 elements differ"), "trap": ("crash", "the board stopped"),
        "endless": ("hang", "did not answer"), "not C": ("compiler", "error"), "state": ("crash", "second inference"),
        "unfit": ("compiler", "overflowed"), "over": ("crash", "behind its outputs"),
        "to_input": ("crash", "to its inputs"),
    }  # fmt: skip
    assert {kind: (case.status, words[kind][1] in case.reason) for kind, case in found.items()} == {
        kind: (status, True) for kind, (status, _) in words.items()
    }


def test_a_board_without_an_emulator_is_refused(tmp_path: Path) -> None:
    from edgewright.conformance.on_board import run_on_board

    with pytest.raises(EdgewrightError, match="no emulator"):
        run_on_board([], SuiteOptions(tmp_path, target="host"), lambda stage, done, total: None, lambda stage: None)


@pytest.mark.slow
def test_every_operator_has_its_share(suite: list[SuiteCase]) -> None:
    operators = {case.operator for case in suite}
    assert {case.operator for case in sample(suite, len(operators))} == operators
    some = sample(suite, 400)
    assert len({case.name for case in some}) == 400 and some == sorted(some, key=lambda case: case.name)
    assert len(sample(suite, 10**6)) == len(suite)


def slow_on_two(item: int) -> int:
    if item == 2:
        time.sleep(60)
    return item * item


@pytest.mark.slow
def test_a_hang_is_ended_and_the_rest_goes_on() -> None:
    begun = time.monotonic()
    outcomes = map_isolated(slow_on_two, [1, 2, 3], jobs=1, timeout_s=0.5)
    assert [(o.kind, o.value) for o in outcomes] == [("value", 1), ("hang", None), ("value", 9)]
    assert time.monotonic() - begun < 50


@pytest.mark.parametrize(
    ("made", "wanted", "words"),
    [
        (np.float32([1, np.nan]), np.float32([1.0001, np.nan]), ""),
        (np.float32([1]), np.float32([1.01]), "1 of 1 elements"),
        (np.float32([1]), np.float32([[1]]), "shape [1]; expected [1, 1]"),
        (np.float32([1]), np.float64([1]), "type float32; expected float64"),
        (np.int64([10**6]), np.int64([10**6 + 1]), "1 of 1 elements"),
        (np.float32([1]), [np.float32([1])], "expected list"),
    ],
)
def test_difference(made: np.ndarray, wanted: np.ndarray, words: str) -> None:
    text = difference([made], [wanted], 1e-3, 1e-7)
    assert (words in text) if words else text == ""


def test_reasons_are_grouped() -> None:
    texts = (
        "not supported:\n  Add 'a': Add on int8\n  Foo 'Foo_1': operator Foo",
        "not supported:\n  Foo 'f': operator Foo",
    )
    assert parts_of(texts[0]) == ["Add on int8", "operator Foo"]
    first, second = grouped(CaseResult(str(i), "Foo", "refused", text) for i, text in enumerate(texts))
    assert (first.text, first.cases, first.alone, second.cases) == ("operator Foo", 2, 1, 1)


@pytest.mark.slow
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    relu = CaseResult("node/test_relu", "Relu", "wrong", "it is")
    monkeypatch.setattr(cli, "run_suite", lambda *args: SuiteResult((relu,), {"run": 1.0}, 1, 1))
    monkeypatch.setattr(
        "sys.argv", ["edgewright-conformance", "--cases", "test_relu", "--json", str(tmp_path / "r.json")]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1 and "0 right" in capsys.readouterr().out
    assert '"status": "wrong"' in (tmp_path / "r.json").read_text()
    monkeypatch.setattr("sys.argv", ["edgewright-conformance", "--cases", "no_such"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "no case of this name" in capsys.readouterr().err


def test_the_document_says_nothing_is_wrong() -> None:
    text = (REPOSITORY / "docs" / "CONFORMANCE.md").read_text()
    assert "## Summary" in text and "## Failures" not in text


# ---- --bind


def reshaping() -> onnx.ModelProto:
    infos = [value("x", [2, 6]), value("shape", [2], TensorProto.INT64)]
    return make_model([make_node("Reshape", ["x", "shape"], ["y"])], infos, ["y"], opset=13)


def test_bind(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(reshaping(), path)
    with pytest.raises(EdgewrightError, match="--bind shape=VALUE"):
        ew.load(path)
    np.save(tmp_path / "shape.npy", np.int32([3, 4]))
    for text in ("shape=[3,-1]", f"shape={tmp_path / 'shape.npy'}"):
        model = ew.load(path, bind=parse_bindings([text]))
        assert model.graph.inputs == ("x",) and model.graph.tensors["y"].shape == (3, 4)


@pytest.mark.parametrize("text", ["shape", "=3", "shape=", "shape=[1,", "shape=[[1],2]", 'shape="a"', "shape=none.npy"])
def test_bindings_that_cannot_be_read(text: str) -> None:
    with pytest.raises(EdgewrightError):
        parse_bindings([text])


@pytest.mark.parametrize("bindings", [{"z": 1}, {"shape": [1, 2, 3]}, {"shape": [1.5, 2]}, {"shape": [2**63, 1]}])
def test_bindings_that_do_not_fit(bindings: dict[str, object]) -> None:
    with pytest.raises(ShapeError, match="--bind"):
        bind_inputs(reshaping(), bindings)


# ---- the backend


def backend_tests() -> Iterator[unittest.TestCase]:
    """The chosen ones of 4,000; as classes in this module pytest would collect them all."""
    made = onnx.backend.test.BackendTest(backend, __name__)
    for pattern in (
        "test_relu_cpu",
        "test_reshape_negative_dim_cpu",
        "test_slice_cpu",
        "test_lrn_cpu",
        "test_relu_cuda",
    ):
        made.include(f"^{pattern}$")
    for test in made.test_suite:
        method = getattr(test, test._testMethodName)
        if getattr(method, "__unittest_skip_why__", "") != "no matched include pattern":
            yield test


@pytest.mark.slow
def test_backend_in_onnx_own_runner() -> None:
    need("cc")
    result = unittest.TestResult()
    unittest.TestSuite(backend_tests()).run(result)
    assert result.testsRun == 5 and result.failures == [] and result.errors == []
    assert [reason for _, reason in result.skipped] == ["Backend doesn't support device CUDA"]


def test_backend_keeps_what_it_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    need("cc")
    compiled: list[object] = []
    real = backend.compile_models
    monkeypatch.setattr(backend, "compile_models", lambda *given: compiled.append(given) or real(*given))
    rep = backend.prepare(reshaping())
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    for shape in ([3, 4], [4, 3], [3, 4]):
        (y,) = rep.run([x, np.int64(shape)])
        np.testing.assert_array_equal(y, x.reshape(shape))
    assert len(compiled) == 2
    with pytest.raises(DataError, match="shape"):
        rep.run([x.T, np.int64([3, 4])])
    with pytest.raises(DataError, match="the model has 2"):
        rep.run([x])


def test_backend_takes_open_dimensions_from_the_inputs() -> None:
    need("cc")
    model = make_model(
        [make_node("Add", ["x", "c"], ["y"])], [value("x", ["n", 2])], ["y"], [constant("c", np.float32([1, 2]))]
    )
    rep = backend.prepare(model)
    for n in (1, 3):
        assert rep.run({"x": np.zeros((n, 2), np.float32)}).y.shape == (n, 2)  # type: ignore[attr-defined]
    assert imported(model).graph.tensors["x"].shape == (1, 2)


def test_backend_runs_a_node_and_refuses() -> None:
    need("cc")
    x = np.float32([[-1, 2]])
    (y,) = backend.run_node(make_node("Relu", ["x"], ["y"]), [x])
    np.testing.assert_array_equal(y, [[0, 2]])
    foo = make_model([make_node("Unique", ["x"], ["y"])], [value("x", [2])], ["y"])
    assert not backend.is_compatible(foo)
    with pytest.raises(unittest.SkipTest, match="Unique"):
        backend.prepare(foo)
    with pytest.raises(backend.RefusedModelError, match="CUDA"):
        backend.prepare(foo, "CUDA")
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA:1")


# ---- old operator sets, and empty tensors


def test_an_old_model_is_taken_where_its_operators_mean_the_same() -> None:
    relu = make_model([make_node("Relu", ["x"], ["y"])], [value("x", [1, 3])], ["y"], opset=6)
    model = imported(relu)
    assert onnx.load_model_from_string(model.serialized).opset_import[0].version == 7
    (y,) = backend.run_model(old_add(broadcast=1), [np.zeros((1, 2, 3), np.float32)])
    np.testing.assert_array_equal(y, [[[1, 2, 3], [1, 2, 3]]])


def old_add(**attrs: int) -> onnx.ModelProto:
    add = make_node("Add", ["x", "c"], ["y"], **attrs)
    constants = [constant("c", np.float32([1, 2, 3]))]
    return make_model([add], [value("x", [1, 2, 3])], ["y"], constants, opset=6, output_shape=[1, 2, 3])


def test_an_old_model_that_means_something_else_is_refused() -> None:
    upsample = make_node("Upsample", ["x"], ["y"], height_scale=2.0, width_scale=2.0)  # of operator set 1
    old = make_model([upsample], [value("x", [1, 1, 2, 2])], ["y"], opset=1, output_shape=[1, 1, 4, 4])
    for model in (
        old,
        make_model([make_node("Relu", ["x"], ["y"])], [value("x", [1])], ["y"], opset=99),
    ):
        with pytest.raises(UnsupportedError, match="operator set"):
            imported(model)


def test_an_empty_output() -> None:
    need("cc")
    nodes = [make_node("Shape", ["x"], ["y"], start=2, end=1)]
    model = make_model(nodes, [value("x", [2, 3, 4])], ["y"], opset=15)
    (y,) = backend.prepare(model).run([np.zeros((2, 3, 4), np.float32)])
    assert y.shape == (0,) and y.dtype == np.int64
