"""What exporters write to compute shapes and masks: nothing of it is left in the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import case_model, constant, expected, imported, make_model, random_inputs, value
from onnx import TensorProto, helper

from edgewright import backend
from edgewright.errors import UnsupportedError
from edgewright.ops import Case, Fixed
from edgewright.passes import run_passes


class Net:
    """Nodes and constants, named as they come."""

    def __init__(self, opset: int = 17) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.opset = opset

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attrs: Any) -> Any:
        """Add a node; inputs that are no names are constants. Returns the name of its output, or the names."""
        names = []
        for operand in inputs:
            if not isinstance(operand, str):
                self.constants.append(constant(f"c{len(self.constants)}", operand))
                operand = self.constants[-1].name
            names.append(operand)
        results = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, names, results, name=f"n{len(self.nodes)}", **attrs))
        return results[0] if outputs == 1 else results

    def left(self, output: str, shape: Sequence[int], tmp_path: Path, result: Sequence[int | str]) -> list[str]:
        """Check the C against ONNX Runtime; return the operators that run. The input is 'x'."""
        need("gcc")
        proto = make_model(self.nodes, [value("x", shape)], [output], self.constants, self.opset, list(result))
        model = imported(proto)
        tree = emitted(model)
        inputs = random_inputs(model, samples=2)
        library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS))
        assert_close(run_library(tree, library, inputs), expected(model, inputs))
        return [node.op for node in run_passes(model.graph).nodes]


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scalar(number: int) -> np.ndarray:
    return np.array(number, np.int64)


def test_view_by_single_sizes(tmp_path: Path) -> None:
    """torch: x.view(x.size(0), x.size(1) * x.size(2), -1)."""
    n = Net()
    shape = n("Shape", "x")
    sizes = [n("Gather", shape, scalar(i)) for i in range(3)]
    product = n("Mul", sizes[1], sizes[2])
    parts = [n("Unsqueeze", s, i64(0)) for s in (sizes[0], product)]
    wanted = n("Concat", *parts, i64(-1), axis=0)
    assert n.left(n("Relu", n("Reshape", "x", wanted)), (2, 3, 4, 5), tmp_path, (2, 12, 5)) == ["Clamp", "Reshape"]


def test_view_by_slices_one_of_them_empty(tmp_path: Path) -> None:
    """torch: x.reshape(*x.shape[:-3], x.shape[-1], -1) of three axes."""
    n = Net()
    shape = n("Shape", "x")
    none = n("Slice", shape, i64(0), i64(-3), i64(0))
    last = n("Slice", shape, i64(-1), i64(2**63 - 1), i64(0))
    wanted = n("Concat", none, last, i64(-1), axis=0)
    assert n.left(n("Reshape", "x", wanted), (2, 3, 4), tmp_path, (4, 6)) == ["Reshape"]


def test_expand_with_where(tmp_path: Path) -> None:
    """torch: x.expand(3, -1, 4), as its exporter writes it."""
    n = Net()
    wanted = i64(3, -1, 4)
    ones = n("ConstantOfShape", i64(3), value=constant("one", i64(1)))
    minus = n("Mul", ones, i64(-1))
    sizes = n("Where", n("Equal", wanted, minus), ones, wanted)
    assert n.left(n("Expand", "x", sizes), (1, 5, 1), tmp_path, (3, 5, 4)) == ["Expand"]


def test_scaled_sizes_by_floats(tmp_path: Path) -> None:
    """Sizes cast to float, scaled, rounded down, and cast back, for Resize."""
    n = Net()
    shape = n("Shape", "x", start=2)
    scaled = n("Floor", n("Mul", n("Cast", shape, to=TensorProto.FLOAT), np.array([2.0, 1.5], np.float32)))
    front = n("Slice", n("Shape", "x"), i64(0), i64(2), i64(0))
    sizes = n("Concat", front, n("Cast", scaled, to=TensorProto.INT64), axis=0)
    empty = np.zeros(0, np.float32)
    result = n("Resize", "x", empty, empty, sizes, mode="nearest", coordinate_transformation_mode="asymmetric")
    assert "Resize" in "".join(n.left(result, (1, 2, 3, 4), tmp_path, (1, 2, 6, 6)))


def test_causal_mask_by_range(tmp_path: Path) -> None:
    n = Net()
    size = n("Squeeze", n("Slice", n("Shape", "x"), i64(1), i64(2), i64(0)), i64(0))
    places = n("Range", scalar(0), size, scalar(1))
    later = n("Less", n("Unsqueeze", places, i64(1)), n("Unsqueeze", places, i64(0)))
    mask = n("Where", later, np.array(-1e4, np.float32), np.array(0, np.float32))
    assert n.left(n("Add", "x", mask), (1, 4, 4), tmp_path, (1, 4, 4)) == ["Add"]


def test_causal_mask_by_trilu(tmp_path: Path) -> None:
    n = Net()
    sizes = n("Concat", n("Shape", "x", start=1, end=2), n("Shape", "x", start=-1), axis=0)
    ones = n("ConstantOfShape", sizes, value=constant("v", np.array([-10], np.float32)))
    assert n.left(n("Add", "x", n("Trilu", ones, scalar(1))), (1, 3, 4), tmp_path, (1, 3, 4)) == ["Add"]


def test_assignment_into_a_constant(tmp_path: Path) -> None:
    """torch: t = zeros(n, 4); t[1:] = 2; x + t, by ScatterND."""
    n = Net()
    sizes = n("Shape", "x")
    zeros = n("ConstantOfShape", sizes)
    rows = n("Unsqueeze", n("Range", scalar(1), n("Gather", sizes, scalar(0)), scalar(1)), i64(-1))
    twos = n("Expand", np.array(2, np.float32), n("Concat", n("Shape", rows, end=1), i64(4), axis=0))
    assert n.left(n("Add", "x", n("ScatterND", zeros, rows, twos)), (3, 4), tmp_path, (3, 4)) == ["Add"]


def test_places_of_a_constant_mask(tmp_path: Path) -> None:
    """x[:, mask]: NonZero of a constant, and GatherND."""
    n = Net()
    places = n("NonZero", np.array([[True, False], [True, True]]))
    moved = n("Transpose", "x", perm=[1, 2, 0])
    picked = n("GatherND", moved, n("Transpose", places, perm=[1, 0]))
    assert "GatherND" in n.left(picked, (3, 2, 2), tmp_path, (3, 3))


def test_division_of_sizes(tmp_path: Path) -> None:
    """Heads: size // heads by Div, ReduceProd of the rest, Max against 1, Mod."""
    n = Net()
    shape = n("Shape", "x")
    width = n("Div", n("Gather", shape, i64(-1)), i64(4))
    rest = n("ReduceProd", n("Slice", shape, i64(0), i64(-1), i64(0)), keepdims=1)
    count = n("Add", n("Max", n("Sub", rest, rest), i64(4)), n("Mod", width, i64(1)))
    wanted = n("Concat", rest, count, width, axis=0)
    heads = n("Transpose", n("Reshape", "x", wanted), perm=[1, 0, 2])
    assert n.left(heads, (2, 3, 8), tmp_path, (4, 6, 2)) == ["Reshape", "Transpose"]


