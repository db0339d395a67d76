"""Channels that are unused or constant: each rule by hand, then seeded networks with such channels planted."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from integer_networks import integer_inputs, integer_network
from networks import constant, expected, imported, make_model, random_inputs, random_network, value
from onnx import helper
from test_ops import assert_close

from edgewright.ir import DType, Editor, Graph, Node, TensorType
from edgewright.ops import operator
from edgewright.passes import PASSES, run_passes
from edgewright.passes.remove_channels import remove_channels
from edgewright.simulate import simulate
from edgewright.verify import verify

RNG = np.random.default_rng()
LOW, HIGH = -128, 127
WINDOW = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "layout": "NHWC"}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same numbers, whichever others run."""
    RNG.bit_generator.state = np.random.default_rng(20260201).bit_generator.state


class Net:
    """An integer (or float) graph in NHWC, layer by layer; every method returns the new tensor's name."""

    def __init__(self, *shape: int, dtype: DType = DType.S8) -> None:
        self.editor = Editor(Graph("net", (), {}, ("x",), ()))
        self.editor.add_tensor("x", TensorType(shape, dtype))

    def add(self, op: str, *inputs: str | np.ndarray, **attrs: Any) -> str:
        name = f"{op.lower()}{len(self.editor.nodes)}"
        names = tuple(
            item if isinstance(item, str) else self.editor.add_constant(f"{name}.c{i}", item)
            for i, item in enumerate(inputs)
        )
        node = Node(op, name, names, (name,), attrs)
        (result,) = operator(op).infer(node, [self.editor.tensors[n] if n else None for n in names])
        self.editor.add_tensor(name, result)
        self.editor.nodes.append(node)
        return name

    def conv(self, x: str, weights: np.ndarray, bias: Sequence[int] | None = None, group: int = 1, **attrs: Any) -> str:
        """Weights OHWI; a Relu by default (y_zero is the lowest value)."""
        weights = np.asarray(weights, np.int8)
        settings: dict[str, Any] = {
            "x_zero": -128 if x != "x" else 3, "y_zero": LOW, "act_min": LOW, "act_max": HIGH, "dtype": DType.S8,
            **WINDOW, "kernel": weights.shape[1:3], "group": group, **attrs,
        }  # fmt: skip
        biases = np.asarray(RNG.integers(0, 900, len(weights)) if bias is None else bias, np.int32)
        terms = weights[0].size
        scale = np.full(len(weights), 0.02 / math.sqrt(terms), np.float32)
        return self.add("QConv", x, weights, biases, scale, **settings)

    def fully_connected(self, x: str, weights: np.ndarray, **attrs: Any) -> str:
        weights = np.asarray(weights, np.int8)
        return self.add(
            "QFullyConnected", x, weights, np.asarray(RNG.integers(-500, 500, len(weights)), np.int32),
            np.full(len(weights), 0.002, np.float32),
            **{"x_zero": LOW, "y_zero": 0, "act_min": LOW, "act_max": HIGH, "dtype": DType.S8, **attrs},
        )  # fmt: skip

    def flat(self, x: str) -> str:
        shape = self.editor.tensors[x].shape
        return self.add("Reshape", x, shape=(shape[0], math.prod(shape[1:])))

    def sum(self, a: str | np.ndarray, b: str | np.ndarray) -> str:
        return self.add("QAdd", a, b, a_zero=LOW, a_scale=0.5, b_zero=LOW, b_scale=0.75, y_scale=1.0, y_zero=LOW,
                        act_min=LOW, act_max=HIGH, dtype=DType.S8)  # fmt: skip

    def average(self, x: str, **attrs: Any) -> str:
        return self.add("QAveragePool", x, **{
            **WINDOW, "x_zero": LOW, "x_scale": 0.1, "y_scale": 0.1, "y_zero": LOW, "act_min": LOW, "act_max": HIGH,
            "dtype": DType.S8, **attrs,
        })  # fmt: skip

    def graph(self, *outputs: str) -> Graph:
        self.editor.outputs = outputs
        return verify(self.editor.graph(), "a test")


def weights(*shape: int, dead_in: Sequence[int] = (), dead_out: Sequence[int] = ()) -> np.ndarray:
    """Without a 0, but for whole input or output channels."""
    values = RNG.integers(1, 60, shape) * RNG.choice([-1, 1], shape)
    values[..., list(dead_in)] = 0
    values[list(dead_out)] = 0
    return np.asarray(values, np.int8)


