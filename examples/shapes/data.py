"""Made-up pictures: one of ten shapes, turned, coloured and scaled at random, on a cluttered ground with noise.

    python examples/shapes/data.py [--out shapes.npz] [--samples 1000] [--seed 7]

Everything is seeded: the same seed gives the same numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

SIZE = 32
CLASSES = 10  # disc, ring, square, frame, triangle, cross, star, crescent, stripes, checks


def make(samples: int, seed: int) -> tuple[FloatArray, IntArray]:
    """Return x (samples, 3, 32, 32), 0 to 1, and y (samples,); all classes occur alike."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(samples) % CLASSES).astype(np.int64)
    return np.stack([_picture(int(label), rng) for label in y]).astype(np.float32), y


def _grid(rng: np.random.Generator, low: float, high: float) -> tuple[DoubleArray, DoubleArray]:
    """Coordinates in a shape's own frame, where it reaches to about 1."""
    v, u = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    size = rng.uniform(low, high)
    cx, cy = rng.uniform(size, SIZE - size, 2)
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = (u - cx) / size, (v - cy) / size
    return dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)


def _inside(label: int, x: DoubleArray, y: DoubleArray) -> DoubleArray:
    """Positive inside the shape, in units of its size."""
    r, box = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    square = 0.8 - box
    shapes = {
        0: lambda: 0.9 - r,
        1: lambda: 0.22 - np.abs(r - 0.7),
        2: lambda: square,
        3: lambda: 0.18 - np.abs(box - 0.65),
        4: lambda: np.minimum.reduce([0.5 - y, 0.5 + (y - 1.732 * x) / 2, 0.5 + (y + 1.732 * x) / 2]),
        5: lambda: np.maximum(0.28 - np.abs(x), 0.28 - np.abs(y)) + np.minimum(0.95 - box, 0.0) * 4,
        6: lambda: 0.62 + 0.33 * np.cos(5 * np.arctan2(y, x)) - r,
        7: lambda: np.minimum(0.9 - r, np.hypot(x - 0.45, y) - 0.7),
        8: lambda: np.minimum(square, 0.15 * np.cos(x * 3 * np.pi)),
        9: lambda: np.minimum(square, 0.15 * np.sign(np.sin(2.5 * np.pi * x) * np.sin(2.5 * np.pi * y))),
    }
    return np.asarray(shapes[label]())


def _picture(label: int, rng: np.random.Generator) -> DoubleArray:
    v, u = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    ground, ink = rng.uniform(0, 1, (2, 3))
    while np.abs(ground - ink).sum() < 0.7:
        ink = rng.uniform(0, 1, 3)
    slope = rng.normal(0, 0.25, (2, 3))
    image = ground[:, None, None] + slope[0][:, None, None] * (u - 0.5) + slope[1][:, None, None] * (v - 0.5)
    for _ in range(rng.integers(2, 7)):  # clutter
        x, y = _grid(rng, 1.5, 3.5)
        cover = np.clip((1 - np.hypot(x, y * rng.uniform(1, 3))) * 3, 0, 1) * rng.uniform(0.3, 0.9)
        image = image * (1 - cover) + rng.uniform(0, 1, 3)[:, None, None] * cover
    x, y = _grid(rng, 7.0, 13.0)
    cover = np.clip(_inside(label, x, y) * 10 + 0.5, 0, 1) * rng.uniform(0.5, 1.0)
    image = image * (1 - cover) + ink[:, None, None] * cover
    image = image + rng.normal(0, rng.uniform(0.02, 0.16), image.shape)
    return np.asarray(np.clip(image, 0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("shapes.npz"))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    x, y = make(options.samples, options.seed)
    np.savez(options.out, x=x, y=y)
    print(f"{options.out}: {len(x)} samples")


if __name__ == "__main__":
    main()
