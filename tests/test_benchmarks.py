"""The benchmarks' own networks have the shapes that they are named after, and pass through the pipeline."""

import sys

import numpy as np
import onnx
import pytest
from conftest import REPOSITORY
from networks import imported

from edgewright.pipeline import plan

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from mcu_networks import NETWORKS, make

MACS = {"digits": 173_760, "kws": 2_656_768, "ic": 12_501_632, "ad": 264_192, "vww": 7_489_664}


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes(name):
    model, x = make(name, samples=2)
    onnx.checker.check_model(model)
    again, x_again = make(name, samples=2)
    assert model.SerializeToString() == again.SerializeToString()
    np.testing.assert_array_equal(x, x_again)
    planned = plan(imported(model))
    assert planned.macs == MACS[name]
    activations = [tensor for tensor in planned.graph.tensors.values() if tensor.data is None]
    assert not any(tensor.dtype.name.startswith("F") for tensor in activations)