def macs(graph: Graph) -> int:
    return sum(operator(node.op).macs(node, graph) for node in graph.nodes)


def checked(graph: Graph, samples: int = 3) -> Graph:
    """Remove channels; the result is legal, computes the same bits, keeps its ports, and has none left to remove."""
    result = verify(remove_channels(graph), "remove_channels")
    assert remove_channels(result) is result, "not idempotent"
    assert (result.inputs, result.outputs) == (graph.inputs, graph.outputs)
    rng = np.random.default_rng(1)
    inputs = {}
    for name in graph.inputs:
        shape, dtype = (samples, *graph.tensors[name].shape), graph.tensors[name].dtype
        if dtype is DType.F32:
            inputs[name] = rng.standard_normal(shape).astype(np.float32)
        else:
            inputs[name] = rng.integers(*(np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max + 1), shape, dtype.numpy)
    for got, wanted in zip(simulate(result, inputs), simulate(graph, inputs), strict=True):
        if wanted.dtype == np.float32:
            assert_close([got], [wanted])
        else:
            np.testing.assert_array_equal(got, wanted)
    return result


def widths(graph: Graph) -> list[int]:
    """Channels of each node's result, in order."""
    return [graph.tensors[node.output].shape[-1] for node in graph.nodes]


# ---- never used


def test_a_channel_that_every_reader_multiplies_by_zero_goes() -> None:
    net = Net(1, 5, 5, 2)
    x = net.conv("x", weights(4, 3, 3, 2))
    a = net.conv(x, weights(3, 1, 1, 4, dead_in=[2, 3]))
    b = net.conv(x, weights(2, 3, 3, 4, dead_in=[2]), pads=(1, 1, 1, 1))
    result = checked(net.graph(a, b))
    assert widths(result) == [3, 3, 2], "channel 3 is used by the second reader, channel 2 by none"
    assert result.tensors[result.nodes[0].inputs[1]].shape == (3, 3, 3, 2)


def test_what_only_unused_channels_use_is_unused() -> None:
    net = Net(1, 5, 5, 2)
    first = net.conv("x", weights(4, 1, 1, 2))
    second = weights(3, 1, 1, 4, dead_in=[3])
    second[1, :, :, 3] = 7  # the only use of channel 3, by a channel that is not used
    third = net.conv(net.conv(first, second), weights(2, 1, 1, 3, dead_in=[1]))
    assert widths(checked(net.graph(third))) == [3, 2, 2]


def test_a_flattened_image() -> None:
    net = Net(1, 3, 2, 2)
    image = net.conv("x", weights(3, 1, 1, 2))
    matrix = weights(4, 3 * 2 * 3).reshape(4, 6, 3)
    matrix[:, :, 1] = 0
    matrix[:, :5, 2] = 0  # one position still uses channel 2
    result = checked(net.graph(net.fully_connected(net.flat(image), matrix.reshape(4, 18))))
    assert widths(result) == [2, 12, 4]


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_filters_go_with_their_input(multiplier: int) -> None:
    net = Net(1, 6, 6, 2)
    image = net.conv("x", weights(4, 1, 1, 2))
    depth = net.conv(image, weights(4 * multiplier, 3, 3, 1), group=4, pads=(1, 1, 1, 1))
    unused = range(multiplier, 3 * multiplier)
    last = net.conv(depth, weights(2, 1, 1, 4 * multiplier, dead_in=[*unused]))
    result = checked(net.graph(last))
    assert widths(result) == [2, 2 * multiplier, 2]
    assert result.nodes[1].attrs["group"] == 2


def test_only_whole_groups_go() -> None:
    net = Net(1, 4, 4, 2)
    grouped = net.conv(net.conv("x", weights(6, 1, 1, 2)), weights(9, 1, 1, 2), group=3)
    last = net.conv(grouped, weights(2, 1, 1, 9, dead_in=[0, 1, 2, 4, 5]))
    result = checked(net.graph(last))
    assert widths(result) == [4, 6, 2], "channel 3 is used, so that its group stays"
    assert result.nodes[1].attrs["group"] == 2


