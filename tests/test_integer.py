"""Integer networks: lowering against ONNX Runtime, C against the numpy reference bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from batch_firmware import run_batch
from conftest import SHARED_MODELS, WARNINGS, need
from harness import compile_model, emitted, run_library
from integer_networks import integer_inputs, integer_network
from networks import constant, imported, make_model, value
from onnx import helper

import edgewright as ew
from edgewright.boards import load_target
from edgewright.frontends.reference import run_reference
from edgewright.ops import operator
from edgewright.passes import run_passes
from edgewright.pipeline import Settings
from edgewright.simulate import float_islands, is_exact, output_steps, simulate

FAST_SEEDS = range(6)


def definition(model, inputs):
    return simulate(run_passes(model.graph), inputs)


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_lowered_networks_are_integer_and_agree_with_onnxruntime(seed: int) -> None:
    """Step by step where floats differ in order: a share of single steps, no more."""
    model = imported(integer_network(seed))
    graph = run_passes(model.graph)
    assert not float_islands(graph), seed
    assert is_exact(graph)
    inputs = integer_inputs(model, 2, seed)
    mine = simulate(graph, inputs)
    theirs = run_reference(model.serialized, inputs).outputs
    for got, wanted, step in zip(mine, theirs, output_steps(graph), strict=True):
        steps = np.abs(got.astype(np.float64) - wanted.astype(np.float64)) / (step or 1.0)
        assert np.mean(steps > 0.5) < 0.1, f"seed {seed}: {np.mean(steps > 0.5):.2%} differ, by up to {steps.max()}"


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_c_on_host_equals_the_definition(seed: int, tmp_path: Path) -> None:
    need("gcc")
    model = imported(integer_network(seed))
    inputs = integer_inputs(model, 2, seed)
    tree = emitted(model, "host", LEVELS[seed % len(LEVELS)])
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    flat = {name: values.reshape(2, *values.shape[1:]) for name, values in inputs.items()}
    for got, wanted in zip(run_library(tree, library, flat), definition(model, inputs), strict=True):
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted, err_msg=f"seed {seed}")


@pytest.mark.parametrize("seed", range(6))
def test_int16_networks(seed: int, tmp_path: Path) -> None:
    need("gcc")
    model = imported(integer_network(seed, "int16"))
    inputs = integer_inputs(model, 2, seed)
    graph = run_passes(model.graph)
    assert is_exact(graph)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    flat = {name: values.reshape(2, *values.shape[1:]) for name, values in inputs.items()}
    for got, wanted in zip(run_library(tree, library, flat), definition(model, inputs), strict=True):
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted, err_msg=f"seed {seed}")


BOARDS = ("mps2-an385", "mps2-an386", "mps3-an547")  # no DSP and no FPU, Arm DSP, MVE


LEVELS = (
    Settings("speed"), Settings("ram"), Settings("balanced", io="arena"), Settings("size"), Settings("ram", io="arena")
)  # fmt: skip


def check_on_board(name: str, seeds: range, folder: Path) -> None:
    """Bit-equal, with unaligned bytes, canaries around, and the extremes of every type among the inputs."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    protos = [integer_network(seed, "int16" if seed % 7 == 6 else None) for seed in seeds]
    models = [imported(proto, f"net{seed}") for proto, seed in zip(protos, seeds, strict=True)]
    inputs = [integer_inputs(model, 2, seed) for model, seed in zip(models, seeds, strict=True)]
    trees = [emitted(model, name, LEVELS[seed % len(LEVELS)]) for model, seed in zip(models, seeds, strict=True)]
    flat = [{key: values.reshape(2, *values.shape[1:]) for key, values in given.items()} for given in inputs]
    for seed, model, given, outputs in zip(
        seeds, models, inputs, run_batch(load_target(name), trees, flat, folder), strict=True
    ):
        for got, wanted in zip(outputs, definition(model, given), strict=True):
            np.testing.assert_array_equal(got.reshape(wanted.shape), wanted, err_msg=f"seed {seed} on {name}")


@pytest.mark.parametrize(
    "board", [pytest.param(board, marks=[] if board == "mps2-an386" else pytest.mark.slow) for board in BOARDS]
)
def test_boards_equal_the_definition(board: str, tmp_path: Path) -> None:
    check_on_board(board, range(100, 106), tmp_path)


# 20 in CI for time's sake; EDGEWRIGHT_NETWORKS=500 runs the whole set
NETWORKS = int(os.environ.get("EDGEWRIGHT_NETWORKS", "20"))
MANY = range(1000, 1000 + NETWORKS, 20)


