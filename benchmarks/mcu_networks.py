"""Network shapes as int8 models (QDQ, per channel) with seeded weights: for figures, not for use.

Four have the layers of the MLPerf Tiny reference networks (mlcommons/tiny: DS-CNN, ResNet8, a dense autoencoder,
MobileNetV1 0.25), normalizations folded; a small one has those of examples/digits. Weights, calibration data and
samples are random numbers from a fixed seed: sizes, instructions and cycles are what trained weights would give (but
for a few data-dependent instructions), accuracy has no meaning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewright.frontends.reference import run_reference

SEED = 20260301
OPSET = 17
CALIBRATION_SAMPLES = 16
Pads = tuple[int, int, int, int]  # top, left, bottom, right
Floats = NDArray[np.float32]
Params = tuple[np.float32, np.int8]  # scale and zero point
SAME: Pads = (1, 1, 1, 1)
SAME_STRIDE_2: Pads = (0, 0, 1, 1)  # of a 3x3 window over an even size


class Network:
    """A float graph of Conv, Gemm, Relu, Add, pooling and Softmax, and its quantized twin."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name = name
        self.shape = shape
        self.rng = np.random.default_rng(SEED + sum(map(ord, name)))
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Floats] = {}
        self.macs = 0

    def add(self, op: str, inputs: list[str], **attrs: object) -> str:
        """Append a node; returns its output's name."""
        output = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attrs))
        return output

    def _weighted(self, op: str, x: str, shape: tuple[int, ...], fan_in: int, relu: bool, **attrs: object) -> str:
        key = f"{op.lower()}{len(self.nodes)}"
        w = self.rng.normal(0, math.sqrt(2 / fan_in), shape).astype(np.float32)
        # A filter without a positive weight is dead behind a Relu, and a pass would take it out: training leaves none.
        dead = w.reshape(len(w), -1).max(axis=1) <= 0
        w[dead] = -w[dead]
        self.weights[f"{key}.w"] = w
        self.weights[f"{key}.b"] = self.rng.normal(0, 0.1, shape[0]).astype(np.float32)
        y = self.add(op, [x, f"{key}.w", f"{key}.b"], **attrs)
        return self.add("Relu", [y]) if relu else y

    def conv(
        self, x: str, channels: tuple[int, int, int], *, out: tuple[int, int], kernel: tuple[int, int] = (3, 3),
        stride: int = 1, pads: Pads = SAME, relu: bool = True,
    ) -> str:  # fmt: skip
        """`channels`: of the input, of the output, and groups; `out`: rows and columns of the result."""
        channels_in, channels_out, group = channels
        fan_in = channels_in // group * kernel[0] * kernel[1]
        self.macs += fan_in * channels_out * out[0] * out[1]
        return self._weighted("Conv", x, (channels_out, channels_in // group, *kernel), fan_in, relu,
                              kernel_shape=kernel, strides=[stride, stride], pads=list(pads), group=group)  # fmt: skip

    def dense(self, x: str, n_in: int, n_out: int, *, relu: bool) -> str:
        self.macs += n_in * n_out
        return self._weighted("Gemm", x, (n_out, n_in), n_in, relu, transB=1)

    def samples(self, count: int) -> Floats:
        """Random inputs in [-1, 1), smooth enough that layers see different regions differently."""
        coarse = self.rng.uniform(-1, 1, (count, *self.shape))
        level = self.rng.uniform(-0.5, 0.5, (count, *[1] * len(self.shape)))
        return np.clip(0.7 * coarse + level, -1, 1).astype(np.float32)

    def float_model(self, outputs: list[str]) -> onnx.ModelProto:
        constants = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])
        ys = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, self.name, [x], ys, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def quantized(self, x: Floats) -> onnx.ModelProto:
        """The int8 model, calibrated on `x`: asymmetric activations, symmetric weights per channel, int8 in and out."""
        return _Quantizer(self, x).model()


