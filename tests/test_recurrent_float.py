"""Float recurrent layers: windows with the state carried along are one long run; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import constant, expected, imported, value
from onnx import TensorProto, helper

from edgewright.errors import EdgewrightError
from edgewright.passes import run_passes
from edgewright.quantization.groups import _is_plain_recurrent

SEED = 20261122
BATCH, INPUT, HIDDEN = 2, 3, 9
STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def layer(op: str, steps: int, *, lengths: bool = False, **attrs: Any) -> onnx.ModelProto:
    """A layer whose states come from outside and go out, with seeded weights."""
    rng = np.random.default_rng(SEED)
    rows = GATES[op] * HIDDEN
    shapes = {"w": (1, rows, INPUT), "r": (1, rows, HIDDEN), "b": (1, 2 * rows)}
    weights = [constant(name, (rng.standard_normal(s) * 0.4).astype(np.float32)) for name, s in shapes.items()]
    names = ["h", "c"][: STATES[op]]
    state = [1, BATCH, HIDDEN]
    ports = [value("x", [steps, BATCH, INPUT]), *(value(name, state) for name in names)]
    if lengths:
        ports.append(value("lengths", [BATCH], TensorProto.INT32))
    outputs = ["y", *(f"{name}_out" for name in names)]
    inputs = ["x", "w", "r", "b", "lengths" if lengths else "", *names]
    node = helper.make_node(op, inputs, outputs, name="layer", hidden_size=HIDDEN, **attrs)
    results = [value("y", [steps, 1, BATCH, HIDDEN]), *(value(name, state) for name in outputs[1:])]
    graph = helper.make_graph([node], "net", ports, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("op", list(STATES))
def test_windows_with_a_state_are_one_long_run(op: str, tmp_path: Path) -> None:
    need("gcc")
    rng = np.random.default_rng(SEED)
    steps, windows = 4, 5
    x = rng.standard_normal((1, steps * windows, BATCH, INPUT)).astype(np.float32)
    names = ["h", "c"][: STATES[op]]
    states = {name: rng.standard_normal((1, 1, BATCH, HIDDEN)).astype(np.float32) for name in names}
    whole = expected(imported(layer(op, steps * windows)), {"x": x, **states})
    tree = emitted(imported(layer(op, steps)))
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    parts = []
    for window in np.split(x, windows, axis=1):
        y, *last = run_library(tree, library, {"x": window, **states})
        states = dict(zip(names, last, strict=True))
        parts.append(y)
    assert_close([np.concatenate(parts, axis=1), *states.values()], whole)


@pytest.mark.parametrize(("lengths", "rows"), [([-7, 9], [0, 4]), ([3, 1], [3, 1])])
def test_lengths_at_run_time_stay_inside(lengths: list[int], rows: list[int], tmp_path: Path) -> None:
    need("gcc")
    rng = np.random.default_rng(SEED)
    tree = emitted(imported(layer("GRU", 4, lengths=True)))
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    inputs = {"x": rng.standard_normal((1, 4, BATCH, INPUT)).astype(np.float32),
              "h": np.ones((1, 1, BATCH, HIDDEN), np.float32), "lengths": np.array([lengths], np.int32)}  # fmt: skip
    y, last = run_library(tree, library, inputs)
    y, last = y.reshape(4, BATCH, HIDDEN), last.reshape(BATCH, HIDDEN)
    for batch, count in enumerate(rows):
        assert not y[count:, batch].any() and y[:count, batch].all()
        np.testing.assert_array_equal(last[batch], y[count - 1, batch] if count else np.zeros(HIDDEN))


@pytest.mark.parametrize(("attrs", "word"), [
    ({"activations": ["Sine"]}, "activation Sine"),
    ({"activations": ["Tanh", "Tanh"]}, "should be 1"),
    ({"activations": ["Affine"]}, "activation Affine"),
    ({"activations": ["Tanh"], "activation_alpha": [1.0]}, "activation_alpha"),
    ({"clip": -1.0}, "clip"),
    ({"direction": "sideways"}, "sideways"),
])  # fmt: skip
def test_refused(attrs: dict[str, Any], word: str) -> None:
    with pytest.raises(EdgewrightError, match=word):
        imported(layer("RNN", 2, **attrs))


def test_options_of_the_float_layer_stay_float() -> None:
    for attrs, plain in (({}, True), ({"activations": ["Relu", "Tanh"]}, False), ({"lengths": True}, False)):
        graph = run_passes(imported(layer("GRU", 2, **attrs)).graph)
        (node,) = (node for node in graph.nodes if node.op == "GRU")
        assert _is_plain_recurrent(node, graph) is plain
