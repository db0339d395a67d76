"""The kernels for Arm DSP cores beside those of test_dsp_kernels.py, chosen or not, on an emulated Cortex-M4F."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_firmware import run_batch
from conftest import need
from test_dsp_kernels import BOARD, CORE, SAMPLES, one_layer, random_weights

from edgewright.boards import load_target
from edgewright.emit import emit
from edgewright.ir import DType, Graph, Node, Tensor
from edgewright.kernels import Kernel
from edgewright.kernels.dsp_elementwise import integer_sum
from edgewright.kernels.dsp_gained_line import find_gained_line
from edgewright.kernels.dsp_requantize import requantized
from edgewright.ops import operator
from edgewright.ops.window import output_size
from edgewright.plan import make_plan


def window(rng: Any, kernel: tuple[int, int], stride: int, most_pad: int) -> dict[str, Any]:
    pads = tuple(int(p) for p in rng.integers(0, most_pad + 1, 4))
    return {"kernel": kernel, "strides": (stride, stride), "dilations": (1, 1), "pads": pads, "layout": "NHWC"}


def image(rng: Any, attrs: dict[str, Any], most: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes of input and output."""
    while True:
        size = tuple(int(v) for v in rng.integers(1, most, 2))
        k, s, d, p = attrs["kernel"], attrs["strides"], attrs["dilations"], attrs["pads"]
        reach = [(k[i] - 1) * d[i] + 1 for i in (0, 1)]
        if all(size[i] + p[i] + p[i + 2] >= reach[i] for i in (0, 1)):
            out = tuple(output_size(size[i], k[i], s[i], d[i], (p[i], p[i + 2]), False) for i in (0, 1))
            return (size[0], size[1]), (out[0], out[1])


def depthwise(rng: Any) -> Graph:
    attrs = window(rng, (3, 3), int(rng.integers(1, 3)), 1)
    channels = int(rng.choice([4, 5, 8, 11, 16]))
    size, out = image(rng, attrs, 24 if rng.random() < 0.5 else 9)
    weights = random_weights(rng, channels, 3, 3, 1)
    return one_layer("QConv", (1, *size, channels), (1, *out, channels), weights, rng, {**attrs, "group": channels})


def winograd(rng: Any) -> Graph:
    attrs = window(rng, (3, 3), 1, 2)
    in_c, out_c = (4 * int(v) for v in rng.integers(1, 10, 2))
    size, out = image(rng, attrs, 12)
    weights = random_weights(rng, out_c, 3, 3, in_c)
    return one_layer("QConv", (1, *size, in_c), (1, *out, out_c), weights, rng, {**attrs, "group": 1})


def types(rng: Any) -> tuple[DType, int]:
    dtype = DType.U8 if rng.random() < 0.6 else DType.S8
    return dtype, 0 if dtype is DType.U8 else -128


def limits(rng: Any, low: int) -> dict[str, int]:
    some = sorted(int(v) for v in rng.integers(low, low + 256, 2)) if rng.random() < 0.3 else (low, low + 255)
    return {"act_min": some[0], "act_max": some[1]}


def zero(rng: Any, low: int) -> int:
    return low + int(rng.choice([0, rng.integers(0, 256)]))


def total(rng: Any, op: str) -> Graph:
    (a, a_low), (b, b_low), (y, y_low) = (types(rng) for _ in range(3))
    shape = (1, *(int(v) for v in rng.integers(1, 9, int(rng.integers(1, 4)))))
    scales = [float(s) for s in np.float32(np.exp2(rng.uniform(-6, -2, 3)))]
    attrs = {
        "a_zero": zero(rng, a_low), "b_zero": zero(rng, b_low), "y_zero": zero(rng, y_low), **limits(rng, y_low),
        "dtype": y, "a_scale": scales[0], "b_scale": scales[1], "y_scale": scales[2],
        "scale": float(np.float32(np.exp2(rng.uniform(-10, -5)))),
    }  # fmt: skip
    tensors = {"x": Tensor("x", shape, a), "b": Tensor("b", shape, b), "y": Tensor("y", shape, y)}
    return Graph("one", (Node(op, "layer", ("x", "b"), ("y",), attrs),), tensors, ("x", "b"), ("y",))


def pool(rng: Any, op: str) -> Graph:
    (x, x_low), (y, y_low) = types(rng), types(rng)
    kernel = tuple(int(k) for k in rng.integers(1, 5, 2))
    attrs = window(rng, (kernel[0], kernel[1]), int(rng.integers(1, 4)), 0)
    attrs["pads"] = tuple(int(rng.integers(0, k)) for k in (*kernel, *kernel))
    size, out = image(rng, attrs, 12)
    if rng.random() < 0.3:  # of the whole image
        attrs.update(kernel=size, strides=(1, 1), pads=(0, 0, 0, 0))
        out = (1, 1)
    channels = int(rng.choice([4, 6, 8, 13]))
    y, y_low = (x, x_low) if op == "QMaxPool" else (y, y_low)
    attrs.update(ceil_mode=False, **limits(rng, y_low))
    if op == "QAveragePool":
        attrs.update(
            count_include_pad=bool(rng.random() < 0.5), x_zero=zero(rng, x_low), x_scale=float(rng.uniform(0.01, 0.1)),
            y_zero=zero(rng, y_low), y_scale=float(rng.uniform(0.01, 0.1)), dtype=y,
        )  # fmt: skip
    tensors = {"x": Tensor("x", (1, *size, channels), x), "y": Tensor("y", (1, *out, channels), y)}
    return Graph("one", (Node(op, "layer", ("x",), ("y",), attrs),), tensors, ("x",), ("y",))


