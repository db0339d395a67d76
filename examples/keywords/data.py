"""Made-up keywords: spectrograms of words that nobody said, as a keyword spotter's microphone would give them.

    python examples/keywords/data.py [--out keywords.npz] [--samples 1000] [--seed 7]

A word is a sequence of sounds, each with three formants (resonances) and a voicing. A speaker stretches it in time,
shifts its formants, and speaks louder or softer, somewhere within the second; noise of a random colour and level lies
over it. Two classes are none of the ten words: other sequences of the same sounds ("unknown"), and noise alone.
What comes out is what the microphone's front end computes: 49 frames of 10 cepstral coefficients.

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

FRAMES, BANDS, COEFFICIENTS = 49, 40, 10
WORDS = (
    (0, 5, 1), (1, 6, 2), (2, 7, 3, 8), (3, 9, 0), (4, 5, 2, 9),
    (5, 0, 6, 4), (6, 3, 7), (7, 4, 8, 1), (8, 2, 5), (9, 1, 6, 0),
)  # fmt: skip
UNKNOWN, SILENCE = len(WORDS), len(WORDS) + 1
CLASSES = len(WORDS) + 2

_rng = np.random.default_rng(20260101)
SOUNDS = np.sort(_rng.uniform(2, 37, (10, 3)), axis=1)  # formants, in bands
LOUDNESS = _rng.uniform(0.5, 1.5, (10, 3))
WIDTHS = _rng.uniform(1.2, 3.5, (10, 3))
LENGTHS = _rng.uniform(5, 12, 10)  # frames


def make(samples: int, seed: int) -> tuple[FloatArray, IntArray]:
    """Return x (samples, 1, 49, 10) and y (samples,); all classes occur alike."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(samples) % CLASSES).astype(np.int64)
    x = np.stack([_cepstrum(_sample(int(label), rng)) for label in y])
    return x[:, np.newaxis].astype(np.float32), y


def _sample(label: int, rng: np.random.Generator) -> DoubleArray:
    """Return energies (frames, bands)."""
    noise_level = 10 ** rng.uniform(-1.7, 0.35)
    slope = np.linspace(1, 10 ** rng.uniform(-1.5, 0.5), BANDS)
    energy = noise_level * slope * rng.gamma(2.0, 0.5, (FRAMES, BANDS))
    if label != SILENCE:
        energy += _speech(_sequence(label, rng), rng)
    return np.asarray(energy)


def _sequence(label: int, rng: np.random.Generator) -> tuple[int, ...]:
    if label != UNKNOWN:
        return WORDS[label]
    while True:
        word = tuple(int(s) for s in rng.choice(len(SOUNDS), rng.integers(3, 5), replace=False))
        if word not in WORDS:
            return word


def _speech(word: tuple[int, ...], rng: np.random.Generator) -> DoubleArray:
    speed, shift, level = rng.uniform(0.75, 1.3), rng.normal(0, 0.07), 10 ** rng.uniform(-0.5, 0.3)
    lengths = np.array([LENGTHS[s] for s in word]) * speed * rng.uniform(0.8, 1.25, len(word))
    lengths *= min(1.0, (FRAMES - 2) / lengths.sum())
    start = rng.uniform(0, FRAMES - lengths.sum())
    middles = start + np.cumsum(lengths) - lengths / 2
    frames = np.arange(FRAMES)
    energy = np.zeros((FRAMES, BANDS))
    for formant in range(3):
        centers = SOUNDS[list(word), formant] * (1 + shift) + rng.normal(0, 1.0, len(word))
        loud = LOUDNESS[list(word), formant] * rng.uniform(0.7, 1.4, len(word))
        center, height, width = (
            np.interp(frames, middles, values) for values in (centers, loud, WIDTHS[list(word), formant])
        )
        distance = (np.arange(BANDS) - center[:, None]) / width[:, None]
        energy += level * height[:, None] * np.exp(-0.5 * distance**2)
    inside = np.clip((frames - start) / 2, 0, 1) * np.clip((start + lengths.sum() - frames) / 2, 0, 1)
    return np.asarray(energy * inside[:, None] * rng.uniform(0.85, 1.15, (FRAMES, BANDS)))


def _cepstrum(energy: DoubleArray) -> DoubleArray:
    """The cosine transform of the logarithm of the bands."""
    bands = np.arange(BANDS) + 0.5
    cosines = np.cos(np.pi / BANDS * np.outer(bands, np.arange(COEFFICIENTS)))
    return np.asarray(np.log(energy + 1e-4) @ cosines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("keywords.npz"))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    x, y = make(options.samples, options.seed)
    np.savez(options.out, x=x, y=y)
    print(f"{options.out}: {len(x)} samples")


if __name__ == "__main__":
    main()
