"""Which outputs are defined to the bit, so that a board has to give the very same."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from integer_networks import Builder, Value
from networks import imported, make_model
from onnx import TensorProto, helper
from test_recurrent import Layer, Model

from edgewright.passes import run_passes
from edgewright.simulate import is_exact, rounds_inexact

TYPES = {"int8": TensorProto.INT8, "int16": TensorProto.INT16}


def island(op: str, source: str, then: str, **attrs: Any) -> onnx.ModelProto:
    """x -> DequantizeLinear -> op -> QuantizeLinear; with `then` "float" the last is left out."""
    b, shape = Builder(1, source), (3, 4)
    port = helper.make_tensor_value_info("x", TYPES[source], shape)
    real = b.real(Value("x", shape, 0.001, 0, source))
    y = real if op == "" else b.add(op, [real, real] if op == "Div" else [real], **attrs)
    result = y if then == "float" else b.quantized(y, shape, 0.01, 3).name
    return make_model(b.nodes, [port], [result], b.constants, opset=21)


@pytest.mark.parametrize(
    ("op", "source", "then", "exact", "rounds"),
    [
        ("", "int16", "float", True, False),
        ("Relu", "int16", "float", True, False),
        ("Div", "int16", "float", True, False),
        ("Div", "int16", "int16", True, False),
        ("Softmax", "int16", "float", False, False),
        ("Softmax", "int16", "int16", False, True),
        ("Softmax", "int8", "float", False, False),
        ("Softmax", "int8", "int8", True, False),  # QSoftmax
        ("Tanh", "int8", "float", False, False),
        ("Tanh", "int8", "int8", True, False),  # QTable
        ("Tanh", "int16", "int16", False, True),
        ("Sigmoid", "int16", "int16", False, True),
    ],
)
def test_floats_that_a_library_decides_are_not_exact(
    op: str, source: str, then: str, exact: bool, rounds: bool
) -> None:
    graph = run_passes(imported(island(op, source, then)).graph)
    assert (is_exact(graph), rounds_inexact(graph)) == (exact, rounds)


def test_an_inexact_float_is_followed_through_moves_and_casts() -> None:
    proto = island("Softmax", "int16", "float")
    (last,) = proto.graph.output
    proto.graph.node.append(helper.make_node("Transpose", [last.name], ["turned"], perm=[1, 0]))
    proto.graph.node.append(helper.make_node("Cast", ["turned"], ["whole"], to=TensorProto.INT32))
    last.CopyFrom(helper.make_tensor_value_info("whole", TensorProto.INT32, (4, 3)))
    graph = run_passes(imported(proto).graph)
    assert not is_exact(graph)
    assert rounds_inexact(graph)


def test_an_inexact_float_that_reaches_no_output_does_no_harm() -> None:
    proto = island("Relu", "int16", "float")
    proto.graph.node.append(helper.make_node("Tanh", [proto.graph.output[0].name], ["unused"]))
    graph = run_passes(imported(proto).graph)
    assert is_exact(graph)


@pytest.mark.parametrize("computed", [False, True])
def test_a_state_in_float_is_rounded_inside_an_integer_lstm(computed: bool) -> None:
    proto = Model(Layer("LSTM", states=True), 0).proto()
    lstm = next(node for node in proto.graph.node if node.op_type == "LSTM")
    if computed:
        at = list(proto.graph.node).index(lstm)
        proto.graph.node.insert(at, helper.make_node("Tanh", [lstm.input[6]], ["state"]))
        lstm.input[6] = "state"
    graph = run_passes(imported(proto).graph)
    assert "QLSTM" in [node.op for node in graph.nodes]
    assert (is_exact(graph), rounds_inexact(graph)) == (not computed, computed)
