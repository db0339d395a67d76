"""What moves elements by index moves integers, where the conversions of the model allow it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import compile_model, emitted, run_library
from networks import constant, expected, imported, make_model, value
from onnx import TensorProto, helper

from edgewright.ir import DType
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.plan import make_plan


def quantized(name: str, constants: list[onnx.TensorProto], zero: int = 3) -> list[str]:
    constants += [constant(f"{name}_scale", np.float32(0.05)), constant(f"{name}_zero", np.uint8(zero))]
    return [f"{name}_scale", f"{name}_zero"]


def check(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], constants: list[onnx.TensorProto],
          feeds: dict[str, np.ndarray], shape: list[int], tmp_path: Path) -> list[tuple[str, DType]]:  # fmt: skip
    """The C gives what ONNX Runtime gives; returns the operators that run and what they make."""
    need("gcc")
    model = imported(make_model(nodes, inputs, ["y"], constants, output_shape=shape))
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS))
    (got,) = run_library(tree, library, feeds)
    np.testing.assert_array_equal(got, expected(model, feeds)[0])
    graph = run_passes(model.graph)
    for core in (Core(), Core(frozenset({"fpu", "dsp"}))):
        make_plan(graph, core)
    return [(node.op, graph.tensors[node.output].dtype) for node in graph.nodes]


def test_table_of_bytes_stays_one(tmp_path: Path) -> None:
    """An embedding whose table is dequantized: what is picked is, and no float table is in flash."""
    rng = np.random.default_rng(1)
    constants = [constant("table", rng.integers(0, 255, (50, 8)).astype(np.uint8))]
    nodes = [
        helper.make_node("DequantizeLinear", ["table", *quantized("table", constants)], ["floats"]),
        helper.make_node("Gather", ["floats", "at"], ["y"]),
    ]
    at = np.array([[3, 49, -1, 0]])
    ran = check(nodes, [value("at", [4], TensorProto.INT64)], constants, {"at": at}, [4, 8], tmp_path)
    assert ran == [("Gather", DType.U8), ("Dequantize", DType.F32)]


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND", "ReverseSequence", "Expand"])
def test_moved_between_conversions(op: str, tmp_path: Path) -> None:
    constants: list[onnx.TensorProto] = []
    wide = op == "Expand"
    operand = {"Gather": [1, 0, 1, 1], "GatherElements": [[1, 0, 1, 1]] * 4, "GatherND": [[0, 1], [3, 3]],
               "ReverseSequence": [3, 0, 4, 1], "Expand": [4, 4]}[op]  # fmt: skip
    inputs = [value("x", [1, 4] if wide else [4, 4])]
    if wide:
        constants.append(constant("at", np.array(operand)))
    else:
        inputs.append(value("at", np.array(operand).shape, TensorProto.INT64))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *quantized("x", constants)], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "x_scale", "x_zero"], ["floats"]),
        helper.make_node(op, ["floats", "at"], ["moved"]),
        helper.make_node("QuantizeLinear", ["moved", "x_scale", "x_zero"], ["again"]),
        helper.make_node("DequantizeLinear", ["again", "x_scale", "x_zero"], ["y"]),
    ]
    x = np.random.default_rng(2).standard_normal((1, 1, 4) if wide else (1, 4, 4)).astype(np.float32)
    feeds = {"x": x} if wide else {"x": x, "at": np.array(operand)[None]}
    ran = check(nodes, inputs, constants, feeds, [2] if op == "GatherND" else [4, 4], tmp_path)
    assert ran == [("Quantize", DType.U8), (op, DType.U8), ("Dequantize", DType.F32)]