def test_split_of_a_shape(tmp_path: Path) -> None:
    n = Net()
    first, _, last = n("Split", n("Shape", "x"), i64(1, 1, 1), outputs=3, axis=0)
    wanted = n("Concat", last, first, i64(-1), np.zeros(0, np.int64), axis=0)
    assert n.left(n("Tile", n("Reshape", "x", wanted), i64(1, 1, 2)), (2, 3, 4), tmp_path, (4, 2, 6))[-2:] != []


@pytest.mark.parametrize(
    "attrs",
    [
        {"value": constant("v", np.ones((2, 3), np.float32))}, {"value_float": 2.5}, {"value_floats": [1.0, 2.0, 3.0]},
        {"value_int": 4}, {"value_ints": [1, 2, 3]},
    ],
    ids=lambda attrs: next(iter(attrs)),
)  # fmt: skip
def test_constant(attrs: dict[str, Any], tmp_path: Path) -> None:
    n = Net()
    made = n("Cast", n("Constant", **attrs), to=TensorProto.FLOAT)
    assert n.left(n("Add", "x", made), (2, 3), tmp_path, (2, 3)) == ["Add"]


def test_values_decide_the_shape() -> None:
    proto = make_model([helper.make_node("Unique", ["x"], ["y"])], [value("x", [4])], ["y"], output_shape=["n"])
    with pytest.raises(UnsupportedError, match="depends on the numbers"):
        imported(proto)


@pytest.mark.parametrize("op", ["Shape", "Neg"])
def test_nothing_reads_what_only_the_device_knows_the_size_of(op: str) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node(op, ["places"], ["y"])]
    proto = make_model(nodes, [value("x", [4])], ["places", "y"], output_shape=["n"])
    with pytest.raises(UnsupportedError, match="reads 'places', whose size only the device knows"):
        imported(proto)