class _Quantizer:
    def __init__(self, network: Network, x: Floats) -> None:
        self.network = network
        names = [node.output[0] for node in network.nodes]
        run = run_reference(network.float_model(names).SerializeToString(), {"x": x[:, None]})
        self.ranges = {"x": (-1.0, 1.0)} | {
            name: (float(values.min()), float(values.max())) for name, values in zip(names, run.outputs, strict=True)
        }
        self.params: dict[str, Params] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def emit(self, op: str, inputs: list[str], output: str, **attrs: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attrs))
        return output

    def dequantized(self, name: str, quantized: str, params: Params) -> str:
        self.params[name] = params
        scale, zero = (self.constant(f"{name}.{key}", np.asarray(value))
                       for key, value in zip(("scale", "zero"), params, strict=True))  # fmt: skip
        return self.emit("DequantizeLinear", [quantized, scale, zero], name)

    def activation(self, name: str, params: Params, source: str) -> None:
        """Quantize `source`; the tensor called `name` is then what came back from int8."""
        keys = [self.constant(f"{name}.q.{key}", np.asarray(v)) for key, v in zip(("s", "z"), params, strict=True)]
        quantized = self.emit("QuantizeLinear", [source, *keys], f"{name}.q")
        self.dequantized(name, quantized, params)

    def calibrated(self, name: str) -> Params:
        low, high = (min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0))
        scale = np.float32((high - low) / 255 or 1.0)
        return scale, np.int8(np.clip(np.rint(-128 - low / scale), -128, 127))

    def weighted(self, node: onnx.NodeProto) -> list[str]:
        x, w_name, b_name = node.input
        w, b = self.network.weights[w_name], self.network.weights[b_name]
        scale = (np.abs(w.reshape(len(w), -1)).max(axis=1) / 127).astype(np.float32)
        by_channel = scale.reshape(-1, *[1] * (w.ndim - 1))
        names = []
        for name, values, step in (
            (w_name, np.clip(np.rint(w / by_channel), -127, 127).astype(np.int8), scale),
            (b_name, np.rint(b / (self.params[x][0] * scale)).astype(np.int32), self.params[x][0] * scale),
        ):
            inputs = [self.constant(f"{name}.q", values), self.constant(f"{name}.scale", step),
                      self.constant(f"{name}.zero", np.zeros(len(w), values.dtype))]  # fmt: skip
            names.append(self.emit("DequantizeLinear", inputs, name, axis=0))
        return [x, *names]

    def model(self) -> onnx.ModelProto:
        self.dequantized("x", "input", self.calibrated("x"))
        followed_by_relu = {node.input[0] for node in self.network.nodes if node.op_type == "Relu"}
        for node in self.network.nodes:
            name = node.output[0]
            inputs = self.weighted(node) if node.op_type in ("Conv", "Gemm") else list(node.input)
            attrs = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            if name in followed_by_relu:
                self.emit(node.op_type, inputs, name, **attrs)
                continue
            self.emit(node.op_type, inputs, f"{name}.float", **attrs)
            if node.op_type in ("GlobalAveragePool", "MaxPool", "Flatten"):
                params = self.params[node.input[0]]
            elif node.op_type == "Softmax":
                params = (np.float32(1 / 256), np.int8(-128))
            else:
                params = self.calibrated(name)
            self.activation(name, params, f"{name}.float")
        last = self.nodes.pop()  # the output stays int8
        self.constants = [constant for constant in self.constants if constant.name not in last.input]
        shape = [1, *self.network.shape]
        graph = helper.make_graph(
            self.nodes, self.network.name, [helper.make_tensor_value_info("input", TensorProto.INT8, shape)],
            [helper.make_tensor_value_info(last.input[0], TensorProto.INT8, None)], self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def kws() -> Network:
    """Keyword spotting: DS-CNN, 49 x 10 features, 12 words."""
    net = Network("kws", (1, 49, 10))
    x = net.conv("x", (1, 64, 1), out=(25, 5), kernel=(10, 4), stride=2, pads=(4, 1, 5, 1))
    for _ in range(4):
        x = net.conv(x, (64, 64, 64), out=(25, 5))
        x = net.conv(x, (64, 64, 1), out=(25, 5), kernel=(1, 1), pads=(0, 0, 0, 0))
    return _classifier(net, x, 64, 12)


def ic() -> Network:
    """Image classification: ResNet8, 32 x 32 x 3, 10 classes."""
    net = Network("ic", (3, 32, 32))
    x = net.conv("x", (3, 16, 1), out=(32, 32))
    channels, size = 16, 32
    for wider in (16, 32, 64):
        stride = 1 if wider == channels else 2
        size //= stride
        y = net.conv(x, (channels, wider, 1), out=(size, size), stride=stride,
                     pads=SAME if stride == 1 else SAME_STRIDE_2)  # fmt: skip
        y = net.conv(y, (wider, wider, 1), out=(size, size), relu=False)
        if stride == 2:
            x = net.conv(x, (channels, wider, 1), out=(size, size), kernel=(1, 1), stride=2, pads=(0, 0, 0, 0),
                         relu=False)  # fmt: skip
        x = net.add("Relu", [net.add("Add", [x, y])])
        channels = wider
    return _classifier(net, x, 64, 10)


def ad() -> Network:
    """Anomaly detection: a dense autoencoder of 640 values."""
    net = Network("ad", (640,))
    x, sizes = "x", (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        x = net.dense(x, n_in, n_out, relu=index < len(sizes) - 2)
    return net


def vww() -> Network:
    """Visual wake words: MobileNetV1 with a width of 0.25, 96 x 96 x 3, 2 classes."""
    net = Network("vww", (3, 96, 96))
    x = net.conv("x", (3, 8, 1), out=(48, 48), stride=2, pads=SAME_STRIDE_2)
    channels, size = 8, 48
    for wider, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)):
        size //= stride
        x = net.conv(x, (channels, channels, channels), out=(size, size), stride=stride,
                     pads=SAME if stride == 1 else SAME_STRIDE_2)  # fmt: skip
        x = net.conv(x, (channels, wider, 1), out=(size, size), kernel=(1, 1), pads=(0, 0, 0, 0))
        channels = wider
    return _classifier(net, x, channels, 2)