def test_a_group_that_is_left_alone_loses_single_channels() -> None:
    net = Net(1, 4, 4, 2)
    grouped = net.conv(net.conv("x", weights(6, 1, 1, 2)), weights(6, 1, 1, 3, dead_in=[1]), group=2)
    result = checked(net.graph(net.conv(grouped, weights(2, 1, 1, 6, dead_in=[0, 1, 2, 4]))))
    assert widths(result) == [2, 2, 2]
    assert result.nodes[1].attrs["group"] == 1


def test_channels_that_are_sliced_away() -> None:
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(6, 1, 1, 2))
    part = net.add("Slice", image, starts=(0, 0, 0, 1), steps=(1, 1, 1, 1), sizes=(1, 4, 4, 3))
    result = checked(net.graph(net.conv(part, weights(2, 1, 1, 3, dead_in=[1]))))
    assert [node.op for node in result.nodes] == ["QConv", "QConv"], "nothing is left to slice away"
    assert widths(result) == [2, 2]


@pytest.mark.parametrize("step", [1, -1])
def test_two_slices_of_one_tensor(step: int) -> None:
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(6, 1, 1, 2))
    start = 1 if step > 0 else 4
    part = net.add("Slice", image, starts=(0, 0, 0, start), steps=(1, 1, 1, step), sizes=(1, 4, 4, 4))
    last = net.conv(part, weights(2, 1, 1, 4, dead_in=[1, 2]))  # channels 2 and 3 either way
    other = net.conv(image, weights(2, 1, 1, 6, dead_in=[2, 5]))
    result = checked(net.graph(last, other))
    assert widths(result) == [4, 3, 2, 2]


def test_every_other_channel_is_left_alone() -> None:
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(6, 1, 1, 2))
    part = net.add("Slice", image, starts=(0, 0, 0, 0), steps=(1, 1, 1, 2), sizes=(1, 4, 4, 3))
    graph = net.graph(net.conv(part, weights(2, 1, 1, 3, dead_in=[1])))
    assert checked(graph) is graph


# ---- tied


def test_a_residual_sum_ties_its_operands() -> None:
    net = Net(1, 5, 5, 2)
    image = net.conv("x", weights(4, 1, 1, 2))
    branch = net.conv(image, weights(4, 1, 1, 4, dead_in=[1]))
    total = net.sum(image, branch)
    kept = net.conv(total, weights(3, 1, 1, 4, dead_in=[0]))
    both = checked(net.graph(kept))
    assert widths(both) == [4, 4, 4, 3], "0 is used by the branch; 1 by the sum's reader"
    net = Net(1, 5, 5, 2)
    image = net.conv("x", weights(4, 1, 1, 2))
    branch = net.conv(image, weights(4, 1, 1, 4, dead_in=[1]))
    result = checked(net.graph(net.conv(net.sum(image, branch), weights(3, 1, 1, 4, dead_in=[0, 1]))))
    assert widths(result) == [3, 3, 3, 3]


def test_a_gate_of_one_value_a_channel() -> None:
    """Squeeze and excite: the gate's channels are the image's."""
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(5, 1, 1, 2))
    mean = net.average(image, kernel=(4, 4))
    gate = net.conv(net.conv(mean, weights(2, 1, 1, 5, dead_in=[4])), weights(5, 1, 1, 2))
    product = net.add("QMul", image, gate, a_zero=LOW, b_zero=LOW, scale=0.01, y_zero=LOW, act_min=LOW, act_max=HIGH,
                      dtype=DType.S8)  # fmt: skip
    result = checked(net.graph(net.conv(product, weights(3, 1, 1, 5, dead_in=[4, 0]))))
    assert widths(result) == [4, 4, 2, 4, 4, 3], "0 is used by the gate"


def test_concatenation_and_its_constants() -> None:
    net = Net(1, 3, 3, 2)
    a, b = net.conv("x", weights(3, 1, 1, 2)), net.conv("x", weights(2, 1, 1, 2))
    fixed = RNG.integers(LOW, HIGH, (1, 3, 3, 2)).astype(np.int8)
    joined = net.add("Concat", a, fixed, b, axis=3)
    result = checked(net.graph(net.conv(joined, weights(2, 1, 1, 7, dead_in=[0, 3, 6]))))
    assert widths(result) == [2, 1, 4, 2]
    net = Net(1, 3, 3, 2)
    joined = net.add("Concat", net.conv("x", weights(3, 1, 1, 2)), fixed, axis=-1)
    result = checked(net.graph(net.conv(joined, weights(2, 1, 1, 5, dead_in=[3, 4]))))
    assert [node.op for node in result.nodes] == ["QConv", "QConv"]


