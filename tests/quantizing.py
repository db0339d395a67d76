"""What the tests of quantization share: small networks, samples, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from networks import SEED, make_model, random_inputs, value
from onnx import helper, numpy_helper

from edgewright.frontends.onnx import Model
from edgewright.frontends.onnx_export import export_onnx
from edgewright.ir import Graph
from edgewright.quantization.execute import keeps_batch_axis
from edgewright.quantization.options import Options
from edgewright.quantization.post_training import PostTraining, quantize_graph


def run(proto: onnx.ModelProto | bytes, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs by ONNX Runtime, without its rewrites: what the file says."""
    raw = proto if isinstance(proto, bytes) else proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def samples(model: Model, count: int = 40, seed: int = SEED) -> dict[str, np.ndarray]:
    """Seeded samples as a data file has them. Shapes: (count, *shape without the leading 1)."""
    return {name: v.reshape(len(v), *v.shape[2:]) for name, v in random_inputs(model, count, seed).items()}


def image_network(seed: int = SEED, classes: int = 5) -> onnx.ModelProto:
    """Convolution, depthwise, pointwise, pooling, dense; channels of very different sizes, as training leaves them."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0, 1.2, (8, 1, 1, 1)))

    def constant(name: str, values: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(values.astype(np.float32), name)

    constants = [
        constant("w1", rng.standard_normal((8, 3, 3, 3)) * 0.3 * spread),
        constant("b1", rng.standard_normal(8) * 0.3 * spread.reshape(-1)),
        constant("w2", rng.standard_normal((8, 1, 3, 3)) * 0.5 / spread),
        constant("b2", rng.standard_normal(8) * 0.1),
        constant("w3", rng.standard_normal((12, 8, 1, 1)) * 0.4),
        constant("b3", rng.standard_normal(12) * 0.2),
        constant("w4", rng.standard_normal((classes, 12 * 9)) * 0.3),
        constant("b4", rng.standard_normal(classes) * 0.2),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1], group=8, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"], "conv3"),
        helper.make_node("Relu", ["c3"], ["r3"], "relu3"),
        helper.make_node("MaxPool", ["r3"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["scores"], "dense", transB=1),
    ]
    return make_model(nodes, [value("x", ["batch", 3, 12, 12])], ["scores"], constants, output_shape=["batch", classes])


def quantized(model: Model, options: Options | None = None, count: int = 40) -> tuple[PostTraining, onnx.ModelProto]:
    done = quantize_graph(model.graph, samples(model, count), options)
    return done, export_onnx(done.graph, done.quantization, dynamic_batch=keeps_batch_axis(done.graph))


def float_outputs(graph: Graph, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    return run(export_onnx(graph, dynamic_batch=keeps_batch_axis(graph)), feeds)[0]


def decibels(real: np.ndarray, rounded: np.ndarray) -> float:
    return float(10 * np.log10((real**2).sum() / max(((real - rounded) ** 2).sum(), 1e-30)))
