"""Hard packing problems, seeded: what `packing.py` measures and the tests repeat.

In the manner of MiniMalloc's benchmark: 150 to 450 buffers each, as rectangles of time by size. All random numbers
come from one seed a case, so a case is named by its family and its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgewright.plan.lifetimes import Lifetime

SEED = 20230325
CASES_PER_FAMILY = 18
MIN_BUFFERS, MAX_BUFFERS = 150, 450

Rng = np.random.Generator
Rectangle = tuple[int, int, int]  # size in bytes, first step, last step


def guillotine(rng: Rng, count: int) -> list[Rectangle]:
    """A whole arena of 1 MiB, cut straight through again and again: the bound can be reached, with no byte to spare."""
    steps, units = int(rng.integers(count // 2, 3 * count)), 65536
    pieces = [(0, steps, 0, units)]
    while len(pieces) < count:
        areas = np.array([(t1 - t0) * (u1 - u0) for t0, t1, u0, u1 in pieces], dtype=float)
        t0, t1, u0, u1 = pieces.pop(int(rng.choice(len(pieces), p=areas / areas.sum())))
        share = rng.uniform(0.15, 0.85)
        if t1 - t0 > 1 and rng.random() < 0.5:
            cut = min(max(t0 + 1, t0 + round(share * (t1 - t0))), t1 - 1)
            pieces += [(t0, cut, u0, u1), (cut, t1, u0, u1)]
        elif u1 - u0 > 1:
            cut = min(max(u0 + 1, u0 + round(share * (u1 - u0))), u1 - 1)
            pieces += [(t0, t1, u0, cut), (t0, t1, cut, u1)]
        else:
            pieces.append((t0, t1, u0, u1))
    return [(16 * (u1 - u0), t0, t1 - 1) for t0, t1, u0, u1 in pieces]


def trimmed(rng: Rng, count: int) -> list[Rectangle]:
    """A cut arena whose pieces lose up to a tenth of their size, and a step or two: tight, and nothing fits exactly."""
    pieces = []
    for size, first, last in guillotine(rng, count):
        if last - first > 2:
            first, last = first + int(rng.integers(0, 2)), last - int(rng.integers(0, 2))
        pieces.append((max(16, int(size * (1 - rng.random() / 10))), first, last))
    return pieces


def network(rng: Rng, count: int) -> list[Rectangle]:
    """An accelerator's program: many buffers of a few steps, a few that stay for a stage, a few for most of the run."""
    steps = count
    stage = np.repeat(2.0 ** rng.uniform(9, 15, steps // 12 + 1), 12)
    pieces = []
    for _ in range(count):
        kind = rng.random()
        length = int(rng.integers(1, 5) if kind < 0.75 else rng.integers(8, 40) if kind < 0.93 else
                     rng.integers(steps // 4, steps))  # fmt: skip
        first = int(rng.integers(0, max(1, steps - length)))
        size = stage[first] * rng.choice([0.25, 0.5, 1, 1, 2]) * rng.uniform(0.8, 1.25) / (1 if kind < 0.93 else 4)
        pieces.append((max(16, int(size)), first, first + length - 1))
    return pieces


def heavy_tailed(rng: Rng, count: int) -> list[Rectangle]:
    """Random intervals; both sizes and lengths have a heavy tail."""
    steps = 4 * count
    lengths = np.minimum(np.ceil((rng.pareto(1.1, count) + 1) * steps / 60), steps * 0.6).astype(int)
    sizes = np.minimum((rng.pareto(1.2, count) + 1) * 512, 65536).astype(int)
    firsts = (rng.random(count) * (steps - lengths)).astype(int)
    return [(int(s), int(f), int(f + n - 1)) for s, f, n in zip(sizes, firsts, lengths, strict=True)]


def skips(rng: Rng, count: int) -> list[Rectangle]:
    """Encoders and decoders with skip connections: an encoder's result waits for its mirror image."""
    pieces: list[Rectangle] = []
    now = 0
    while len(pieces) < count:
        depth = int(rng.integers(4, 14))
        size = float(rng.integers(20_000, 90_000))
        sizes = [max(64, int(size * 0.8**level * rng.uniform(0.5, 1.5))) for level in range(depth)]
        width = int(rng.integers(2, 6))  # steps a level
        end = now + 2 * depth * width
        for level, skip in enumerate(sizes):
            begin, mirror = now + level * width, end - (level + 1) * width
            pieces.append((skip, begin + width - 1, mirror))
            for at in (begin, mirror):
                for step in range(at, at + width):
                    pieces.append((max(16, int(skip * rng.uniform(0.3, 1.6))), step, step + int(rng.integers(1, 4))))
        now = end - int(rng.integers(0, width * 3))
    return pieces[:count]


def staircase(rng: Rng, count: int) -> list[Rectangle]:
    """Long buffers that begin one after the other, so that the load is nearly constant: sliding windows."""
    steps = 2 * count
    pieces = []
    lengths = rng.choice([steps // 40, steps // 20, steps // 12, steps // 7], size=count)
    sizes = rng.choice([1024, 1536, 2560, 4096, 7168], size=count) * rng.choice([1.0, 1.0, 1.1, 0.93], size=count)
    for index in range(count):
        first = index * 2 - int(lengths[index] // 2) + int(rng.integers(0, 3))
        first = max(0, first)
        pieces.append((int(sizes[index]), first, min(steps, first + int(lengths[index])) - 1 + int(rng.integers(0, 2))))
    return pieces


FAMILIES: dict[str, Callable[[Rng, int], list[Rectangle]]] = {
    "guillotine": guillotine,
    "trimmed": trimmed,
    "network": network,
    "heavy-tailed": heavy_tailed,
    "skips": skips,
    "staircase": staircase,
}


def case(family: str, number: int) -> list[Lifetime]:
    """Return one problem. The buffers are shuffled, so that their order tells nothing."""
    rng = np.random.default_rng([SEED, list(FAMILIES).index(family), number])
    count = MIN_BUFFERS + (MAX_BUFFERS - MIN_BUFFERS) * number // (CASES_PER_FAMILY - 1)
    rectangles = FAMILIES[family](rng, count)
    order = rng.permutation(len(rectangles))
    return [Lifetime(f"b{i}", *rectangles[index]) for i, index in enumerate(order)]


def cases() -> Iterator[tuple[str, int, list[Lifetime]]]:
    """Yield every problem with its family and number."""
    for family in FAMILIES:
        for number in range(CASES_PER_FAMILY):
            yield family, number, case(family, number)
