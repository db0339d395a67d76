"""Graphs back to ONNX: every operator's cases, and random networks after the passes that keep the layout."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from harness import assert_close
from networks import NOT_BY_ORT, case_inputs, case_model, case_params, imported, random_inputs, random_network
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, NotImplemented
from quantizing import run

from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx_export import export_onnx
from edgewright.frontends.onnx_operators import EXPORTERS
from edgewright.ops import Case, Operator
from edgewright.quantization.prepare import prepare

CASES = [
    param for param in case_params() if not param.values[0].attrs.get("layout")  # which ONNX Runtime does not have
    if param.id not in NOT_BY_ORT and "Linear" not in param.id and not param.id.startswith("com.microsoft.")
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_case_comes_back(case: Case) -> None:
    proto = case_model(case)
    model = imported(proto)
    try:
        exported = export_onnx(model.graph)
    except UnsupportedError as error:  # dilated average pools, odd resizes
        pytest.skip(str(error))
    onnx.checker.check_model(exported, full_check=True)
    inputs = {name: np.asarray(values[0]) for name, values in case_inputs(case, model).items()}
    ends = (*model.graph.inputs, *model.graph.outputs)
    if any(model.graph.tensors[name].dtype.numpy.isbuiltin != 1 for name in ends):  # ONNX Runtime has no such arrays
        wanted, got = (ReferenceEvaluator(p).run(None, inputs) for p in (model.serialized, exported))
        assert_close(got, wanted)
        return
    try:
        wanted = run(model.serialized, inputs)
    except (NotImplemented, Fail) as error:  # a type that it has no kernel for, an operator set that it does not know
        pytest.skip(str(error).splitlines()[0])
    assert_close(run(exported, inputs), wanted)


@pytest.mark.parametrize("seed", range(20, 26))
def test_network_comes_back(seed: int) -> None:
    model = imported(random_network(seed))
    inputs = {name: values[0] for name, values in random_inputs(model, 1).items()}
    wanted = run(model.serialized, inputs)
    for graph in (model.graph, prepare(model.graph)):
        exported = export_onnx(graph)
        assert_close(run(exported, inputs), wanted)
        assert [v.name for v in exported.graph.input] == [v.name for v in random_network(seed).graph.input]


def test_every_float_operator_has_a_way_out() -> None:
    integer = {name for name in Operator.registry if name.startswith("Q")} | {"Quantize", "Dequantize"}
    planned = {"Copy"}  # the planner's own: never in a graph that is exported
    assert set(Operator.registry) - integer - planned <= set(EXPORTERS)


def test_four_bits_are_packed_as_onnx_wants() -> None:
    from edgewright.frontends.onnx_export import _integer_tensor

    values = np.array([[-8, 7, 3], [0, -1, 5], [1, 2, -3]], np.int8)
    tensor = _integer_tensor(values, 4, "w")
    assert tensor.data_type == onnx.TensorProto.INT4
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor).astype(np.int8), values)
