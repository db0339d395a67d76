"""Operators without an importer: imported by what the standard defines them by. Empty tensors, and no inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import SEED, constant, expected, imported, make_model, random_inputs, value
from onnx import TensorProto, helper

from edgewright import backend
from edgewright.errors import NeedsConstantError, UnsupportedError
from edgewright.frontends.onnx import Model
from edgewright.ops import ONNX_IMPORTERS
from edgewright.passes import run_passes
from edgewright.simulate import simulate


def same(proto: onnx.ModelProto, **inputs: np.ndarray) -> Model:
    """The graph, by numpy, gives what ONNX Runtime or ONNX's own evaluator gives."""
    model = imported(proto)
    feeds = {**random_inputs(model), **{name: array[None] for name, array in inputs.items()}}
    assert_close(simulate(run_passes(model.graph), feeds), expected(model, feeds))
    return model


def one(
    op: str, inputs: list[tuple[str, list[int], int] | onnx.TensorProto | None], outputs: int = 1, opset: int = 17,
    domain: str = "", **attrs: Any,
) -> onnx.ModelProto:  # fmt: skip
    """A model of one node; inputs are graph inputs (name, shape, type), constants or absent."""
    ports = [helper.make_tensor_value_info(i[0], i[2], i[1]) for i in inputs if isinstance(i, tuple)]
    weights = [i for i in inputs if isinstance(i, onnx.TensorProto)]
    names = [i[0] if isinstance(i, tuple) else i.name if i is not None else "" for i in inputs]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, name="it", domain=domain, **attrs)
    return make_model([node], ports, made, weights, opset=opset)


F, S64 = TensorProto.FLOAT, TensorProto.INT64
LABELS = constant("labels", np.array([[1, 0], [2, 2], [1, 0]]))
SCORES = ("x", [3, 4, 2], F)
WEIGHTS = constant("w", np.float32([0.5, 1, 2, 0.25]))
LOSSES = [
    one("NegativeLogLikelihoodLoss", [SCORES, LABELS], reduction="mean"),
    one("NegativeLogLikelihoodLoss", [SCORES, LABELS, WEIGHTS], reduction="mean", ignore_index=2),
    one("NegativeLogLikelihoodLoss", [SCORES, LABELS], reduction="none", ignore_index=0),
    one("SoftmaxCrossEntropyLoss", [SCORES, LABELS, WEIGHTS], 2, reduction="sum", ignore_index=1),
]
OTHERS = [
    one("HannWindow", [constant("n", np.array(7))], periodic=0),
    one("BlackmanWindow", [constant("n", np.array(6))]),
    one("RotaryEmbedding", [("x", [1, 2, 3, 8], F), ("c", [1, 3, 2], F), ("s", [1, 3, 2], F)], opset=23,
        rotary_embedding_dim=4, interleaved=1),
]  # fmt: skip


@pytest.mark.parametrize("proto", LOSSES + OTHERS, ids=lambda proto: proto.graph.node[0].op_type)
def test_by_the_definition(proto: onnx.ModelProto) -> None:
    model = same(proto)
    (way,) = model.ways[proto.graph.node[0].op_type]
    assert way == ("expanded" if model.graph.inputs else "folded")


def attention(mask: list[list[bool]] | None = None, **attrs: Any) -> onnx.ModelProto:
    ports = [("q", [1, 2, 3, 4], F), ("k", [1, 2, 3, 4], F), ("v", [1, 2, 3, 4], F)]
    extra = [] if mask is None else [constant("m", np.array(mask))]
    return one("Attention", [*ports, *extra], opset=23, **attrs)


@pytest.mark.parametrize("proto", [
    attention(), attention(is_causal=1, softcap=2.0), attention([[True, False, True]] * 3),
], ids=["plain", "causal", "mask"])  # fmt: skip
def test_attention(proto: onnx.ModelProto) -> None:
    same(proto)


def test_attention_on_the_host() -> None:
    need("cc")
    proto = attention(is_causal=1)
    feeds = random_inputs(imported(proto), seed=SEED)
    (y,) = backend.prepare(proto).run({name: array[0] for name, array in feeds.items()})
    assert_close([y], [expected(imported(proto), feeds)[0][0]])


def test_outputs_keep_their_names_and_those_nobody_wants_are_not_made() -> None:
    model = imported(one("SoftmaxCrossEntropyLoss", [SCORES, LABELS], 2))
    assert model.graph.outputs == ("y0", "y1")
    model = imported(one("SoftmaxCrossEntropyLoss", [SCORES, LABELS]))
    assert model.graph.outputs == ("y0",)


def test_what_a_definition_cannot_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ONNX_IMPORTERS, "GatherElements")
    text = "NegativeLogLikelihoodLoss 'it': in its definition, GatherElements 'it/.*': operator GatherElements"
    with pytest.raises(UnsupportedError, match=text) as caught:
        imported(one("NegativeLogLikelihoodLoss", [("x", [3, 4], F), ("t", [3], S64)], reduction="sum"))
    assert caught.value.ways == {"NegativeLogLikelihoodLoss": {"refused": 1}}


