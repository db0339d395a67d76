"""Quantization from end to end: schemes and options, ONNX Runtime, budgets, bad samples, the command, the interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import DIGITS, DIGITS_TEST, SHARED_MODELS, need
from networks import constant, imported, make_model, random_network, value
from onnx import TensorProto, helper
from quantizing import decibels, image_network, quantized, run, samples
from typer.testing import CliRunner

import edgewright as ew
from edgewright.cli import app
from edgewright.errors import DataError, EdgewrightError, QuantizationError
from edgewright.passes import run_passes
from edgewright.quantization.options import Options
from edgewright.quantization.post_training import quantize_graph
from edgewright.quantizer import quantize_model

ENOUGH_DB = {"int8": 28.0, "int16x8": 33.0, "int4": 12.0}


def types(proto: onnx.ModelProto) -> set[int]:
    zeros = {i.name: i.data_type for i in proto.graph.initializer}
    nodes = (node for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    return {zeros[node.input[2]] for node in nodes if len(node.input) > 2}


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize("scheme", ["int8", "int16x8", "int4"])
def test_schemes_run_in_onnxruntime(scheme: Any, per_tensor: bool) -> None:
    model = imported(image_network())
    _, proto = quantized(model, Options(scheme=scheme, per_tensor=per_tensor))
    onnx.checker.check_model(proto, full_check=True)
    x = samples(model, 60, seed=1)
    got = run(proto, x)[0]
    real = np.concatenate([run(model.serialized, {"x": x["x"][i : i + 1]})[0] for i in range(60)])
    assert got.shape == real.shape
    assert decibels(real, got) > ENOUGH_DB[scheme] - 8 * per_tensor
    kinds = {"int8": {TensorProto.INT8}, "int16x8": {TensorProto.INT8, TensorProto.INT16},
             "int4": {TensorProto.INT8, TensorProto.INT4}}  # fmt: skip
    assert types(proto) == kinds[scheme]
    assert proto.opset_import[0].version == (17 if scheme == "int8" else 21)
    assert [v.name for v in (*proto.graph.input, *proto.graph.output)] == ["x", "scores"]


@pytest.mark.parametrize("seed", range(1, 10))
def test_random_networks(seed: int) -> None:
    """What ONNX Runtime makes of the file is what was simulated, and stays near the float network."""
    model = imported(random_network(seed))
    scheme: Any = ("int8", "int16x8", "int4")[seed % 3]
    _, proto = quantized(model, Options(scheme=scheme, rounding="nearest"))
    x = samples(model, 8, seed=1)["x"]
    real = np.concatenate([run(model.serialized, {"x": x[i : i + 1]})[0] for i in range(8)])
    got = np.concatenate([run(proto, {"x": x[i : i + 1]})[0] for i in range(8)])
    assert decibels(real, got) > {"int8": 25.0, "int16x8": 35.0, "int4": 9.0}[scheme]
    run_passes(imported(proto).graph)


def test_the_same_input_gives_the_same_file() -> None:
    model = imported(image_network())
    first, second = (quantized(model)[1].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_dynamic_batch_is_kept() -> None:
    model = imported(image_network())
    assert model.dynamic_batch
    done = quantize_model(model, samples(model), Options(rounding="nearest"))
    assert done.dynamic_batch
    assert run(done.onnx, samples(model, 7))[0].shape == (7, 5)
    pinned = imported(image_network(), x=(1, 3, 12, 12))
    assert not quantize_model(pinned, samples(pinned), Options(rounding="nearest")).dynamic_batch


def test_moves_share_parameters_and_functions_have_their_range() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["p"], ["t"], "turn", perm=[0, 2, 3, 1]),
        helper.make_node("Sigmoid", ["t"], ["s"], "sigmoid"),
        helper.make_node("Tanh", ["t"], ["h"], "tanh"),
        helper.make_node("Concat", ["s", "h"], ["y"], "concat", axis=3),
    ]
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    model = imported(make_model(nodes, [value("x", [1, 3, 8, 8])], ["y"], [constant("w", weights)]))
    params = quantized(model)[0].quantization.activations
    assert params["c"] is params["p"] is params["t"]
    if params["s"] is not params["y"]:  # not joined to the Concat
        assert (float(params["s"].scale), params["s"].zero) == (1 / 256, -128)
    assert params["x"].zero != params["c"].zero or params["x"].scale != params["c"].scale


def test_sums_of_16_bits_may_take_64() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 1, (2, 6000)).astype(np.float32)  # all large and of one sign: the worst there is
    model = imported(make_model([helper.make_node("Gemm", ["x", "w"], ["y"], "wide", transB=1)],
                                [value("x", [1, 6000])], ["y"], [constant("w", weights)]))  # fmt: skip
    done, proto = quantized(model, Options(scheme="int16x8"))
    (layer,) = done.report.layers
    assert layer.weights is not None
    assert layer.weights.accumulator_headroom < 1
    x = samples(model, 20, seed=1)["x"]
    real = np.concatenate([run(model.serialized, {"x": x[i : i + 1]})[0] for i in range(20)])
    assert decibels(real, run(proto, {"x": x})[0]) > 30


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3)])
@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_recurrent_layers(op: str, gates: int, scheme: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = {"W": (1, gates * 6, 4), "R": (1, gates * 6, 6), "B": (1, gates * 12), "V": (3, 6)}
    constants = [constant(name, rng.standard_normal(s).astype(np.float32) * 0.4) for name, s in shapes.items()]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2]),
        helper.make_node(op, ["t", "W", "R", "B"], ["", "h"], "recurrent", hidden_size=6),
        helper.make_node("Squeeze", ["h", "axis"], ["s"], "squeeze"),
        helper.make_node("Gemm", ["s", "V"], ["y"], "dense", transB=1),
    ]
    constants.append(constant("axis", np.array([0])))
    model = imported(make_model(nodes, [value("x", [1, 8, 4])], ["y"], constants, output_shape=[1, 3]))
    done, proto = quantized(model, Options(scheme=scheme))
    x = samples(model, 20, seed=1)["x"]
    real, got = (np.concatenate([run(p, {"x": x[i : i + 1]})[0] for i in range(20)]) for p in (model.serialized, proto))
    assert decibels(real, got) > 30
    assert done.quantization.constants["W"].params.scale.shape == (gates * 6,)
    assert f"Q{op}" in {node.op for node in run_passes(imported(proto).graph).nodes}


def test_integers_at_the_models_own_ends() -> None:
    model = imported(image_network())
    done, proto = quantized(model, Options(io="int8"))
    assert {v.type.tensor_type.elem_type for v in (*proto.graph.input, *proto.graph.output)} == {TensorProto.INT8}
    x = samples(model, 20, seed=1)["x"]
    p, q = done.quantization.activations["x"], done.quantization.activations["scores"]
    got = q.to_real(run(proto, {"x": p.to_integers(x)})[0])
    _, whole = quantized(model)
    np.testing.assert_array_equal(got, run(whole, {"x": x})[0])


@pytest.mark.parametrize("options", [
    {"observer": "minmax"}, {"observer": "percentile", "percentile": 99.9}, {"observer": "mse"}, {"observer": "kl"},
    {"equalize": "on"}, {"equalize": "off"}, {"bias_correction": False}, {"rounding": "nearest"},
    {"keep_float": ("conv2",)}, {"keep_int16": ("conv2",)},
], ids=str)  # fmt: skip
def test_options(options: dict[str, Any]) -> None:
    model = imported(image_network())
    done, proto = quantized(model, Options(**options))
    x = samples(model, 30, seed=1)
    real = np.concatenate([run(model.serialized, {"x": x["x"][i : i + 1]})[0] for i in range(30)])
    assert decibels(real, run(proto, x)[0]) > 20
    layers = {facts.name: facts for facts in done.report.layers}
    if "keep_float" in options:
        assert layers["conv2"].precision == "float"
        assert layers["conv2"].weights is None
    if "keep_int16" in options:
        assert (layers["conv1"].output_bits, layers["conv2"].output_bits, layers["dense.1"].output_bits) == (16, 16, 8)
    if options.get("rounding") == "nearest":
        assert {f.weights.rounding for f in done.report.layers if f.weights} == {"nearest"}


@pytest.mark.parametrize("kind", ["int16", "float"])
def test_mixed_precision_keeps_a_budget_in_decibels(kind: Any) -> None:
    model = imported(image_network())
    plain = quantized(model)[0].report
    wanted = plain.scores.sqnr_db + 4
    done = quantized(model, Options(min_sqnr=wanted, mixed=kind))[0].report
    assert done.scores.sqnr_db >= wanted
    assert done.exceptions
    assert not plain.exceptions
    with pytest.raises(QuantizationError, match=r"cannot be kept.*150 dB \(reached"):
        quantized(model, Options(min_sqnr=150, rounding="nearest"))


def test_mixed_precision_keeps_a_budget_in_points() -> None:
    model = imported(image_network())
    x = samples(model, 80)
    real = np.concatenate([run(model.serialized, {"x": x["x"][i : i + 1]})[0] for i in range(80)])
    x["y"] = real.argmax(axis=1)
    loose = quantize_graph(model.graph, x, Options(scheme="int4", max_drop=100)).report
    tight = quantize_graph(model.graph, x, Options(scheme="int4", max_drop=1.25)).report
    assert not loose.exceptions
    assert tight.scores.float_accuracy == 1.0
    assert tight.scores.accuracy is not None
    assert tight.scores.accuracy >= 1 - 0.0125 - 1e-9


def test_report() -> None:
    model = imported(image_network())
    report = quantized(model)[0].report
    record = json.loads(json.dumps(report.record()))
    assert record["schema"] == 1
    assert [layer["name"] for layer in record["layers"]] == ["conv1", "conv2", "conv3", "dense.1"]
    for layer in report.layers:
        assert layer.weights is not None
        assert sum(layer.weights.histogram) == model.graph.tensors[f"w{report.layers.index(layer) + 1}"].elements
        assert layer.clipped is not None
        assert 0 <= layer.clipped < 0.05
        assert layer.sqnr_db > 20
        assert layer.cosine > 0.99
        assert layer.alone_sqnr_db is not None
        assert layer.alone_sqnr_db > 20
        assert layer.weights.accumulator_headroom > 1
    assert set(report.worst) <= {layer.name for layer in report.layers}
    assert report.quantized_bytes < report.float_bytes / 3
    assert len(report.candidates) == 6


def bad(**changes: Any) -> dict[str, np.ndarray]:
    return {**samples(imported(image_network())), **changes}


@pytest.mark.parametrize(("arrays", "error", "text"), [
    (bad(x=np.zeros((0, 3, 12, 12), np.float32)), DataError, "empty"),
    (bad(x=np.full((40, 3, 12, 12), 0.25, np.float32)), QuantizationError, "constant: all 17,280 numbers are 0.25"),
    (bad(x=np.full((40, 3, 12, 12), np.nan, np.float32)), DataError, "sample 0 holds NaN"),
    (bad(x=np.zeros((40, 3, 12, 11), np.float32)), DataError, r"expected \[n, 3, 12, 12\]"),
    (bad(y=np.zeros(3, np.int64)), DataError, r"'y' has shape \[3\] for 40 samples"),
    (bad(y=np.full(40, 9)), QuantizationError, "40 of 40 labels are outside 0 to 4; the first is 9"),
    ({"z": np.zeros((4, 3, 12, 12), np.float32)}, DataError, "the model needs an array called x"),
])  # fmt: skip
def test_bad_samples_are_refused_with_the_number(arrays: dict[str, np.ndarray], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        quantize_graph(imported(image_network()).graph, arrays)


def test_doubtful_samples_are_warned_about_with_the_number() -> None:
    model = imported(image_network())
    graph, fast = model.graph, Options(rounding="nearest", observer="minmax", equalize="off")
    few = quantize_graph(graph, samples(model, 5), fast).report.warnings
    assert any("has 5 samples" in text for text in few)
    same = {"x": np.repeat(samples(model, 2)["x"], 20, axis=0)}
    assert any("only 2 of the 40" in text for text in quantize_graph(graph, same, fast).report.warnings)
    labelled = {**samples(model), "y": np.zeros(40)}
    assert any("labels are not used" in text for text in quantize_graph(graph, labelled, fast).report.warnings)
    assert not quantize_graph(graph, samples(model), fast).report.warnings


def test_a_float_model_that_fails_is_named() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node("Mul", ["c", "c"], ["y"], "square")]
    weights = np.full((1, 1, 1, 1), 1e30, np.float32)
    model = imported(make_model(nodes, [value("x", [1, 1, 4, 4])], ["y"], [constant("w", weights)]))
    with np.errstate(all="ignore"), pytest.raises(QuantizationError, match="Mul 'square' gives NaN or infinity"):
        quantize_graph(model.graph, samples(model))


def test_what_cannot_be_quantized_is_refused() -> None:
    model = imported(image_network())
    _, proto = quantized(model, Options(rounding="nearest"))
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize_graph(imported(proto).graph, samples(model))
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])
    integers = imported(make_model([pool], [value("x", [1, 1, 4, 4], TensorProto.INT8)], ["y"]))
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize_graph(integers.graph, {"x": np.zeros((40, 1, 4, 4), np.int8)})
    with pytest.raises(QuantizationError, match="no layer is called 'conv9'; there are 'conv"):
        quantize_graph(model.graph, samples(model), Options(keep_float=("conv9",)))
    relu = imported(make_model([helper.make_node("Relu", ["x"], ["y"])], [value("x", [1, 4])], ["y"]))
    with pytest.raises(QuantizationError, match="no convolution or fully connected layer"):
        quantize_graph(relu.graph, samples(relu))


@pytest.mark.parametrize("options", [
    {"scheme": "int2"}, {"observer": "best"}, {"percentile": 3}, {"max_drop": -1}, {"min_sqnr": 0},
    {"time_limit_s": 0}, {"io": "int4"}, {"max_drop": float("nan")},
], ids=str)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(QuantizationError, match="expected"):
        Options(**options)


def test_command(tmp_path: Path) -> None:
    out, report = tmp_path / "q.onnx", tmp_path / "r.json"
    command = ["quantize", str(DIGITS), "--calibration", str(DIGITS_TEST), "-o", str(out), "--report", str(report)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "conv2" in done.output
    assert json.loads(report.read_text())["scores"]["accuracy"] >= 0.993
    with np.load(DIGITS_TEST) as data:
        x, y = data["x"], data["y"]
    right, float_right = ((run(p.read_bytes(), {"image": x})[0].argmax(axis=1) == y).mean() for p in (out, DIGITS))
    assert right >= float_right - 0.005
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.onnx", "r.json"]


@pytest.mark.parametrize("arguments", [
    ["-o", "{folder}"], ["-o", "{folder}/no/q.onnx"], ["-o", "{model}"], ["--scheme", "int3"], ["--report", "{folder}"],
    ["--keep-float", "nothing"], ["--report", "{model}"], ["-o", "{folder}/data.npz"],
    ["--report", "{folder}/data.npz"], ["-o", "{folder}/q", "--report", "{folder}/q"],
], ids=str)  # fmt: skip
def test_command_refuses_and_leaves_nothing(arguments: list[str], tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(DIGITS.read_bytes())
    data = tmp_path / "data.npz"
    data.write_bytes(DIGITS_TEST.read_bytes())
    filled = [a.format(folder=tmp_path, model=model) for a in arguments]
    done = CliRunner().invoke(app, ["quantize", str(model), "-c", str(data), *filled])
    assert isinstance(done.exception, EdgewrightError)
    assert (model.read_bytes(), data.read_bytes()) == (DIGITS.read_bytes(), DIGITS_TEST.read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.npz", "m.onnx"]


@pytest.mark.parametrize(("gain", "weight"), [(1e30, 1.0), (1e-30, 1.0), (1e-42, 1.0), (1.0, 1e-40)])
def test_numbers_beyond_float32_scales_are_refused(
    gain: float, weight: float, recwarn: pytest.WarningsRecorder
) -> None:
    """They became zeros without a word, or ended in a scale that is infinite."""
    rng = np.random.default_rng(0)
    w = constant("w", (rng.standard_normal((4, 4)) * weight).astype(np.float32))
    model = imported(make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 4])], ["y"], [w]))
    x = (rng.standard_normal((40, 4)) * gain).astype(np.float32)
    with pytest.raises(QuantizationError, match=r"(input 'x'|FullyConnected '\w+') reaches \S+ on the calibration"):
        quantize_model(model, {"x": x})
    assert not recwarn.list


def test_interface(tmp_path: Path) -> None:
    with np.load(DIGITS_TEST) as data:
        x, y = data["x"][:64], data["y"][:64]
    model = ew.load(DIGITS)
    done = ew.quantize(model, x, y, scheme="int16x8", rounding="nearest")
    assert done.report.scores.accuracy is not None
    assert done.save(tmp_path / "q.onnx").read_bytes() == done.onnx
    assert done.name == "digits"
    with pytest.raises(QuantizationError, match="no option is called colour"):
        ew.quantize(model, x, colour="red")


@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_public_networks(name: str) -> None:
    if not (SHARED_MODELS / f"{name}_fp32.onnx").exists():
        pytest.skip("the MLPerf Tiny networks are not part of this project")
    model = ew.load(SHARED_MODELS / f"{name}_fp32.onnx")
    with np.load(SHARED_MODELS / f"{name}_fp32.npz") as data:
        x = data["x"]
    done = ew.quantize(model, x, rounding="nearest", observer="mse", equalize="on")
    (entry,) = model.graph.inputs
    real = np.concatenate([run(model.serialized, {entry: x[i : i + 1]})[0] for i in range(len(x))])
    assert decibels(real, run(done.onnx, {entry: x})[0]) > 12
    assert (run(done.onnx, {entry: x})[0].argmax(axis=1) == real.argmax(axis=1)).mean() >= 0.75


def test_deploy_quantizes_first_and_compares(tmp_path: Path) -> None:
    need("gcc")
    calibration, out = DIGITS.parent / "digits_calibration.npz", tmp_path / "r.json"
    command = ["deploy", str(DIGITS), "--target", "host", "--data", str(DIGITS_TEST), "-c", str(calibration)]
    done = CliRunner().invoke(app, [*command, "--compare-float", "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "float and int8" in done.output
    result = json.loads(out.read_text())
    assert result["fidelity"]["reference"] == "numpy-integer"
    assert result["fidelity"]["mismatching_elements"] == 0
    assert result["kpi"]["accuracy"] >= 0.993
    refused = CliRunner().invoke(app, [*command[:-2], "--compare-float"])
    assert isinstance(refused.exception, EdgewrightError)
