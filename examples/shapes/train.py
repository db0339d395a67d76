"""Train the shapes example: a residual network on made-up pictures.

    pip install 'edgewright[ort,train]'
    python examples/shapes/train.py [--out DIR]

Writes `shapes.onnx`: float32, dynamic batch. Everything random is seeded and torch runs on one thread: the same
versions on the same machine write the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch import nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import data  # noqa: E402
import training  # noqa: E402

SAMPLES, EPOCHS, PEAK_RATE, SEED = 8000, 24, 6e-3, 5
TEST_SAMPLES = 3000
CHANNELS = (12, 24, 40)


def _block(inputs: int, outputs: int, stride: int) -> training.Residual:
    main = nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
    )  # fmt: skip
    if stride == 1:
        return training.Residual(main, nn.Sequential())
    side = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    return training.Residual(main, side)


def make_network() -> nn.Sequential:
    """Return the untrained network; its last layer gives logits."""
    first, second, third = CHANNELS
    return nn.Sequential(
        nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
        _block(first, first, 1), _block(first, second, 2), _block(second, third, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, data.CLASSES),
    )  # fmt: skip


def main() -> None:
    """Train, write, and print what it is worth."""
    parser = argparse.ArgumentParser(description="Train the shapes example.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    out: Path = parser.parse_args().out
    training.torch.manual_seed(SEED)
    network = training.fit(make_network(), data.make, SAMPLES, EPOCHS, PEAK_RATE, SEED)
    model = training.to_onnx(network, "shapes", "image", (3, data.SIZE, data.SIZE), data.CLASSES)
    training.write(model, out / "shapes.onnx", data.make, TEST_SAMPLES)


if __name__ == "__main__":
    main()
