"""Recurrent layers in integers: QDQ models become QLSTM and QGRU, C equals the definition, which is near the floats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from batch_firmware import run_batch
from conftest import WARNINGS, need
from harness import compile_model, emitted, run_library
from networks import imported, value
from onnx import TensorProto, helper, numpy_helper

from edgewright.boards import load_target
from edgewright.errors import EdgewrightError
from edgewright.frontends.reference import run_reference
from edgewright.ir import DType, Editor, Graph, Node, TensorType
from edgewright.ops.recurrent_numbers import (
    SUM_BITS,
    TANH_BITS,
    logistic_q,
    state_from_float,
    tanh_nodes,
    tanh_q,
    tanh_table,
)
from edgewright.passes import run_passes
from edgewright.passes.choose_signedness import choose_signedness
from edgewright.simulate import float_islands, is_exact, simulate

TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}
GATES = {"LSTM": 4, "GRU": 3}


@dataclass(frozen=True)
class Layer:
    """What a model of one recurrent layer is made of."""

    op: str
    dtype: str = "int8"
    steps: int = 6
    batch: int = 1
    input: int = 5
    hidden: int = 7
    direction: str = "forward"
    layout: int = 0
    linear: int = 0
    outputs: str = "Y"  # of Y, Y_h and Y_c
    states: bool = False  # initial states come from outside
    gain: float = 1.0
    bias: str = "float"  # or int32, or none
    rows: str = "each"  # a scale for each row of the weights, or one for all
    state_dtype: str = "float"

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


class Model:
    """Builds the QDQ model of a layer; scales fit what the layer computes."""

    def __init__(self, layer: Layer, seed: int) -> None:
        self.layer, self.rng = layer, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.low, self.high = np.iinfo(layer.dtype).min, np.iinfo(layer.dtype).max

    def const(self, array: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op: str, inputs: list[str], outputs: list[str] | None = None, **attrs: Any) -> str:
        names = outputs or [f"t{len(self.nodes)}"]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attrs))
        return names[0]

    def weights(self, inputs: int) -> str:
        layer = self.layer
        shape = (layer.directions, GATES[layer.op] * layer.hidden, inputs)
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        size = layer.gain / (70 * np.sqrt(inputs))
        if layer.rows == "one":
            return self.real(self.const(values), float(size), 0, "int8")
        if layer.rows == "flat":  # a scale for each row of each direction
            flat = values.reshape(-1, inputs)
            scales = (size * self.rng.uniform(0.3, 1.5, len(flat))).astype(np.float32)
            zeros = self.const(np.zeros(len(flat), np.int8))
            real = self.add("DequantizeLinear", [self.const(flat), self.const(scales), zeros], axis=0)
            return self.add("Reshape", [real, self.const(np.array(shape, np.int64))])
        scales = (size * self.rng.uniform(0.3, 1.5, shape[1])).astype(np.float32)
        zeros = self.const(np.zeros(shape[1], np.int8))
        return self.add("DequantizeLinear", [self.const(values), self.const(scales), zeros], axis=1)

    def bias(self) -> str:
        layer = self.layer
        values = self.rng.standard_normal((layer.directions, 2 * GATES[layer.op] * layer.hidden)) * 0.3
        if layer.bias == "none":
            return ""
        if layer.bias == "int32":
            scale = np.float32(1e-4)
            integers = np.rint(values / scale).astype(np.int32)
            return self.add("DequantizeLinear", [self.const(integers), self.const(scale)])
        return self.const(values.astype(np.float32))

    def quantized(self, name: str, scale: float, zero: int, dtype: str) -> str:
        params = [self.const(np.float32(scale)), self.const(np.array(zero, dtype))]
        return self.add("QuantizeLinear", [name, *params])

    def real(self, name: str, scale: float, zero: int, dtype: str) -> str:
        return self.add("DequantizeLinear", [name, self.const(np.float32(scale)), self.const(np.array(zero, dtype))])

    def proto(self) -> onnx.ModelProto:
        layer, rng = self.layer, self.rng
        d, n, h = layer.directions, layer.batch, layer.hidden
        span = self.high - self.low
        wide = layer.dtype == "int16"  # symmetric
        x_zero = 0 if wide else int(rng.integers(self.low, self.high + 1))
        y_zero = 0 if wide else (self.low + self.high + 1) // 2 + int(rng.integers(-9, 10))
        shape = [layer.steps, n, layer.input] if layer.layout == 0 else [n, layer.steps, layer.input]
        state_shape = [d, n, h] if layer.layout == 0 else [n, d, h]
        ports = [value("x", shape, TYPES[layer.dtype])]
        y_scale = 2.1 / span
        states = []
        if layer.states:
            for name in ("h0", "c0")[: 2 if layer.op == "LSTM" else 1]:
                if layer.state_dtype == "float":
                    ports.append(value(name, state_shape))
                    states.append(name)
                elif layer.state_dtype == "same":
                    ports.append(value(name, state_shape, TYPES[layer.dtype]))
                    states.append(self.real(name, y_scale, y_zero, layer.dtype))
                else:
                    ports.append(value(name, state_shape, TensorProto.INT16))
                    states.append(self.real(name, 1e-4, 0, "int16"))
        inputs = [self.real("x", 6.0 / span, x_zero, layer.dtype), self.weights(layer.input), self.weights(h),
                  self.bias(), *(["", *states] if states else [])]  # fmt: skip
        names = ["Y", "Y_h", "Y_c"][: 3 if layer.op == "LSTM" else 2]
        wanted = layer.outputs.split()
        attrs: dict[str, Any] = {"hidden_size": h, "direction": layer.direction}
        if layer.layout:
            attrs["layout"] = 1
        if layer.op == "GRU":
            attrs["linear_before_reset"] = layer.linear
        self.add(layer.op, inputs, [name if name in wanted else "" for name in names], **attrs)
        results = []
        y_shape = [layer.steps, d, n, h] if layer.layout == 0 else [n, layer.steps, d, h]
        for name in wanted:
            result, kind = name, "float"
            if name == "Y_c" or (name == "Y_h" and layer.state_dtype == "int16"):
                if layer.state_dtype != "float":
                    result, kind = self.quantized(name, 1e-4, 0, "int16"), "int16"
            else:
                result, kind = self.quantized(name, y_scale, y_zero, layer.dtype), layer.dtype
            elem_type = TYPES.get(kind, TensorProto.FLOAT)
            results.append(value(result, y_shape if name == "Y" else state_shape, elem_type))
        graph = helper.make_graph(self.nodes, "net", ports, results, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def inputs(self, model: Any, samples: int) -> dict[str, np.ndarray]:
        found = {}
        for name in model.graph.inputs:
            tensor = model.graph.tensors[name]
            shape = (samples, *tensor.shape)
            if tensor.dtype.numpy.kind == "f":
                found[name] = (self.rng.standard_normal(shape) * 0.4).astype(np.float32)
            elif name == "x":
                found[name] = self.rng.integers(self.low, self.high + 1, shape).astype(tensor.dtype.numpy)
            else:
                info = np.iinfo(tensor.dtype.numpy)
                found[name] = self.rng.integers(info.min // 4, info.max // 4, shape).astype(tensor.dtype.numpy)
        return found


LAYERS = [
    Layer("LSTM"),
    Layer("LSTM", "uint8", hidden=16, input=12),
    Layer("LSTM", "int16"),
    Layer("LSTM", batch=3, direction="bidirectional", outputs="Y Y_h Y_c", states=True),
    Layer("LSTM", "int16", batch=2, direction="reverse", layout=1, outputs="Y Y_h Y_c", states=True, rows="one"),
    Layer("LSTM", outputs="Y_h", rows="flat", direction="bidirectional", bias="int32"),
    Layer("LSTM", steps=1, outputs="Y_h Y_c", states=True, state_dtype="same", bias="none"),
    Layer("LSTM", "uint8", steps=1, outputs="Y Y_h Y_c", states=True, state_dtype="int16", gain=3.0),
    Layer("LSTM", "int16", input=600, hidden=9, gain=4.0),
    Layer("GRU"),
    Layer("GRU", linear=1),
    Layer("GRU", "uint8", linear=1, hidden=16, input=12, outputs="Y Y_h"),
    Layer("GRU", "int16", outputs="Y Y_h", states=True),
    Layer("GRU", "int16", linear=1, input=520, rows="flat", direction="bidirectional"),
    Layer("GRU", batch=3, direction="bidirectional", outputs="Y Y_h", states=True, state_dtype="int16"),
    Layer("GRU", batch=2, direction="reverse", layout=1, outputs="Y_h", linear=1, bias="int32", rows="one"),
    Layer("GRU", steps=1, outputs="Y_h", states=True, state_dtype="same", bias="none", gain=3.0),
]


def _id(layer: Layer) -> str:
    return f"{layer.op}-{layer.dtype}-{LAYERS.index(layer)}"


def lowered(layer: Layer, seed: int) -> tuple[Any, Graph, dict[str, np.ndarray]]:
    builder = Model(layer, seed)
    name = f"layer{LAYERS.index(layer)}" if layer in LAYERS else "net"
    model = imported(builder.proto(), name)
    graph = run_passes(model.graph)
    assert [node.op for node in graph.nodes].count(f"Q{layer.op}") == 1, [node.op for node in graph.nodes]
    assert not any(node.op in GATES for node in graph.nodes)
    return model, graph, builder.inputs(model, 3)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS, ids=_id)
def test_c_on_host_equals_the_definition(layer: Layer, tmp_path: Path) -> None:
    need("gcc")
    model, graph, inputs = lowered(layer, 1)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    for got, wanted in zip(run_library(tree, library, inputs), simulate(graph, inputs), strict=True):
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an386", "mps3-an547"])  # no FPU, Arm DSP, MVE
def test_boards_equal_the_definition(board: str, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    found = [lowered(layer, 3) for layer in LAYERS]
    trees = [emitted(model, board, "speed") for model, _, _ in found]
    outputs = run_batch(load_target(board), trees, [inputs for _, _, inputs in found], tmp_path)
    for layer, (_, graph, inputs), results in zip(LAYERS, found, outputs, strict=True):
        for got, wanted in zip(results, simulate(graph, inputs), strict=True):
            np.testing.assert_array_equal(got.reshape(wanted.shape), wanted, err_msg=f"{_id(layer)} on {board}")


@pytest.mark.parametrize("layer", LAYERS[:12], ids=_id)
def test_signedness_keeps_the_bits(layer: Layer) -> None:
    _, graph, inputs = lowered(layer, 4)
    for dtype in (DType.U8, DType.S8):
        changed = choose_signedness(_inside(graph), dtype)
        for before, after in zip(simulate(graph, inputs), simulate(changed, inputs), strict=True):
            np.testing.assert_array_equal(before.astype(int), _as(after, before.dtype).astype(int))


def _inside(graph: Graph) -> Graph:
    """The graph with its integer outputs dequantized by one step, so that the tensors before may change."""
    editor = Editor(graph)
    outputs = []
    for name in graph.outputs:
        tensor = graph.tensors[name]
        if tensor.dtype in (DType.S8, DType.U8):
            real = editor.add_tensor(f"{name}.real", TensorType(tensor.shape, DType.F32))
            editor.nodes.append(Node("Dequantize", real, (name,), (real,), {"scale": 1.0, "zero": 0}))
            outputs.append(real)
        else:
            outputs.append(name)
    editor.outputs = tuple(outputs)
    return editor.graph()


def _as(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return values if values.dtype == dtype else np.rint(values).astype(dtype)


# In steps of y: the state is rounded to y each time, which the float layer does not do.
LARGEST = {"int8": 3, "uint8": 3, "int16": 8}


@pytest.mark.parametrize("layer", LAYERS, ids=_id)
def test_definition_is_near_the_float_layer(layer: Layer) -> None:
    model, graph, inputs = lowered(layer, 2)
    theirs = run_reference(model.serialized, inputs).outputs
    for name, got, wanted in zip(layer.outputs.split(), simulate(graph, inputs), theirs, strict=True):
        if got.dtype.kind == "f":
            assert np.abs(got - wanted).max() < (0.05 if layer.dtype != "int16" else 4e-4), name
        elif got.dtype == layer.dtype:
            steps = np.abs(got.astype(int) - wanted.astype(int))
            assert steps.max() <= LARGEST[layer.dtype], (name, steps.max())
            assert np.sqrt((steps**2).mean()) < (0.6 if layer.dtype != "int16" else 2.0), name


def test_a_plain_layer_is_as_near_as_rounding_lets_it_be() -> None:
    """Ten steps of 64 units, as docs/ARITHMETIC.md has it."""
    for dtype, most in (("int8", 1), ("int16", 3)):
        model, graph, inputs = lowered(Layer("LSTM", dtype, steps=10, input=40, hidden=64), 0)
        (got,), (wanted,) = simulate(graph, inputs), run_reference(model.serialized, inputs).outputs
        steps = np.abs(got.astype(int) - wanted.astype(int))
        assert steps.max() <= most
        assert np.sqrt((steps**2).mean()) < 0.5


def test_activations_are_near_the_functions() -> None:
    u = np.arange(-9 << SUM_BITS, 9 << SUM_BITS, 7)
    off = tanh_q(u) / 2**TANH_BITS - np.tanh(u / 2**SUM_BITS)
    assert np.abs(off).max() < 2.0 * 2**-16
    off = logistic_q(u) / 2 ** (TANH_BITS + 1) - 1 / (1 + np.exp(-2 * u / 2**SUM_BITS))
    assert np.abs(off).max() < 1.0 * 2**-16
    table = tanh_table().astype(int)
    assert table[0] == 0 and table[-1] == 65535 and (np.diff(table) >= 0).all() and table.dtype == int


def test_the_table_is_the_same_on_every_computer() -> None:
    """No value lies near enough to a half for a library's tanh to decide."""
    exact = tanh_nodes() * 2**TANH_BITS
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6


