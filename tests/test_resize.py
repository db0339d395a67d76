"""Resizing: against ONNX Runtime over many shapes and modes, on integers within a step, and among image operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from batch_firmware import run_batch
from conftest import WARNINGS, need
from harness import compile_model, emitted, run_library
from networks import constant, imported, make_model, value
from onnx import TensorProto, helper

from edgewright.boards import load_target
from edgewright.errors import UnsupportedError
from edgewright.frontends.reference import run_reference
from edgewright.ir import DType
from edgewright.passes import run_passes
from edgewright.passes.choose_signedness import choose_signedness
from edgewright.simulate import float_islands, is_exact, simulate

TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8}
MODES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]


def random_resize(rng: Any) -> onnx.ModelProto:
    """One or two axes of an image, by scales or sizes."""
    shape = [1, int(rng.integers(1, 4)), int(rng.integers(1, 12)), int(rng.integers(1, 12))]
    attrs: dict[str, Any] = {
        "mode": str(rng.choice(["nearest", "linear", "cubic"])),
        "coordinate_transformation_mode": str(rng.choice(MODES)),
    }
    if attrs["mode"] == "nearest":
        attrs["nearest_mode"] = str(rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    elif attrs["mode"] == "cubic":
        attrs["exclude_outside"] = int(rng.integers(0, 2))
        attrs["cubic_coeff_a"] = float(rng.choice([-0.75, -0.5]))
    if rng.random() < 0.5 or attrs["coordinate_transformation_mode"] == "align_corners":
        sizes = np.array([*shape[:2], *rng.integers(1, 25, 2)], np.int64)
        inputs, numbers = ["x", "", "", "numbers"], sizes
    else:
        scales = [1, 1, *(max(rng.choice([0.5, 2, 1.5, rng.uniform(0.2, 3)]), 1 / n) for n in shape[2:])]
        inputs, numbers = ["x", "", "numbers"], np.array(scales, np.float32)
    node = helper.make_node("Resize", inputs, ["y"], name="resize", **attrs)
    return make_model([node], [value("x", shape)], ["y"], [constant("numbers", numbers)], opset=19)


def test_equals_onnxruntime() -> None:
    rng = np.random.default_rng(1)
    for _ in range(150):
        model = imported(random_resize(rng))
        x = {"x": rng.standard_normal((1, *model.graph.tensors["x"].shape)).astype(np.float32)}
        (got,), (wanted,) = simulate(run_passes(model.graph), x), run_reference(model.serialized, x).outputs
        node = onnx.load_model_from_string(model.serialized).graph.node[0]
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5, err_msg=str(node))


def quantized_resize(seed: int) -> onnx.ModelProto:
    """DequantizeLinear, Resize, QuantizeLinear, of one scale or two."""
    rng = np.random.default_rng(seed)
    dtype = ["int8", "uint8"][seed % 2]
    shape = [1, int(rng.integers(1, 6)), int(rng.integers(1, 9)), int(rng.integers(1, 9))]
    low = np.iinfo(dtype).min
    x_params = (np.float32(0.05), np.array(low + 128 + int(rng.integers(-40, 40)), dtype))
    y_params = x_params if seed % 4 < 2 else (np.float32(0.043), np.array(low + 100, dtype))
    mode = MODES[seed % 4]
    last = [1, 1, int(rng.integers(1, 17)), int(rng.integers(1, 17)) if seed % 3 else shape[3]]
    sizes = np.array([shape[0], shape[1], last[2], last[3]], np.int64)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
        helper.make_node("Resize", ["real", "", "", "sizes"], ["resized"], name="resize",
                         mode="nearest" if seed % 5 == 0 else "linear", coordinate_transformation_mode=mode),
        helper.make_node("QuantizeLinear", ["resized", "ys", "yz"], ["y"]),
    ]  # fmt: skip
    constants = [constant(n, v) for n, v in zip(("xs", "xz", "ys", "yz"), (*x_params, *y_params), strict=True)]
    return make_model(nodes, [value("x", shape, TYPES[dtype])], ["y"], [*constants, constant("sizes", sizes)])


def found(seed: int) -> tuple[Any, Any, dict[str, np.ndarray]]:
    model = imported(quantized_resize(seed), f"resize{seed}")
    graph = run_passes(model.graph)
    tensor = graph.tensors[graph.inputs[0]]
    info = np.iinfo(tensor.dtype.numpy)
    x = np.random.default_rng(seed).integers(info.min, info.max + 1, (2, *tensor.shape)).astype(tensor.dtype.numpy)
    return model, graph, {"x": x}


@pytest.mark.parametrize("seed", range(20))
def test_integers_are_within_a_step_of_onnxruntime(seed: int) -> None:
    model, graph, x = found(seed)
    assert not float_islands(graph)
    assert is_exact(graph)
    (got,), (wanted,) = simulate(graph, x), run_reference(model.serialized, x).outputs
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1
    if not any(node.op == "QResizeLinear" for node in graph.nodes):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("seed", range(8))
def test_c_on_host_equals_the_definition(seed: int, tmp_path: Path) -> None:
    need("gcc")
    model, graph, x = found(seed)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    (got,), (wanted,) = run_library(tree, library, x), simulate(graph, x)
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an386"])
def test_boards_equal_the_definition(board: str, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    cases = [found(seed) for seed in range(8)]
    trees = [emitted(model, board, "speed") for model, _, _ in cases]
    results = run_batch(load_target(board), trees, [x for _, _, x in cases], tmp_path)
    for (_, graph, x), (got,) in zip(cases, results, strict=True):
        (wanted,) = simulate(graph, x)
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


def image_network(mode: str) -> onnx.ModelProto:
    """Convolution, Resize, convolution, all quantized."""
    rng = np.random.default_rng(3)
    quantized = ["s", "z"]
    weights = [constant(name, rng.integers(-99, 99, (4, 4, 3, 3)).astype(np.int8)) for name in ("w1", "w2")]
    nodes = [helper.make_node("DequantizeLinear", ["x", *quantized], ["t0"])]
    steps = [("Conv", ["w1"]), ("Resize", []), ("Conv", ["w2"])]
    for i, (op, names) in enumerate(steps):
        inputs = [f"t{i}"]
        if names:
            nodes.append(helper.make_node("DequantizeLinear", [names[0], "ws", "z"], [f"{names[0]}r"]))
            inputs.append(f"{names[0]}r")
        attrs: dict[str, Any] = {"pads": [1, 1, 1, 1]} if op == "Conv" else {"mode": mode}
        inputs += ["", "scales"] if op == "Resize" else []
        nodes.append(helper.make_node(op, inputs, [f"f{i}"], **attrs))
        nodes.append(helper.make_node("QuantizeLinear", [f"f{i}", *quantized], [f"q{i}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{i}", *quantized], [f"t{i + 1}"]))
    constants = [constant("s", np.float32(0.05)), constant("z", np.int8(0)), constant("ws", np.float32(0.002)),
                 constant("scales", np.array([1, 1, 2, 2], np.float32)), *weights]  # fmt: skip
    return make_model(nodes[:-1], [value("x", [1, 4, 5, 6], TensorProto.INT8)], ["q2"], constants)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resizing_keeps_the_layout_of_its_neighbours(mode: str) -> None:
    model = imported(image_network(mode))
    graph = run_passes(model.graph)
    operators = [node.op for node in graph.nodes]
    name = "ResizeNearest" if mode == "nearest" else "QResizeLinear"
    assert operators == ["Transpose", "QConv", name, "QConv", "Transpose"]
    x = {"x": np.random.default_rng(0).integers(-128, 128, (2, 1, 4, 5, 6)).astype(np.int8)}
    (got,), (wanted,) = simulate(graph, x), run_reference(model.serialized, x).outputs
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= (0 if mode == "nearest" else 2)
    unsigned = choose_signedness(graph, DType.U8)
    assert unsigned is not graph
    np.testing.assert_array_equal(simulate(unsigned, x)[0], got)


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"mode": "quintic"}, "mode 'quintic'"),
        ({"antialias": 1}, "antialias for mode 'nearest'"),
        ({"nearest_mode": "middle"}, "nearest_mode 'middle'"),
    ],
)
def test_what_no_kernel_does_is_refused(attrs: dict[str, Any], message: str) -> None:
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], **attrs)
    scales = constant("scales", np.array([1, 1, 0.5, 0.5], np.float32))
    model = make_model([node], [value("x", [1, 1, 4, 4])], ["y"], [scales], opset=19, output_shape=[1, 1, 2, 2])
    with pytest.raises(UnsupportedError, match=message):
        imported(model)


def test_scales_that_are_computed_are_refused() -> None:
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"])
    model = make_model([node], [value("x", [1, 1, 4, 4]), value("scales", [4])], ["y"], output_shape=[1, 1, 2, 2])
    with pytest.raises(UnsupportedError, match="'scales' is computed at run time"):
        imported(model)