def test_results_are_cut_to_what_counts() -> None:
    need("cc")
    proto = make_model([helper.make_node("NonZero", ["x"], ["y"])], [value("x", [2, 3])], ["y"], output_shape=[2, "n"])
    program = backend.prepare(proto)
    for x in ([[0, 1, 0], [2, 0, 3]], [[0, 0, 0], [0, 0, 0]]):
        np.testing.assert_array_equal(program.run(np.float32(x))[0], np.nonzero(x))


# ---- indices at run time that are outside


def _indexed(op: str, shape: tuple[int, ...], indices: np.ndarray, *rest: Any, **attrs: Any) -> Case:
    return Case(op, "outside", (shape, Fixed(indices), *rest), attrs, opset=18)


_FAR = np.array([0, -1, 2**40, -(2**40), 4, -5, 2**31, -(2**63)])


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        (_indexed("Gather", (4,), _FAR), lambda x: x[[0, 3, 3, 0, 3, 0, 3, 0]]),
        (_indexed("GatherElements", (4,), _FAR), lambda x: x[[0, 3, 3, 0, 3, 0, 3, 0]]),
        (_indexed("GatherND", (4,), _FAR[:, None]), lambda x: x[[0, 3, 3, 0, 3, 0, 3, 0]]),
        (_indexed("ScatterElements", (4,), _FAR, np.arange(8, dtype=np.float32)), lambda x: [0, x[1], x[2], 1]),
        (_indexed("ScatterND", (4,), _FAR[:, None], np.arange(8, dtype=np.float32)), lambda x: [0, x[1], x[2], 1]),
        (_indexed("ReverseSequence", (4, 4), np.array([-1, 2**40, 0, 3]), time_axis=1, batch_axis=0),
         lambda x: [x[0], x[1][::-1], x[2], [x[3][2], x[3][1], x[3][0], x[3][3]]]),
    ],
    ids=lambda item: item.op_type if isinstance(item, Case) else "",
)  # fmt: skip
def test_indices_outside(case: Case, wanted: Any, tmp_path: Path) -> None:
    need("gcc")
    model = imported(case_model(case))
    tree = emitted(model)
    inputs = {"in0": random_inputs(model)["in0"], "in1": case.inputs[1].values[None]}
    library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS))
    (got,) = run_library(tree, library, inputs)
    np.testing.assert_array_equal(got[0], np.array(wanted(inputs["in0"][0]), np.float32))


# ---- over their operand


def test_operand_that_is_read_later_stays(tmp_path: Path) -> None:
    """ScatterND, Trilu and Normalize may write over what they read, where nobody reads it afterwards."""
    n = Net(opset=18)
    a = n("Mul", "x", np.array(2, np.float32))
    b = n("ScatterND", a, np.array([[0], [3]]), np.ones((2, 4), np.float32))
    c = n("Trilu", b)
    d = n("LayerNormalization", n("Add", c, b), np.ones(4, np.float32))
    e = n("ScatterElements", d, np.array([[1], [0], [2], [-1]]), np.zeros((4, 1), np.float32), axis=1, reduction="add")
    n.left(n("Add", n("Add", a, d), e), (4, 4), tmp_path, (4, 4))


def test_one_operand_in_place_of_the_other(tmp_path: Path) -> None:
    """A chain of which each step takes the place of its operand needs the memory of one tensor."""
    need("gcc")
    n = Net()
    a = n("Mul", "x", np.array(2, np.float32))
    b = n("ScatterND", a, np.array([[0], [3]]), np.ones((2, 4), np.float32))
    c = n("LpNormalization", n("Trilu", b))
    result = n("Add", c, np.array(1, np.float32))
    proto = make_model(n.nodes, [value("x", (4, 4))], [result], n.constants, n.opset, [4, 4])
    model = imported(proto)
    tree = emitted(model)
    assert tree.manifest.memory.arena_bytes <= 4 * 4 * 4
    inputs = random_inputs(model, samples=2)
    library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS))
    assert_close(run_library(tree, library, inputs), expected(model, inputs))


def test_topk_one_result(tmp_path: Path) -> None:
    for wanted in (0, 1):
        n = Net()
        results = n("TopK", "x", i64(3), outputs=2, largest=0)
        made = results[wanted] if wanted == 0 else n("Cast", results[1], to=TensorProto.FLOAT)
        assert n.left(made, (2, 5, 4), tmp_path / str(wanted), (2, 5, 3))[0] == "TopK"
