"""The importer, the passes and the verifier: what they keep, what they remove, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import SEED, constant, expected, imported, make_model, random_inputs, random_network, value
from onnx import TensorProto, helper
from test_ops import assert_close, evaluate

from edgewright.errors import InternalError, ModelError, ShapeError, UnsupportedError
from edgewright.ir import Editor, Node, Tensor
from edgewright.passes import PASSES, run_passes
from edgewright.verify import verify


def node(op: str, inputs: list[str], output: str, **attrs: object) -> object:
    return helper.make_node(op, inputs, [output], name=f"make_{output}", **attrs)


def image_chain() -> object:
    """Pad, Conv, BatchNormalization, Relu, pooling, Flatten, MatMul, Add."""
    rng = np.random.default_rng(SEED)

    def weight(name: str, *shape: int) -> object:
        return constant(name, rng.standard_normal(shape).astype(np.float32))

    return make_model(
        [
            node("Pad", ["x", "pads"], "padded"),
            node("Conv", ["padded", "w"], "conv"),
            node("BatchNormalization", ["conv", "scale", "b", "mean", "var"], "norm"),
            node("Relu", ["norm"], "relu"),
            node("MaxPool", ["relu"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", ["pool"], "flat"),
            node("MatMul", ["flat", "m"], "product"),
            node("Add", ["product", "bias"], "y"),
        ],
        [value("x", ["batch", 2, 6, 8])],
        ["y"],
        [
            constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1])), weight("w", 3, 2, 3, 3), weight("scale", 3),
            weight("b", 3), weight("mean", 3), constant("var", np.array([0.5, 1, 2], np.float32)),
            weight("m", 36, 4), weight("bias", 4),
        ],
    )  # fmt: skip


def test_a_chain_becomes_three_operators_and_the_transpose_at_the_door() -> None:
    model = imported(image_chain())
    graph = run_passes(model.graph)
    assert [n.op for n in graph.nodes if n.op != "Reshape"] == ["Transpose", "Conv", "MaxPool", "FullyConnected"]
    conv = graph.nodes[1]
    assert conv.attrs["pads"] == (1, 1, 1, 1)
    assert conv.attrs["act_min"] == 0.0
    assert len(graph.nodes[-1].inputs) == 3, "the bias is folded"
    inputs = random_inputs(model)
    assert_close(evaluate(graph, inputs), expected(model, inputs))


@pytest.mark.parametrize("seed", range(SEED, SEED + 25))
def test_passes_keep_outputs_and_are_idempotent(seed: int) -> None:
    model = imported(random_network(seed))
    inputs = random_inputs(model)
    wanted = evaluate(model.graph, inputs)
    graph = model.graph
    for each in PASSES:
        graph = verify(each(graph), each.__name__)
        assert_close(evaluate(graph, inputs), wanted)
        again = each(graph)
        assert [n.op for n in again.nodes] == [n.op for n in graph.nodes], f"{each.__name__} is not idempotent"
    assert_close(evaluate(graph, inputs), expected(model, inputs))


@pytest.mark.parametrize("seed", range(SEED, SEED + 25))
def test_at_most_one_transpose_is_left(seed: int) -> None:
    """The one that brings the image from NCHW to NHWC: none between the layers, none before the dense layer."""
    graph = run_passes(imported(random_network(seed)).graph)
    assert sum(n.op == "Transpose" for n in graph.nodes) <= 1


def test_one_dimensional_convolutions_meet_without_transposes() -> None:
    rng = np.random.default_rng(SEED)
    weights = [constant(f"w{i}", rng.standard_normal((4, 4, 3)).astype(np.float32)) for i in range(2)]
    model = imported(
        make_model(
            [node("Conv", ["x", "w0"], "a"), node("Relu", ["a"], "b"), node("Conv", ["b", "w1"], "y")],
            [value("x", [1, 4, 20])], ["y"], weights,
        )
    )  # fmt: skip
    ops = [n.op for n in run_passes(model.graph).nodes if n.op != "Reshape"]
    assert ops == ["Transpose", "Conv", "Conv", "Transpose"]


def test_shape_arithmetic_disappears_at_import() -> None:
    model = imported(
        make_model(
            [
                node("Shape", ["x"], "shape"),
                node("Gather", ["shape", "zero"], "batch", axis=0),
                node("Concat", ["batch", "rest"], "target", axis=0),
                node("Reshape", ["x", "target"], "y"),
            ],
            [value("x", ["n", 3, 4])], ["y"], [constant("zero", np.array([0])), constant("rest", np.array([-1]))],
        )
    )  # fmt: skip
    assert [n.op for n in model.graph.nodes] == ["Reshape"]
    assert model.graph.tensors["y"].shape == (1, 12)


def test_outputs_that_are_inputs_or_constants_or_twice() -> None:
    model = imported(
        make_model(
            [
                node("Identity", ["x"], "same"),
                node("Relu", ["x"], "a"),
                node("Identity", ["a"], "again"),
                node("Add", ["c", "c"], "sum"),
            ],
            [value("x", [1, 3])], ["same", "a", "again", "sum"], [constant("c", np.ones(2, np.float32))],
        )
    )  # fmt: skip
    graph = run_passes(model.graph)
    inputs = random_inputs(model)
    assert_close(evaluate(graph, inputs), expected(model, inputs))


def test_a_long_network_takes_its_time_but_not_for_ever() -> None:
    """The passes were cubic: 400 residual blocks took minutes. (Counted in rewrites, not timed.)"""
    nodes, weights, current = [], [], "x"
    for i in range(60):
        weights.append(constant(f"w{i}", np.full((2, 2, 3, 3), 0.01 * i, np.float32)))
        nodes.append(node("Conv", [current, f"w{i}"], f"c{i}", pads=[1, 1, 1, 1]))
        nodes.append(node("Relu", [f"c{i}"], f"r{i}"))
        nodes.append(node("Add", [current, f"r{i}"], f"a{i}"))
        current = f"a{i}"
    model = imported(make_model(nodes, [value("x", [1, 2, 4, 4])], [current], weights))
    sweeps = 0
    original = Editor.sweep

    def counted(self: Editor, rule: object) -> bool:
        nonlocal sweeps
        sweeps += 1
        return original(self, rule)  # type: ignore[arg-type]

    Editor.sweep = counted  # type: ignore[method-assign]
    try:
        graph = run_passes(model.graph)
    finally:
        Editor.sweep = original  # type: ignore[method-assign]
    assert sweeps < 100
    assert sum(n.op == "Transpose" for n in graph.nodes) == 2, "one in, one out"
    inputs = random_inputs(model)
    assert_close(evaluate(graph, inputs), expected(model, inputs))


# ---- what is refused


def test_all_unsupported_operators_are_named_at_once() -> None:
    proto = make_model(
        [node("Bernoulli", ["x"], "a"), node("Relu", ["a"], "b"), node("RandomNormalLike", ["b"], "c"),
         node("Relu", ["x"], "y")],
        [value("x", [2, 2])], ["y"],
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as error:
        imported(proto)
    assert "make_a" in str(error.value)
    assert "make_c" in str(error.value)
    assert "make_b" not in str(error.value)


@pytest.mark.parametrize(
    ("attrs", "inputs", "word"),
    [
        ({"mode": "constant"}, ["x", "p"], "pads"),
        ({"mode": "constant"}, ["x", "q"], "run time"),
    ],
)
def test_bad_pads(attrs: dict[str, object], inputs: list[str], word: str) -> None:
    proto = make_model(
        [helper.make_node("Pad", inputs, ["y"], name="pad", **attrs)],
        [value("x", [1, 3]), value("q", [4], TensorProto.INT64)], ["y"], [constant("p", np.array([1, 1]))],
        output_shape=[1, 3],
    )  # fmt: skip
    with pytest.raises((ShapeError, UnsupportedError), match=word):
        imported(proto)


def test_an_integer_operator_is_refused_not_miscomputed() -> None:
    proto = make_model([node("Elu", ["x"], "y")], [value("x", [3], TensorProto.INT32)], ["y"], opset=14)
    with pytest.raises(UnsupportedError, match="int32"):
        imported(proto)


def test_dynamic_dimensions() -> None:
    proto = make_model([node("Relu", ["x"], "y")], [value("x", ["n", "time", 3])], ["y"])
    with pytest.raises(ShapeError, match=r"time.*--input x=1,time,3"):
        imported(proto)
    assert imported(proto, x=[1, 7, 3]).graph.tensors["y"].shape == (1, 7, 3)
    with pytest.raises(ShapeError, match="only dynamic"):
        imported(proto, x=[1, 7, 4])
    with pytest.raises(ShapeError, match="dimensions"):
        imported(proto, x=[1, 7])
    with pytest.raises(ShapeError, match="inputs are x"):
        imported(proto, z=[1, 7, 3])


def test_too_old_an_operator_set() -> None:
    proto = make_model([node("Relu", ["x"], "y")], [value("x", [3])], ["y"])
    proto.opset_import[0].version = 5
    with pytest.raises(UnsupportedError, match="operator set 5"):
        imported(proto)


def test_an_illegal_model() -> None:
    proto = make_model([node("Relu", ["x"], "y")], [value("x", [3])], ["y"])
    proto.graph.node[0].input[0] = "nothing"
    with pytest.raises(ModelError):
        imported(proto)


# ---- the verifier


def test_the_verifier_names_what_is_wrong() -> None:
    graph = imported(image_chain()).graph
    verify(graph, "import")
    first, *rest = graph.nodes
    swapped = replace(graph, nodes=(*rest, first))
    with pytest.raises(InternalError, match=r"reads .* before anything makes it"):
        verify(swapped, "a test")
    tensors = {**graph.tensors, "conv": Tensor("conv", (1, 1), graph.tensors["conv"].dtype)}
    with pytest.raises(InternalError, match="shape rule"):
        verify(replace(graph, tensors=tensors), "a test")
    odd = Node("Clamp", "odd", (graph.inputs[0],), ("y",), {"colour": 1})
    with pytest.raises(InternalError, match=r"second time|no attribute"):
        verify(replace(graph, nodes=(*graph.nodes, odd)), "a test")
