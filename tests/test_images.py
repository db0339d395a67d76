"""Sampling, volumes and pools: random attributes against ONNX Runtime, and among the operators of ordinary images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import constant, expected, imported, make_model, random_inputs, value
from onnx import helper

from edgewright.errors import EdgewrightError
from edgewright.ir import Array
from edgewright.passes import run_passes
from edgewright.simulate import simulate

SEED = 20261122


def _numbers(rng: Any, low: int, high: int, count: int) -> list[int]:
    return [int(n) for n in rng.integers(low, high + 1, count)]


def _model(op: str, inputs: dict[str, Array], outputs: int = 1, **attrs: Any) -> onnx.ModelProto:
    """One node; the first input is the graph's, the others too where they are called so."""
    values = [value(name, array.shape) for name, array in inputs.items()]
    names = [f"y{i}" for i in range(outputs)]
    return make_model([helper.make_node(op, list(inputs), names, name=op, **attrs)], values, names, opset=20)


def _same(proto: onnx.ModelProto, inputs: dict[str, Array]) -> None:
    model = imported(proto)
    whole = {name: array[None] for name, array in inputs.items()}
    try:
        assert_close(list(simulate(run_passes(model.graph), whole)), expected(model, whole))
    except AssertionError as error:
        raise AssertionError(f"{onnx.printer.to_text(proto.graph.node[0])}\n{error}") from error


def test_grid_sample() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(30):
        axes = int(rng.integers(2, 4))
        mode = str(rng.choice(["nearest", "linear", "cubic"][: 5 - axes]))
        padding = str(rng.choice(["zeros", "border", "reflection"]))
        if mode == "cubic" and padding == "border":  # where ONNX Runtime 1.31 differs from the standard's reference
            continue
        align = int(rng.integers(0, 2))
        batch, channels = _numbers(rng, 1, 2, 2)
        x = rng.standard_normal((batch, channels, *_numbers(rng, 1 + align, 6, axes))).astype(np.float32)
        grid = rng.standard_normal((batch, *_numbers(rng, 1, 5, axes), axes)).astype(np.float32)
        inputs = {"x": x, "grid": grid * np.float32(rng.choice([0.5, 1.5, 4]))}
        _same(_model("GridSample", inputs, mode=mode, padding_mode=padding, align_corners=align), inputs)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"])
def test_volumes(op: str) -> None:
    rng = np.random.default_rng([SEED, *op.encode()])
    for _ in range(12):
        kernel, strides, dilations = (_numbers(rng, 1, high, 3) for high in (3, 3, 2))
        pads = [int(rng.integers(0, k)) for k in kernel * 2]
        sizes = [(k - 1) * d + 1 + int(n) for k, d, n in zip(kernel, dilations, rng.integers(0, 4, 3), strict=True)]
        attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}
        group, more, less = _numbers(rng, 1, 2, 3)
        inputs = {"x": rng.standard_normal((1, group * more, *sizes)).astype(np.float32)}
        if op.startswith("Conv"):
            attrs["group"] = group
            shape = (group * less, more) if op == "Conv" else (group * more, less)
            inputs["w"] = rng.standard_normal((*shape, *kernel)).astype(np.float32)
        else:
            own: dict[str, dict[str, int]] = {"AveragePool": {"count_include_pad": group - 1}, "LpPool": {"p": 3}}
            attrs.update(own.get(op, {}))
        _same(_model(op, inputs, outputs=2 if op == "MaxPool" else 1, **attrs), inputs)


def _batch_normalization(channels: int) -> list[onnx.TensorProto]:
    rng = np.random.default_rng(SEED)
    return [constant(f"n{i}", rng.uniform(0.5, 2, channels).astype(np.float32)) for i in range(4)]


def test_a_network_of_volumes(tmp_path: Path) -> None:
    """The normalization goes into the weights, the Relu into the convolution."""
    need("gcc")
    rng = np.random.default_rng(SEED)
    constants = [constant("w", rng.standard_normal((4, 2, 3, 3, 3)).astype(np.float32)), *_batch_normalization(4)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 6),
        helper.make_node("BatchNormalization", ["a", "n0", "n1", "n2", "n3"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
        helper.make_node("GlobalAveragePool", ["d"], ["y"]),
    ]
    model = imported(make_model(nodes, [value("x", [1, 2, 4, 6, 5])], ["y"], constants))
    assert [node.op for node in run_passes(model.graph).nodes] == ["Conv3D", "MaxPool3D", "ReduceMean"]
    inputs = random_inputs(model, samples=2)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    assert_close(run_library(tree, library, inputs), expected(model, inputs))


def test_cubic_curves_keep_the_layout_of_their_neighbours() -> None:
    rng = np.random.default_rng(SEED)
    scales = constant("s", np.array([1, 1, 2, 1.5], np.float32))
    filters = [constant(name, rng.standard_normal((3, 3, 3, 3)).astype(np.float32)) for name in ("v", "w")]
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"]), helper.make_node("Resize", ["a", "", "s"], ["b"], mode="cubic"),
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]  # fmt: skip
    model = imported(make_model(nodes, [value("x", [1, 3, 6, 7])], ["y"], [scales, *filters]))
    graph = run_passes(model.graph)
    assert [node.op for node in graph.nodes] == ["Transpose", "Conv", *["ResizeWeighted"] * 2, "Conv", "Transpose"]
    inputs = random_inputs(model)
    assert_close(list(simulate(graph, inputs)), expected(model, inputs))


@pytest.mark.parametrize(("op", "attrs", "shape", "message"), [
    ("MaxPool", {"kernel_shape": [2] * 4}, [1, 2, 3, 3, 3, 3], "images of 1 to 3 axes"),
    ("AveragePool", {"kernel_shape": [1, 1, 1], "pads": [1] * 6}, [1, 1, 2, 2, 2], "in the padding alone"),
    ("MaxPool", {"kernel_shape": [3, 3, 3]}, [1, 1, 2, 2, 2], "does not fit"),
])  # fmt: skip
def test_what_no_kernel_does_is_refused(op: str, attrs: dict[str, Any], shape: list[int], message: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], **attrs)
    proto = make_model([node], [value("x", shape)], ["y"], output_shape=["n"] * len(shape), opset=19)
    with pytest.raises(EdgewrightError, match=message):
        imported(proto)
