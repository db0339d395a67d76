"""Every kernel for Arm MVE, chosen or not, on an emulated Cortex-M55; and what the C and the planner both compute."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
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
from edgewright.kernels.mve_common import Layer, output
from edgewright.ops import operator
from edgewright.ops.window import output_size
from edgewright.plan import make_plan
from edgewright.resources import resource_dir

BOARD = "mps3-an547"
CORE = Core(frozenset({"fpu", "mve"}))
SAMPLES = 3
MODULES = "edgewright.kernels.mve_"
KERNELS = sorted(name for name, kernel in Kernel.registry.items() if type(kernel).__module__.startswith(MODULES))


def output_attrs(rng: Any, y_type: DType) -> dict[str, Any]:
    low = 0 if y_type is DType.U8 else -128
    limits = sorted(int(v) for v in rng.integers(low, low + 256, 2)) if rng.random() < 0.3 else (low, low + 255)
    zero = low + int(rng.choice([0, rng.integers(0, 256)]))
    return {"y_zero": zero, "act_min": limits[0], "act_max": limits[1], "dtype": y_type}


def any_zero(rng: Any, dtype: DType) -> int:
    return (0 if dtype is DType.U8 else -128) + int(rng.choice([0, rng.integers(0, 256)]))


def any_type(rng: Any) -> DType:
    return DType.U8 if rng.random() < 0.25 else DType.S8


def one_node(op: str, inputs: dict[str, Tensor], y: Tensor, attrs: dict[str, Any]) -> Graph:
    node = Node(op, "layer", tuple(inputs), ("y",), attrs)
    given = tuple(name for name, tensor in inputs.items() if tensor.data is None)
    return Graph("one", (node,), {**inputs, "y": y}, given, ("y",))


def layer(rng: Any, op: str, x: tuple[int, ...], y: tuple[int, ...], weights: Array, attrs: Any) -> Graph:
    """A layer with weights: sums fill the output's range, or leave it, or meet exact halves."""
    x_type, y_type = any_type(rng), any_type(rng)
    spread = np.abs(weights).mean() * np.sqrt(weights[0].size) * 100 + 1
    reach = rng.uniform(20, 200) if rng.random() < 0.8 else 1e6
    scale = (reach * np.exp2(rng.uniform(-1, 1, len(weights))) / spread).astype(np.float32)
    if rng.random() < 0.2:
        scale = np.exp2(np.rint(np.log2(scale)))
    constants = {
        "w": weights, "bias": rng.integers(-5000, 5000, len(weights)).astype(np.int32), "scale": scale,
    }  # fmt: skip
    inputs = {"x": Tensor("x", x, x_type)}
    inputs |= {name: Tensor(name, data.shape, DType.of(data), data) for name, data in constants.items()}
    attrs = {**attrs, "x_zero": any_zero(rng, x_type), "w_bits": 8, **output_attrs(rng, y_type)}
    return one_node(op, inputs, Tensor("y", y, y_type), attrs)


def random_weights(rng: Any, *shape: int) -> Array:
    lowest = -128 if rng.random() < 0.3 else -127
    return np.clip(np.rint(rng.standard_normal(shape) * rng.choice([8, 50, 120])), lowest, 127).astype(np.int8)


def window(rng: Any, kernel: tuple[int, int], width: int | None = None) -> tuple[dict[str, Any], Any, Any]:
    square = (int(rng.integers(1, 3)),) * 2
    strides = tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2)) if rng.random() < 0.5 else square
    dilations = (1, int(rng.choice([1, 2]))) if rng.random() < 0.2 else (1, 1)
    pads = tuple(int(p) for p in rng.integers(0, 3, 4)) if rng.random() < 0.5 else (kernel[0] // 2, kernel[1] // 2) * 2
    if width == 5:
        strides, dilations, pads = (1, 1), (1, 1), (1, 1, 1, 1)
    size = [int((k - 1) * d + rng.integers(1, 12)) for k, d in zip(kernel, dilations, strict=True)]
    size[1] = width or size[1]
    if kernel[0] == 1 and rng.random() < 0.5:
        size[0], pads, strides = 1, (0, pads[1], 0, pads[3]), (1, strides[1])
    out = [output_size(size[i], kernel[i], strides[i], dilations[i], (pads[i], pads[i + 2]), False) for i in (0, 1)]
    attrs = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads, "layout": "NHWC"}
    return attrs, size, out


def convolution(rng: Any, kernel: tuple[int, int]) -> Graph:
    attrs, size, out = window(rng, kernel)
    channels, out_c = int(rng.choice([1, 3, 8, 16, 20, 32, 50, 80])), int(rng.integers(1, 20))
    weights = random_weights(rng, out_c, *kernel, channels)
    return layer(rng, "QConv", (1, *size, channels), (1, *out, out_c), weights, {**attrs, "group": 1})