def test_what_a_definition_needs_at_import() -> None:
    with pytest.raises(NeedsConstantError, match="HannWindow 'it'") as caught:
        imported(one("HannWindow", [("n", [], S64)]))
    assert caught.value.values == {"n"}
    with pytest.raises(NeedsConstantError, match="Range 'it': its 'start' is computed at run time") as caught:
        imported(one("Range", [("a", [], S64), ("b", [], S64), ("c", [], S64)]))
    assert caught.value.values == {"a"}


def test_random_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="Bernoulli 'it': it draws random numbers"):
        imported(one("Bernoulli", [("x", [3], F)]))


# ---- no inputs, and no elements


def on_the_host(proto: onnx.ModelProto, tmp_path: Any, *flags: str) -> list[np.ndarray]:
    need("gcc")
    model = imported(proto)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS, *flags))
    return run_library(tree, library, random_inputs(model))


def test_a_model_without_inputs(tmp_path: Any) -> None:
    proto = make_model([helper.make_node("Constant", [], ["y"], value=constant("v", np.arange(3)))], [], ["y"])
    (y,) = on_the_host(proto, tmp_path)
    np.testing.assert_array_equal(y, [[0, 1, 2]])


def test_outputs_without_elements(tmp_path: Any) -> None:
    ends = [constant("s", np.array([1])), constant("e", np.array([1]))]
    nodes = [helper.make_node("Slice", ["x", "s", "e"], ["none"]), helper.make_node("Relu", ["x"], ["y"])]
    proto = make_model(nodes, [value("x", [3, 2])], ["none", "y"], ends)
    none, y = on_the_host(proto, tmp_path)
    assert none.shape == (1, 0, 2) and y.shape == (1, 3, 2)


@pytest.mark.parametrize(("op", "identity"), [
    ("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -np.inf), ("ReduceMin", np.inf), ("ReduceL1", 0),
    ("ReduceL2", 0), ("ReduceSumSquare", 0), ("ReduceLogSum", -np.inf), ("ReduceLogSumExp", -np.inf),
])  # fmt: skip
def test_reductions_of_nothing(op: str, identity: float) -> None:
    proto = one(op, [("x", [2, 0, 3], F), constant("axes", np.array([1]))], opset=20, keepdims=0)
    model = imported(proto)
    assert model.graph.inputs == ()
    (y,) = simulate(model.graph, {})
    np.testing.assert_array_equal(y[0], np.full((2, 3), identity, np.float32))


def test_empty_operands_go_on_as_constants() -> None:
    ends = [constant("s", np.array([1])), constant("e", np.array([1])), constant("n", np.array([2, 0, 2]))]
    nodes = [
        helper.make_node("Slice", ["x", "s", "e"], ["none"]), helper.make_node("Relu", ["none"], ["still"]),
        helper.make_node("Concat", ["still", "x", "none"], ["y"], axis=0),
        helper.make_node("Split", ["x", "n"], ["left", "middle", "right"], axis=1),
        helper.make_node("Concat", ["middle", "right", "left"], ["z"], axis=1),
        helper.make_node("Gemm", ["middle", "still", "x"], ["product"]),
        helper.make_node("ScatterElements", ["x", "where", "still"], ["scattered"]),
    ]  # fmt: skip
    ends.append(constant("where", np.zeros((0, 4), np.int64)))
    same(make_model(nodes[:6], [value("x", [3, 4])], ["y", "z", "product"], ends))
    with pytest.raises(UnsupportedError, match=r"ScatterElements .* no elements"):
        imported(make_model(nodes, [value("x", [3, 4])], ["scattered"], ends))


# ---- older forms of operators


@pytest.mark.parametrize(("shape", "attrs"), [
    ([3, 4], {"axis": 1}), ([2], {"axis": 0}), ([4, 5], {}), ([1], {}), ([3], {"axis": -3}),
])  # fmt: skip
def test_broadcasting_of_operator_set_6(shape: list[int], attrs: dict[str, int]) -> None:
    b = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    node = helper.make_node("Sub", ["x", "b"], ["y"], broadcast=1, **attrs)
    proto = make_model([node], [value("x", [2, 3, 4, 5])], ["y"], [constant("b", b)], 6, output_shape=[2, 3, 4, 5])
    x = np.random.default_rng(SEED + 1).standard_normal((2, 3, 4, 5)).astype(np.float32)
    axis = attrs.get("axis", 4 - len(shape)) % 4
    (y,) = simulate(imported(proto).graph, {"x": x[None]})
    np.testing.assert_array_equal(y[0], x - b.reshape(*shape, *[1] * (4 - axis - len(shape))))


def test_prelu_of_operator_set_6() -> None:
    slope = np.float32([0.5, 2, -1])
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    proto = make_model([node], [value("x", [2, 3, 3])], ["y"], [constant("s", slope)], 6, output_shape=[2, 3, 3])
    x = np.random.default_rng(SEED).standard_normal((2, 3, 3)).astype(np.float32)
    (y,) = simulate(imported(proto).graph, {"x": x[None]})
    np.testing.assert_array_equal(y[0], np.where(x < 0, x * slope[:, None], x))
