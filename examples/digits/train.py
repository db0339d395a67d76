"""Train the digits example: a small CNN on real 8x8 scans of handwritten digits.

    pip install 'edgewright[ort,train]'
    python examples/digits/train.py [--out DIR]

Writes `digits.onnx` (float32, dynamic batch; BatchNormalization and Relu kept as nodes of their
own, so that the compiler has something to fold), `digits_test.npz` (`x`, `y`: images that the
training never saw) and `digits_calibration.npz` (some that it saw, to quantize with), then measures
the accuracy of the written files with ONNX Runtime.

Everything random is seeded and torch runs on one thread: the same versions on the same machine
write the same bytes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SEED = 2
TEST_IMAGES = 500
CALIBRATION_IMAGES = 200
CHANNELS = (12, 16, 24)  # output channels of the three convolutions
EPOCHS = 120
BATCH = 64
PEAK_LEARNING_RATE = 4e-3
OPSET = 17
IR_VERSION = 8  # the ONNX IR version that goes with opset 17


def load_split() -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Return x_train, y_train, x_test, y_test; stratified, the same on every call.

    Shapes: x (N, 1, 8, 8), scaled from the scan's 0..16 to 0..1; y (N,).
    """
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)[:, np.newaxis, :, :]
    y = digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=TEST_IMAGES, stratify=y, random_state=SEED
    )
    return x_train, y_train, x_test, y_test


def make_network() -> nn.Sequential:
    """Return the untrained network; its last layer gives logits."""
    c1, c2, c3 = CHANNELS
    return nn.Sequential(
        nn.Conv2d(1, c1, 3, padding=1, bias=False),
        nn.BatchNorm2d(c1),
        nn.ReLU(),
        nn.Conv2d(c1, c2, 3, padding=1, bias=False),
        nn.BatchNorm2d(c2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(c2, c3, 3, padding=1, bias=False),
        nn.BatchNorm2d(c3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(c3 * 2 * 2, 10),
    )


def distort(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Return each image turned, scaled and shifted a little (up to 0.2 rad, 10 % and 1 pixel)."""

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=rng) * 2 - 1) * limit

    angle, scale = uniform(0.2), 1 + uniform(0.1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    pixel = 2 / images.shape[-1]  # affine_grid's coordinates run from -1 to 1
    rows = [cos, -sin, uniform(pixel), sin, cos, uniform(pixel)]
    theta = torch.stack(rows, dim=1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def train(x: FloatArray, y: IntArray) -> nn.Sequential:
    """Return a network trained on x and y, in evaluation mode."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = torch.Generator().manual_seed(SEED)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    network = make_network()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=math.ceil(len(x) / BATCH)
    )
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x), generator=rng).split(BATCH):
            logits = network(distort(images[chosen], rng))
            loss = nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def to_onnx(network: nn.Sequential) -> onnx.ModelProto:
    """Return the network as an ONNX model: image (batch, 1, 8, 8) -> probabilities (batch, 10)."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, values: torch.Tensor) -> str:
        weights.append(numpy_helper.from_array(values.detach().numpy(), name))
        return name

    tensor, block = "image", 0

    def node(op: str, name: str, *constants: str, **attributes: object) -> None:
        nonlocal tensor
        nodes.append(helper.make_node(op, [tensor, *constants], [f"{name}_out"], name, **attributes))
        tensor = f"{name}_out"

    for layer in network:
        match layer:
            case nn.Conv2d():
                block += 1
                weight = constant(f"conv{block}_weight", layer.weight)
                node("Conv", f"conv{block}", weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            case nn.BatchNorm2d():
                parts = {
                    "scale": layer.weight,
                    "shift": layer.bias,
                    "mean": layer.running_mean,
                    "variance": layer.running_var,
                }
                names = [constant(f"bn{block}_{part}", values) for part, values in parts.items()]
                node("BatchNormalization", f"bn{block}", *names, epsilon=layer.eps)
            case nn.ReLU():
                node("Relu", f"relu{block}")
            case nn.MaxPool2d():
                node("MaxPool", f"pool{block}", kernel_shape=[2, 2], strides=[2, 2])
            case nn.Flatten():
                node("Flatten", "flatten", axis=1)
            case nn.Linear():
                dense = [constant("dense_weight", layer.weight), constant("dense_bias", layer.bias)]
                node("Gemm", "dense", *dense, transB=1)
            case _:
                raise TypeError(f"no ONNX node for {type(layer).__name__}")
    nodes.append(helper.make_node("Softmax", [tensor], ["probabilities"], "softmax", axis=1))

    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgewright examples/digits/train.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def measure(model_path: Path, data_path: Path) -> tuple[int, int]:
    """Return how many images ONNX Runtime classifies correctly, and of how many."""
    with np.load(data_path) as data:
        x, y = data["x"], data["y"]
    session = ort.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"image": x})
    return int((probabilities.argmax(axis=1) == y).sum()), len(y)


def main() -> None:
    """Train, write the files, and print what they are worth."""
    parser = argparse.ArgumentParser(description="Train the digits example.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    x_train, y_train, x_test, y_test = load_split()
    network = train(x_train, y_train)
    model_path, data_path = out / "digits.onnx", out / "digits_test.npz"
    onnx.save(to_onnx(network), model_path)
    np.savez_compressed(data_path, x=x_test, y=y_test)
    calibration_path = out / "digits_calibration.npz"
    np.savez_compressed(calibration_path, x=x_train[:CALIBRATION_IMAGES], y=y_train[:CALIBRATION_IMAGES])

    parameters = sum(values.numel() for values in network.parameters())
    right, total = measure(model_path, data_path)
    print(f"trained on {len(x_train)} images; {parameters} parameters")
    for path in (model_path, data_path, calibration_path):
        print(f"{path}: {path.stat().st_size} bytes")
    print(f"ONNX Runtime: {right} of {total} held-out images right, {100 * right / total:.2f} %")


if __name__ == "__main__":
    main()