def depthwise(rng: Any, kernel: tuple[int, int], width: int | None = None) -> Graph:
    attrs, size, out = window(rng, kernel, width)
    channels = int(rng.choice([2, 7, 16, 24, 33]))
    weights = random_weights(rng, channels, *kernel, 1)
    return layer(rng, "QConv", (1, *size, channels), (1, *out, channels), weights, {**attrs, "group": channels})


def any_kernel(rng: Any) -> tuple[int, int]:
    return int(rng.integers(1, 6)), int(rng.integers(1, 6))


def fully_connected(rng: Any) -> Graph:
    rows, count, out = int(rng.choice([1, 1, 2, 5])), int(rng.integers(1, 300)), int(rng.integers(1, 30))
    return layer(rng, "QFullyConnected", (rows, count), (rows, out), random_weights(rng, out, count), {})


def pool(rng: Any, op: str) -> Graph:
    kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    attrs, size, out = window(rng, kernel)
    channels = int(rng.choice([1, 7, 8, 16, 21]))
    attrs["pads"] = tuple(min(p, k - 1) for p, k in zip(attrs["pads"], kernel * 2, strict=True))
    out = [
        output_size(size[i], kernel[i], attrs["strides"][i], 1, (attrs["pads"][i], attrs["pads"][i + 2]), False)
        for i in (0, 1)
    ]
    attrs |= {"dilations": (1, 1), "ceil_mode": False}
    settings = output_attrs(rng, DType.S8)
    if op == "QMaxPool":
        attrs |= {key: settings[key] for key in ("act_min", "act_max")}
    else:
        attrs |= {**settings, "count_include_pad": bool(rng.random() < 0.5), "x_zero": any_zero(rng, DType.S8)}
        attrs |= {"x_scale": float(np.float32(0.05)), "y_scale": float(np.float32(rng.choice([0.02, 0.05, 0.1])))}
    x, y = (Tensor(name, (1, *shape, channels), DType.S8) for name, shape in (("x", size), ("y", out)))
    return one_node(op, {"x": x}, y, attrs)


def binary(rng: Any, op: str) -> Graph:
    shape = tuple(int(v) for v in rng.integers(1, 9, 3))
    scales = {f"{name}_scale": float(np.float32(rng.uniform(0.01, 0.1))) for name in ("a", "b", "y")}
    zeros = {f"{name}_zero": any_zero(rng, DType.S8) for name in "ab"}
    inputs = {name: Tensor(name, shape, DType.S8) for name in "ab"}
    return one_node(op, inputs, Tensor("y", shape, DType.S8), {**scales, **zeros, **output_attrs(rng, DType.S8)})


def table(rng: Any) -> Graph:
    shape, values = (1, int(rng.integers(1, 80))), rng.integers(0, 256, 256).astype(np.uint8)
    values = values.view(any_type(rng).numpy)
    inputs = {"x": Tensor("x", shape, any_type(rng)), "table": Tensor("table", (256,), DType.of(values), values)}
    return one_node("QTable", inputs, Tensor("y", shape, DType.of(values)), {})


MAKERS: dict[str, Callable[[Any], Graph]] = {
    "conv2d_1x1__mve": lambda rng: convolution(rng, (1, 1)),
    "conv2d_3x3__mve": lambda rng: convolution(rng, (3, 3)),
    "conv2d__mve": lambda rng: convolution(rng, any_kernel(rng)),
    "depthwise_5wide__mve": lambda rng: depthwise(rng, (3, 3), 5),
    "depthwise_3x3__mve": lambda rng: depthwise(rng, (3, 3)),
    "depthwise__mve": lambda rng: depthwise(rng, any_kernel(rng)),
    "fully_connected__mve": fully_connected,
    "max_pool2d__mve": lambda rng: pool(rng, "QMaxPool"),
    "average_pool2d__mve": lambda rng: pool(rng, "QAveragePool"),
    "add__mve": lambda rng: binary(rng, "QAdd"),
    "sub__mve": lambda rng: binary(rng, "QSub"),
    "table__mve": table,
}


def graphs_for(kernel: Kernel, seed: int) -> Iterator[Graph]:
    rng = np.random.default_rng(seed)
    while True:
        graph = MAKERS[kernel.name](rng)
        if min(graph.tensors["y"].shape) > 0 and kernel.fits(graph.nodes[0], graph):
            yield graph


def samples(graph: Graph, rng: Any) -> dict[str, Array]:
    """Random bytes, and a sample of extremes."""
    given = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        values = rng.integers(0, 256, (SAMPLES, *tensor.shape)).astype(np.uint8)
        values[0] = rng.choice([0, 127, 128, 255], tensor.shape)
        shape = (SAMPLES, *tensor.shape[1:]) if tensor.shape[0] == 1 else (SAMPLES, *tensor.shape)
        given[name] = values.view(tensor.dtype.numpy).reshape(shape)
    return given