def test_rows_one_after_the_other_have_the_same_channels() -> None:
    net = Net(1, 3, 3, 2)
    a, b = net.conv("x", weights(3, 1, 1, 2)), net.conv("x", weights(3, 2, 1, 2))
    result = checked(net.graph(net.conv(net.add("Concat", a, b, axis=1), weights(2, 1, 1, 3, dead_in=[1]))))
    assert widths(result) == [2, 2, 2, 2]


def test_channels_of_padding() -> None:
    """A shortcut that adds channels of zeros: they are constant, and tied to the branch's."""
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(3, 1, 1, 2))
    wide = net.add("Pad", image, begins=(0, 1, 1, 2), ends=(0, 1, 1, 1), value=LOW)
    result = checked(net.graph(net.conv(wide, weights(2, 1, 1, 6, dead_in=[3]))))
    assert widths(result) == [2, 2, 2]
    assert result.nodes[1].attrs["begins"] == (0, 1, 1, 0)
    net = Net(1, 4, 4, 2)
    image, branch = net.conv("x", weights(3, 1, 1, 2)), net.conv("x", weights(6, 1, 1, 2))
    total = net.sum(net.add("Pad", image, begins=(0, 0, 0, 2), ends=(0, 0, 0, 1), value=LOW), branch)
    result = checked(net.graph(net.conv(total, weights(2, 1, 1, 6, dead_in=[0, 3]))))
    assert widths(result) == [2, 4, 4, 4, 2]


# ---- constant


def test_a_filter_of_zeros_goes_into_the_readers_bias() -> None:
    net = Net(1, 5, 5, 2)
    image = net.conv("x", weights(3, 3, 3, 2, dead_out=[1]), bias=[100, 800, 300])
    graph = net.graph(net.conv(image, weights(2, 1, 1, 3), bias=[10, 20]))
    result = checked(graph)
    assert widths(result) == [2, 2]
    first, second = graph.nodes
    scale = float(graph.tensors[first.inputs[3]].data[0])
    offset = round(800 * scale)
    wanted = np.array([10, 20]) + graph.tensors[second.inputs[1]].data[:, 0, 0, 1].astype(int) * offset
    assert offset > 0
    assert result.tensors[result.nodes[1].inputs[2]].data.tolist() == wanted.tolist()


def test_padding_keeps_a_constant_that_is_not_its_zero() -> None:
    net = Net(1, 5, 5, 2)
    image = net.conv("x", weights(3, 3, 3, 2, dead_out=[1, 2]), bias=[100, 800, -5])
    last = net.conv(image, weights(2, 3, 3, 3), pads=(1, 1, 1, 1))
    assert widths(checked(net.graph(last))) == [2, 2], "channel 2 is 0, as the padding is; channel 1 is not"


def test_a_constant_behind_padding_is_none() -> None:
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(2, 1, 1, 2, dead_out=[0, 1]), bias=[700, 900])
    graph = net.graph(net.conv(net.conv(image, np.full((2, 3, 3, 2), 3), pads=(1, 1, 1, 1)), weights(2, 1, 1, 2)))
    assert checked(graph) is graph


def test_constants_go_through_elementwise_operators_and_pools() -> None:
    net = Net(1, 6, 6, 2)
    image = net.conv("x", weights(4, 1, 1, 2, dead_out=[0, 3]), bias=[700, 100, 100, 500])
    image = net.add("QTable", image, np.arange(HIGH, LOW - 1, -1, np.int8))
    window = {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 0, 1, 1)}
    image = net.add("QMaxPool", image, act_min=LOW, act_max=HIGH, **{**WINDOW, **window})
    image = net.average(image, y_scale=0.11, **window)
    image = net.sum(image, np.array([-90, -95, -100, -105], np.int8))
    image = net.add("QRescale", image, x_zero=LOW, x_scale=0.1, y_scale=0.13, y_zero=-100, act_min=LOW, act_max=HIGH,
                    dtype=DType.S8)  # fmt: skip
    image = net.conv(image, np.abs(weights(4, 2, 1, 1)), group=4)
    result = checked(net.graph(net.conv(image, weights(3, 1, 1, 4))))
    assert widths(result) == [2] * 7 + [3]


