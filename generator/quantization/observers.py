"""Observers: from the distribution of a tensor's values over the calibration set to the range its integers cover.

All work on a histogram, so the values themselves need not be kept. Values that are exactly 0 (after a ReLU, many) are
counted apart: 0 is always exact in integers, so they cost nothing and do not draw the range towards them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgewright.ir import Array

BINS = 2048
Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in equal bins from low to high.

    Shapes: `halves` (2, BINS), the counts of every other sample each; `counts` (BINS,), of all.
    """

    low: float
    high: float
    halves: Array
    zeros: int
    total: int

    @cached_property
    def counts(self) -> Array:
        """Of all samples."""
        return np.asarray(self.halves.sum(axis=0))

    @cached_property
    def sums(self) -> Array:
        """Sums of counts, counts times value and counts times its square, of the bins below. Shapes: (3, BINS + 1)."""
        terms = np.stack([self.counts, self.counts * self.centers, self.counts * self.centers**2])
        return np.concatenate([np.zeros((3, 1)), np.cumsum(terms, axis=1)], axis=1)

    @cached_property
    def centers(self) -> Array:
        """The middle of each bin."""
        width = (self.high - self.low) / len(self.counts)
        return self.low + width * (np.arange(len(self.counts)) + 0.5)

    def clipped_share(self, span: Range) -> float:
        """Share of the values that lie outside a range."""
        outside = (self.centers < span[0]) | (self.centers > span[1])
        return float(self.counts[outside].sum() / max(self.total, 1))

    def merged(self, other: Histogram) -> Histogram:
        """Return the distribution of both tensors' values."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        halves = np.zeros((2, BINS))
        for part in (self, other):
            place = (part.centers - low) / max(high - low, 1e-30) * BINS
            np.add.at(halves.T, np.clip(place.astype(np.int64), 0, BINS - 1), part.halves.T)
        return Histogram(low, high, halves, self.zeros + other.zeros, self.total + other.total)

    def half(self, index: int) -> Histogram:
        """Return the distribution over every other sample, in the same bins."""
        alone = np.stack([self.halves[index], np.zeros(BINS)])
        return Histogram(self.low, self.high, alone, self.zeros // 2, self.total // 2)

    @property
    def seen(self) -> Range:
        """The range of the values that are not 0, to a bin's width; (0, 0) where there are none."""
        used = np.flatnonzero(self.counts)
        if not len(used):
            return 0.0, 0.0
        edges = np.linspace(self.low, self.high, BINS + 1)
        return float(edges[used[0]]), float(edges[used[-1] + 1])


def minmax(histogram: Histogram, bits: int) -> Range:
    """The whole range that was seen."""
    low, high = histogram.seen
    return min(low, 0.0), max(high, 0.0)


def percentile(histogram: Histogram, bits: int, share: float = 99.99) -> Range:
    """The range that leaves out the same small share of the values at each end that has any."""
    low, high = minmax(histogram, bits)
    tail = (1 - share / 100) * histogram.total
    reached = np.cumsum(histogram.counts)
    nonzero = reached[-1]
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    # exact zeros are not in the bins: the tails are counted from the outside, where there are none
    first = int(np.searchsorted(reached, tail, side="right"))
    last = int(np.searchsorted(reached, nonzero - tail, side="left"))
    new_low = min(float(edges[min(first, BINS)]), 0.0) if low < 0 else 0.0
    new_high = max(float(edges[min(last + 1, BINS)]), 0.0) if high > 0 else 0.0
    return (new_low, new_high) if new_high > new_low else (low, high)


def squared_error(histogram: Histogram, low: Array, high: Array, levels: int) -> Array:
    """Expected sum of squares: uniform rounding noise inside, the distance to the edge outside.

    Shapes: low and high, the ends of ranges, broadcast to the result.
    """
    low, high = np.broadcast_arrays(low, high)
    first = np.searchsorted(histogram.centers, low, side="left")
    last = np.searchsorted(histogram.centers, high, side="right")
    sums = histogram.sums
    below, above = sums[:, first], sums[:, -1].reshape(3, *[1] * low.ndim) - sums[:, last]
    inside = sums[0, last] - sums[0, first]
    error = inside * ((high - low) / levels) ** 2 / 12
    for edge, outside in ((low, below), (high, above)):
        error = error + edge**2 * outside[0] - 2 * edge * outside[1] + outside[2]
    return np.asarray(error)


