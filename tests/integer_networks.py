"""Seeded random integer networks in QDQ form: odd sizes, strides, pads, groups, residuals, concatenations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from networks import constant, make_model
from onnx import TensorProto, helper

TYPES = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}


@dataclass(frozen=True)
class Value:
    """A quantized tensor: its name, shape (NCHW or flat), scale and zero point."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: int
    dtype: str


class Builder:
    """Adds layers, each between DequantizeLinear and QuantizeLinear, with scales that keep results spread out."""

    def __init__(self, seed: int, dtype: str | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype or str(self.rng.choice(["int8", "int8", "uint8"]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def fresh(self) -> str:
        return f"t{len(self.nodes)}_{len(self.constants)}"

    def const(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(constant(name, array))
        return name

    def add(self, op: str, inputs: list[str], **attrs: Any) -> str:
        name = self.fresh()
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(self.nodes)}", **attrs))
        return name

    def limits(self, dtype: str) -> tuple[int, int]:
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)

    def real(self, x: Value) -> str:
        zero = self.const(np.array(x.zero, x.dtype))
        return self.add("DequantizeLinear", [x.name, self.const(np.float32(x.scale)), zero])

    def quantized(self, real: str, shape: tuple[int, ...], scale: float, zero: int, name: str | None = None) -> Value:
        operands = [real, self.const(np.float32(scale)), self.const(np.array(zero, self.dtype))]
        result = self.add("QuantizeLinear", operands)
        if name is not None:
            self.nodes[-1].output[0] = result = name
        return Value(result, shape, float(np.float32(scale)), zero, self.dtype)

    def zero(self, relu: bool) -> int:
        low, high = self.limits(self.dtype)
        if relu and self.rng.random() < 0.8:
            return low
        middle = (low + high + 1) // 2
        return int(np.clip(middle + self.rng.integers(-40, 41), low, high))

    def weights(self, shape: tuple[int, ...], bits: int = 8) -> tuple[str, np.ndarray]:
        """A DequantizeLinear of constants, per channel mostly; and the scales, one a channel."""
        reach = 2 ** (bits - 1) - 1
        values = np.clip(np.rint(self.rng.standard_normal(shape) * reach / 2.5), -reach - 1, reach).astype(np.int8)
        if self.rng.random() < 0.3:  # the extremes, all at once
            values.reshape(len(values), -1)[0] = self.rng.choice([-reach - 1, reach], values[0].size)
        if self.rng.random() < 0.8:
            scales = self.rng.uniform(0.002, 0.02, shape[0]).astype(np.float32)
            operands = [self.const(values), self.const(scales), self.const(np.zeros(shape[0], np.int8))]
            return self.add("DequantizeLinear", operands, axis=0), scales
        scale = np.float32(self.rng.uniform(0.002, 0.02))
        real = self.add("DequantizeLinear", [self.const(values), self.const(scale), self.const(np.int8(0))])
        return real, np.full(shape[0], scale, np.float32)

    def bias(self, x: Value, scales: np.ndarray, terms: int) -> str:
        steps = (np.float32(x.scale) * scales).astype(np.float32)
        spread = 40 * 60 * np.sqrt(terms)
        values = np.rint(self.rng.standard_normal(len(scales)) * spread).astype(np.int32)
        operands = [self.const(values), self.const(steps), self.const(np.zeros(len(scales), np.int32))]
        return self.add("DequantizeLinear", operands, axis=0)

    def output_scale(self, x: Value, scales: np.ndarray, terms: int) -> float:
        low, high = self.limits(x.dtype)
        spread = (high - low) / 4
        return float(x.scale * scales.mean() * spread * 50 * np.sqrt(terms) / ((high - low) / 5))

    def finish(self, core: str, shape: tuple[int, ...], scale: float) -> Value:
        relu = self.rng.random() < 0.6
        if relu:
            kind = self.rng.random()
            core = self.add("Relu", [core]) if kind < 0.8 else self.add(
                "Clip", [core, self.const(np.float32(0)), self.const(np.float32(scale * 90))]
            )
        return self.quantized(core, shape, scale, self.zero(relu))

    # ---- layers

    def conv(self, x: Value, out: int, kernel: tuple[int, int], group: int = 1, bits: int = 8) -> Value | None:
        c, h, w = x.shape[1:]
        strides = [int(self.rng.choice([1, 1, 2, 3])) for _ in kernel]
        dilations = [int(self.rng.choice([1, 1, 1, 2])) for _ in kernel]
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        sizes = [(n + pads[i] + pads[i + 2] - reach[i]) // strides[i] + 1 for i, n in enumerate((h, w))]
        if min(sizes) < 1:
            return None
        shape = (out, c // group, *kernel)
        terms = int(np.prod(shape[1:]))
        real = self.real(x)
        weights, scales = self.weights(shape, bits)
        inputs = [real, weights]
        if self.rng.random() < 0.8:
            inputs.append(self.bias(x, scales, terms))
        core = self.add("Conv", inputs, strides=strides, pads=pads, dilations=dilations, group=group,
                        kernel_shape=list(kernel))  # fmt: skip
        return self.finish(core, (1, out, *sizes), self.output_scale(x, scales, terms))

    def linear(self, x: Value, out: int) -> Value:
        features = int(np.prod(x.shape[1:]))
        flat = self.add("Flatten", [self.real(x)])
        weights, scales = self.weights((out, features))
        core = self.add("Gemm", [flat, weights, self.bias(x, scales, features)], transB=1)
        return self.finish(core, (1, out), self.output_scale(x, scales, features))

    def pool(self, x: Value) -> Value | None:
        c, h, w = x.shape[1:]
        kernel = [int(self.rng.integers(1, 4)), int(self.rng.integers(1, 4))]
        strides = [int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3))]
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        sizes = [(n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, n in enumerate((h, w))]
        if min(sizes) < 1:
            return None
        attrs = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        if self.rng.random() < 0.5:
            core = self.add("MaxPool", [self.real(x)], **attrs)
            return self.quantized(core, (1, c, *sizes), x.scale, x.zero)
        core = self.add("AveragePool", [self.real(x)], count_include_pad=int(self.rng.integers(0, 2)), **attrs)
        return self.finish(core, (1, c, *sizes), x.scale * float(self.rng.choice([1.0, 0.6])))

    def binary(self, a: Value, b: Value) -> Value:
        op = str(self.rng.choice(["Add", "Add", "Sub", "Mul"]))
        core = self.add(op, [self.real(a), self.real(b)])
        low, high = self.limits(a.dtype)
        scale = a.scale * b.scale * (high - low) / 4 if op == "Mul" else (a.scale + b.scale) * 0.7
        return self.finish(core, a.shape, scale)

    def concat(self, a: Value, b: Value) -> Value:
        core = self.add("Concat", [self.real(a), self.real(b)], axis=1)
        shape = (1, a.shape[1] + b.shape[1], *a.shape[2:])
        return self.quantized(core, shape, max(a.scale, b.scale), self.zero(False))

    def table(self, x: Value) -> Value:
        op = str(self.rng.choice(["Sigmoid", "Tanh", "HardSwish", "LeakyRelu"]))
        core = self.add(op, [self.real(x)])
        low, high = self.limits(self.dtype)
        if op in ("Sigmoid", "Tanh"):
            return self.quantized(core, x.shape, (1 if op == "Sigmoid" else 2) / (high - low), self.zero(False))
        return self.quantized(core, x.shape, x.scale, self.zero(False))

    def pad(self, x: Value) -> Value:
        pads = [0, 0, *self.rng.integers(0, 3, 2).tolist(), 0, 0, *self.rng.integers(0, 3, 2).tolist()]
        core = self.add("Pad", [self.real(x), self.const(np.array(pads, np.int64))])
        shape = (1, x.shape[1], x.shape[2] + pads[2] + pads[6], x.shape[3] + pads[3] + pads[7])
        return self.quantized(core, shape, x.scale, x.zero)


def integer_network(seed: int, dtype: str | None = None) -> onnx.ModelProto:
    """A random network with integer input and output; float input and output for one seed in four."""
    b = Builder(seed, dtype)
    rng = b.rng
    shape = (1, int(rng.integers(1, 10)), int(rng.integers(4, 12)), int(rng.integers(4, 12)))
    low, high = b.limits(b.dtype)
    zero = int(rng.integers(low, high + 1))
    scale = float(np.float32(rng.uniform(0.01, 0.1)))
    outside = b.dtype == "int16" or rng.random() < 0.25
    if outside:
        port = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        x = b.quantized("x", shape, scale, zero)
    else:
        port = helper.make_tensor_value_info("x", TYPES[b.dtype], shape)
        x = Value("x", shape, scale, zero, b.dtype)
    for _ in range(int(rng.integers(2, 7))):
        x = _layer(b, x) or x
    if rng.random() < 0.5:
        x = b.linear(x, int(rng.integers(1, 14)))
        if rng.random() < 0.5 and b.dtype != "int16" and x.shape[1] > 1:
            core = b.add("Softmax", [b.real(x)], axis=-1)
            x = b.quantized(core, x.shape, 1 / 256, low)
    result = b.add("Identity", [b.real(x)]) if outside else x.name
    if not outside and x.name == "x":
        result = b.conv(Value("x", shape, scale, zero, b.dtype), 3, (1, 1)).name  # type: ignore[union-attr]
    opset = 21 if b.dtype == "int16" else 17
    return make_model(b.nodes, [port], [result], b.constants, opset=opset)


def _layer(b: Builder, x: Value) -> Value | None:
    rng = b.rng
    c, h, w = x.shape[1:]
    kind = rng.choice(
        ["conv", "conv", "pointwise", "depthwise", "grouped", "int4", "pool", "residual", "concat", "table", "pad"]
    )
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    if kind == "conv":
        return b.conv(x, int(rng.integers(1, 20)), kernel if rng.random() < 0.5 else (3, 3))
    if kind == "pointwise":
        return b.conv(x, int(rng.integers(1, 24)), (1, 1))
    if kind == "depthwise":
        return b.conv(x, c * int(rng.choice([1, 1, 1, 2])), (3, 3) if rng.random() < 0.7 else kernel, group=c)
    if kind == "grouped" and c % 2 == 0:
        return b.conv(x, 2 * int(rng.integers(1, 6)), kernel, group=2)
    if kind == "int4":
        return b.conv(x, int(rng.integers(1, 10)), kernel, bits=4)
    if kind == "pool":
        return b.pool(x)
    if kind == "residual":
        return b.binary(x, _same_size(b, x))
    if kind == "concat" and c < 24:
        return b.concat(x, _same_size(b, x))
    if kind == "table" and b.dtype != "int16":
        return b.table(x)
    if kind == "pad" and h * w < 200:
        return b.pad(x)
    return None


def _same_size(b: Builder, x: Value) -> Value:
    """A 3x3 convolution that keeps the shape."""
    c = x.shape[1]
    weights, scales = b.weights((c, c, 3, 3))
    core = b.add("Conv", [b.real(x), weights, b.bias(x, scales, 9 * c)], pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    return b.finish(core, x.shape, b.output_scale(x, scales, 9 * c))


def integer_inputs(model: Any, samples: int, seed: int) -> dict[str, np.ndarray]:
    """The whole range of an integer input. Shapes: (samples, *the input's own shape)."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in model.graph.inputs:
        tensor = model.graph.tensors[name]
        shape = (samples, *tensor.shape)
        if tensor.dtype.numpy.kind == "f":
            inputs[name] = (rng.standard_normal(shape) * 3).astype(np.float32)
        else:
            info = np.iinfo(tensor.dtype.numpy)
            values = rng.integers(info.min, info.max + 1, shape)
            values[0] = rng.choice([info.min, info.max], shape[1:])  # one sample of extremes
            inputs[name] = values.astype(tensor.dtype.numpy)
    return inputs
