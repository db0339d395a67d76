"""Train the keywords example: a keyword spotter of depthwise separable convolutions (DS-CNN) on made-up words.

    pip install 'edgewright[ort,train]'
    python examples/keywords/train.py [--out DIR]

Writes `keywords.onnx`: float32, dynamic batch. Everything random is seeded and torch runs on one thread: the same
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

SAMPLES, EPOCHS, PEAK_RATE, SEED = 8000, 16, 4e-3, 3
TEST_SAMPLES = 3000
CHANNELS, BLOCKS = 56, 4


def make_network() -> nn.Sequential:
    """Return the untrained network; its last layer gives logits."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, CHANNELS, (10, 4), stride=2, padding=(5, 1), bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU(),
    ]  # fmt: skip
    for _ in range(BLOCKS):
        for convolution in (
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False),
            nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False),
        ):
            layers += [convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(CHANNELS, data.CLASSES)]
    return nn.Sequential(*layers)


def main() -> None:
    """Train, write, and print what it is worth."""
    parser = argparse.ArgumentParser(description="Train the keywords example.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    out: Path = parser.parse_args().out
    training.torch.manual_seed(SEED)
    network = training.fit(make_network(), data.make, SAMPLES, EPOCHS, PEAK_RATE, SEED)
    shape = (1, data.FRAMES, data.COEFFICIENTS)
    model = training.to_onnx(network, "keywords", "features", shape, data.CLASSES)
    training.write(model, out / "keywords.onnx", data.make, TEST_SAMPLES)


if __name__ == "__main__":
    main()