def mobilenet_v2() -> Network:
    """Two classes of images, 96 x 96 x 3: MobileNetV2 with a width of 0.35, whose inner tensors are six times wider."""
    net = Network("mobilenet_v2", (3, 96, 96))
    x = net.conv("x", (3, 16, 1), out=(48, 48), stride=2, pads=SAME_STRIDE_2)
    channels, size = 16, 48
    for factor, wider, repeats, first in (
        (1, 8, 1, 1), (6, 8, 2, 2), (6, 16, 3, 2), (6, 24, 4, 2), (6, 32, 3, 1), (6, 56, 3, 2), (6, 112, 1, 1)
    ):  # fmt: skip
        for number in range(repeats):
            stride, inner = first if number == 0 else 1, factor * channels
            y, point = x, (0, 0, 0, 0)
            if factor > 1:
                y = net.conv(y, (channels, inner, 1), out=(size, size), kernel=(1, 1), pads=point)
            size //= stride
            y = net.conv(y, (inner, inner, inner), out=(size, size), stride=stride,
                         pads=SAME if stride == 1 else SAME_STRIDE_2)  # fmt: skip
            y = net.conv(y, (inner, wider, 1), out=(size, size), kernel=(1, 1), pads=point, relu=False)
            x = net.add("Add", [x, y]) if stride == 1 and channels == wider else y
            channels = wider
    x = net.conv(x, (channels, 1280, 1), out=(size, size), kernel=(1, 1), pads=(0, 0, 0, 0))
    return _classifier(net, x, 1280, 2)


def digits() -> Network:
    """Handwritten digits, 8 x 8: the layers of examples/digits."""
    net = Network("digits", (1, 8, 8))
    x = net.conv("x", (1, 12, 1), out=(8, 8))
    x = net.conv(x, (12, 16, 1), out=(8, 8))
    x = net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(x, (16, 24, 1), out=(4, 4))
    x = net.add("Flatten", [net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])], axis=1)
    net.add("Softmax", [net.dense(x, 96, 10, relu=False)], axis=1)
    return net


def _classifier(net: Network, x: str, channels: int, classes: int) -> Network:
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])], axis=1)
    net.add("Softmax", [net.dense(x, channels, classes, relu=False)], axis=1)
    return net


NETWORKS: dict[str, Callable[[], Network]] = {"digits": digits, "kws": kws, "ic": ic, "ad": ad, "vww": vww}


LARGE_NETWORKS: dict[str, Callable[[], Network]] = {"mobilenet_v2": mobilenet_v2}


def make(name: str, samples: int) -> tuple[onnx.ModelProto, np.ndarray]:
    """The int8 model, and samples for it. Shapes: (samples, *shape of the input), int8."""
    network = {**NETWORKS, **LARGE_NETWORKS}[name]()
    model = network.quantized(network.samples(CALIBRATION_SAMPLES))
    scale, zero = np.float32(2 / 255), np.int8(np.rint(-128 + 1 / np.float32(2 / 255)))
    x = np.clip(np.rint(network.samples(samples) / scale) + zero, -128, 127).astype(np.int8)
    return model, x