def test_resized_images_keep_what_is_known_of_their_channels() -> None:
    net = Net(1, 3, 3, 2)
    image = net.conv("x", weights(4, 1, 1, 2, dead_out=[1]), bias=[100, 700, 100, 100])
    image = net.add("ResizeNearest", image, positions=(None, (0, 0, 1, 1, 2), (0, 2), None))
    image = net.add("QResizeLinear", image, positions=(None, (0, 1, 2, 3), None, None), x_zero=LOW, scale=0.9 / 2**22,
                    parts=(None, (100, 300, 2048, 0), None, None), y_zero=LOW, act_min=LOW, act_max=HIGH,
                    dtype=DType.S8)  # fmt: skip
    assert widths(checked(net.graph(net.conv(image, weights(3, 1, 1, 4, dead_in=[3]))))) == [2, 2, 2, 3]
    net = Net(1, 3, 3, 2)
    image = net.conv("x", weights(4, 1, 1, 2))
    image = net.add("ResizeNearest", image, positions=(None, None, None, (0, 0, 1, 1, 2, 2, 3)))
    graph = net.graph(net.conv(image, weights(3, 1, 1, 7, dead_in=[3])))
    assert checked(graph) is graph, "channels that are repeated are left alone"


def test_an_average_that_counts_padding_is_not_constant() -> None:
    net = Net(1, 4, 4, 2)
    image = net.conv("x", weights(2, 1, 1, 2, dead_out=[0]), bias=[4000, 100])
    image = net.average(image, kernel=(3, 3), pads=(1, 1, 1, 1), count_include_pad=True)
    graph = net.graph(net.conv(image, weights(3, 1, 1, 2)))
    assert checked(graph) is graph


def test_a_sum_that_relu_always_clamps() -> None:
    net = Net(1, 5, 5, 2)
    image = net.conv("x", weights(3, 3, 3, 2), bias=[0, -(2 * 9 * 59 * 131), 0])
    result = checked(net.graph(net.conv(image, weights(2, 3, 3, 3), pads=(1, 1, 1, 1))))
    assert widths(result) == [2, 2]
    net = Net(1, 5, 5, 2)  # by one short of it: the largest sum is more than half a step
    values = weights(3, 3, 3, 2)
    most = int(np.maximum(values[1].astype(int) * 124, values[1].astype(int) * -131).sum())
    image = net.conv("x", values, bias=[0, 150 - most, 0])
    graph = net.graph(net.conv(image, weights(2, 3, 3, 3), pads=(1, 1, 1, 1)))
    assert checked(graph) is graph


def test_bounds_reach_through_a_clamped_layer() -> None:
    """The second filter is negative wherever the first is at least 0."""
    net = Net(1, 5, 5, 2)
    first = net.conv("x", weights(2, 1, 1, 2))
    second = net.conv(first, np.array([[-5, -3], [4, 2], [1, 0]]).reshape(3, 1, 1, 2), bias=[0, 0, 0])
    assert widths(checked(net.graph(net.conv(second, weights(2, 1, 1, 3))))) == [2, 2, 2]


def test_a_bias_without_room_keeps_the_channel() -> None:
    net = Net(1, 4, 4, 2, dtype=DType.S16)
    wide = {"dtype": DType.S16, "act_min": -(2**15), "act_max": 2**15 - 1, "y_zero": 0}
    image = net.conv("x", weights(2, 1, 1, 2, dead_out=[1]), bias=[0, 2**23], x_zero=0, **wide)
    graph = net.graph(net.conv(image, np.array([[3, 100]]).reshape(1, 1, 1, 2), bias=[2**31 - 1], x_zero=0, **wide))
    assert checked(graph) is graph
    net.editor.nodes.pop()
    small = net.graph(net.conv(image, np.array([[3, 100]]).reshape(1, 1, 1, 2), bias=[2**30], x_zero=0, **wide))
    assert widths(checked(small)) == [1, 1]


# ---- what stays


def test_inputs_and_outputs_keep_their_channels() -> None:
    net = Net(1, 4, 4, 3)
    image = net.conv("x", weights(4, 1, 1, 3, dead_in=[1], dead_out=[2]))
    graph = net.graph(image, net.conv(image, weights(2, 1, 1, 4, dead_in=[0])))
    assert checked(graph) is graph


