"""What the larger examples' training scripts share: the loop, and the way from torch's layers to ONNX.

BatchNormalization and Relu stay nodes of their own in the ONNX file, so that the compiler has something to fold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Make = Callable[[int, int], tuple[FloatArray, IntArray]]  # samples and seed to x and y

OPSET = 17
IR_VERSION = 8  # the ONNX IR version that goes with opset 17
BATCH = 64
TEST_SEED = 1  # of the samples that training never sees


class Residual(nn.Module):
    """relu(main(x) + side(x)), where `side` may be nothing."""

    def __init__(self, main: nn.Sequential, side: nn.Sequential) -> None:
        super().__init__()
        self.main = main
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.main(x) + self.side(x))


def fit(network: nn.Module, make: Make, samples: int, epochs: int, rate: float, seed: int) -> nn.Module:
    """Train on seeded data, made anew for each epoch; returns the network in evaluation mode."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, epochs=epochs, steps_per_epoch=math.ceil(samples / BATCH)
    )
    for epoch in range(epochs):
        x, y = make(samples, 1000 + epoch)
        images, labels = torch.from_numpy(x), torch.from_numpy(y)
        total = 0.0
        for chosen in torch.randperm(len(x), generator=rng).split(BATCH):
            loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(x):.4f}", flush=True)
    return network.eval()


class _Exporter:
    """Writes torch layers as ONNX nodes, one after the other."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.counts: dict[str, int] = {}

    def constant(self, name: str, values: torch.Tensor | None) -> str:
        if values is None:
            raise TypeError(f"{name} is not there")
        self.weights.append(numpy_helper.from_array(values.detach().numpy(), name))
        return name

    def node(self, op: str, inputs: list[str], hint: str, **attributes: object) -> str:
        self.counts[hint] = self.counts.get(hint, 0) + 1
        name = f"{hint}{self.counts[hint]}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def layer(self, layer: nn.Module, x: str) -> str:
        match layer:
            case nn.Sequential():
                for part in layer:
                    x = self.layer(part, x)
                return x
            case Residual():
                main, side = self.layer(layer.main, x), self.layer(layer.side, x)
                return self.node("Relu", [self.node("Add", [main, side], "add")], "relu")
            case nn.Conv2d():
                name = f"conv{self.counts.get('conv', 0) + 1}"
                pads = [*layer.padding, *layer.padding]
                return self.node("Conv", [x, self.constant(f"{name}_weight", layer.weight)], "conv", group=layer.groups,
                                 kernel_shape=layer.kernel_size, strides=layer.stride, pads=pads)  # fmt: skip
            case nn.BatchNorm2d():
                name = f"bn{self.counts.get('bn', 0) + 1}"
                parts = {"scale": layer.weight, "shift": layer.bias, "mean": layer.running_mean,
                         "variance": layer.running_var}  # fmt: skip
                names = [self.constant(f"{name}_{part}", values) for part, values in parts.items()]
                return self.node("BatchNormalization", [x, *names], "bn", epsilon=layer.eps)
            case nn.ReLU():
                return self.node("Relu", [x], "relu")
            case nn.AdaptiveAvgPool2d():
                return self.node("GlobalAveragePool", [x], "pool")
            case nn.Flatten():
                return self.node("Flatten", [x], "flatten", axis=1)
            case nn.Linear():
                constants = [self.constant("dense_weight", layer.weight), self.constant("dense_bias", layer.bias)]
                return self.node("Gemm", [x, *constants], "dense", transB=1)
            case nn.Dropout() | nn.Identity():
                return x
            case _:
                raise TypeError(f"no ONNX node for {type(layer).__name__}")


def to_onnx(network: nn.Module, name: str, entry: str, shape: tuple[int, ...], classes: int) -> onnx.ModelProto:
    """Return the network as an ONNX model: `entry` (batch, *shape) to `probabilities` (batch, classes)."""
    exporter = _Exporter()
    logits = exporter.layer(network, entry)
    exporter.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], "softmax", axis=1))
    graph = helper.make_graph(
        exporter.nodes, name,
        [helper.make_tensor_value_info(entry, TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        exporter.weights,
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name=f"edgewright examples/{name}/train.py",
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    return model


def write(model: onnx.ModelProto, path: Path, make: Make, test_samples: int) -> None:
    """Write the model, and print what it is worth on samples it never saw."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    x, y = make(test_samples, TEST_SEED)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: x})
    right = int((probabilities.argmax(axis=1) == y).sum())
    print(f"{path}: {path.stat().st_size} bytes")
    print(f"ONNX Runtime: {right} of {len(y)} held-out samples right, {100 * right / len(y):.2f} %")
