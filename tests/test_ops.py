"""Every operator's cases: ONNX node, import, passes, C on the host; against ONNX Runtime and the ONNX reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import all_cases, case_id, case_inputs, case_model, compiled_case_params, expected, imported
from onnx.reference import ReferenceEvaluator

from edgewright.ir import Graph
from edgewright.ops import ONNX_IMPORTERS, Case
from edgewright.ops.capped import capped_shapes, filled
from edgewright.passes import run_passes
from edgewright.simulate import run_once

# Cases that onnx.reference 1.23 gets wrong or refuses: compared with ONNX Runtime alone.
NOT_BY_ONNX = {
    "Pad-crop", "ConvTranspose-grouped", "ConvTranspose-output_shape", "Softmax-opset_11", "LogSoftmax-opset_11",
    "Hardmax-opset_11",
    "LSTM-clip", "LSTM-input_forget", "GRU-clip", "Resize-nearest_tensorflow", "Resize-opset_10",
    "Resize-opset_10_linear", "Upsample-opset_7", "Scatter-plain", "GlobalLpPool-image", "GlobalLpPool-p_1",
    "LSTM-lengths", "GRU-lengths",
    "GatherElements-first", "GatherElements-integers", "LpNormalization-l1", "GridSample-opset_16",
    "MaxRoiPool-plain", "RoiAlign-samples",
    "ConvTranspose-volume_grouped", "GlobalMaxPool-volume", "MaxPool-volume_bytes", "MaxPool-indices_of_a_sequence",
}  # fmt: skip


def evaluate(graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run a graph by the operators' own numpy references, one sample."""
    return [y[None] for y in run_once(graph, {name: array[0] for name, array in inputs.items()})]


def onnx_reference(proto: onnx.ModelProto, graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    made = ReferenceEvaluator(proto).run(None, {name: array[0] for name, array in inputs.items()})
    shapes = capped_shapes(graph)
    return [(np.asarray(y) if s is None else filled(y, s))[None] for y, s in zip(made, shapes, strict=True)]


@pytest.mark.parametrize("case", compiled_case_params())
def test_case_on_host(case: Case, tmp_path: Path) -> None:
    need("gcc")
    model = imported(case_model(case))
    inputs = case_inputs(case, model, samples=2)
    tree = emitted(model)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    flat = {name: values.reshape(2, *values.shape[1:]) for name, values in inputs.items()}
    assert_close(run_library(tree, library, flat), expected(model, inputs))


@pytest.mark.parametrize("case", all_cases(), ids=case_id)
def test_case_by_numpy(case: Case) -> None:
    """The numpy references, before and after the passes, against the ONNX reference (not ONNX Runtime)."""
    proto = case_model(case)
    model = imported(proto)
    inputs = case_inputs(case, model)
    alone = case_id(case) in NOT_BY_ONNX or "." in case.op_type or "activations" in case.attrs  # other domains, too
    wanted = expected(model, inputs) if alone else onnx_reference(proto, model.graph, inputs)
    assert_close(evaluate(run_passes(model.graph), inputs), wanted)
    before = evaluate(model.graph, inputs)
    if any(node.op == "Quantize" for node in model.graph.nodes):  # float arithmetic, which falls off exact ties
        assert all(np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in zip(before, wanted, strict=True))
    else:
        assert_close(before, wanted)


def test_every_importer_has_a_case() -> None:
    assert {case.op_type for case in all_cases()} == set(ONNX_IMPORTERS)