LAYERS: dict[str, Callable[[Any], Graph]] = {
    "depthwise_3x3__dsp": depthwise,
    "winograd_2__dsp": winograd,
    "winograd_4__dsp": winograd,
    "add__dsp": lambda rng: total(rng, "QAdd"),
    "sub__dsp": lambda rng: total(rng, "QSub"),
    "mul__dsp": lambda rng: total(rng, "QMul"),
    "max_pool2d__dsp": lambda rng: pool(rng, "QMaxPool"),
    "average_pool2d__dsp": lambda rng: pool(rng, "QAveragePool"),
}


def layers(kernel: Kernel) -> Iterator[Graph]:
    rng = np.random.default_rng(sum(kernel.name.encode()))
    while True:
        graph = LAYERS[kernel.name](rng)
        if kernel.fits(graph.nodes[0], graph):
            yield graph


def samples(rng: Any, tensor: Tensor) -> Any:
    values = rng.integers(0, 256, (SAMPLES, *tensor.shape[1:])).astype(np.uint8)
    values[0] = rng.choice([0, 127, 128, 255], tensor.shape[1:])
    return values.view(tensor.dtype.numpy)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_kernel_equals_the_definition(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    kernel, target = Kernel.registry[name], load_target(BOARD)
    monkeypatch.setattr("edgewright.plan.choice.kernels_for", lambda node, graph, core: [kernel])
    graphs = [graph for graph, _ in zip(layers(kernel), range(16), strict=False)]
    rng = np.random.default_rng(11)
    inputs, trees = [], []
    for index, graph in enumerate(graphs):
        inputs.append({tensor: samples(rng, graph.tensors[tensor]) for tensor in graph.inputs})
        plan = make_plan(graph, CORE, "speed")
        assert plan.steps[0].kernel == name
        trees.append(emit(plan, f"layer{index}", target, "speed", "0" * 64, b""))
    results = run_batch(target, trees, inputs, tmp_path)
    for graph, given, (got,) in zip(graphs, inputs, results, strict=True):
        node = graph.nodes[0]
        constants = [graph.constant(tensor) for tensor in node.inputs if tensor not in graph.inputs]
        for index, values in enumerate(got):
            arrays = [given[tensor][index].reshape(graph.tensors[tensor].shape) for tensor in graph.inputs]
            (wanted,) = operator(node.op).evaluate(node, [*arrays, *constants])
            message = f"{node.attrs} {graph.tensors['x'].type}"
            np.testing.assert_array_equal(values.reshape(wanted.shape), wanted, err_msg=message)


@pytest.mark.parametrize("with_addend", [False, True])
@pytest.mark.parametrize(("gain", "shift"), [(1 << 9, 16), (4, 8), (576, 16)])
def test_a_gained_line_equals_the_definition_for_every_sum(gain: int, shift: int, with_addend: bool) -> None:
    rng = np.random.default_rng(gain)
    found = 0
    for _ in range(8):
        scale = np.float32(np.exp2(rng.uniform(-11, -8)))
        bias, zero = int(rng.integers(-9999, 9999)), int(rng.integers(256))
        low, high = -int(rng.integers(0, 300_000)), int(rng.integers(0, 300_000))
        line = find_gained_line(scale, low, high, bias, zero, gain, shift, with_addend)
        if line is None:
            continue
        found += 1
        sums = np.arange(low, high + 1)
        operand = gain * sums + line.addend
        value = (operand * line.multiplier >> 32) + line.offset
        assert max(np.abs(operand).max(), np.abs(value).max()) < 2**31
        wanted = np.clip(requantized(sums + bias, np.asarray(scale), zero), 0, 255)
        np.testing.assert_array_equal(np.clip(value >> shift, 0, 255), wanted)
    assert found >= (5 if with_addend or shift == 16 else 0)


def test_an_integer_sum_is_the_definition_for_all_pairs() -> None:
    rng = np.random.default_rng(2)
    a, b = (grid.reshape(-1).astype(np.int64) for grid in np.meshgrid(np.arange(256), np.arange(256), indexing="ij"))
    for _ in range(6):
        scales = np.float32(np.exp2(rng.uniform(-6, -3, 3)))
        zeros = [int(z) for z in rng.integers(0, 256, 3)]
        (a_scale, b_scale, y_scale) = (float(s) for s in scales)
        factors = integer_sum(zeros[0], a_scale, zeros[1], b_scale, zeros[2], y_scale, 0, 255)
        assert factors is not None
        value = (((a << 7) * factors[0] >> 16) + ((b << 7) * factors[1] >> 16) + factors[2]) >> 16
        assert np.abs(value).max() < 2**15
        left, right = ((v - z).astype(np.float32) * s for v, z, s in zip((a, b), zeros, scales, strict=False))
        wanted = np.clip(np.rint((left + right) / scales[2]) + zeros[2], 0, 255)
        np.testing.assert_array_equal(np.clip(value, 0, 255), wanted)