def mse(histogram: Histogram, bits: int) -> Range:
    """The range with the least squared error between real and integer values."""
    low, high = minmax(histogram, bits)
    if high <= low:
        return low, high
    ratios = np.linspace(1.0, 0.2, 81)
    lows, highs = low * ratios[:, None], high * ratios[None, :]
    if bits == 16:  # symmetric
        lows, highs = min(low, -high) * ratios[:, None], max(-low, high) * ratios[:, None]
    error = squared_error(histogram, lows, highs, 2**bits - 1)
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return float(lows[row, 0]), float(highs[0 if bits == 8 else row, column])


def kl(histogram: Histogram, bits: int) -> Range:
    """The range whose rounded distribution tells least apart from the real one (Kullback-Leibler divergence).

    Source: the entropy calibration that TensorRT made known, here with both ends shrunk in proportion.
    """
    low, high = minmax(histogram, bits)
    if high <= low or bits > 8:
        return low, high
    levels = 2**bits - 1
    best, least = (low, high), np.inf
    for ratio in np.linspace(1.0, 0.2, 81):
        span = (low * ratio, high * ratio)
        divergence = _divergence(histogram, span, levels)
        if divergence < least - 1e-12:
            best, least = span, divergence
    return best


def _divergence(histogram: Histogram, span: Range, levels: int) -> float:
    """Divergence of the distribution, with outliers moved to the edges, from its rounded form."""
    centers, counts = histogram.centers, histogram.counts.astype(np.float64)
    inside = (centers >= span[0]) & (centers <= span[1])
    if not inside.any():
        return float(np.inf)
    index = np.flatnonzero(inside)
    reference = counts[inside].copy()
    reference[0] += counts[: index[0]].sum()
    reference[-1] += counts[index[-1] + 1 :].sum()
    # what the integers can tell apart: the mean of each level's occupied bins; outliers are not part of it
    level = np.minimum(((centers[inside] - span[0]) / (span[1] - span[0]) * levels + 0.5).astype(np.int64), levels)
    occupied = reference > 0
    mass = np.bincount(level, weights=counts[inside] * occupied, minlength=levels + 1)
    bins = np.bincount(level, weights=occupied, minlength=levels + 1)
    rounded = np.where(occupied, (mass / np.maximum(bins, 1))[level], 0.0)
    p = reference / max(reference.sum(), 1.0)
    q = rounded / max(rounded.sum(), 1.0)
    p, q = (values[occupied] + 1e-6 for values in (p, q))  # no logarithm of 0
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


HEADROOMS = np.array([1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5])
HEADROOM_16_BITS = 2.0  # 6 of some 90 dB, and no value is ever clipped


def headroom(histogram: Histogram, rule: Callable[[Histogram, int], Range], bits: int) -> float:
    """Return the factor by which ranges should be wider than what was seen, for samples that were not seen.

    Each half of the samples is tried with the range that the other half gives: a tensor with few values a sample, such
    as the scores at the end, needs room; a feature map with thousands does not.
    """
    if bits == 16:
        return HEADROOM_16_BITS
    halves = [histogram.half(0), histogram.half(1)]
    spans = [rule(half, bits) for half in halves]
    if any(high <= low for low, high in spans):
        return 1.0

    errors = [
        squared_error(other, low * HEADROOMS, high * HEADROOMS, 2**bits - 1)
        for other, (low, high) in zip(reversed(halves), spans, strict=True)
    ]
    return float(HEADROOMS[int(np.add(*errors).argmin())])


OBSERVERS: dict[str, Callable[[Histogram, int], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "kl": kl,
}