@pytest.mark.parametrize("dead", [{"dead_in": [0, 1, 2]}, {"dead_out": [0, 1]}])
def test_every_tensor_keeps_a_channel(dead: dict[str, list[int]]) -> None:
    net = Net(1, 4, 4, 3)
    image = net.conv("x", weights(3, 1, 1, 3))
    image = net.conv(image, weights(2, 1, 1, 3, **dead))
    image = net.sum(image, net.conv("x", weights(2, 1, 1, 3, dead_out=[0, 1])))
    assert widths(checked(net.graph(net.conv(image, weights(2, 1, 1, 2))))) == [1, 1, 1, 1, 2]


def test_a_whole_network_stays_the_same_object() -> None:
    net = Net(1, 6, 6, 3)
    image = net.conv("x", weights(5, 3, 3, 3))
    depth = net.conv(image, weights(5, 3, 3, 1), group=5, pads=(1, 1, 1, 1))
    image = net.sum(image, net.conv(depth, weights(5, 1, 1, 5)))
    graph = net.graph(net.fully_connected(net.flat(image), weights(4, 80)))
    assert remove_channels(graph) is graph


# ---- float


def test_float_channels_go_only_where_they_are_zero() -> None:
    net = Net(1, 4, 4, 2, dtype=DType.F32)
    rng = np.random.default_rng(5)
    first = rng.standard_normal((4, 1, 1, 2)).astype(np.float32)
    first[[1, 2]] = 0
    image = net.add("Conv", "x", first, np.array([1, -2, 0.5, 1], np.float32), group=1, act_min=0.0, **WINDOW)
    last = rng.standard_normal((3, 3, 3, 4)).astype(np.float32)
    last[..., 3] = 0
    window = {**WINDOW, "kernel": (3, 3), "pads": (1, 1, 1, 1), "group": 1}
    result = checked(net.graph(net.add("Conv", image, last, **window)))
    assert widths(result) == [2, 3], "1 is clamped to 0, 3 is not used; 2 is 0.5"
    last[0, 0, 0, 1] = np.inf
    net.editor.nodes.pop()
    graph = net.graph(net.add("Conv", image, last, **window))
    assert widths(remove_channels(graph)) == [3, 3], "infinity times 0 is not 0"


def float_layers(*middle: tuple[str, dict[str, Any], tuple[float, ...]], bias: float = 0.0) -> Graph:
    """x, clamped to 0..1, through a 1x1 layer, operators with constants, and another layer."""
    net = Net(1, 2, 2, 3, dtype=DType.F32)
    settings = {**WINDOW, "group": 1}
    image = net.add("Clamp", "x", min=0.0, max=1.0)
    image = net.add("Conv", image, np.ones((2, 1, 1, 3), np.float32), np.full(2, bias, np.float32), **settings)
    for op, attrs, operands in middle:
        image = net.add(op, *(np.float32([value] * 2) for value in operands), image, **attrs)
    return net.graph(net.add("Conv", image, np.ones((2, 1, 1, 2), np.float32), **settings))


def test_float_bounds_are_wider_than_rounding() -> None:
    relu = ("Clamp", {"min": 0.0}, ())
    assert widths(checked(float_layers(relu, bias=-3.001))) == [3, 1, 1, 2]
    close = float_layers(relu, bias=-3.0000002)
    assert checked(close) is close


def test_bounds_of_a_quotient() -> None:
    """1 / x is at most 1 where x is at least 1, and anything where x may be on both sides of 0."""
    divided, clamp, less = ("Div", {}, (1.0,)), ("Clamp", {"min": 2.0}, ()), ("Sub", {}, (2.0,))
    assert widths(checked(float_layers(divided, clamp, less, bias=1.0))) == [3, 1, 1, 1, 1, 2]
    both = float_layers(divided, clamp, less, bias=-1.5)
    assert checked(both) is both