def test_every_kernel_has_a_maker() -> None:
    assert sorted(MAKERS) == KERNELS


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_equals_the_definition(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    kernel, target = Kernel.registry[name], load_target(BOARD)
    monkeypatch.setattr("edgewright.plan.choice.kernels_for", lambda node, graph, core: [kernel])
    graphs = [graph for graph, _ in zip(graphs_for(kernel, sum(name.encode())), range(12), strict=False)]
    rng = np.random.default_rng(7)
    inputs, trees = [samples(graph, rng) for graph in graphs], []
    for index, graph in enumerate(graphs):
        plan = make_plan(graph, CORE, "speed")
        assert plan.steps[0].kernel == name
        trees.append(emit(plan, f"layer{index}", target, "speed", "0" * 64, b""))
    results = run_batch(target, trees, inputs, tmp_path)
    for graph, given, (got,) in zip(graphs, inputs, results, strict=True):
        node = graph.nodes[0]
        constants = [graph.constant(tensor) for tensor in node.inputs if tensor not in graph.inputs]
        for sample, values in enumerate(got):
            x = [given[tensor][sample].reshape(graph.tensors[tensor].shape) for tensor in graph.inputs]
            (wanted,) = operator(node.op).evaluate(node, [*x, *constants])
            np.testing.assert_array_equal(values.reshape(wanted.shape), wanted, err_msg=str(node.attrs))


@pytest.mark.parametrize("name", KERNELS)
def test_cost_and_calls_of_many_layers(name: str) -> None:
    kernel = Kernel.registry[name]
    for graph, _ in zip(graphs_for(kernel, 3), range(100), strict=False):
        node = graph.nodes[0]
        assert kernel.cost(node, graph) > 0
        (call,) = kernel.lower(node, graph)
        assert call.function.endswith("__mve")
        assert (resource_dir("runtime_c") / "kernels" / call.header).is_file()


def test_fast_outputs_stay_within_16_bits() -> None:
    """The bound is tight: some input reaches it, and one step more is refused."""
    attrs = {"y_zero": -128, "act_min": -128, "act_max": 127, "dtype": DType.S8}
    node = Node("QConv", "n", (), ("y",), attrs)
    assert output(node, 32766 - 128).startswith("{EW_MVE_FAST,")
    assert output(node, 32766 - 127.5).startswith("{EW_MVE_ANY,")
    assert output(node, float("inf")).startswith("{EW_MVE_ANY,")
    assert output(node.with_attrs(y_zero=-127), 1.0).startswith("{EW_MVE_FAST_ODD,")
    assert output(node.with_attrs(act_max=126), 1.0).startswith("{EW_MVE_ANY,")
    assert output(node.with_attrs(y_zero=3, act_min=0, act_max=255, dtype=DType.U8), 1.0) == (
        "{EW_MVE_FAST_ODD, -125, -128, 127, 1}"
    )


def test_reach_of_a_layer_is_what_some_input_reaches() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        graph = fully_connected(rng)
        node = graph.nodes[0]
        found = Layer.of(node, graph)
        assert found is not None
        weights = graph.constant("w").astype(np.int64)
        x_zero = found.x_zero
        best = 0.0
        for sign in (1, -1):
            x = np.where(sign * weights > 0, 127, -128) - x_zero
            sums = (x * weights).sum(axis=1) + graph.constant("bias")
            best = max(best, float((np.abs(sums) * graph.constant("scale").astype(np.float64)).max()))
        assert found.output == output(node, best)


def test_python_and_c_agree_on_scratch(tmp_path: Path) -> None:
    """Scratch bytes are computed in Python for the plan, and by macros in the headers."""
    need("gcc")
    macros = {
        "conv2d_3x3__mve": "EW_CONV2D_3X3_SCRATCH__MVE({out_w}, {stride}, {in_c})",
        "conv2d__mve": "EW_CONV2D_SCRATCH__MVE({band}, {stride_h}, {kernel_h}, {kernel_w}, {in_c})",
        "depthwise_3x3__mve": "EW_DEPTHWISE_3X3_SCRATCH__MVE({band}, {strips}, {stride})",
        "depthwise_5wide__mve": "EW_PLANES_CHANNELS__MVE * EW_DEPTHWISE_5WIDE_PLANE__MVE({in_h}) + 1",
        "depthwise__mve": "EW_DEPTHWISE_SCRATCH__MVE({band}, {stride_h}, {kernel_h}, {kernel_w})",
    }
    lines, headers = [], set()
    for name, macro in macros.items():
        for graph, _ in zip(graphs_for(Kernel.registry[name], 5), range(60), strict=False):
            (call,) = Kernel.registry[name].lower(graph.nodes[0], graph)
            headers.add(Path(call.header).name)
            lines.append(f'_Static_assert({macro.format(**call.params)} == {call.scratch_bytes}, "{name}");')
    source = tmp_path / "scratch.c"
    source.write_text("".join(f'#include "{h}"\n' for h in sorted(headers)) + "\n".join(lines) + "\n")
    runtime = resource_dir("runtime_c")
    folders = [runtime / "include", *sorted(path for path in (runtime / "kernels").iterdir() if path.is_dir())]
    argv = ["gcc", "-std=c11", "-fsyntax-only", *(f"-I{folder}" for folder in folders), str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