def test_states_between_floats_and_integers() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1023.9, -5000.0, 2.0**-21, 3 * 2.0**-21, -0.75], np.float32)
    limit = 1 << 30
    assert state_from_float(odd).tolist() == [0, limit, -limit, int(np.float32(1023.9) * 2**20), -limit, 0, 2, -786432]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activations": ["Sine", "Tanh", "Tanh"]}, "activation Sine"),
        ({"direction": "sideways"}, "direction 'sideways'"),
        ({"hidden_size": 9}, "hidden_size 9"),
    ],
)
def test_what_no_kernel_does_is_refused(changes: dict[str, Any], message: str) -> None:
    proto = Model(Layer("LSTM"), 0).proto()
    node = next(n for n in proto.graph.node if n.op_type == "LSTM")
    kept = [a for a in node.attribute if a.name not in changes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(key, v) for key, v in changes.items())])
    with pytest.raises(EdgewrightError, match=message):
        imported(proto)


def test_sequence_lengths_other_than_all_steps_stay_float() -> None:
    for lengths, fits in (([6], True), ([3], False)):
        proto = Model(Layer("GRU"), 0).proto()
        node = next(n for n in proto.graph.node if n.op_type == "GRU")
        node.input.append("lengths")
        proto.graph.initializer.append(numpy_helper.from_array(np.array(lengths, np.int32), "lengths"))
        nodes = [n.op for n in run_passes(imported(proto).graph).nodes]
        assert ("QGRU" in nodes) is fits and ("GRU" in nodes) is not fits


@pytest.mark.parametrize("change", ["clip", "activations", "float_x", "relu"])
def test_layers_that_stay_float(change: str) -> None:
    """Where a rule does not fit, the layer is computed between the model's own conversions."""
    proto = Model(Layer("LSTM"), 0).proto()
    node = next(n for n in proto.graph.node if n.op_type == "LSTM")
    if change == "clip":
        node.attribute.append(helper.make_attribute("clip", 2.0))
    elif change == "activations":
        node.attribute.append(helper.make_attribute("activations", ["Sigmoid", "Relu", "Tanh"]))
    elif change == "float_x":
        node.input[0] = "real"
        proto.graph.input.append(value("real", [6, 1, 5]))
    else:
        quantize = next(n for n in proto.graph.node if n.op_type == "QuantizeLinear")
        quantize.input[0] = "positive"
        at = next(i for i, n in enumerate(proto.graph.node) if n is quantize or n.name == quantize.name)
        proto.graph.node.insert(at, helper.make_node("Relu", ["Y"], ["positive"], name="relu"))
    graph = run_passes(imported(proto).graph)
    assert [n.op for n in float_islands(graph)].count("LSTM") == 1
    assert not is_exact(graph)