def test_a_pruned_float_model_from_onnx() -> None:
    """Batch normalization with scale 0 is how training prunes; the passes fold it, and the channel disappears."""
    rng = np.random.default_rng(6)
    gamma, beta = rng.uniform(0.5, 1, 6).astype(np.float32), rng.standard_normal(6).astype(np.float32)
    gamma[[1, 4]], beta[[1, 4]] = 0, [-0.3, 0]
    arrays = {
        "w": rng.standard_normal((6, 3, 3, 3)), "gamma": gamma, "beta": beta, "mean": rng.standard_normal(6),
        "variance": rng.uniform(0.5, 1, 6), "v": rng.standard_normal((4, 6, 3, 3)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4, name="first"),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "variance"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "v"], ["y"], pads=[1] * 4, name="second"),
    ]
    constants = [constant(name, array.astype(np.float32)) for name, array in arrays.items()]
    model = imported(make_model(nodes, [value("x", [1, 3, 8, 8])], ["y"], constants))
    graph = run_passes(model.graph)
    assert macs(graph) * 6 == macs(model.graph) * 4
    inputs = random_inputs(model)
    assert_close(list(simulate(graph, inputs)), expected(model, inputs))


# ---- many


def planted(graph: Graph, seed: int) -> Graph:
    """The graph with random filters and input channels of layers set to 0, and biases out of reach."""
    rng, editor, nodes = np.random.default_rng(seed), Editor(graph), []
    for node in graph.nodes:
        layer = node.op in ("QConv", "QFullyConnected", "Conv", "FullyConnected")
        values = graph.constant(node.inputs[1]) if layer else None
        if values is None:
            nodes.append(node)
            continue
        names, values = list(node.inputs), values.copy()
        filters = rng.random(len(values)) < 0.5 * rng.random()
        values[filters] = 0
        if node.attrs.get("group", 1) == 1:
            values[..., rng.random(values.shape[-1]) < 0.5 * rng.random()] = 0
        names[1] = editor.add_constant(f"{node.name}.planted", values)
        if len(names) > 2:
            bias, chance = np.array(graph.constant(names[2])), rng.random(len(values))
            if bias.dtype == np.int32:
                bias[chance < 0.15] = -2_000_000
            else:
                bias[filters] = -np.abs(bias[filters])
            names[2] = editor.add_constant(f"{node.name}.planted_bias", bias)
        nodes.append(replace(node, inputs=tuple(names)))
    editor.nodes = nodes
    return verify(editor.graph(), "planting")


def without_removal(graph: Graph) -> Graph:
    for each in PASSES:
        graph = graph if each is remove_channels else each(graph)
    return graph


def check_planted(model: Any, inputs: dict[str, np.ndarray], seed: int) -> tuple[int, int]:
    """Returns MACs before and after."""
    graph = planted(without_removal(model.graph), seed)
    result = verify(remove_channels(graph), "remove_channels")
    assert remove_channels(result) is result, "not idempotent"
    for got, wanted in zip(simulate(result, inputs), simulate(graph, inputs), strict=True):
        if any(node.op.startswith("Q") for node in graph.nodes):
            np.testing.assert_array_equal(got, wanted, err_msg=f"seed {seed}")
        else:
            assert_close([got], [wanted])
    return macs(graph), macs(result)


def test_random_integer_networks() -> None:
    totals = np.zeros(2, np.int64)
    for seed in range(60):
        model = imported(integer_network(seed, "int16" if seed % 7 == 6 else None))
        totals += check_planted(model, integer_inputs(model, 2, seed), seed)
    assert totals[1] < 0.8 * totals[0], "few of the planted channels were found"


def test_random_float_networks() -> None:
    totals = np.zeros(2, np.int64)
    for seed in range(40):
        model = imported(random_network(seed))
        totals += check_planted(model, random_inputs(model, 2), seed)
    assert totals[1] < 0.95 * totals[0]


def test_the_work_grows_with_the_network_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(1, 3, 3, 2)
    image = net.conv("x", weights(8, 1, 1, 2))
    blocks = 120
    for index in range(blocks):
        branch = net.conv(image, weights(6, 1, 1, 8, dead_in=[1 + index % 7], dead_out=[index % 6]))
        image = net.sum(image, net.conv(branch, weights(8, 1, 1, 6, dead_in=[5])))
    calls = 0
    module = sys.modules["edgewright.passes.remove_channels"]  # the package has the function under this name
    original = module._inputs_of

    def counted(*arguments: Any) -> bool:
        nonlocal calls
        calls += 1
        return original(*arguments)

    monkeypatch.setattr(module, "_inputs_of", counted)
    graph = net.graph(net.conv(image, weights(2, 1, 1, 8, dead_in=[2])))
    result = remove_channels(graph)
    assert macs(result) < 0.8 * macs(graph)
    assert calls < 8 * (2 * blocks + 2)