@pytest.mark.slow
@pytest.mark.parametrize("first", MANY)
@pytest.mark.parametrize("board", BOARDS)
def test_many_networks_on_boards(board: str, first: int, tmp_path: Path) -> None:
    check_on_board(board, range(first, min(first + 20, MANY.stop)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", MANY)
def test_many_networks_on_host(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + 20, MANY.stop)):
        test_c_on_host_equals_the_definition(seed, tmp_path / str(seed))


def _aware(zero: int = 0) -> list[onnx.TensorProto]:
    """Constants of a small quantization-aware model."""
    rng = np.random.default_rng(5)
    return [
        constant("s", np.float32(0.05)), constant("z", np.int8(zero)), constant("ws", np.float32([0.01, 0.02, 0.03])),
        constant("wz", np.int8([0, 0, 0])), constant("w", (rng.standard_normal((3, 2, 3, 3)) * 0.5).astype(np.float32)),
        constant("narrow_low", np.int8(-127)), constant("narrow_high", np.int8(127)),
        constant("b", rng.standard_normal(3).astype(np.float32)), constant("ys", np.float32(0.04)),
        *(constant(name, rng.uniform(0.5, 1.5, 3).astype(np.float32)) for name in ("scale", "mean", "var")),
        constant("shift", rng.standard_normal(3).astype(np.float32)), constant("four", np.int8(7)),
        constant("minus_four", np.int8(-8)),
    ]  # fmt: skip


def test_quantization_aware_export_with_narrow_ranges_and_batch_norm() -> None:
    """As Brevitas writes it: QuantizeLinear, Clip of integers, DequantizeLinear; float bias; a BatchNormalization."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]), node("Clip", ["xq", "minus_four", "four"], ["xc"]),
        node("DequantizeLinear", ["xc", "s", "z"], ["xd"]),
        node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], axis=0),
        node("Clip", ["wq", "narrow_low", "narrow_high"], ["wc"]),
        node("DequantizeLinear", ["wc", "ws", "wz"], ["wd"], axis=0),
        node("Conv", ["xd", "wd", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]), node("Relu", ["n"], ["r"]),
        node("QuantizeLinear", ["r", "ys", "z"], ["yq"]), node("Clip", ["yq", "narrow_low", "narrow_high"], ["yc"]),
        node("DequantizeLinear", ["yc", "ys", "z"], ["y"]),
    ]  # fmt: skip
    model = imported(make_model(nodes, [value("x", [1, 2, 6, 5])], ["y"], _aware(), opset=17))
    graph = run_passes(model.graph)
    operators = [n.op for n in graph.nodes if n.op not in ("Transpose", "Reshape")]
    assert operators == ["Quantize", "QTable", "QConv", "Dequantize"]
    inputs = integer_inputs(model, 4, 3)
    steps = (simulate(graph, inputs)[0] - run_reference(model.serialized, inputs).outputs[0]) / 0.04
    assert np.abs(steps).max() < 1.5
    assert np.mean(np.abs(steps) > 0.5) < 0.02


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the folder with the MLPerf Tiny models is not there")
@pytest.mark.parametrize("target", ["host", *BOARDS, "mps2-an500", "mps2-an505"])
@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_mlperf_tiny_int8_models(name: str, target: str) -> None:
    need("gcc", *(["arm-none-eabi-gcc", "qemu-system-arm"] if target != "host" else []))
    with np.load(SHARED_MODELS / f"{name}_int8.npz") as data:
        x = data["x"]
    for optimize in ("speed", "size") if target == "mps2-an386" else ("speed",):
        model = ew.load(SHARED_MODELS / f"{name}_int8_qdq.onnx")
        with ew.generate(model, target, optimize).build().flash() as board:  # type: ignore[arg-type]
            report = board.predict(x).report()
        assert report.fidelity.reference == "numpy-integer"
        assert report.fidelity.mismatching_elements == 0
        assert report.fidelity_onnxruntime is not None
        assert report.model.macs == {"kws": 2_656_768, "ic": 12_501_632, "ad": 264_192}[name]


@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the folder with the MLPerf Tiny models is not there")
@pytest.mark.parametrize("name", ["kws", "ic", "ad"])
def test_layers_agree_with_onnxruntime(name: str) -> None:
    """Every quantized tensor of the model before the softmax: at most one step, at most 1 in 10,000, each on its own.

    ONNX Runtime's own integers go into each layer, so that one tie is counted once.
    """
    proto = onnx.load(SHARED_MODELS / f"{name}_int8_qdq.onnx")
    with np.load(SHARED_MODELS / f"{name}_int8.npz") as data:
        x = data["x"]
    made = {n.output[0]: n for n in proto.graph.node}
    ends = [n.output[0] for n in proto.graph.node if n.op_type == "QuantizeLinear"]
    ends = [end for end in ends if made[made[end].input[0]].op_type != "Softmax"]
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(helper.make_empty_tensor_value_info(end) for end in ends if end not in known)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    graph = run_passes(ew.load(SHARED_MODELS / f"{name}_int8_qdq.onnx").graph)
    elements = wrong = 0
    for sample in x:
        theirs = dict(zip(ends, session.run(ends, {port.name: sample.reshape(shape)}), strict=True))
        values = {n: t.data for n, t in graph.tensors.items() if t.data is not None}
        values[graph.inputs[0]] = sample.reshape(graph.tensors[graph.inputs[0]].shape)
        for node in graph.nodes:
            arrays = [values[n] if n else None for n in node.inputs]
            (mine,) = operator(node.op).evaluate(node, arrays)
            values[node.output] = mine
            end = next((e for e in ends if node.output in (e, f"{e}.nhwc", f"{e}.before")), None)
            if end is None or theirs[end].size != mine.size:
                continue
            wanted = theirs[end]
            if wanted.shape != mine.shape:
                wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted.reshape(mine.shape)
            difference = np.abs(mine.astype(int) - wanted.reshape(mine.shape).astype(int))
            assert difference.max() <= 1, f"{end}: {difference.max()} steps"
            elements, wrong = elements + mine.size, wrong + int(np.count_nonzero(difference))
            values[node.output] = wanted.reshape(mine.shape)
    assert elements > {"kws": 400_000, "ic": 600_000, "ad": 10_000}[name]
    assert wrong <= elements / 10_000, f"{wrong} of {elements}"
    print(f"{name}: {wrong} of {elements}")
