"""Every convolution and fully connected kernel for Arm DSP cores, chosen or not, on an emulated Cortex-M4F."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_firmware import run_batch
from conftest import need

from edgewright.boards import load_target
from edgewright.emit import emit
from edgewright.ir import Array, DType, Graph, Node, Tensor
from edgewright.kernels import Core, Kernel
from edgewright.ops import operator
from edgewright.ops.window import output_size
from edgewright.plan import make_plan

BOARD = "mps2-an386"
CORE = Core(frozenset({"fpu", "dsp"}))
SAMPLES = 3


def one_layer(op: str, x: tuple[int, ...], out: tuple[int, ...], weights: Array, rng: Any, attrs: Any) -> Graph:
    """A graph of one node, of random types, zero points and scales; sums fill the output's range, or leave it."""
    x_type, y_type = (DType.U8 if rng.random() < 0.6 else DType.S8 for _ in range(2))
    low, taps = (0 if y_type is DType.U8 else -128), weights[0].size
    limits = sorted(int(v) for v in rng.integers(low, low + 256, 2)) if rng.random() < 0.3 else (low, low + 255)
    spread = np.abs(weights).mean() * np.sqrt(taps) * 100 + 1
    scale = (rng.uniform(20, 200) * np.exp2(rng.uniform(-1, 1, len(weights))) / spread).astype(np.float32)
    if rng.random() < 0.2:
        scale = np.exp2(np.rint(np.log2(scale)))  # ties
    bias = rng.integers(-5000, 5000, len(weights)).astype(np.int32)
    constants = {"w": weights, "bias": bias, "scale": np.broadcast_to(scale, bias.shape).astype(np.float32)}
    tensors = {name: Tensor(name, data.shape, DType.of(data), data) for name, data in constants.items()}
    tensors |= {"x": Tensor("x", x, x_type), "y": Tensor("y", out, y_type)}
    x_low = 0 if x_type is DType.U8 else -128
    node = Node(
        op, "layer", ("x", *constants), ("y",),
        {**attrs, "x_zero": x_low + int(rng.choice([0, rng.integers(0, 256)])), "w_bits": 8,
         "y_zero": low + int(rng.choice([0, rng.integers(0, 256)])), "act_min": limits[0], "act_max": limits[1],
         "dtype": y_type},
    )  # fmt: skip
    return Graph("one", (node,), tensors, ("x",), ("y",))


def random_weights(rng: Any, *shape: int) -> Array:
    lowest = -128 if rng.random() < 0.3 else -127
    return np.clip(np.rint(rng.standard_normal(shape) * rng.choice([8, 50, 120])), lowest, 127).astype(np.int8)


def convolution(rng: Any) -> Graph:
    kernel = tuple(int(k) for k in rng.choice([(1, 1), (3, 3), (2, 4), (5, 1), (4, 3)]))
    strides, dilations = (tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2)) for _ in range(2))
    if rng.random() < 0.5:
        dilations = (1, 1)
    size = tuple(int((k - 1) * d + rng.integers(1, 9)) for k, d in zip(kernel, dilations, strict=True))
    pads = tuple(int(p) for p in rng.integers(0, 3, 4)) if rng.random() < 0.7 else (0, 0, 0, 0)
    if rng.random() < 0.15:
        size, pads, dilations = kernel, (0, 0, 0, 0), (1, 1)
    channels, out_c = int(rng.choice([1, 3, 4, 7, 8, 16, 20])), int(rng.integers(1, 14))
    out = [output_size(size[i], kernel[i], strides[i], dilations[i], (pads[i], pads[i + 2]), False) for i in (0, 1)]
    attrs = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads, "layout": "NHWC", "group": 1}
    weights = random_weights(rng, out_c, *kernel, channels)
    return one_layer("QConv", (1, *size, channels), (1, *out, out_c), weights, rng, attrs)


def fully_connected(rng: Any) -> Graph:
    rows, inputs, out = int(rng.choice([1, 1, 2, 5])), int(rng.integers(1, 150)), int(rng.integers(1, 14))
    return one_layer("QFullyConnected", (rows, inputs), (rows, out), random_weights(rng, out, inputs), rng, {})


def layers(kernel: Kernel) -> Iterator[Graph]:
    rng = np.random.default_rng(sum(kernel.name.encode()))
    while True:
        graph = convolution(rng) if kernel.op == "QConv" else fully_connected(rng)
        if kernel.fits(graph.nodes[0], graph):
            yield graph


NAMES = [
    "conv2d__dsp", "conv2d_wide__dsp", "conv2d_few__dsp", "conv2d_whole__dsp", "fully_connected__dsp",
    "fully_connected_rows__dsp", "fully_connected_rows_wide__dsp", "fully_connected_bytes__dsp", "conv2d_short__dsp",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_kernel_equals_the_definition(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    kernel, target = Kernel.registry[name], load_target(BOARD)
    monkeypatch.setattr("edgewright.plan.choice.kernels_for", lambda node, graph, core: [kernel])
    graphs = [graph for graph, _ in zip(layers(kernel), range(12), strict=False)]
    rng = np.random.default_rng(7)
    inputs, trees = [], []
    for index, graph in enumerate(graphs):
        x = graph.tensors["x"]
        values = rng.integers(0, 256, (SAMPLES, *x.shape)).astype(np.uint8)
        values[0] = rng.choice([0, 127, 128, 255], x.shape)
        inputs.append({"x": values.view(x.dtype.numpy).reshape(SAMPLES, *x.shape[1:])
                       if x.shape[0] == 1 else values.view(x.dtype.numpy)})  # fmt: skip
        plan = make_plan(graph, CORE, "speed")
        assert plan.steps[0].kernel == name
        trees.append(emit(plan, f"layer{index}", target, "speed", "0" * 64, b""))
    results = run_batch(target, trees, inputs, tmp_path)
    for graph, given, (got,) in zip(graphs, inputs, results, strict=True):
        node = graph.nodes[0]
        constants = [graph.constant(tensor) for tensor in node.inputs[1:]]
        for sample, values in zip(given["x"], got, strict=True):
            x = sample.reshape(graph.tensors["x"].shape)
            (wanted,) = operator(node.op).evaluate(node, [x, *constants])
            np.testing.assert_array_equal(values.reshape(wanted.shape), wanted, err_msg=str(node.attrs))


@pytest.mark.parametrize("name", NAMES)
def test_cost_grows_with_the_layer(name: str) -> None:
    kernel = Kernel.registry[name]
    rng = np.random.default_rng(1)
    costs = []
    for out in (8, 16, 32):
        if kernel.op == "QConv":
            attrs = {"kernel": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0),
                     "layout": "NHWC", "group": 1}  # fmt: skip
            weights = random_weights(rng, out, 3, 3, 4)
            graph = one_layer("QConv", (1, 3, 3, 4), (1, 1, 1, out), weights, rng, attrs)
        else:
            graph = one_layer("QFullyConnected", (1, 36), (1, out), random_weights(rng, out, 36), rng, {})
        costs.append(kernel.cost(graph.nodes[0], graph))
    assert 0 < costs[0] < costs[1] < costs[2]
